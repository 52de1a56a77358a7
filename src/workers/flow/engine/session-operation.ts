/**
 * What flow code does with its sessions: opening, sending, waiting, closing. Everything that waits is in `pending`; what comes to
 * pass is looked for at the beginning of each round (`completeWaiting`).
 */
import * as z from 'zod';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import { responderFlowIdOf } from '../../../identity/derive.ts';
import { parseX500 } from '../../../identity/x500.ts';
import { sessionTimeoutMsMax } from '../../../messages/flow-to-flow.session.ts';
import { addPending, complete, putSession, storeUnread } from './draft.ts';
import type { Draft, ReadValue } from './draft.ts';
import { refused } from './external.ts';
import type { Refused } from './external.ts';
import type { Facts } from './facts.ts';
import { sessionOf } from './head.ts';
import type { FlowHead, Pending } from './head.ts';
import type { TurnOutcome, ValueOutcome } from './journal.ts';
import { closeSession, failSession, isOver, openSession, readNext, sendData, sendInfo } from './session.ts';
import type { Session, SessionEnd, Unread } from './session.ts';
import { piecesOf } from './session-record.ts';

export type SessionKind = Extract<OperationKind, `session.${string}`>;
type Operation = { readonly op: number; readonly kind: SessionKind; readonly params: unknown };

const done: TurnOutcome = { type: 'answer', json: '{}' };

// ── Opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const sessionNaming = z.object({
  sessionId: z.string(),
  counterparty: z.unknown(),
  protocol: z.object({ name: z.unknown(), versions: z.unknown() }),
  timeoutMs: z.unknown().optional(),
  requireClose: z.unknown().optional(),
  receipts: z.unknown().optional(),
  context: z.record(z.string(), z.string()),
});
const protocolName = z.string().min(1).max(250);
const protocolVersions = z.array(z.int().positive()).min(1).max(100);
const sessionTimeout = z.number().min(1).max(sessionTimeoutMsMax);

/** Takes any naming, since opening cannot be refused; what is wrong with it shows at the first operation. */
export const nameSession = (draft: Draft, head: FlowHead, params: unknown): void => {
  const { sessionId: id, counterparty: named, protocol, timeoutMs, requireClose, receipts, context } = sessionNaming.parse(params);
  const parsed = parseX500(String(named));
  const counterparty = parsed.type === 'name' ? parsed.name : String(named).slice(0, 600);
  const name = protocolName.safeParse(protocol.name);
  const versions = protocolVersions.safeParse(protocol.versions);
  const timeout = sessionTimeout.safeParse(timeoutMs);
  const { x500Name, groupId } = head.identity;
  const naming = {
    id,
    counterparty,
    peerFlowId: responderFlowIdOf(groupId, counterparty, x500Name, id),
    protocol: name.success ? name.data : '',
    versions: versions.success ? versions.data : [],
    ...(timeoutMs === undefined ? {} : { timeoutMs: timeout.success ? Math.ceil(timeout.data) : badTimeout }),
    ...(requireClose === true ? { requireClose } : {}),
    ...(receipts === true ? { receipts } : {}),
    context,
  };
  draft.head = { ...head, sessions: [...head.sessions, openSession(naming, draft.now)] };
};

/** Stands for a timeout that is none, until the first operation refuses it. */
const badTimeout = 0;

const isRefused = (found: Session | Refused): found is Refused => 'type' in found;

const findSession = (head: FlowHead, kind: SessionKind, sessionId: string): Session | Refused =>
  sessionOf(head, sessionId) ?? refused('OPERATION_INVALID', `${kind}: this flow has no session ${sessionId.slice(0, 100)}`);

const statusOf = (session: Session): string => (session.state === 'failed' ? 'ERROR' : 'CLOSED');

const ended = ({ code, message }: SessionEnd): Refused => refused(code, message);

/** Why nothing can be said in this session. */
const speechFault = (head: FlowHead, session: Session, facts: Facts): Refused | undefined => {
  if (isOver(session)) {
    const { code, message } = session.end ?? { code: 'SESSION_CLOSED', message: 'the session is closed' };
    // Corda's words at the end.
    return refused(code, `${message}. Status is ${statusOf(session)}`);
  }
  if (session.state !== 'named') return undefined;
  if (session.protocol === '' || session.versions.length === 0) {
    return refused('OPERATION_INVALID', 'the protocol of the session needs a name and positive versions, such as { name: "com.example.ping", versions: [1] }');
  }
  if (session.timeoutMs === badTimeout) return refused('OPERATION_INVALID', `the timeoutMs of a session is 1 to ${sessionTimeoutMsMax} milliseconds`);
  if (facts.member(head.identity.groupId, session.counterparty)?.status === 'ACTIVE') return undefined;
  return refused('MEMBER_NOT_FOUND', `no active member of this group is named ${session.counterparty}`);
};

// ── Operations ───────────────────────────────────────────────────────────────────────────────────────────────────────

const timeout = z.number().min(0).max(sessionTimeoutMsMax).optional();
const one = z.object({ sessionId: z.string(), timeoutMs: timeout });
const oneValue = one.extend({ json: z.string() });
const many = z.object({ sessionIds: z.array(z.string()).max(10_000), timeoutMs: timeout });
const manyValues = z.object({ messages: z.array(z.object({ sessionId: z.string(), json: z.string() })).max(10_000) });

export const performOnSession = (draft: Draft, head: FlowHead, operation: Operation, facts: Facts): void => {
  const { op, kind, params } = operation;
  try {
    switch (kind) {
      case 'session.send':
        return sendMany(draft, op, kind, [oneValue.parse(params)], facts);
      case 'session.sendAll':
        return sendMany(draft, op, kind, manyValues.parse(params).messages, facts);
      case 'session.receive':
        return receive(draft, head, operation, one.parse(params), facts);
      case 'session.sendAndReceive':
        return sendAndReceive(draft, operation, oneValue.parse(params), facts);
      case 'session.receiveAll':
        return receiveAll(draft, operation, many.parse(params), facts);
      case 'session.info':
        return askInfo(draft, head, operation, one.parse(params).sessionId, facts);
      case 'session.close':
        return endMany(draft, op, kind, [one.parse(params).sessionId], close);
      case 'session.closeAll':
        return endMany(draft, op, kind, many.parse(params).sessionIds, close);
      case 'session.fail':
        return endMany(draft, op, kind, [one.parse(params).sessionId], fail);
      case 'session.failAll':
        return endMany(draft, op, kind, many.parse(params).sessionIds, fail);
    }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    complete(draft, draft.head!, op, refused('OPERATION_INVALID', `${kind}: ${z.prettifyError(error)}`));
  }
};

// ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Value = { readonly sessionId: string; readonly json: string };

/** Why these values cannot be sent, all of them. */
const sendFault = (draft: Draft, kind: SessionKind, values: readonly Value[], facts: Facts): Refused | undefined => {
  const head = draft.head!;
  const { sessionValueCharsMax } = draft.limits;
  if (new Set(values.map(({ sessionId }) => sessionId)).size < values.length) return refused('OPERATION_INVALID', `${kind}: a session is named twice`);
  for (const { sessionId, json } of values) {
    const session = findSession(head, kind, sessionId);
    const fault = isRefused(session) ? session : speechFault(head, session, facts);
    if (fault !== undefined) return fault;
    if (json.length > sessionValueCharsMax) return refused('SESSION_DATA_TOO_LARGE', `the value is ${json.length} characters of JSON; at most ${sessionValueCharsMax} can be sent at once`);
  }
  return undefined;
};

const sendMany = (draft: Draft, op: number, kind: SessionKind, values: readonly Value[], facts: Facts): void => {
  const fault = sendFault(draft, kind, values, facts);
  if (fault === undefined) for (const value of values) say(draft, value);
  complete(draft, draft.head!, op, fault ?? done);
};

/** Sends a value, in pieces where it is long. */
const say = (draft: Draft, { sessionId, json }: Value): void => {
  const session = sessionOf(draft.head!, sessionId)!;
  const whole = sendData(session, json, draft.now);
  const pieces = piecesOf(draft.head!, whole.session, whole.outgoing, json);
  if (pieces.length === 1) return putSession(draft, draft.head!, whole.session, whole.outgoing);
  let next = session;
  for (const [index, piece] of pieces.entries()) {
    const said = sendData(next, piece, draft.now, { index, count: pieces.length });
    putSession(draft, draft.head!, said.session, said.outgoing);
    next = said.session;
  }
};

// ── Waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const untilOf = (draft: Draft, timeoutMs: number | undefined): { until?: number } => (timeoutMs === undefined ? {} : { until: draft.now + Math.ceil(timeoutMs) });

/** Tells the counterparty of a session on which nothing was said yet, so that its flow begins. */
const introduce = (draft: Draft, session: Session, asks: boolean): void => {
  const said = sendInfo(session, asks, draft.now);
  if (said.outgoing !== undefined) putSession(draft, draft.head!, said.session, said.outgoing);
};

type Receiving = { readonly sessionId: string; readonly timeoutMs?: number | undefined };

const receive = (draft: Draft, head: FlowHead, { op, kind }: Operation, { sessionId, timeoutMs }: Receiving, facts: Facts): void => {
  const session = findSession(head, kind, sessionId);
  if (isRefused(session)) return complete(draft, head, op, session);
  if (session.state === 'named') {
    const fault = speechFault(head, session, facts);
    if (fault !== undefined) return complete(draft, head, op, fault);
    introduce(draft, session, false);
  }
  addPending(draft, draft.head!, { op, type: 'receive', sessionId, ...untilOf(draft, timeoutMs) });
};

const sendAndReceive = (draft: Draft, { op, kind }: Operation, value: Value & Receiving, facts: Facts): void => {
  const fault = sendFault(draft, kind, [value], facts);
  if (fault !== undefined) return complete(draft, draft.head!, op, fault);
  say(draft, value);
  addPending(draft, draft.head!, { op, type: 'receive', sessionId: value.sessionId, ...untilOf(draft, value.timeoutMs) });
};

const receiveAll = (draft: Draft, { op, kind }: Operation, { sessionIds, timeoutMs }: z.infer<typeof many>, facts: Facts): void => {
  const head = draft.head!;
  if (sessionIds.length === 0 || new Set(sessionIds).size < sessionIds.length) {
    return complete(draft, head, op, refused('OPERATION_INVALID', `${kind}: name each session once`));
  }
  const found = sessionIds.map((sessionId) => findSession(head, kind, sessionId));
  for (const session of found) {
    const fault = isRefused(session) ? session : session.state === 'named' ? speechFault(head, session, facts) : undefined;
    if (fault !== undefined) return complete(draft, head, op, fault);
  }
  for (const session of found) if (!isRefused(session) && session.state === 'named') introduce(draft, session, false);
  addPending(draft, draft.head!, { op, type: 'receiveAll', sessionIds, ...untilOf(draft, timeoutMs) });
};

const askInfo = (draft: Draft, head: FlowHead, { op, kind }: Operation, sessionId: string, facts: Facts): void => {
  const session = findSession(head, kind, sessionId);
  if (isRefused(session)) return complete(draft, head, op, session);
  if (session.version === null) {
    const fault = speechFault(head, session, facts);
    if (fault !== undefined) return complete(draft, head, op, fault);
    introduce(draft, session, true);
  }
  addPending(draft, draft.head!, { op, type: 'info', sessionId });
};

const infoOf = ({ protocol, version, requireClose, timeoutMs }: Session, timeoutMsDefault: number): TurnOutcome => {
  const properties = {
    'corda.protocol': protocol,
    'corda.protocol.version': String(version),
    'corda.session.requireClose': String(requireClose === true),
    'corda.session.timeout': String(timeoutMs ?? timeoutMsDefault),
  };
  return { type: 'answer', json: JSON.stringify({ protocol, protocolVersion: version, properties }) };
};

// ── Ending ───────────────────────────────────────────────────────────────────────────────────────────────────────────

type End = (draft: Draft, session: Session) => ReturnType<typeof closeSession>;

const close: End = (draft, session) => closeSession(session, draft.now);
/** Why a sub-flow failed may be private. */
const fail: End = (draft, session) =>
  failSession(session, { code: 'SESSION_ERROR', message: 'this side failed the session' }, { code: 'FLOW_FAILED', message: 'the flow of the counterparty failed' }, draft.now);

const endMany = (draft: Draft, op: number, kind: SessionKind, sessionIds: readonly string[], end: End): void => {
  for (const sessionId of sessionIds) {
    const session = findSession(draft.head!, kind, sessionId);
    if (isRefused(session)) return complete(draft, draft.head!, op, session);
  }
  for (const sessionId of sessionIds) {
    const session = sessionOf(draft.head!, sessionId)!;
    const over = end(draft, session);
    if (over.session !== session) putSession(draft, draft.head!, over.session, over.outgoing);
  }
  const awaited = sessionIds.filter((sessionId) => sessionOf(draft.head!, sessionId)!.state === 'closing');
  if (awaited.length === 0) return complete(draft, draft.head!, op, done);
  addPending(draft, draft.head!, { op, type: 'close', sessionIds: awaited });
};

// ── What has come to pass ────────────────────────────────────────────────────────────────────────────────────────────

type Waiting = Exclude<Pending, { type: 'external' }>;
type Completion = { readonly outcome: TurnOutcome; readonly read?: readonly ReadValue[] };

/** Completes what waited and can go on, in the order in which it was asked for. */
export const completeWaiting = (draft: Draft): void => {
  for (const pending of draft.head?.pending ?? []) {
    if (pending.type === 'external') continue;
    const completion = completionOf(draft, pending) ?? overdue(draft, pending);
    if (completion !== undefined) complete(draft, draft.head!, pending.op, completion.outcome, completion.read);
  }
};

const completionOf = (draft: Draft, pending: Waiting): Completion | undefined => {
  switch (pending.type) {
    case 'sleep':
      return pending.until <= draft.now ? { outcome: done } : undefined;
    case 'receive':
      return received(draft, [pending.sessionId], ([outcome]) => outcome!);
    case 'receiveAll':
      return received(draft, pending.sessionIds, (outcomes) => ({ type: 'each', outcomes }));
    case 'info':
      return informed(draft, pending.sessionId);
    case 'close':
      return confirmed(draft, pending.sessionIds);
  }
};

const overdue = (draft: Draft, pending: Waiting): Completion | undefined =>
  (pending.type === 'receive' || pending.type === 'receiveAll') && pending.until !== undefined && pending.until <= draft.now
    ? { outcome: refused('RECEIVE_TIMEOUT', 'the counterparty has said nothing in the time that this flow waits') }
    : undefined;

/** A value of each session, or the end of one of them, which leaves to be read what the others have said. */
const received = (draft: Draft, sessionIds: readonly string[], outcomeOf: (outcomes: readonly ValueOutcome[]) => TurnOutcome): Completion | undefined => {
  const readings = sessionIds.map((sessionId) => readNext(sessionOf(draft.head!, sessionId)!));
  const ending = readings.find((reading) => reading.type === 'ended');
  if (ending !== undefined) return { outcome: ended(ending.end) };
  if (readings.some(({ type }) => type === 'waiting')) return undefined;
  const read = sessionIds.map((sessionId) => ({ sessionId, unread: take(draft, sessionId) }));
  return { outcome: outcomeOf(read.map(({ sessionId, unread }) => valueOutcomeOf(sessionOf(draft.head!, sessionId)!, unread))), read };
};

/** Takes the next value of a session, which is there. Pieces are items of the journal by then: the completion names them. */
const take = (draft: Draft, sessionId: string): readonly Unread[] => {
  if (sessionOf(draft.head!, sessionId)!.unread[0]?.part !== undefined) storeUnread(draft, sessionId);
  const reading = readNext(sessionOf(draft.head!, sessionId)!);
  if (reading.type !== 'value') return [];
  putSession(draft, draft.head!, reading.session);
  return reading.unread;
};

const valueOutcomeOf = ({ version }: Session, unread: readonly Unread[]): ValueOutcome => {
  const [first] = unread;
  if (first?.part === undefined) return first?.type === 'stored' ? { type: 'message', position: first.position } : { type: 'answer', json: first?.text ?? '' };
  return { type: 'parts', positions: unread.flatMap((piece) => (piece.type === 'stored' ? [piece.position] : [])), version };
};

const informed = (draft: Draft, sessionId: string): Completion | undefined => {
  const session = sessionOf(draft.head!, sessionId)!;
  if (session.version !== null) return { outcome: infoOf(session, draft.limits.sessionTimeoutMs) };
  return session.end === null ? undefined : { outcome: ended(session.end) };
};

const confirmed = (draft: Draft, sessionIds: readonly string[]): Completion | undefined => {
  const sessions = sessionIds.map((sessionId) => sessionOf(draft.head!, sessionId)!);
  const failed = sessions.find(({ state }) => state === 'failed');
  if (failed?.end) return { outcome: ended(failed.end) };
  return sessions.every(({ state }) => state === 'closed') ? { outcome: done } : undefined;
};
