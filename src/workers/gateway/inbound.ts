/**
 * `gateway-to-gateway.packet`, the receiving side: `POST` of a batch of packets, answered 200 once they are on the bus.
 *
 * The answers are those of Corda's gateway: 404 unknown path, 501 another method, 411 no length, 413 too large, 415 another
 * content type, 400 a body that cannot be read, 503 not now, 500 else. They tell a stranger what to change and nothing more.
 */
import { Hono } from 'hono';
import { BusError, type Bus } from '../../bus/bus.ts';
import { packetRequest, packetRequestBytesMax, type PacketRequest } from '../../messages/gateway-to-gateway.packet.ts';
import { gatewayToLinkManagerLinkIn } from '../../messages/gateway-to-link-manager.link-in.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { GatewayLimits } from './config.ts';
import type { AddressOf } from './strangers.ts';

export type InboundOptions = {
  readonly publish: Bus['publish'];
  /** Mutual TLS; without it everyone is admitted, since packets prove themselves. */
  readonly admit?: Admit;
  /** The path that packets are sent to: that of the endpoint URL in the member list. */
  readonly path: string;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: GatewayLimits;
  /** Without it all strangers share one count. */
  readonly addressOf?: AddressOf;
  readonly mayStranger: (address: string | undefined) => boolean;
};

/** Whether the connection that a request came by may send packets at all. */
export type Admission = { readonly type: 'admitted' } | { readonly type: 'refused'; readonly reason: string };
export type Admit = (request: Request, env: unknown) => Promise<Admission>;

export type InboundRefusal =
  | 'not-admitted'
  | 'unknown-path'
  | 'method'
  | 'content-type'
  | 'no-length'
  | 'too-large'
  | 'malformed'
  | 'busy'
  | 'bus-down'
  | 'record-too-large'
  | 'fault';

const answers: Record<InboundRefusal, { readonly status: number; readonly text: string }> = {
  'not-admitted': { status: 403, text: 'the client certificate is not accepted' },
  'unknown-path': { status: 404, text: 'nothing is served at this path' },
  method: { status: 501, text: 'only POST is implemented' },
  'content-type': { status: 415, text: 'the content type must be application/json' },
  'no-length': { status: 411, text: 'Content-Length is required' },
  'too-large': { status: 413, text: `a request may have ${packetRequestBytesMax} bytes` },
  malformed: { status: 400, text: 'the body is not a batch of packets' },
  busy: { status: 503, text: 'too much is under way; try again' },
  'bus-down': { status: 503, text: 'not now; try again' },
  'record-too-large': { status: 413, text: 'a packet is too large' },
  fault: { status: 500, text: 'internal error' },
};

/** JSON is read once its length is known to be within bounds; whatever is wrong with it is one answer. */
const parseBody = (text: string): PacketRequest | undefined => {
  try {
    const parsed = packetRequest.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
};

const recordsOf = (packets: PacketRequest['packets']): OutRecord[] =>
  packets.map((body) => encode(gatewayToLinkManagerLinkIn, { key: body.tag, id: crypto.randomUUID(), body }));

const refusalOf = (error: unknown): InboundRefusal => {
  if (!(error instanceof BusError)) return 'fault';
  switch (error.code) {
    case 'BUS_UNREACHABLE':
    case 'BUS_CLOSED':
      return 'bus-down';
    case 'BUS_RECORD_TOO_LARGE':
      return 'record-too-large';
    case 'BUS_REFUSED':
    case 'BUS_UNKNOWN_TOPIC':
    case 'BUS_CORRUPT':
      return 'fault';
  }
};

/** What can be said of a request before its body is read. */
const checkHead = (request: Request, path: string): InboundRefusal | undefined => {
  const { method, headers, url } = request;
  if (new URL(url).pathname !== path) return 'unknown-path';
  if (method !== 'POST') return 'method';
  const contentType = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (contentType !== 'application/json') return 'content-type';
  const length = headers.get('content-length');
  if (length === null || !/^\d{1,15}$/.test(length)) return 'no-length';
  return Number(length) > packetRequestBytesMax ? 'too-large' : undefined;
};

export const createInbound = ({ publish, admit, addressOf, mayStranger, path, log, metrics, limits }: InboundOptions): Hono => {
  const packetsIn = metrics.counter('cordage_gateway_packets_in_total', 'Packets received and published');
  const refusals = metrics.counter('cordage_gateway_requests_refused_total', 'Requests of other clusters refused, by reason');
  const strangersDropped = metrics.counter('cordage_gateway_stranger_packets_dropped_total', 'Packets of no session beyond what one address may send');
  const app = new Hono();
  let bytesHeld = 0;

  const refuse = (refusal: InboundRefusal, error?: unknown): Response => {
    refusals.add(1, { reason: refusal });
    const { status, text } = answers[refusal];
    const fields = { reason: refusal, status, ...(error === undefined ? {} : { error }) };
    if (refusal === 'fault') log.error('gateway.request-failed', fields);
    else log.info('gateway.request-refused', fields);
    const headers = status === 503 ? { 'retry-after': String(limits.retryAfterSeconds) } : undefined;
    return Response.json({ error: text }, { status, ...(headers === undefined ? {} : { headers }) });
  };

  /** Those of no session are dropped where an address sends too many: they are sent again, and those of sessions are not held up. */
  const withoutTooMany = (packets: PacketRequest['packets'], address: string | undefined): PacketRequest['packets'] => {
    const kept = packets.filter(({ unauthenticated }) => unauthenticated !== true || mayStranger(address));
    if (kept.length < packets.length) {
      strangersDropped.add(packets.length - kept.length);
      log.warn('gateway.strangers-dropped', { packets: packets.length - kept.length });
    }
    return kept;
  };

  const take = async (request: Request, bytes: number, address: string | undefined): Promise<Response> => {
    const body = parseBody(await request.text());
    if (body === undefined) return refuse('malformed');
    const packets = withoutTooMany(body.packets, address);
    try {
      await publish(recordsOf(packets));
    } catch (error) {
      return refuse(refusalOf(error), error);
    }
    packetsIn.add(packets.length);
    log.debug('gateway.packets-in', { packets: packets.length, bytes });
    return Response.json({});
  };

  app.all('*', async ({ req, env }) => {
    const request = req.raw;
    const admission = await admit?.(request, env);
    if (admission?.type === 'refused') return refuse('not-admitted', admission.reason);
    const unfit = checkHead(request, path);
    if (unfit !== undefined) return refuse(unfit);
    const bytes = Number(request.headers.get('content-length'));
    if (bytesHeld + bytes > limits.inboundBytesMax) return refuse('busy');
    bytesHeld += bytes;
    try {
      return await take(request, bytes, addressOf?.(request, env));
    } catch (error) {
      // The peer hung up within its body, or sent another length than it said: whatever it is, it is not ours.
      return refuse('malformed', error);
    } finally {
      bytesHeld -= bytes;
    }
  });
  return app;
};
