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
import type { MemberInfo, OperationKind } from '../../../flow-sdk/operations.ts';
import { responderFlowIdOf } from '../../../identity/derive.ts';
import { parseX500 } from '../../../identity/x500.ts';
import type { Member } from '../../../messages/member-to-all.member.ts';
import { keyIdOf } from '../../../cipher/signature.ts';
import { fromBase64url } from '../../../cipher/bytes.ts';
import type { Ask, Recalled } from '../sandbox/sandbox.ts';
import { addPending, complete, putSession } from './draft.ts';
import type { Draft } from './draft.ts';
import { entityRequest, refused, signParams, signRequest } from './external.ts';
import type { Asker, EntityKind, Request } from './external.ts';
import type { Facts } from './facts.ts';
import { sessionOf } from './head.ts';
import type { FlowHead } from './head.ts';
import type { TurnOutcome } from './journal.ts';
import { request } from './request.ts';
import { closeSession, failSession, isOver, openSession, readNext, sendData } from './session.ts';
import type { Session } from './session.ts';
import { sizeFault } from './session-record.ts';

const done: TurnOutcome = { type: 'answer', json: '{}' };
const answer = (value: unknown): TurnOutcome => ({ type: 'answer', json: JSON.stringify(value) });

/** Takes what the code asked for, in order; the head is there, since a fiber runs. */
export const issue = (draft: Draft, ask: Ask, facts: Facts): void => {
  const head = draft.head!;
  const params: unknown = JSON.parse(ask.params);
  if (ask.kind === 'session.open') return nameSession(draft, head, params);
  const op = head.operationCount;
  draft.head = { ...head, operationCount: op + 1 };
  perform(draft, draft.head, { op, kind: ask.kind, params }, facts);
};

/** Operations that other rooms perform. */
type ExternalKind = EntityKind | 'crypto.sign';

type Operation<Kind extends OperationKind = OperationKind> = { readonly op: number; readonly kind: Kind; readonly params: unknown };

const perform = (draft: Draft, head: FlowHead, operation: Operation, facts: Facts): void => {
  const { op, kind, params } = operation;
  switch (kind) {
    case 'session.send':
    case 'session.receive':
    case 'session.sendAndReceive':
    case 'session.close':
    case 'session.fail':
      return performOnSession(draft, head, { ...operation, kind }, facts);
    case 'db.persist':
    case 'db.merge':
    case 'db.remove':
    case 'db.find':
    case 'db.query':
    case 'crypto.sign':
      return request(draft, head, op, kind, requestOf(head, { op, kind, params }, facts));
    case 'crypto.verify':
      draft.verifications.push({ op, params });
      return;
    case 'members.find':
      return complete(draft, head, op, findMember(head, params, facts));
    case 'members.all':
      return complete(draft, head, op, answer({ members: activeMembers(head, facts) }));
    case 'sleep':
      return performSleep(draft, head, operation);
    default:
      return complete(draft, head, op, refused('OPERATION_INVALID', `this platform knows no operation ${String(kind satisfies never)}`));
  }
};

const invalid = (kind: string, error: z.ZodError): TurnOutcome => refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(error)}`);

// ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const sessionNaming = z.object({
  sessionId: z.string(),
  counterparty: z.unknown(),
  protocol: z.object({ name: z.unknown(), versions: z.unknown() }),
});
const protocolName = z.string().min(1).max(250);
const protocolVersions = z.array(z.int().positive()).min(1).max(100);

/** Takes any naming, since opening cannot be refused; what is wrong with it shows at the first operation. */
const nameSession = (draft: Draft, head: FlowHead, params: unknown): void => {
  const { sessionId: id, counterparty: named, protocol } = sessionNaming.parse(params);
  const parsed = parseX500(String(named));
  const counterparty = parsed.type === 'name' ? parsed.name : String(named).slice(0, 600);
  const name = protocolName.safeParse(protocol.name);
  const versions = protocolVersions.safeParse(protocol.versions);
  const { x500Name, groupId } = head.identity;
  const session = openSession(
    {
      id,
      counterparty,
      peerFlowId: responderFlowIdOf(groupId, counterparty, x500Name, id),
      protocol: name.success ? name.data : '',
      versions: versions.success ? versions.data : [],
    },
    draft.now,
  );
  draft.head = { ...head, sessions: [...head.sessions, session] };
};

const onSession = z.object({ sessionId: z.string(), json: z.string().optional(), message: z.string().optional() });

const performOnSession = (draft: Draft, head: FlowHead, { op, kind, params }: Operation<Extract<OperationKind, `session.${string}`>>, facts: Facts): void => {
  const parsed = onSession.safeParse(params);
  if (!parsed.success) return complete(draft, head, op, invalid(kind, parsed.error));
  const { sessionId, json = 'null', message = '' } = parsed.data;
  const session = sessionOf(head, sessionId);
  if (session === undefined) return complete(draft, head, op, refused('OPERATION_INVALID', `${kind}: this flow has no session ${sessionId.slice(0, 100)}`));
  const sends = kind === 'session.send' || kind === 'session.sendAndReceive';
  const receives = kind === 'session.receive' || kind === 'session.sendAndReceive';
  if (sends) {
    const fault = send(draft, head, session, json, facts);
    if (fault !== undefined) return complete(draft, draft.head!, op, fault);
  }
  if (receives) return receive(draft, draft.head!, op, sessionId);
  if (kind === 'session.close') end(draft, head, closeSession(session, draft.now));
  if (kind === 'session.fail') {
    const told = { code: 'FLOW_FAILED', message: message.slice(0, draft.limits.errorCharsMax) };
    end(draft, head, failSession(session, { code: 'SESSION_ERROR', message: 'this side failed the session' }, told, draft.now));
  }
  complete(draft, draft.head!, op, done);
};

const end = (draft: Draft, head: FlowHead, { session, outgoing }: ReturnType<typeof closeSession>): void => putSession(draft, head, session, outgoing);

const send = (draft: Draft, head: FlowHead, session: Session, json: string, facts: Facts): TurnOutcome | undefined => {
  if (isOver(session)) return refused(session.end?.code ?? 'SESSION_CLOSED', session.end?.message ?? 'the session is closed');
  if (session.state === 'named') {
    if (session.protocol === '' || session.versions.length === 0) {
      return refused('OPERATION_INVALID', 'the protocol of the session needs a name and positive versions, such as { name: "com.example.ping", versions: [1] }');
    }
    if (facts.member(head.identity.groupId, session.counterparty)?.status !== 'ACTIVE') {
      return refused('MEMBER_NOT_FOUND', `no active member of this group is named ${session.counterparty}`);
    }
  }
  const sent = sendData(session, json, draft.now);
  const fault = sizeFault(head, sent.session, sent.outgoing);
  if (fault !== undefined) return refused('SESSION_DATA_TOO_LARGE', fault);
  putSession(draft, head, sent.session, sent.outgoing);
  return undefined;
};

const receive = (draft: Draft, head: FlowHead, op: number, sessionId: string): void => {
  if (sessionOf(head, sessionId)?.state === 'named') {
    return complete(draft, head, op, refused('OPERATION_INVALID', 'the session was opened here and nothing was sent on it yet, so the counterparty does not know of it'));
  }
  addPending(draft, head, { op, type: 'receive', sessionId });
};

/** Completes receives that have a message or an end, and sleeps that are over, in the order in which they were asked for. */
export const completeWaiting = (draft: Draft): void => {
  for (const pending of draft.head?.pending ?? []) {
    if (pending.type === 'sleep' && pending.until <= draft.now) complete(draft, draft.head!, pending.op, done);
    if (pending.type === 'receive') completeReceive(draft, draft.head!, pending.op, pending.sessionId);
  }
};

const completeReceive = (draft: Draft, head: FlowHead, op: number, sessionId: string): void => {
  const session = sessionOf(head, sessionId);
  if (session === undefined) return;
  const reading = readNext(session);
  if (reading.type === 'waiting') return;
  if (reading.type === 'ended') return complete(draft, head, op, refused(reading.end.code, reading.end.message));
  putSession(draft, head, reading.session);
  const { unread } = reading;
  const outcome: TurnOutcome = unread.type === 'fresh' ? { type: 'answer', json: unread.answer } : { type: 'message', position: unread.position };
  complete(draft, draft.head!, op, outcome);
};

// ── Other rooms ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The request that an operation makes of another room; the same whenever it is made again (Q1). */
const requestOf = (head: FlowHead, { op, kind, params }: Operation<ExternalKind>, facts: Facts): Request | TurnOutcome => {
  const asker = { flowId: head.flowId, op, identity: head.identity };
  if (kind === 'crypto.sign') return signingOf(head, asker, params, facts);
  // The parameters of every operation are an object; another value is refused by the schema all the same.
  return entityRequest(asker, kind, (params ?? {}) as object);
};

/** Makes a request again that a replay has found. */
export const remake = (draft: Draft, { op, kind, params }: Recalled, facts: Facts): Request | TurnOutcome =>
  // Only operations that asked another room are pending as such.
  requestOf(draft.head!, { op, kind: kind as ExternalKind, params: JSON.parse(params) }, facts);

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

// ── Members, time ────────────────────────────────────────────────────────────────────────────────────────────────────

const memberInfoOf = ({ x500Name, groupId, status, serial, memberContext, sessionKeys, ledgerKeys }: Member): MemberInfo => ({
  x500Name,
  groupId,
  status,
  serial,
  memberContext,
  sessionKeys,
  ledgerKeys,
});

const lookup = z.object({ x500Name: z.string() });

const findMember = (head: FlowHead, params: unknown, facts: Facts): TurnOutcome => {
  const parsed = lookup.safeParse(params);
  if (!parsed.success) return invalid('members.find', parsed.error);
  const name = parseX500(parsed.data.x500Name);
  const member = name.type === 'name' ? facts.member(head.identity.groupId, name.name) : undefined;
  return answer({ member: member === undefined ? null : memberInfoOf(member) });
};

const activeMembers = (head: FlowHead, facts: Facts): MemberInfo[] =>
  facts
    .members(head.identity.groupId)
    .filter(({ status }) => status === 'ACTIVE')
    .sort((one, other) => (one.x500Name < other.x500Name ? -1 : 1))
    .map(memberInfoOf);

/** The longest sleep, in milliseconds: a leap year. */
const sleepMsMax = 366 * 24 * 60 * 60 * 1_000;
const sleepParams = z.object({ durationMs: z.number().min(0).max(sleepMsMax) });

const performSleep = (draft: Draft, head: FlowHead, { op, kind, params }: Operation): void => {
  const parsed = sleepParams.safeParse(params);
  if (!parsed.success) return complete(draft, head, op, invalid(kind, parsed.error));
  addPending(draft, head, { op, type: 'sleep', until: draft.now + Math.ceil(parsed.data.durationMs) });
};
