/**
 * What the engine does with an operation that flow code asked for: complete it at once, ask another room, or wait.
 *
 *     asked ──┬─▶ ready ─────────────────────────────▶ delivered (a turn of the journal)
 *             └─▶ pending (in the head) ──▶ ready ──▶
 *
 * Invariants:
 * - **O1** every operation is delivered at most once: it leaves `pending` when it becomes ready;
 * - **O2** an operation that cannot be performed is refused to the flow, never to its neighbours.
 */
import * as z from 'zod';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import { keyIdOf } from '../../../cipher/signature.ts';
import { fromBase64url } from '../../../cipher/bytes.ts';
import type { Ask, Recalled } from '../sandbox/sandbox.ts';
import { repeatableKinds } from './direct.ts';
import { addPending, complete } from './draft.ts';
import type { Draft } from './draft.ts';
import { entityRequest, keysRequest, queryRequest, refused, signParams, signRequest } from './external.ts';
import type { Asker, EntityKind, Request } from './external.ts';
import type { Facts } from './facts.ts';
import type { FlowHead } from './head.ts';
import type { TurnOutcome } from './journal.ts';
import { lookUp } from './members.ts';
import { continueFlow } from './lifecycle.ts';
import { request } from './request.ts';
import { nameSession, performOnSession } from './session-operation.ts';

/** Takes what the code asked for, in order; the head is there, since a fiber runs. */
export const issue = (draft: Draft, ask: Ask, facts: Facts): void => {
  const head = draft.head!;
  const params: unknown = JSON.parse(ask.params);
  if (ask.kind === 'session.open') return nameSession(draft, head, params);
  if (ask.kind === 'cancel') return cancel(draft, head, params);
  const op = head.operationCount;
  draft.head = { ...head, operationCount: op + 1 };
  perform(draft, draft.head, { op, kind: ask.kind, params, chars: ask.params.length }, facts);
};

/** Operations that other rooms perform. */
type ExternalKind = EntityKind | 'db.run' | 'crypto.sign' | 'crypto.myKeys';

/** `chars`: length of its parameters as JSON text. */
type Operation<Kind extends OperationKind = OperationKind> = { readonly op: number; readonly kind: Kind; readonly params: unknown; readonly chars: number };

const perform = (draft: Draft, head: FlowHead, operation: Operation, facts: Facts): void => {
  const { op, kind, params, chars } = operation;
  if (!repeatableKinds.has(kind)) draft.isRepeatable = false;
  switch (kind) {
    case 'session.send':
    case 'session.sendAll':
    case 'session.receive':
    case 'session.receiveAll':
    case 'session.sendAndReceive':
    case 'session.info':
    case 'session.close':
    case 'session.closeAll':
    case 'session.fail':
    case 'session.failAll':
      return performOnSession(draft, head, { ...operation, kind }, facts);
    case 'db.persist':
    case 'db.merge':
    case 'db.remove':
    case 'db.find':
    case 'db.query':
    case 'db.count':
    case 'db.run':
    case 'crypto.sign':
    case 'crypto.myKeys':
      return request(draft, head, op, kind, requestOf(head, { op, kind, params, chars }, facts));
    case 'crypto.verify':
      draft.verifications.push({ op, params });
      return;
    case 'members.find':
    case 'members.findByKey':
    case 'members.all':
    case 'group.parameters':
      return complete(draft, head, op, lookUp(kind, params, head.identity, facts));
    case 'sleep':
      return performSleep(draft, head, operation);
    case 'continueAs':
      return continueAs(draft, head, operation);
    default:
      return complete(draft, head, op, refused('OPERATION_INVALID', `this platform knows no operation ${String(kind satisfies never)}`));
  }
};

const invalid = (kind: string, error: z.ZodError): TurnOutcome => refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(error)}`);

// ── Other rooms ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The request that an operation makes of another room; the same whenever it is made again (Q1). */
const requestOf = (head: FlowHead, { op, kind, params, chars }: Operation<ExternalKind>, facts: Facts): Request | TurnOutcome => {
  const { flowId, incarnation, identity } = head;
  const asker = { flowId, incarnation, op, identity };
  if (kind === 'crypto.sign') return signingOf(head, asker, params, facts);
  if (kind === 'crypto.myKeys') return keysRequest(asker, params);
  if (kind === 'db.run') return queryRequest(asker, head.code.cpkHash, params);
  // The parameters of every operation are an object; another value is refused by the schema all the same.
  return entityRequest(asker, kind, (params ?? {}) as object, chars);
};

/** Makes a request again that a replay has found. */
export const remake = (draft: Draft, { op, kind, params }: Recalled, facts: Facts): Request | TurnOutcome =>
  // Only operations that asked another room are pending as such.
  requestOf(draft.head!, { op, kind: kind as ExternalKind, params: JSON.parse(params), chars: params.length }, facts);

const signingOf = (head: FlowHead, asker: Asker, params: unknown, facts: Facts): Request | TurnOutcome => {
  const parsed = signParams.safeParse(params);
  if (!parsed.success) return invalid('crypto.sign', parsed.error);
  const { data, spec } = parsed.data;
  const keyId = parsed.data.keyId ?? ownKeyId(head, facts);
  if (keyId === undefined) {
    const name = head.identity.x500Name;
    return refused('CRYPTO_KEY_NOT_FOUND', `${name} has published no key in its member info; name a key with keyId, or register the member with keys`);
  }
  return signRequest(asker, { data, keyId, ...(spec === undefined ? {} : { spec }) });
};

/** The first ledger key of our own member info, or else its first session key. */
const ownKeyId = (head: FlowHead, facts: Facts): string | undefined => {
  const own = facts.member(head.identity.groupId, head.identity.x500Name);
  const key = own?.ledgerKeys[0] ?? own?.sessionKeys[0];
  return key === undefined ? undefined : keyIdOf(fromBase64url(key.publicKey));
};

// ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The longest sleep, in milliseconds: a leap year. */
const sleepMsMax = 366 * 24 * 60 * 60 * 1_000;
const sleepParams = z.object({ durationMs: z.number().min(0).max(sleepMsMax) });

const performSleep = (draft: Draft, head: FlowHead, { op, kind, params }: Operation): void => {
  const parsed = sleepParams.safeParse(params);
  if (!parsed.success) return complete(draft, head, op, invalid(kind, parsed.error));
  addPending(draft, head, { op, type: 'sleep', until: draft.now + Math.ceil(parsed.data.durationMs) });
};

// ── Giving up, going on ──────────────────────────────────────────────────────────────────────────────────────────────

const cancelling = z.object({ ops: z.array(z.int()) });

/** The code waits for these no longer: their timers and receives go; an answer that comes yet is ignored. */
const cancel = (draft: Draft, head: FlowHead, params: unknown): void => {
  const ops = new Set(cancelling.parse(params).ops);
  draft.head = { ...head, pending: head.pending.filter(({ op }) => !ops.has(op)) };
};

const continuing = z.object({
  json: z.string(),
  context: z.record(z.string(), z.string()),
  counters: z.object({ operations: z.int(), sessions: z.int(), uuids: z.int(), chance: z.int() }),
});

const continueAs = (draft: Draft, head: FlowHead, { op, kind, params }: Operation): void => {
  const parsed = continuing.safeParse(params);
  if (!parsed.success) return complete(draft, head, op, invalid(kind, parsed.error));
  const open = head.sessions.find(({ state }) => state === 'open' || state === 'closing');
  if (open !== undefined) {
    return complete(draft, head, op, refused('OPERATION_INVALID', `the session with ${open.counterparty} is open: close it before the flow continues as another run`));
  }
  continueFlow(draft, { type: 'input', ...parsed.data });
};
