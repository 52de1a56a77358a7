/** Hears `link-manager-to-gateway.link-out` where nothing can poll: the bus pushes its records here (src/bus/push). */
import { pushBytesMax, pushSignatureHeader, readPush } from '../../bus/push/push.ts';
import type { Clock } from '../../host/clock.ts';
import { decode, type Delivery } from '../../messages/grammar/envelope.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import { linkManagerToGatewayLinkOut } from '../../messages/link-manager-to-gateway.link-out.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Log } from '../../observability/log.ts';
import type { Pump } from '../../shell/worker.ts';

type LinkOut = BodyOf<typeof linkManagerToGatewayLinkOut>;

export type PushOptions = {
  readonly secret: string;
  readonly pump: Pump<LinkOut>;
  readonly clock: Clock;
  readonly log: Log;
};

/** Where pushed records come: beside the path of packets, which other clusters know. */
export const pushPath = '/push';

const refuse = (status: number, error: string): Response => Response.json({ error }, { status });

/** What cannot be read will never be: it is passed over, as the link manager repeats what matters. */
const deliveriesOf = (records: readonly InRecord[], log: Log): Delivery<LinkOut>[] =>
  records.flatMap((record) => {
    const decoded = record.topic === linkManagerToGatewayLinkOut.topic ? decode(linkManagerToGatewayLinkOut, record) : undefined;
    if (decoded?.type === 'message') return [decoded.delivery];
    log.warn('gateway.push-record-refused', { topic: record.topic, partition: record.partition, offset: record.offset });
    return [];
  });

/** Answers 200 once the packets are taken; they leave afterwards, and the link manager repeats those that do not arrive. */
export const createTakePush = ({ secret, pump, clock, log }: PushOptions) => async (request: Request): Promise<Response> => {
  if (request.method !== 'POST') return refuse(405, 'records are pushed by POST');
  const length = request.headers.get('content-length');
  if (length !== null && Number(length) > pushBytesMax) return refuse(413, `a push may have ${pushBytesMax} bytes`);
  const pushed = readPush(await request.text(), request.headers.get(pushSignatureHeader), { secret, now: clock.now() });
  if (pushed.type === 'unsigned') {
    log.warn('gateway.push-unsigned', { reason: pushed.reason });
    return refuse(401, 'the push is not signed by the bus of this cluster');
  }
  if (pushed.type === 'malformed') return refuse(400, 'the body is not a push');
  await pump.pump(deliveriesOf(pushed.records, log));
  return Response.json({});
};
