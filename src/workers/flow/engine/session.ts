/**
 * One end of a session, as a pure state machine: what it does with a message, and what it sends.
 *
 *               open()          first send, or info (init rides in it)
 *      ─────────────────────▶ named ───────────────────────────────┐
 *                               │ close()                          ▼
 *                               │           close sent or taken  open ◀── accept() of a first message
 *                               ▼        ┌─────────────────────────┤
 *                             closed ◀───┤                         │ error sent or taken, undelivered,
 *                               ▲        │ close sent, to be       ▼ silence, overflow, nonsense
 *                               │        ▼ confirmed             failed
 *                               └───── closing ──────────────────▶ ▲
 *                          close taken          error, undelivered, silence
 *
 * Invariants, cited by number in tests:
 * - **S1** the app is handed each value at most once, in order, without gaps; a value in pieces is handed out whole;
 * - **S2** a repeated message changes nothing;
 * - **S3** closed and failed are for ever; what is still said then is the one close or error that a responder owes (S8);
 * - **S4** an error is never answered with an error, and what is told without being asked for is not answered;
 * - **S5** what the peer sent before its close or error is handed out before the app sees the end;
 * - **S6** what was not read is bounded by count and size; a peer beyond the bound loses the session;
 * - **S7** the init rides in the initiator's sequence number 1, and there alone;
 * - **S8** where the initiator requires it, its close waits for the responder's: the responder says its own close (or error) even
 *   after it has taken the initiator's.
 */
import type { SessionMessage } from '../../../messages/flow-to-flow.session.ts';

export type SessionEnd = { readonly code: SessionEndCode; readonly message: string };
export type SessionEndCode = 'SESSION_CLOSED' | 'SESSION_ERROR' | 'SESSION_TIMEOUT' | 'COUNTERPARTY_UNDELIVERED';

export type Part = { readonly index: number; readonly count: number };

/** A message that arrived and was not read yet. */
export type Unread = { readonly seq: number; readonly chars: number; readonly part?: Part } & (
  | /** Kept as an item of the flow's journal. */ { readonly type: 'stored'; readonly position: number }
  /** Arrived in this very step: the answer that a receive will give, or the piece of a value. */
  | { readonly type: 'fresh'; readonly text: string }
);

/** A message that came before its turn. */
export type Early = Unread & { readonly closes: boolean };
export type EarlyInfo = { readonly seq: number; readonly type: 'info'; readonly asks: boolean };
export type EarlyEnd = { readonly seq: number; readonly type: 'end'; readonly state: 'closed' | 'failed'; readonly end: SessionEnd };

export type Session = {
  readonly id: string;
  readonly role: 'initiator' | 'responder';
  /** Canonical X.500 name. */
  readonly counterparty: string;
  /** The flow that holds the other end: the key of what we send. */
  readonly peerFlowId: string;
  readonly protocol: string;
  readonly versions: readonly number[];
  /** The version agreed on; `null` at an initiator until the responder told. */
  readonly version: number | null;
  readonly state: 'named' | 'open' | 'closing' | 'closed' | 'failed';
  readonly end: SessionEnd | null;
  /** Last sequence number sent, and last one taken in order. */
  readonly sent: number;
  readonly received: number;
  readonly unread: readonly Unread[];
  readonly early: readonly (Early | EarlyInfo | EarlyEnd)[];
  /** Milliseconds since the epoch of the last message, either way. */
  readonly activeAt: number;
  /** How long it may be silent, where its initiator said so. */
  readonly timeoutMs?: number;
  /** S8. */
  readonly requireClose?: boolean;
  /** At an initiator: what it sends is signed for by the receiving cluster. */
  readonly receipts?: boolean;
  /** At a responder: the initiator has closed and waits for our close. */
  readonly owesClose?: boolean;
  /** At an initiator: the peer was asked for its version. */
  readonly infoAsked?: boolean;
  /** Properties for the responder's flow, until the init has gone. */
  readonly context?: Readonly<Record<string, string>>;
};

/** What a session sends; `session.ts` numbers it, the flow adds the init. */
export type Outgoing = Pick<SessionMessage, 'seq' | 'content'>;

/** An error by one who holds no state of the session, and so knows no number for it: taken at once, whatever came before. */
export const resetSeq = Number.MAX_SAFE_INTEGER;

// ── Beginning ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Naming = Pick<Session, 'id' | 'counterparty' | 'peerFlowId' | 'protocol' | 'versions' | 'timeoutMs' | 'requireClose' | 'receipts' | 'context'>;

const blank = { end: null, sent: 0, received: 0, unread: [], early: [] } as const;

export const openSession = (naming: Naming, now: number): Session => ({ ...naming, ...blank, role: 'initiator', state: 'named', version: null, activeAt: now });

export const acceptSession = (naming: Naming & { readonly version: number }, now: number): Session => ({
  ...naming,
  ...blank,
  role: 'responder',
  state: 'open',
  activeAt: now,
});

/** Whether the app can neither send nor wait for more. */
export const isOver = ({ state }: Session): boolean => state === 'closing' || state === 'closed' || state === 'failed';

// ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Sent = { readonly session: Session; readonly outgoing?: Outgoing };

const say = (session: Session, content: SessionMessage['content'], now: number): { session: Session; outgoing: Outgoing } => {
  const seq = session.sent + 1;
  return { session: { ...session, sent: seq, activeAt: now }, outgoing: { seq, content } };
};

/** The caller has made sure that the session is not over. */
export const sendData = (session: Session, json: string, now: number, part?: Part): { session: Session; outgoing: Outgoing } => {
  const said = say(session, { type: 'data', json, ...(part === undefined ? {} : { part }) }, now);
  return { ...said, session: { ...said.session, state: 'open' } };
};

/** Begins the responder, or asks what it agreed to; says nothing where there is nothing to learn. The session is not over. */
export const sendInfo = (session: Session, asks: boolean, now: number): Sent => {
  const learns = asks && session.version === null && session.infoAsked !== true;
  if (session.state !== 'named' && !learns) return { session };
  const said = say(session, { type: 'info', asks }, now);
  return { ...said, session: { ...said.session, state: 'open', ...(asks ? { infoAsked: true } : {}) } };
};

const withoutDebt = (session: Session): Session => {
  const { owesClose: _, ...rest } = session;
  return rest;
};

/** Our side has finished. What was not read is let go. */
export const closeSession = (session: Session, now: number): Sent => {
  if (session.owesClose === true) return say(withoutDebt(session), { type: 'close' }, now);
  if (isOver(session)) return { session };
  const end: SessionEnd = { code: 'SESSION_CLOSED', message: 'this side closed the session' };
  const waits = session.requireClose === true && session.role === 'initiator' && session.state === 'open';
  const closed = { ...session, state: waits ? 'closing' : 'closed', end, unread: [], early: [] } as const;
  return session.state === 'named' ? { session: closed } : say(closed, { type: 'close' }, now);
};

/** What the peer is told when our side fails a session. */
export type Told = { readonly code: string; readonly message: string };

export const failSession = (session: Session, end: SessionEnd, told: Told, now: number): Sent => {
  if (session.owesClose === true) return say(withoutDebt(session), { type: 'error', ...told }, now);
  if (session.state === 'closing') return { session: { ...session, state: 'failed', end } };
  if (isOver(session)) return { session };
  const failed = { ...session, state: 'failed', end, unread: [], early: [] } as const;
  return session.state === 'named' ? { session: failed } : say(failed, { type: 'error', ...told }, now);
};

/** A message of ours did not arrive: there is nobody to tell. */
export const loseSession = (session: Session, reason: string): Session =>
  session.state === 'open' || session.state === 'closing' ? { ...session, state: 'failed', early: [], end: { code: 'COUNTERPARTY_UNDELIVERED', message: reason } } : session;

// ── Receiving ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Taken = { readonly session: Session; readonly outgoing?: Outgoing; readonly news: 'taken' | 'repeated' | 'early' | 'late' | 'overflow' };

/** What may wait to be read: messages, and UTF-16 code units of them. */
export type UnreadBounds = { readonly countMax: number; readonly charsMax: number };

/** What a `receive` answers for a message. */
export const answerOfData = (json: string, version: number | null): string => JSON.stringify(version === null ? { json } : { json, protocolVersion: version });

type Ending = Extract<SessionMessage['content'], { type: 'close' | 'error' }>;

const endOf = (content: Ending): Pick<EarlyEnd, 'state' | 'end'> =>
  content.type === 'close'
    ? { state: 'closed', end: { code: 'SESSION_CLOSED', message: 'the counterparty closed the session' } }
    : { state: 'failed', end: { code: endCodeOf(content.code), message: `the counterparty failed: ${content.code}: ${content.message}` } };

/** Silence is silence on both sides: which of the two noticed it first must not decide what the flow is told. */
const endCodeOf = (told: string): SessionEndCode => (told === 'SESSION_TIMEOUT' ? 'SESSION_TIMEOUT' : 'SESSION_ERROR');

const entryOf = (message: SessionMessage, version: number | null): Session['early'][number] => {
  const { seq, content } = message;
  if (content.type === 'info') return { seq, type: 'info', asks: content.asks };
  if (content.type !== 'data') return { seq, type: 'end', ...endOf(content) };
  const { json, part } = content;
  const text = part === undefined ? answerOfData(json, version) : json;
  return { seq, type: 'fresh', text, chars: json.length, closes: content.closes === true, ...(part === undefined ? {} : { part }) };
};

/** Takes a message that is known to come from the counterparty. */
export const takeMessage = (before: Session, message: SessionMessage, now: number, bounds: UnreadBounds): Taken => {
  if (before.state === 'closed' || before.state === 'failed' || before.state === 'named') return { session: before, news: 'late' };
  const { seq, content } = message;
  if (seq === resetSeq && content.type === 'error') return { session: { ...before, ...endOf(content), early: [] }, news: 'taken' };
  if (seq <= before.received || before.early.some((entry) => entry.seq === seq)) return { session: before, news: 'repeated' };
  // Nothing is agreed by failing: else what a flow is told would hang on which side noticed a silence first.
  const told = before.role === 'initiator' && content.type !== 'error' ? (message.version ?? null) : null;
  const version = before.version ?? told;
  const early = [...before.early, entryOf(message, version)].sort((one, other) => one.seq - other.seq);
  const { session, outgoing } = inOrder({ ...before, version, early, activeAt: now }, now);
  const fault = faultOf(session, bounds);
  if (fault !== undefined) return refuse(session, fault, content.type === 'data', now);
  return { session, news: seq > session.received ? 'early' : 'taken', ...(outgoing === undefined ? {} : { outgoing }) };
};

const faultOf = (session: Session, { countMax, charsMax }: UnreadBounds): Told | undefined => {
  if (session.unread.length + session.early.length > countMax) return { code: 'SESSION_OVERFLOW', message: `more than ${countMax} messages were not read` };
  if (unreadCharsOf(session) > charsMax) return { code: 'SESSION_OVERFLOW', message: `more than ${charsMax} characters were not read` };
  return isWhole(session.unread) ? undefined : { code: 'SESSION_DATA_INVALID', message: 'the pieces of a value do not follow each other' };
};

/** UTF-16 code units that wait to be read. */
export const unreadCharsOf = ({ unread, early }: Session): number => {
  let chars = 0;
  for (const one of unread) chars += one.chars;
  for (const one of early) if (one.type === 'fresh' || one.type === 'stored') chars += one.chars;
  return chars;
};

/** Whether pieces stand in their order, each value's beside each other. What is read is read whole, so a list begins with a beginning. */
const isWhole = (unread: readonly Unread[]): boolean => {
  let before: Part | undefined;
  for (const { part } of unread) {
    const next = before === undefined || before.index === before.count - 1 ? 0 : before.index + 1;
    if (next === 0 ? (part?.index ?? 0) !== 0 : part?.index !== next || part.count !== before?.count) return false;
    before = part;
  }
  return true;
};

/** A peer that went too far loses the session. Its own close does not save it; but only data is answered (S4). */
const refuse = (session: Session, told: Told, answers: boolean, now: number): Taken => {
  const end: SessionEnd = { code: 'SESSION_ERROR', message: `the counterparty broke a limit: ${told.message}` };
  const failed = failSession({ ...withoutDebt(session), state: 'open' }, end, told, now);
  return answers ? { ...failed, news: 'overflow' } : { session: { ...failed.session, sent: session.sent }, news: 'overflow' };
};

/** Moves early messages whose turn has come. Of several questions that come together, one answer is enough. */
const inOrder = (before: Session, now: number): Sent => {
  let session = before;
  let asked = false;
  while (session.early[0]?.seq === session.received + 1 && (session.state === 'open' || session.state === 'closing')) {
    const [entry, ...early] = session.early;
    if (entry === undefined) break;
    session = { ...session, early, received: entry.seq };
    if (entry.type === 'end') session = endedByPeer(session, entry);
    else if (entry.type === 'info') asked ||= entry.asks;
    else session = appendUnread(session, entry);
  }
  return asked && session.state === 'open' ? say(session, { type: 'info', asks: false }, now) : { session };
};

/** Where this side waits for the peer's close, its own end stands: it closed first. */
const endedByPeer = (session: Session, { state, end }: Pick<EarlyEnd, 'state' | 'end'>): Session => ({
  ...session,
  state,
  end: session.state === 'closing' && state === 'closed' ? session.end : end,
  early: [],
  ...(state === 'closed' && session.requireClose === true && session.role === 'responder' ? { owesClose: true } : {}),
});

const appendUnread = (session: Session, { closes, ...unread }: Early): Session => {
  // This side has closed and reads no more.
  const appended = session.state === 'closing' ? session : { ...session, unread: [...session.unread, unread] };
  return closes ? endedByPeer(appended, endOf({ type: 'close' })) : appended;
};

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Reading =
  /** One value: a message, or the pieces of one. */
  | { readonly type: 'value'; readonly session: Session; readonly unread: readonly Unread[] }
  | { readonly type: 'ended'; readonly end: SessionEnd }
  | { readonly type: 'waiting' };

export const readNext = (session: Session): Reading => {
  const [first] = session.unread;
  const count = first?.part?.count ?? 1;
  if (first !== undefined && session.unread.length >= count) {
    return { type: 'value', unread: session.unread.slice(0, count), session: { ...session, unread: session.unread.slice(count) } };
  }
  if (session.end !== null) return { type: 'ended', end: session.end };
  return { type: 'waiting' };
};

/** Puts back what was read and not handed out. */
export const unread = (session: Session, values: readonly Unread[]): Session => ({ ...session, unread: [...values, ...session.unread] });

/** When an open session fails for silence; `undefined` where it waits for nobody. */
export const silenceAt = (session: Session, timeoutMs: number): number | undefined =>
  session.state === 'open' || session.state === 'closing' ? session.activeAt + (session.timeoutMs ?? timeoutMs) : undefined;
