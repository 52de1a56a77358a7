/** Operations that other rooms perform: the request that an operation makes, and the completion that its answer gives. */
import * as z from 'zod';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import { originOf } from '../../../identity/derive.ts';
import { fromBase64url } from '../../../cipher/bytes.ts';
import { keyIdOf } from '../../../cipher/signature.ts';
import { allToCryptoKey, hsmCategory, keyIdsMax } from '../../../messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { allToFlowAnswer } from '../../../messages/all-to-flow.answer.ts';
import { entityOperation, flowToDbEntity } from '../../../messages/flow-to-db.entity.ts';
import { flowToDbQuery, queryTree } from '../../../messages/flow-to-db.query.ts';
import { base64url } from '../../../messages/grammar/shapes.ts';
import { encode, recordValueCharsMax } from '../../../messages/grammar/envelope.ts';
import type { Carried, Message, Outcome } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { Wire } from '../../../messages/grammar/wire.ts';
import type { FlowIdentity } from './head.ts';
import type { TurnOutcome } from './journal.ts';

export type EntityKind = Exclude<Extract<OperationKind, `db.${string}`>, 'db.run'>;
export type Request = {
  readonly type: 'request';
  readonly message: Carried<unknown>;
  /** UTF-16 code units of its record, or somewhat more. */
  readonly chars: number;
  /** Whether its work is bounded by its size, so that it may be waited for. */
  readonly isShort: boolean;
};
export type Refused = Extract<TurnOutcome, { type: 'refused' }>;

export const refused = (code: string, message: string): Refused => ({ type: 'refused', code, message });

type Named = { readonly flowId: string; readonly incarnation?: string | undefined };

/** The id of the request that an operation makes: derived, so that a repeat asks for the same (W3), and nothing else does. */
export const requestIdOf = ({ flowId, incarnation }: Named, op: number): string => `${originOf(flowId, incarnation)}/${op}`;

/** Undefined for what this flow has not asked: an earlier one of its id may be answered late. */
export const operationOf = ({ flowId, incarnation }: Named, requestId: string): number | undefined => {
  const before = `${originOf(flowId, incarnation)}/`;
  const op = requestId.slice(before.length);
  return requestId.startsWith(before) && /^\d{1,9}$/.test(op) ? Number(op) : undefined;
};

export type Asker = Named & { readonly op: number; readonly identity: FlowIdentity };

const envelopeOf = (asker: Asker) => ({ id: requestIdOf(asker, asker.op), replyTo: { topic: allToFlowAnswer.topic, key: asker.flowId } });

const bounded = <Body>(wire: Wire<Body, any>, message: Message<Body>, isShort = false): Request | Refused => {
  const record = encode(wire, message);
  const { length: chars } = record.value;
  return chars <= recordValueCharsMax
    ? { type: 'request', message: { ...message, record }, chars, isShort }
    : refused('OPERATION_INVALID', `the request is ${chars} characters long; at most ${recordValueCharsMax} are allowed: ask for less at once`);
};

/** What a record of an entity's request has beside the parameters of the operation, in UTF-16 code units, at most: ids, addresses, names of fields. */
const besideParamsChars = 2_000;

/** Its record is made when it is asked for: most writes are done with the save of their flow, and need none. */
const carriedLate = <Body>(wire: Wire<Body, any>, message: Message<Body>): Carried<Body> => {
  let record: OutRecord | undefined;
  return {
    ...message,
    get record() {
      return (record ??= encode(wire, message));
    },
  };
};

// ── Entities ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `paramsChars`: length of the parameters as JSON text. */
export const entityRequest = (asker: Asker, kind: EntityKind, params: object, paramsChars: number): Request | Refused => {
  const operation = entityOperation.safeParse({ ...params, type: kind.slice('db.'.length) });
  if (!operation.success) return refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(operation.error)}`);
  const body = { shortHash: asker.identity.shortHash, operation: operation.data };
  const message = { key: asker.flowId, ...envelopeOf(asker), body };
  const isShort = shortKinds.has(kind);
  const chars = paramsChars + besideParamsChars;
  return chars <= recordValueCharsMax ? { type: 'request', message: carriedLate(flowToDbEntity, message), chars, isShort } : bounded(flowToDbEntity, message, isShort);
};

/** Those that look for rows by other than their ids may take long. */
const shortKinds: ReadonlySet<EntityKind> = new Set(['db.persist', 'db.merge', 'db.remove', 'db.find']);

const entityReply = z.object({ items: z.array(z.object({ id: z.string(), json: z.string() })), after: z.string().optional(), count: z.number().optional() });

const entityAnswer = (kind: OperationKind, value: unknown): unknown => {
  const { items, after, count = 0 } = entityReply.parse(value);
  if (kind === 'db.remove') return { ids: items.map(({ id }) => id) };
  if (kind === 'db.find') return { items };
  if (kind === 'db.query') return after === undefined ? { items } : { items, after };
  if (kind === 'db.count') return { count };
  return {};
};

// ── Tables of the application ────────────────────────────────────────────────────────────────────────────────────────

const queryParams = z.object({ query: queryTree });

/** The tables that may be named are those of the code that the flow began with. */
export const queryRequest = (asker: Asker, cpkHash: string, params: unknown): Request | Refused => {
  const parsed = queryParams.safeParse(params);
  if (!parsed.success) return refused('OPERATION_INVALID', `db.run: ${z.prettifyError(parsed.error)}`);
  const body = { shortHash: asker.identity.shortHash, cpkHash, query: parsed.data.query };
  return bounded(flowToDbQuery, { key: asker.flowId, ...envelopeOf(asker), body });
};

// ── Signatures and keys ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const signParams = z.object({ data: z.string(), keyId: z.string().optional(), spec: z.string().optional() });

export const signRequest = (asker: Asker, params: { data: string; keyId: string; spec?: string | undefined }): Request | Refused => {
  const body = allToCryptoSign.body.safeParse({ tenant: asker.identity.shortHash, ...params });
  if (!body.success) return refused('OPERATION_INVALID', `crypto.sign: ${z.prettifyError(body.error)}`);
  return bounded(allToCryptoSign, { key: asker.identity.shortHash, ...envelopeOf(asker), body: body.data });
};

const keysParams = z.object({ category: hsmCategory.optional(), publicKeys: z.array(base64url.max(2_000)).max(keyIdsMax).optional() });

/** Keys are looked up by their ids; the SDK compares the keys themselves. */
export const keysRequest = (asker: Asker, params: unknown): Request | Refused => {
  const parsed = keysParams.safeParse(params);
  if (!parsed.success) return refused('OPERATION_INVALID', `crypto.myKeys: ${z.prettifyError(parsed.error)}`);
  const { category, publicKeys } = parsed.data;
  const ids = publicKeys?.map((key) => keyIdOf(bytesOf(key)));
  const body = { type: 'find' as const, tenant: asker.identity.shortHash, ...(ids === undefined ? {} : { ids }), ...(category === undefined ? {} : { category }) };
  return bounded(allToCryptoKey, { key: asker.identity.shortHash, ...envelopeOf(asker), body });
};

/** What is not base64url is nobody's key. */
const bytesOf = (text: string): Uint8Array => {
  try {
    return fromBase64url(text);
  } catch {
    return new Uint8Array();
  }
};

const keysReply = z.object({ keys: z.array(z.object({ id: z.string(), alias: z.string(), category: z.string(), scheme: z.string(), publicKey: z.string() })) });

const signReply = z.object({ signature: z.string(), spec: z.string(), publicKey: z.string() });

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Refusals that flow code knows by their own code; what else a room says comes under the room's general one. */
const passedOn = new Set(['DB_ENTITY_EXISTS', 'DB_QUERY_INVALID', 'DB_QUERY_REFUSED', 'DB_QUERY_TIMEOUT', 'DB_QUERY_TOO_LARGE', 'DB_CONSTRAINT_VIOLATED', 'CRYPTO_KEY_NOT_FOUND']);

const answerOf = (kind: OperationKind, value: unknown): unknown => {
  if (kind === 'db.run') return flowToDbQuery.reply!.parse(value);
  if (kind === 'crypto.myKeys') return keysReply.parse(value);
  return kind.startsWith('db.') ? entityAnswer(kind, value) : signReply.parse(value);
};

/** What the fiber is told. A room that answers nonsense is reported as a refusal, since the flow can do no better. */
export const outcomeOf = (kind: OperationKind, outcome: Outcome): TurnOutcome => {
  const general = kind.startsWith('db.') ? 'DB_REFUSED' : 'CRYPTO_REFUSED';
  if (outcome.type === 'refused') {
    return passedOn.has(outcome.code) ? refused(outcome.code, outcome.message) : refused(general, `${outcome.code}: ${outcome.message}`);
  }
  try {
    return { type: 'answer', json: JSON.stringify(answerOf(kind, outcome.value)) };
  } catch {
    return refused(general, `the answer to ${kind} has not the shape that its wire promises`);
  }
};
