/**
 * The head of a flow: all that a step must know of it without its journal. It is rewritten at each step, so it holds what is
 * open and nothing of what is past.
 *
 *     (start, first session message) ──▶ RUNNING ──▶ COMPLETED | FAILED | KILLED ──(kept for a while)──▶ removed
 *                                           ▲                      │
 *                                           └─────── redriven ─────┘ where `resume` is there
 *
 * Invariants:
 * - **H1** an ended flow never runs again and its head changes no more, unless it can be driven again: then it still takes what
 *   its sessions hear, until it is, or until its hold is over;
 * - **H2** `pending` holds exactly the operations that the fiber waits for and that are not complete;
 * - **H3** `itemCount` is the position of the next item: it grows with the journal, so equal counts mean equal journals (of one incarnation;
 *   what a replica remembers of another is given up with the conflict that its save meets, W5);
 * - **H4** `resume` is there only while no counterparty was told that the flow has failed.
 */
import type { FlowStatus, FlowStatusName } from '../../../messages/grammar/shapes.ts';
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import type { FiberStart } from '../sandbox/sandbox.ts';
import type { Ready } from './draft.ts';
import type { Session } from './session.ts';

export type FlowIdentity = { readonly x500Name: string; readonly groupId: string; readonly shortHash: string; readonly fullHash: string };

export type FlowError = {
  readonly type: 'FLOW_FAILED' | 'PLATFORM_ERROR' | 'FLOW_KILLED';
  readonly message: string;
  /** Places in the author's sources, innermost first; for those who mend the code, and not for REST. */
  readonly at?: readonly string[];
};

/** The code a flow was started with, and stays with. */
export type PinnedCode = {
  /** The CPK that holds the flow class. */
  readonly cpkHash: string;
  readonly cpkHashes: readonly string[];
  readonly cpiFullChecksum: string;
};

export type Pending =
  /** Awaits an answer to the request that operation `op` made. */
  | External
  | { readonly op: number; readonly type: 'receive'; readonly sessionId: string; readonly until?: number }
  | { readonly op: number; readonly type: 'receiveAll'; readonly sessionIds: readonly string[]; readonly until?: number }
  /** Awaits the version that the counterparty agreed to. */
  | { readonly op: number; readonly type: 'info'; readonly sessionId: string }
  /** Awaits the counterparties' closes. */
  | { readonly op: number; readonly type: 'close'; readonly sessionIds: readonly string[] }
  | { readonly op: number; readonly type: 'sleep'; readonly until: number };

export type External = {
  readonly op: number;
  readonly type: 'external';
  readonly kind: OperationKind;
  /** Milliseconds since the epoch: when it was asked first, and when it is asked again. */
  readonly askedAt: number;
  readonly againAt: number;
  /** How often the room answered that it could not do it now. */
  readonly tries: number;
};

/** What a flow needs to go on where the platform failed it, beside its journal. */
export type Resume = {
  /** Completions that the code had not been given. */
  readonly ready: readonly Ready[];
  /** Set when the code had not begun. */
  readonly starting: FiberStart | null;
  /** Milliseconds since the epoch: until then counterparties are not told; `null` where there is nobody to tell. */
  readonly heldUntil: number | null;
};

export type FlowHead = {
  readonly v: 1;
  readonly flowId: string;
  /** Which of the flows that began under this id it is (identity/derive.ts). Absent in heads of before: their ids come of the flow id alone. */
  readonly incarnation?: string;
  readonly kind: 'rest' | 'responder';
  readonly identity: FlowIdentity;
  /** Of flows that REST started. */
  readonly clientRequestId: string | null;
  /** The message that began it: by it a repeat of the start is told from a duplicate. */
  readonly startId: string;
  /** Login of the REST caller, or the counterparty's X.500 name. */
  readonly startedBy: string;
  readonly flowClassName: string;
  readonly code: PinnedCode;
  readonly status: Exclude<FlowStatusName, 'START_REQUESTED'>;
  readonly result: string | null;
  readonly error: FlowError | null;
  readonly sessions: readonly Session[];
  readonly pending: readonly Pending[];
  /** Operations issued so far: the number of the next one. */
  readonly operationCount: number;
  readonly itemCount: number;
  /** Where its journal begins, when it has continued as another run. */
  readonly journalFrom?: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** When this run began: at the start, or when the flow was driven again. */
  readonly since: number;
  readonly updatedAt: number;
  /** Of a flow that failed by the platform's fault and may go on. */
  readonly resume?: Resume;
  /** The request that killed it or drove it again last: by it a repeat is told from another. */
  readonly commandId?: string;
};

export const hasEnded = (head: FlowHead): boolean => head.status !== 'RUNNING';

/** Whether its counterparties do not know yet that it has failed. */
export const isOnHold = ({ resume }: FlowHead): boolean => resume !== undefined && resume.heldUntil !== null;

/** The compartment a flow runs in: flows of one CPK at one virtual node. */
export const compartmentOf = (head: FlowHead): string => `${head.code.cpkHash}/${head.identity.shortHash}`;

/** A flow as REST shows it. */
export const flowStatusOf = (head: FlowHead): FlowStatus => ({
  holdingIdentityShortHash: head.identity.shortHash,
  clientRequestId: head.clientRequestId,
  flowId: head.flowId,
  flowStatus: head.status,
  flowResult: head.result,
  flowError: head.error === null ? null : { type: head.error.type, message: head.error.message },
  timestamp: head.updatedAt,
  since: head.since,
});

export const sessionOf = (head: FlowHead, sessionId: string): Session | undefined => head.sessions.find(({ id }) => id === sessionId);

export const withSession = (head: FlowHead, session: Session): FlowHead => ({
  ...head,
  sessions: head.sessions.map((one) => (one.id === session.id ? session : one)),
});

/**
 * How long an ended flow is kept. One that a session began outlives the message that began it, on whatever way that may come again: until
 * it has run out of time, by clocks that may differ by as much. So a copy of it meets the flow, and begins no other.
 */
export const keptMsOf = ({ kind }: FlowHead, { endedKeepMs, messageTtlMs }: { readonly endedKeepMs: number; readonly messageTtlMs: number }): number =>
  kind === 'responder' ? Math.max(endedKeepMs, 2 * messageTtlMs) : endedKeepMs;

/** How long an ended flow is kept, and how long a silent session lives. */
export type Lifetimes = { readonly keepMs: number; readonly silenceAt: (session: Session) => number | undefined };

/** When an ended flow is removed. */
export const removedAt = (head: FlowHead, keepMs: number): number => head.updatedAt + keepMs;

/** When the flow wants to be woken: for what it waits, for what it asks again, for a session's silence, or for its own end. */
export const dueAtOf = (head: FlowHead, { keepMs, silenceAt }: Lifetimes): number | undefined => {
  if (hasEnded(head)) return Math.min(head.resume?.heldUntil ?? Infinity, removedAt(head, keepMs));
  let due = Infinity;
  for (const pending of head.pending) due = Math.min(due, pendingDueAt(pending));
  for (const session of head.sessions) due = Math.min(due, silenceAt(session) ?? Infinity);
  return due === Infinity ? undefined : due;
};

const pendingDueAt = (pending: Pending): number => {
  switch (pending.type) {
    case 'sleep':
      return pending.until;
    case 'external':
      return pending.againAt;
    case 'receive':
    case 'receiveAll':
      return pending.until ?? Infinity;
    case 'info':
    case 'close':
      return Infinity;
  }
};
