/**
 * Requests to other rooms, from the operation that makes one to the answer that completes it.
 *
 *     asked ──▶ pending ──┬─ answered ─────────────────────────────▶ complete
 *                 ▲       ├─ not now, or no answer: asked again, ──▶ refused when its time is over
 *                 └───────┘  later and later                          (a fatal fault breaks the flow)
 *
 * Invariants:
 * - **Q1** a request is asked again under the same id, so whoever performed it already answers what it answered (W3);
 * - **Q2** waiting to ask again holds no thread and no batch: it is a time in the head;
 * - **Q3** a request is asked again for `requestWindowMs` at most, and then refused to the code.
 *
 * The journal does not keep what a request said: a request that must be made again is found by replay.
 */
import type { OperationKind } from '../../../flow-sdk/operations.ts';
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import type { Recalled } from '../sandbox/sandbox.ts';
import { addPending, complete, note } from './draft.ts';
import type { Draft } from './draft.ts';
import { outcomeOf, refused } from './external.ts';
import type { Request } from './external.ts';
import { hasEnded } from './head.ts';
import type { External, FlowHead } from './head.ts';
import type { TurnOutcome } from './journal.ts';
import { breakFlow } from './lifecycle.ts';

/** Asks another room, or refuses what cannot be asked. */
export const request = (draft: Draft, head: FlowHead, op: number, kind: OperationKind, made: Request | TurnOutcome): void => {
  if (made.type !== 'request') return complete(draft, head, op, made);
  draft.asked.push({ op, request: made });
  const { now, limits } = draft;
  addPending(draft, head, { op, type: 'external', kind, askedAt: now, againAt: onGrid(now + limits.requestRepeatMs, limits.requestGridMs), tries: 0 });
};

/** Times that need not be exact stand on a grid: a flow that asks often then keeps one due time, and its row its index entry. */
const onGrid = (at: number, gridMs: number): number => Math.ceil(at / gridMs) * gridMs;

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Takes the answer of another room; a repeat, or one for an operation that nobody waits for, changes nothing. */
export const takeAnswer = (draft: Draft, op: number | undefined, outcome: Outcome): void => {
  const { head } = draft;
  const pending = head?.pending.find((one) => one.op === op && one.type === 'external');
  if (head === undefined || hasEnded(head) || pending?.type !== 'external') return note(draft, 'debug', 'flow-answer-ignored', { flowId: draft.key, op });
  const fault = outcome.type === 'refused' ? outcome.fault : undefined;
  if (fault === 'transient') return tryAgain(draft, head, pending, outcome);
  if (fault === 'fatal' && outcome.type === 'refused') {
    return breakFlow(draft, { type: 'PLATFORM_ERROR', message: `${outcome.code}: ${outcome.message}` }, { holds: false });
  }
  complete(draft, head, pending.op, outcomeOf(pending.kind, outcome));
};

/** Corda: 1, 2, 4, 8, 16 seconds, and then an error that the code may catch. */
const tryAgain = (draft: Draft, head: FlowHead, pending: External, outcome: Outcome): void => {
  const { limits, now } = draft;
  const tries = pending.tries + 1;
  const againAt = now + Math.min(limits.retryDelayMsMin * 2 ** pending.tries, limits.retryDelayMsMax);
  if (tries > limits.retriesMax || againAt - pending.askedAt > limits.requestWindowMs) return complete(draft, head, pending.op, outcomeOf(pending.kind, outcome));
  note(draft, 'info', 'flow-operation-retried', { flowId: draft.key, op: pending.op, kind: pending.kind, tries });
  replace(draft, head, { ...pending, tries, againAt });
};

const replace = (draft: Draft, head: FlowHead, pending: External): void => {
  draft.head = { ...head, pending: head.pending.map((one) => (one.op === pending.op ? pending : one)) };
};

// ── Asking again ─────────────────────────────────────────────────────────────────────────────────────────────────────

export const isDue = (pending: FlowHead['pending'][number], now: number): pending is External => pending.type === 'external' && pending.againAt <= now;

/** Requests whose time has come: to be asked again in this step, or refused where their window is over. */
export const recallDue = (draft: Draft): void => {
  const { head, now, limits, items } = draft;
  // Without the journal nothing can be made again; the wake of this flow brings it.
  if (head === undefined || hasEnded(head) || (items === undefined && draft.before !== undefined)) return;
  for (const pending of head.pending) {
    if (!isDue(pending, now)) continue;
    if (now - pending.askedAt >= limits.requestWindowMs) complete(draft, draft.head!, pending.op, unanswered(pending, limits.requestWindowMs));
    else draft.recall.push(pending.op);
  }
};

const unanswered = ({ kind }: External, windowMs: number): TurnOutcome =>
  refused('OPERATION_UNANSWERED', `nobody answered ${kind} for ${windowMs} ms; it may have been performed all the same, or may be yet`);

/** Sends the requests that a replay has found again. */
export const askAgain = (draft: Draft, recalled: readonly Recalled[], make: (one: Recalled) => Request | TurnOutcome): void => {
  const { limits, now } = draft;
  for (const one of recalled) {
    const pending = draft.head!.pending.find(({ op }) => op === one.op);
    if (pending?.type !== 'external') continue;
    const made = make(one);
    if (made.type !== 'request') complete(draft, draft.head!, one.op, made);
    else {
      note(draft, 'info', 'flow-operation-asked-again', { flowId: draft.key, op: one.op, kind: one.kind });
      draft.effects.push(made.message.record);
      // Doubles with the age of the request, up to the end of its window.
      const delayMs = Math.max(limits.requestRepeatMs, now - pending.askedAt);
      const againAt = Math.min(now + delayMs, Math.max(pending.askedAt + limits.requestWindowMs, now));
      replace(draft, draft.head!, { ...pending, againAt: onGrid(againAt, limits.requestGridMs) });
    }
  }
};
