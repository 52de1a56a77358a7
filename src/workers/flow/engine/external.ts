/** Operations that other rooms perform: the request that an operation makes, and the completion that its answer gives. */
import * as z from 'zod';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import { allToCryptoSign } from '../../../messages/all-to-crypto.sign.ts';
import { allToFlowAnswer } from '../../../messages/all-to-flow.answer.ts';
import { entityOperation, flowToDbEntity } from '../../../messages/flow-to-db.entity.ts';
import { encode, recordValueCharsMax } from '../../../messages/grammar/envelope.ts';
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { FlowIdentity } from './head.ts';
import type { TurnOutcome } from './journal.ts';

export type EntityKind = Extract<OperationKind, `db.${string}`>;
export type Request = { readonly type: 'request'; readonly record: OutRecord };
export type Refused = Extract<TurnOutcome, { type: 'refused' }>;

export const refused = (code: string, message: string): Refused => ({ type: 'refused', code, message });

/** The id of the request that an operation makes: derived, so that a repeat asks for the same (W3). */
export const requestIdOf = (flowId: string, op: number): string => `${flowId}/${op}`;

export const operationOf = (flowId: string, requestId: string): number | undefined => {
  const [owner, op, ...more] = requestId.split('/');
  return owner === flowId && op !== undefined && /^\d{1,9}$/.test(op) && more.length === 0 ? Number(op) : undefined;
};

export type Asker = { readonly flowId: string; readonly op: number; readonly identity: FlowIdentity };

const envelopeOf = ({ flowId, op }: Asker) => ({ id: requestIdOf(flowId, op), replyTo: { topic: allToFlowAnswer.topic, key: flowId } });

const bounded = (record: OutRecord): Request | Refused =>
  record.value.length <= recordValueCharsMax
    ? { type: 'request', record }
    : refused('OPERATION_INVALID', `the request is ${record.value.length} characters long; at most ${recordValueCharsMax} are allowed: ask for less at once`);

// ── Entities ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const entityRequest = (asker: Asker, kind: EntityKind, params: object): Request | Refused => {
  const operation = entityOperation.safeParse({ ...params, type: kind.slice('db.'.length) });
  if (!operation.success) return refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(operation.error)}`);
  const body = { shortHash: asker.identity.shortHash, operation: operation.data };
  return bounded(encode(flowToDbEntity, { key: asker.flowId, ...envelopeOf(asker), body }));
};

const entityReply = z.object({ items: z.array(z.object({ id: z.string(), json: z.string() })), after: z.string().optional() });

const entityAnswer = (kind: OperationKind, value: unknown): unknown => {
  const { items, after } = entityReply.parse(value);
  if (kind === 'db.remove') return { ids: items.map(({ id }) => id) };
  if (kind === 'db.find') return { items };
  if (kind === 'db.query') return after === undefined ? { items } : { items, after };
  return {};
};

// ── Signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const signParams = z.object({ data: z.string(), keyId: z.string().optional(), spec: z.string().optional() });

export const signRequest = (asker: Asker, params: { data: string; keyId: string; spec?: string | undefined }): Request | Refused => {
  const body = allToCryptoSign.body.safeParse({ tenant: asker.identity.shortHash, ...params });
  if (!body.success) return refused('OPERATION_INVALID', `crypto.sign: ${z.prettifyError(body.error)}`);
  return bounded(encode(allToCryptoSign, { key: asker.identity.shortHash, ...envelopeOf(asker), body: body.data }));
};

const signReply = z.object({ signature: z.string(), spec: z.string(), publicKey: z.string() });

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Refusals that flow code knows by their own code; what else a room says comes under the room's general one. */
const passedOn = new Set(['DB_ENTITY_EXISTS', 'CRYPTO_KEY_NOT_FOUND']);

/** What the fiber is told. A room that answers nonsense is reported as a refusal, since the flow can do no better. */
export const outcomeOf = (kind: OperationKind, outcome: Outcome): TurnOutcome => {
  const general = kind.startsWith('db.') ? 'DB_REFUSED' : 'CRYPTO_REFUSED';
  if (outcome.type === 'refused') {
    return passedOn.has(outcome.code) ? refused(outcome.code, outcome.message) : refused(general, `${outcome.code}: ${outcome.message}`);
  }
  try {
    const answer = kind.startsWith('db.') ? entityAnswer(kind, outcome.value) : signReply.parse(outcome.value);
    return { type: 'answer', json: JSON.stringify(answer) };
  } catch {
    return refused(general, `the answer to ${kind} has not the shape that its wire promises`);
  }
};
