/**
 * The beginning and the ends of a flow.
 *
 *     finishFlow ──▶ COMPLETED         what is open is closed
 *     failFlow   ──▶ FAILED            counterparties are told
 *     breakFlow  ──▶ FAILED, resume    the platform's fault: where nobody was told, the flow may be driven again
 *     killFlow   ──▶ KILLED            counterparties are told
 */
import { incarnationOf } from '../../../identity/derive.ts';
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import { recordValueCharsMax } from '../../../messages/grammar/envelope.ts';
import type { FiberStart, Finished } from '../sandbox/sandbox.ts';
import { note, post, putSession } from './draft.ts';
import type { Draft } from './draft.ts';
import type { FlowError, FlowHead, PinnedCode, Resume } from './head.ts';
import { closeSession, failSession } from './session.ts';
import type { Session, Told } from './session.ts';

export type Beginning = Pick<FlowHead, 'kind' | 'clientRequestId' | 'startId' | 'startedBy' | 'flowClassName'> & {
  readonly node: VirtualNode;
  readonly cpkHash: string;
  readonly sessions: readonly Session[];
  readonly start: FiberStart;
};

const pinnedCodeOf = (node: VirtualNode, cpkHash: string): PinnedCode => ({ cpkHash, cpkHashes: node.cpkHashes, cpiFullChecksum: node.cpiFullChecksum });

/** Makes the flow; its code begins to run in this step's first round. */
export const beginFlow = (draft: Draft, { node, cpkHash, start, ...known }: Beginning): FlowHead => {
  const incarnation = incarnationOf(known.startId);
  const head: FlowHead = {
    v: 1,
    flowId: draft.key,
    incarnation,
    ...known,
    identity: node.holdingIdentity,
    code: pinnedCodeOf(node, cpkHash),
    status: 'RUNNING',
    result: null,
    error: null,
    pending: [],
    operationCount: 0,
    itemCount: 0,
    createdAt: draft.now,
    since: draft.now,
    updatedAt: draft.now,
  };
  draft.head = head;
  draft.starting = { ...start, incarnation };
  note(draft, 'debug', 'flow-started', { flowId: head.flowId, kind: head.kind, flowClassName: head.flowClassName });
  return head;
};

/** UTF-16 code units that a status record needs beside the result. */
const statusSlackChars = 5_000;

const faultOfResult = (result: string | null, charsMax: number): string | undefined => {
  if (result === null) return undefined;
  const quoted = JSON.stringify(result).length;
  if (result.length <= charsMax && quoted + statusSlackChars <= recordValueCharsMax) return undefined;
  return `FLOW_RESULT_TOO_LARGE: the result is ${result.length} characters long; at most ${charsMax} are kept: store it with ctx.db and return its id`;
};

/** The code came to its end. */
export const finishFlow = (draft: Draft, finished: Finished, at: readonly string[]): void => {
  if (finished.type === 'error') return failFlow(draft, { type: 'FLOW_FAILED', message: finished.message, ...(at.length === 0 ? {} : { at }) });
  const fault = faultOfResult(finished.result, draft.limits.resultCharsMax);
  if (fault !== undefined) return failFlow(draft, { type: 'PLATFORM_ERROR', message: fault });
  for (const session of draft.head!.sessions) {
    const closed = closeSession(session, draft.now);
    putSession(draft, draft.head!, closed.session, closed.outgoing);
  }
  endFlow(draft, { ...draft.head!, status: 'COMPLETED', result: finished.result });
};

/** Counterparties learn that the flow ended and not why: what an error says may be private. */
const toldOfFailure = { code: 'FLOW_FAILED', message: 'the flow of the counterparty failed' };
const toldOfKill = { code: 'FLOW_KILLED', message: 'the flow of the counterparty was killed' };

const failSessions = (draft: Draft, message: string, told: Told): void => {
  for (const session of draft.head!.sessions) {
    const failed = failSession(session, { code: 'SESSION_ERROR', message }, told, draft.now);
    putSession(draft, draft.head!, failed.session, failed.outgoing);
  }
};

export const failFlow = (draft: Draft, error: FlowError): void => {
  failSessions(draft, 'this flow failed', toldOfFailure);
  noteFailure(draft, error);
  endFlow(draft, { ...draft.head!, status: 'FAILED', error });
};

const noteFailure = (draft: Draft, error: FlowError): void =>
  note(draft, 'info', 'flow-failed', { flowId: draft.key, flowClassName: draft.head!.flowClassName, error });

export const killFlow = (draft: Draft, reason: string): void => {
  failSessions(draft, 'this flow was killed', toldOfKill);
  note(draft, 'info', 'flow-killed', { flowId: draft.key, flowClassName: draft.head!.flowClassName, reason });
  endFlow(draft, { ...draft.head!, status: 'KILLED', error: { type: 'FLOW_KILLED', message: reason } });
};

const endFlow = (draft: Draft, ending: FlowHead): void => {
  const { resume: _, ...head } = ending;
  const ended: FlowHead = { ...head, pending: [], updatedAt: draft.now, sessions: head.sessions.map((session) => ({ ...session, unread: [], early: [] })) };
  draft.head = ended;
  stopRunning(draft);
};

const stopRunning = (draft: Draft): void => {
  draft.starting = undefined;
  draft.ready = [];
  draft.verifications = [];
  draft.recall = [];
};

/**
 * Ends this run and begins the next: the journal begins anew behind the old one, which goes in the same save (J5). What this step
 * has written of the old one is not written at all.
 */
export const continueFlow = (draft: Draft, start: FiberStart): void => {
  post(draft);
  const head = draft.head!;
  const from = head.journalFrom ?? 0;
  const end = draft.before?.itemCount ?? 0;
  draft.removed = [...draft.removed, ...Array.from({ length: Math.max(end - from, 0) }, (_, i) => from + i)];
  draft.added = [];
  // A run that is lost in this very step is rebuilt from what the step has written since.
  draft.items = [];
  draft.messages.clear();
  stopRunning(draft);
  // It counts on where the run before it ended, so none of its ids comes twice.
  draft.starting = head.incarnation === undefined ? start : { ...start, incarnation: head.incarnation };
  note(draft, 'debug', 'flow-continued', { flowId: draft.key, items: end - from });
  draft.head = { ...head, sessions: [], pending: [], journalFrom: head.itemCount };
};

// ── The platform's faults ────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The flow cannot go on, through no decision of its code: what it was about to be given is kept, so that it can be driven again.
 * A session that was told of an end cannot be revived (S3), so a flow with open sessions is failed for good, unless the fault is
 * one that a person mends (`holds`: its code is not the code it began with): then its counterparties are not told for a while.
 */
export const breakFlow = (draft: Draft, error: FlowError, { holds }: { readonly holds: boolean }): void => {
  const head = draft.head!;
  const isOpen = head.sessions.some(({ state, owesClose }) => state === 'open' || state === 'closing' || owesClose === true);
  if (isOpen && !holds) return failFlow(draft, error);
  noteFailure(draft, error);
  const resume: Resume = { ready: draft.ready, starting: draft.starting ?? null, heldUntil: isOpen ? draft.now + draft.limits.redriveHoldMs : null };
  const broken: FlowHead = { ...head, status: 'FAILED', error, resume, updatedAt: draft.now };
  draft.head = broken;
  stopRunning(draft);
};

/** A flow that was held for too long: its counterparties are told, and it stays as it is. */
export const releaseHold = (draft: Draft): void => {
  const head = draft.head;
  if (head?.resume === undefined || head.resume.heldUntil === null || head.resume.heldUntil > draft.now) return;
  failSessions(draft, 'this flow failed', toldOfFailure);
  const { resume: _, ...rest } = draft.head!;
  note(draft, 'info', 'flow-hold-over', { flowId: draft.key });
  draft.head = { ...rest, pending: [], sessions: rest.sessions.map((session) => ({ ...session, unread: [], early: [] })) };
};

/** Why this flow cannot be driven again; `undefined` when it can. */
export const redriveFault = (head: FlowHead): string | undefined => {
  if (head.status !== 'FAILED') return `the flow is ${head.status}; only a flow that failed can be driven again`;
  if (head.error?.type !== 'PLATFORM_ERROR') return 'the flow failed by what its own code threw, so it would fail again: start another';
  if (head.resume === undefined) return 'a counterparty was told that the flow failed, or it broke a limit that it would break again: start another';
  return undefined;
};

/** The caller has made sure that it can be driven again. What was asked of other rooms is asked again, under the same ids. */
export const resumeFlow = (draft: Draft, head: FlowHead, commandId: string): void => {
  const { resume, ...rest } = head;
  const pending = head.pending.map((one) => (one.type === 'external' ? { ...one, askedAt: draft.now, againAt: draft.now, tries: 0 } : one));
  const sessions = head.sessions.map((session) => (session.state === 'open' || session.state === 'closing' ? { ...session, activeAt: draft.now } : session));
  const running: FlowHead = { ...rest, pending, sessions, status: 'RUNNING', error: null, since: draft.now, commandId };
  draft.head = running;
  draft.ready = [...(resume?.ready ?? [])];
  draft.starting = resume?.starting ?? undefined;
  note(draft, 'info', 'flow-redriven', { flowId: draft.key });
};
