/**
 * The envelope of every record: `{ v, id, replyTo?, deadline?, body }` as JSON text.
 *
 * `id` is derived by the sender from what caused the message, never drawn, so that a repeat carries the same id (W3).
 * A `null` body on a compacted wire removes its key.
 */
import * as z from 'zod';
import type { InRecord, OutRecord } from './record.ts';
import type { Room, Wire } from './wire.ts';

/** Bound on one record's value, in UTF-16 code units; larger things are chunked or stored once and named by hash. */
export const recordValueCharsMax = 1_000_000;

/** Bounds on the parts of an envelope, in UTF-16 code units. */
const idCharsMax = 300;
const topicCharsMax = 100;
const keyCharsMax = 300;

export const returnAddress = z.strictObject({
  topic: z.string().max(topicCharsMax),
  key: z.string().max(keyCharsMax),
  partition: z.int().nonnegative().optional(),
});
export type ReturnAddress = z.infer<typeof returnAddress>;

/** As a record carries it. */
export const envelope = z.object({
  v: z.int().positive(),
  id: z.string().min(1).max(idCharsMax),
  replyTo: returnAddress.optional(),
  deadline: z.number().optional(),
  body: z.unknown(),
});
type Envelope = { readonly v: number; readonly id: string; readonly replyTo?: ReturnAddress | undefined; readonly deadline?: number | undefined; readonly body?: unknown };

/**
 * Reads an envelope as the schema does, by plain code: each record of each room is looked at here, and the schema took longer for it than the text takes
 * to parse. Of what does not pass the schema has the last word, and says what is wrong with it.
 */
export const plainEnvelope = (json: unknown): Envelope | undefined => {
  if (typeof json !== 'object' || json === null) return undefined;
  // Any object may be asked for these properties; each is checked. (A list has none of them: the value was JSON.)
  const { v, id, replyTo, deadline, body } = json as { readonly [field in keyof Envelope]?: unknown };
  if (!(isCount(v) && v > 0 && isShort(id, idCharsMax) && id !== '') || body === undefined) return undefined;
  if (deadline !== undefined && !(typeof deadline === 'number' && Number.isFinite(deadline))) return undefined;
  if (replyTo === undefined) return { v, id, deadline, body };
  return isReturnAddress(replyTo) ? { v, id, replyTo, deadline, body } : undefined;
};

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isShort = (value: unknown, charsMax: number): value is string => typeof value === 'string' && value.length <= charsMax;

const isReturnAddress = (value: unknown): value is ReturnAddress => {
  if (typeof value !== 'object' || value === null) return false;
  // As above.
  const { topic, key, partition } = value as { readonly [field in keyof ReturnAddress]?: unknown };
  const fields = partition === undefined ? 2 : 3;
  return isShort(topic, topicCharsMax) && isShort(key, keyCharsMax) && (partition === undefined || isCount(partition)) && Object.keys(value).length === fields;
};

export type Message<Body> = {
  readonly key: string;
  readonly id: string;
  readonly body: Body;
  readonly replyTo?: ReturnAddress;
  /** Milliseconds since the epoch after which nobody waits for the answer. */
  readonly deadline?: number;
  readonly partition?: number;
};

/** A message with the record that carries it. */
export type Carried<Body> = Message<Body> & { readonly record: OutRecord };

/** A message that was read, with its record: as the bus brought it, unless said otherwise. */
export type Delivery<Body, Of extends OutRecord = InRecord> = Message<Body> & { readonly record: Of };

/** Writes a message of this wire as a record. The body is trusted to have the wire's type: we made it. */
export const encode = <Body>(wire: Wire<Body, any>, message: Message<Body | null>): OutRecord => ({
  topic: wire.topic,
  key: message.key,
  value: JSON.stringify({
    v: wire.version,
    id: message.id,
    replyTo: message.replyTo,
    deadline: message.deadline,
    body: message.body,
  }),
  ...(message.partition === undefined ? {} : { partition: message.partition }),
});

/** Whether a value on a compacted wire removes its key. Values that hold the text elsewhere are parsed to make sure. */
export const removesKey = (value: string): boolean => {
  if (!value.includes('"body":null')) return false;
  try {
    const json: unknown = JSON.parse(value);
    return typeof json === 'object' && json !== null && 'body' in json && json.body === null;
  } catch {
    return false;
  }
};

export type Decoded<Body, Of extends OutRecord = InRecord> =
  | { readonly type: 'message'; readonly delivery: Delivery<Body, Of> }
  | { readonly type: 'removed'; readonly key: string }
  | { readonly type: 'malformed'; readonly reason: string };

/** Reads a record of this wire; what cannot be read is a value, not an exception, so that it can be parked (W4). */
export const decode = <Body, Of extends OutRecord = InRecord>(wire: Wire<Body, any>, record: Of): Decoded<Body, Of> => {
  if (record.value.length > recordValueCharsMax) return { type: 'malformed', reason: `value longer than ${recordValueCharsMax}` };
  let json: unknown;
  try {
    json = JSON.parse(record.value);
  } catch {
    return { type: 'malformed', reason: 'value is not JSON' };
  }
  let outer = plainEnvelope(json);
  if (outer === undefined) {
    const checked = envelope.safeParse(json);
    if (!checked.success) return { type: 'malformed', reason: `envelope: ${z.prettifyError(checked.error)}` };
    // The schema's output has optional properties typed `| undefined`; in a value that was JSON they are there or not.
    outer = checked.data as Envelope;
  }
  const { v, id, replyTo, deadline, body } = outer;
  if (v !== wire.version && v !== wire.version - 1) {
    return { type: 'malformed', reason: `version ${v} of ${wire.topic}; this worker reads ${wire.version - 1} and ${wire.version}` };
  }
  if (body === null && wire.retention === 'compacted') return { type: 'removed', key: record.key };
  const parsed = wire.body.safeParse(body);
  if (!parsed.success) return { type: 'malformed', reason: `body: ${z.prettifyError(parsed.error)}` };
  return {
    type: 'message',
    delivery: {
      key: record.key,
      id,
      body: parsed.data,
      record,
      ...(replyTo === undefined ? {} : { replyTo }),
      ...(deadline === undefined ? {} : { deadline }),
    },
  };
};

/** What a request ends in, apart from its deadline. `code` is stable and upper-case, `<ROOM>_<WHAT>`. */
export const outcome = z.discriminatedUnion('type', [
  z.object({ type: z.literal('done'), value: z.unknown() }),
  z.object({
    type: z.literal('refused'),
    code: z.string().max(100),
    message: z.string().max(10_000),
    details: z.record(z.string(), z.string()).optional(),
    /** Where asking again can help, or nothing can; absent: the request itself is refused. */
    fault: z.enum(['transient', 'fatal']).optional(),
  }),
]);
export type Refusal = { type: 'refused'; code: string; message: string; details?: Record<string, string> | undefined; fault?: 'transient' | 'fatal' | undefined };
export type Outcome<Value = unknown> = { type: 'done'; value: Value } | Refusal;

export const answer = z.object({ requestId: z.string().max(300), outcome });
export type Answer = { requestId: string; outcome: Outcome };

/** Every calling room hears its answers on one wire of this shape; only the rooms that it asks may speak on it. */
export const answerWireFor = (room: Room, from: readonly Room[]): Wire<Answer, never> => ({
  topic: `all-to-${room}.answer`,
  from,
  to: [room],
  key: 'the return address of the request',
  retention: 'log',
  version: 1,
  // The schema's output has optional properties typed `| undefined`; Outcome says the same.
  body: answer as unknown as z.ZodType<Answer>,
});

/** The record that answers a request; `undefined` where the request asked for no answer. */
export const answerTo = (request: Message<unknown>, result: Outcome): OutRecord | undefined => {
  const { replyTo } = request;
  if (replyTo === undefined) return undefined;
  return {
    topic: replyTo.topic,
    key: replyTo.key,
    value: JSON.stringify({ v: 1, id: `${request.id}/answer`, body: { requestId: request.id, outcome: result } }),
    ...(replyTo.partition === undefined ? {} : { partition: replyTo.partition }),
  };
};
