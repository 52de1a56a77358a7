/**
 * One flow during one step: its head as it is becoming, and what the step will write, send and say. A draft lives no longer than
 * its step; when the step cannot be finished it is thrown away whole, and so is what the sandbox did for it.
 */
import { flowToRestStatus } from '../../../messages/flow-to-rest.status.ts';
import { encode } from '../../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../../messages/grammar/record.ts';
import type { Joint } from '../../../shell/worker.ts';
import type { FlowLimits } from '../config.ts';
import type { FiberStart, LogLine } from '../sandbox/sandbox.ts';
import type { Request } from './external.ts';
import { flowStatusOf, withSession } from './head.ts';
import type { FlowHead, Pending } from './head.ts';
import type { JournalItem, Stored, TurnOutcome } from './journal.ts';
import type { Outgoing, Session, Unread } from './session.ts';
import { sessionRecord } from './session-record.ts';

export type Draft = {
  readonly key: string;
  readonly now: number;
  /** Until this resolves nothing may be done for it outside of the step (`StepInput.durable`). */
  readonly durable: Promise<unknown> | undefined;
  /** The time that the code is told. */
  readonly at: number;
  readonly limits: FlowLimits;
  readonly before: FlowHead | undefined;
  /** See direct.ts: whether this step, made again, would come to ask the same. */
  isRepeatable: boolean;
  /** See foresight.ts: whether its turns may go on over answers that have not come. */
  readonly foresees: boolean;
  /** Such an answer was another: nothing that this draft came to is true. */
  isUndone: boolean;
  /** Requests whose answers it foresaw, and that are not done. */
  foreseen: AskedOf[];
  /** Those that are done when it is saved. */
  joint: Joint | undefined;
  head: FlowHead | undefined;
  /** The journal as it was; absent when the fiber is held, empty where the flow has continued as another run. */
  items: readonly Stored[] | undefined;
  /** Answers of stored messages by position. */
  readonly messages: Map<number, string>;
  /** Set while a new fiber has not begun. */
  starting: FiberStart | undefined;
  /** To be delivered in the next round, in order. */
  ready: Ready[];
  /** Signatures to be checked before the next round. */
  verifications: Verification[];
  /** Operations whose requests are to be made again, by replay: the journal does not keep them. */
  recall: number[];
  /** Items of this step; cleared where the flow continues as another. */
  added: Stored[];
  /** Positions of items that go. */
  removed: readonly number[];
  /** Sessions that took a message in this step. */
  readonly heard: Set<string>;
  /** Requests that this round has made of other rooms. */
  asked: AskedOf[];
  readonly effects: OutRecord[];
  outbox: Posted[];
  readonly notes: Note[];
  readonly logs: LogLine[];
  /** Why the step cannot be finished now. */
  later: string | undefined;
};

export type Ready = {
  readonly op: number;
  readonly outcome: TurnOutcome;
  /** What was read from sessions for it: put back when the code has given the operation up meanwhile. */
  readonly read?: readonly ReadValue[];
};
export type ReadValue = { readonly sessionId: string; readonly unread: readonly Unread[] };
export type AskedOf = { readonly op: number; readonly request: Request };
export type Verification = { readonly op: number; readonly params: unknown };
export type Posted = { readonly sessionId: string; readonly outgoing: Outgoing };
/** Something worth a line in the log, and a count. */
export type Note = { readonly level: 'debug' | 'info' | 'warn'; readonly event: string; readonly fields?: Readonly<Record<string, unknown>> };

export type DraftOf = Pick<Draft, 'key' | 'now' | 'durable' | 'at' | 'limits' | 'isRepeatable' | 'foresees' | 'items' | 'messages'> & { readonly head: FlowHead | undefined };

export const openDraft = (of: DraftOf): Draft => ({
  ...of,
  before: of.head,
  isUndone: false,
  foreseen: [],
  joint: undefined,
  starting: undefined,
  ready: [],
  verifications: [],
  recall: [],
  added: [],
  removed: [],
  heard: new Set(),
  asked: [],
  effects: [],
  outbox: [],
  notes: [],
  logs: [],
  later: undefined,
});

export const note = (draft: Draft, level: Note['level'], event: string, fields?: Note['fields']): void => {
  draft.notes.push({ level, event, ...(fields === undefined ? {} : { fields }) });
};

/** Appends an item to the journal. */
export const append = (draft: Draft, head: FlowHead, value: JournalItem): number => {
  const position = head.itemCount;
  draft.added.push({ position, value });
  draft.head = { ...head, itemCount: position + 1 };
  return position;
};

export const addPending = (draft: Draft, head: FlowHead, pending: Pending): void => {
  draft.head = { ...head, pending: [...head.pending, pending] };
};

/** Takes an operation from the pending ones, to be completed in the next round. */
export const complete = (draft: Draft, head: FlowHead, op: number, outcome: TurnOutcome, read?: readonly ReadValue[]): void => {
  draft.head = head.pending.some((one) => one.op === op) ? { ...head, pending: head.pending.filter((one) => one.op !== op) } : head;
  draft.ready.push({ op, outcome, ...(read === undefined ? {} : { read }) });
};

// ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Puts a session's new state in the head, and what it sends in the outbox. A close rides with data of the same step. */
export const putSession = (draft: Draft, head: FlowHead, session: Session, outgoing?: Outgoing): void => {
  draft.head = withSession(head, session);
  if (outgoing === undefined) return;
  const last = draft.outbox.findLast(({ sessionId }) => sessionId === session.id);
  if (outgoing.content.type === 'close' && last?.outgoing.content.type === 'data') {
    const closing: Posted = { ...last, outgoing: { ...last.outgoing, content: { ...last.outgoing.content, closes: true } } };
    draft.outbox = draft.outbox.map((posted) => (posted === last ? closing : posted));
    draft.head = withSession(head, { ...session, sent: session.sent - 1 });
    return;
  }
  draft.outbox.push({ sessionId: session.id, outgoing });
};

// ── Statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tells REST how a flow that it started fares when the step ends, where that is news: once a run and status, by its id. */
const tellStatus = (draft: Draft, head: FlowHead): void => {
  const { before } = draft;
  if (head.kind !== 'rest' || (before?.status === head.status && before.since === head.since)) return;
  const body = flowStatusOf(head);
  draft.effects.push(encode(flowToRestStatus, { key: head.flowId, id: `${head.flowId}/${head.since}/${body.flowStatus}`, body }));
};

// ── The end of the step ──────────────────────────────────────────────────────────────────────────────────────────────

/** Writes what is still only in memory: messages that were not read become items, what sessions say becomes records. */
export const flushDraft = (draft: Draft): void => {
  if (draft.head === undefined) return;
  for (const id of draft.heard) storeUnread(draft, id);
  post(draft);
  if (draft.head === draft.before) return;
  draft.head = { ...draft.head, updatedAt: draft.now };
  tellStatus(draft, draft.head);
};

/** Makes records of what sessions say. The init has gone with the first of them, and with it the properties of the session. */
export const post = (draft: Draft): void => {
  const head = draft.head!;
  if (draft.outbox.length === 0) return;
  for (const { sessionId, outgoing } of draft.outbox) {
    const session = head.sessions.find(({ id }) => id === sessionId);
    if (session !== undefined) draft.effects.push(sessionRecord(head, session, outgoing, { now: draft.now, ttlMs: draft.limits.messageTtlMs }));
  }
  const introduced = draft.outbox.filter(({ outgoing }) => outgoing.seq === 1).map(({ sessionId }) => sessionId);
  draft.outbox = [];
  draft.head = withoutContext(head, introduced);
};

const withoutContext = (head: FlowHead, introduced: readonly string[]): FlowHead => {
  if (introduced.length === 0) return head;
  const strip = (session: Session): Session => {
    const { context: _, ...rest } = session;
    return rest;
  };
  return { ...head, sessions: head.sessions.map((session) => (introduced.includes(session.id) ? strip(session) : session)) };
};

export const storeUnread = (draft: Draft, sessionId: string): void => {
  const session = draft.head?.sessions.find(({ id }) => id === sessionId);
  if (session === undefined || ![...session.unread, ...session.early].some(({ type }) => type === 'fresh')) return;
  const store = <Entry extends Session['early'][number] | Session['unread'][number]>(entry: Entry): Entry => {
    if (entry.type !== 'fresh' || draft.head === undefined) return entry;
    const { seq, text } = entry;
    const item: JournalItem = { type: 'message', sessionId, seq, answer: text, ...(entry.part === undefined ? {} : { part: true }) };
    const position = append(draft, draft.head, item);
    draft.messages.set(position, text);
    const { text: _, ...rest } = entry;
    // The same entry, its text replaced by its place.
    return { ...rest, type: 'stored', position } as unknown as Entry;
  };
  const stored = { ...session, unread: session.unread.map(store), early: session.early.map(store) };
  draft.head = withSession(draft.head!, stored);
};
