/**
 * The journal of a flow: its items in the store, appended and never rewritten.
 *
 * An item is the beginning, a **turn** (one completion was delivered, and this is what the code then asked for), or a session
 * message that arrived before the code wanted it. One item a turn keeps a step at one row for each thing that happened.
 *
 * Invariants:
 * - **J1** turns stand in the order in which their completions were delivered: running the code over them gives the same flow;
 * - **J2** a completion by a stored message names its item, so a payload is written once;
 * - **J3** values are JSON text that the engine does not read.
 */
import type { StoredItem } from '../../../shell/worker.ts';
import type { Asked, Completion, FiberStart, ReplayStep } from '../sandbox/sandbox.ts';

export type JournalItem =
  | { readonly type: 'start'; readonly v: 1; readonly at: number; readonly start: FiberStart; readonly asked: readonly Asked[] }
  | { readonly type: 'turn'; readonly at: number; readonly op: number; readonly outcome: TurnOutcome; readonly asked: readonly Asked[] }
  | { readonly type: 'message'; readonly sessionId: string; readonly seq: number; /** What the receive will answer. */ readonly answer: string };

export type TurnOutcome =
  | { readonly type: 'answer'; readonly json: string }
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  /** The answer stands in the message item at this position. */
  | { readonly type: 'message'; readonly position: number };

export type Stored = StoredItem<JournalItem>;

/** The journal as a fiber is rebuilt from it; `undefined` when items are missing or do not fit together. */
export const replayOf = (items: readonly Stored[]): { readonly start: FiberStart; readonly steps: readonly ReplayStep[] } | undefined => {
  const messages = messagesOf(items);
  let start: FiberStart | undefined;
  const steps: ReplayStep[] = [];
  for (const { value } of items) {
    if (value.type === 'message') continue;
    if (value.type === 'start') {
      start = value.start;
      steps.push({ at: value.at, asked: value.asked });
      continue;
    }
    const completion = completionOf(value.op, value.outcome, messages);
    if (completion === undefined) return undefined;
    steps.push({ at: value.at, completion, asked: value.asked });
  }
  return start === undefined || steps[0]?.completion !== undefined ? undefined : { start, steps };
};

/** Messages of a journal by position. */
export const messagesOf = (items: readonly Stored[]): Map<number, string> =>
  new Map(items.flatMap(({ position, value }) => (value.type === 'message' ? [[position, value.answer] as const] : [])));

export const completionOf = (op: number, outcome: TurnOutcome, messages: ReadonlyMap<number, string>): Completion | undefined => {
  if (outcome.type !== 'message') return { op, ...outcome };
  const json = messages.get(outcome.position);
  return json === undefined ? undefined : { op, type: 'answer', json };
};
