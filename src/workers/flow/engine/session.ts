/**
 * One end of a session, as a pure state machine: what it does with a message, and what it sends.
 *
 *               open()                 first send (init rides in it)
 *      ─────────────────────▶ named ───────────────────────────────┐
 *                               │ close()                          ▼
 *                               │           close sent or taken  open ◀── accept() of a first message
 *                               ▼        ┌─────────────────────────┤
 *                             closed ◀───┘                         │ error sent or taken, undelivered,
 *                                                                  ▼ silence, overflow
 *                                                                failed
 *
 * Invariants, cited by number in tests:
 * - **S1** the app is handed each sequence number at most once, in order, without gaps;
 * - **S2** a repeated message changes nothing;
 * - **S3** closed and failed are for ever;
 * - **S4** an error is never answered with an error;
 * - **S5** what the peer sent before its close or error is handed out before the app sees the end;
 * - **S6** what was not read is bounded; a peer beyond the bound loses the session;
 * - **S7** the init rides in the initiator's sequence number 1, and there alone.
 */
import type { SessionMessage } from '../../../messages/flow-to-flow.session.ts';

export type SessionEnd = { readonly code: SessionEndCode; readonly message: string };
export type SessionEndCode = 'SESSION_CLOSED' | 'SESSION_ERROR' | 'SESSION_TIMEOUT' | 'COUNTERPARTY_UNDELIVERED';

/** A message that arrived and was not read yet. */
export type Unread =
  /** Kept as an item of the flow's journal. */
  | { readonly seq: number; readonly type: 'stored'; readonly position: number }
  /** Arrived in this very step; the answer that a receive will give. */
  | { readonly seq: number; readonly type: 'fresh'; readonly answer: string };

/** A message that came before its turn. */
export type Early = Unread & { readonly closes: boolean };
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
  readonly state: 'named' | 'open' | 'closed' | 'failed';
  readonly end: SessionEnd | null;
  /** Last sequence number sent, and last one taken in order. */
  readonly sent: number;
  readonly received: number;
  readonly unread: readonly Unread[];
  readonly early: readonly (Early | EarlyEnd)[];
  /** Milliseconds since the epoch of the last message, either way. */
  readonly activeAt: number;
};

/** What a session sends; `session.ts` numbers it, the flow adds the init. */
export type Outgoing = Pick<SessionMessage, 'seq' | 'content'>;

/** An error by one who holds no state of the session, and so knows no number for it: taken at once, whatever came before. */
export const resetSeq = Number.MAX_SAFE_INTEGER;

// ── Beginning ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Naming = Pick<Session, 'id' | 'counterparty' | 'peerFlowId' | 'protocol' | 'versions'>;

const blank = { end: null, sent: 0, received: 0, unread: [], early: [] } as const;

export const openSession = (naming: Naming, now: number): Session => ({ ...naming, ...blank, role: 'initiator', state: 'named', version: null, activeAt: now });

export const acceptSession = (naming: Naming & { readonly version: number }, now: number): Session => ({
  ...naming,
  ...blank,
  role: 'responder',
  state: 'open',
  activeAt: now,
});

export const isOver = (session: Session): boolean => session.state === 'closed' || session.state === 'failed';

// ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Sent = { readonly session: Session; readonly outgoing?: Outgoing };

const say = (session: Session, content: SessionMessage['content'], now: number): { session: Session; outgoing: Outgoing } => {
  const seq = session.sent + 1;
  return { session: { ...session, sent: seq, activeAt: now }, outgoing: { seq, content } };
};

/** The caller has made sure that the session is not over. */
export const sendData = (session: Session, json: string, now: number): { session: Session; outgoing: Outgoing } => {
  const said = say(session, { type: 'data', json }, now);
  return { ...said, session: { ...said.session, state: 'open' } };
};

/** Our side has finished. What was not read is let go. */
export const closeSession = (session: Session, now: number): Sent => {
  if (isOver(session)) return { session };
  const end: SessionEnd = { code: 'SESSION_CLOSED', message: 'this side closed the session' };
  const closed = { ...session, state: 'closed', end, unread: [], early: [] } as const;
  return session.state === 'named' ? { session: closed } : say(closed, { type: 'close' }, now);
};

/** What the peer is told when our side fails a session. */
export type Told = { readonly code: string; readonly message: string };

export const failSession = (session: Session, end: SessionEnd, told: Told, now: number): Sent => {
  if (isOver(session)) return { session };
  const failed = { ...session, state: 'failed', end, unread: [], early: [] } as const;
  return session.state === 'named' ? { session: failed } : say(failed, { type: 'error', ...told }, now);
};

/** A message of ours did not arrive: there is nobody to tell. */
export const loseSession = (session: Session, reason: string): Session =>
  session.state === 'open' ? { ...session, state: 'failed', early: [], end: { code: 'COUNTERPARTY_UNDELIVERED', message: reason } } : session;

// ── Receiving ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Taken = { readonly session: Session; readonly outgoing?: Outgoing; readonly news: 'taken' | 'repeated' | 'early' | 'late' | 'overflow' };

/** What a `receive` answers for a message. */
export const answerOfData = (json: string, version: number | null): string => JSON.stringify(version === null ? { json } : { json, protocolVersion: version });

const endOf = (content: Exclude<SessionMessage['content'], { type: 'data' }>): Pick<EarlyEnd, 'state' | 'end'> =>
  content.type === 'close'
    ? { state: 'closed', end: { code: 'SESSION_CLOSED', message: 'the counterparty closed the session' } }
    : { state: 'failed', end: { code: endCodeOf(content.code), message: `the counterparty failed: ${content.code}: ${content.message}` } };

/** Silence is silence on both sides: which of the two noticed it first must not decide what the flow is told. */
const endCodeOf = (told: string): SessionEndCode => (told === 'SESSION_TIMEOUT' ? 'SESSION_TIMEOUT' : 'SESSION_ERROR');

const entryOf = (message: SessionMessage, version: number | null): Early | EarlyEnd => {
  const { seq, content } = message;
  if (content.type !== 'data') return { seq, type: 'end', ...endOf(content) };
  return { seq, type: 'fresh', answer: answerOfData(content.json, version), closes: content.closes === true };
};

/** Takes a message that is known to come from the counterparty. */
export const takeMessage = (before: Session, message: SessionMessage, now: number, unreadMax: number): Taken => {
  if (isOver(before) || before.state === 'named') return { session: before, news: 'late' };
  const { seq, content } = message;
  if (seq === resetSeq && content.type === 'error') return { session: { ...before, ...endOf(content), early: [] }, news: 'taken' };
  if (seq <= before.received || before.early.some((entry) => entry.seq === seq)) return { session: before, news: 'repeated' };
  const version = before.version ?? (before.role === 'initiator' ? (message.version ?? null) : null);
  const early = [...before.early, entryOf(message, version)].sort((one, other) => one.seq - other.seq);
  const session = inOrder({ ...before, version, early, activeAt: now });
  if (session.unread.length + session.early.length > unreadMax) {
    const end: SessionEnd = { code: 'SESSION_ERROR', message: `the counterparty sent more than ${unreadMax} messages that this flow has not read` };
    const told = { code: 'SESSION_OVERFLOW', message: `more than ${unreadMax} messages were not read` };
    // Its own close does not save a peer that went too far; but only data is answered (S4).
    const failed = failSession({ ...session, state: 'open' }, end, told, now);
    return content.type === 'data' ? { ...failed, news: 'overflow' } : { session: { ...failed.session, sent: session.sent }, news: 'overflow' };
  }
  return { session, news: seq > session.received ? 'early' : 'taken' };
};

/** Moves early messages whose turn has come. */
const inOrder = (before: Session): Session => {
  let session = before;
  while (session.early[0]?.seq === session.received + 1 && session.state === 'open') {
    const [entry, ...early] = session.early;
    if (entry === undefined) break;
    session = { ...session, early, received: entry.seq };
    if (entry.type === 'end') session = { ...session, state: entry.state, end: entry.end, early: [] };
    else session = appendUnread(session, entry);
  }
  return session;
};

const appendUnread = (session: Session, { closes, ...unread }: Early): Session => {
  const appended = { ...session, unread: [...session.unread, unread] };
  if (!closes) return appended;
  return { ...appended, state: 'closed', early: [], end: { code: 'SESSION_CLOSED', message: 'the counterparty closed the session' } };
};

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Reading =
  | { readonly type: 'message'; readonly session: Session; readonly unread: Unread }
  | { readonly type: 'ended'; readonly end: SessionEnd }
  | { readonly type: 'waiting' };

export const readNext = (session: Session): Reading => {
  const [unread, ...rest] = session.unread;
  if (unread !== undefined) return { type: 'message', unread, session: { ...session, unread: rest } };
  if (session.end !== null) return { type: 'ended', end: session.end };
  return { type: 'waiting' };
};

/** When an open session fails for silence; `undefined` where it waits for nobody. */
export const silenceAt = (session: Session, timeoutMs: number): number | undefined =>
  session.state === 'open' ? session.activeAt + timeoutMs : undefined;
