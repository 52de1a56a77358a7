/** Requests as the shell would hand them to a handler: through the wire's own codec. */
import { decode, encode, type Delivery, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import type { Answered, Answering } from '../../../src/shell/worker.ts';
import type { DbTx } from '../../../src/workers/db/worker.ts';

let offset = 0;

/** Reads a record as a worker that hears the wire does. */
export const read = <Body>(wire: Wire<Body, any>, record: OutRecord): Delivery<Body> => {
  const decoded = decode(wire, { partition: 0, ...record, offset: offset++, timestamp: 0 });
  if (decoded.type !== 'message') throw new Error(`${wire.topic}: ${JSON.stringify(decoded)}`);
  return decoded.delivery;
};

export const request = <Body>(wire: Wire<Body, any>, body: Body, { key = 'key', id = `request-${offset}` } = {}): Delivery<Body> =>
  read(wire, encode(wire, { key, id, body, replyTo: { topic: 'all-to-rest.answer', key, partition: 0 } }));

type Transact = <Result>(work: (tx: DbTx) => Promise<Result>) => Promise<Result>;

/** Answers bodies in one batch, as one transaction. */
export const answerBatch = <Body, Reply>(
  answering: Answering<Body, Reply, DbTx>,
  { transact, now = Date.UTC(2026, 0, 1) }: { transact: Transact; now?: number },
  ...requests: readonly Delivery<Body>[]
): Promise<readonly Answered<Reply>[]> => transact((tx) => answering.answer(requests, tx, now));

export const codeOf = (outcome: Outcome): string => (outcome.type === 'refused' ? outcome.code : outcome.type);
