/**
 * The journal of a flow: its items in the store, appended and never rewritten.
 *
 * An item is the beginning, a **turn** (one completion was delivered, and this is what the code then asked for), or a session
 * message that arrived before the code wanted it. One item a turn keeps a step at one row for each thing that happened.
 *
 * Invariants:
 * - **J1** turns stand in the order in which their completions were delivered: running the code over them gives the same flow;
 * - **J2** a completion by a stored message names its item, so a payload is written once;
 * - **J3** values are JSON text that the engine does not read;
 * - **J4** the first item says how the platform behaved when it was written (behaviour.ts), and a replay behaves so;
 * - **J5** a flow that continues as another begins a new journal behind the old one, which goes in the same save: positions are
 *   never used twice.
 */
import type { StoredItem } from '../../../shell/worker.ts';
import type { Asked, Completion, FiberStart, ReplayStep } from '../sandbox/sandbox.ts';
import { answerOfData } from './session.ts';

export type JournalItem =
  | { readonly type: 'start'; readonly v: 1; readonly at: number; readonly flags: readonly string[]; readonly start: FiberStart; readonly asked: readonly Asked[] }
  | { readonly type: 'turn'; readonly at: number; readonly op: number; readonly outcome: TurnOutcome; readonly asked: readonly Asked[] }
  | { readonly type: 'message'; readonly sessionId: string; readonly seq: number; /** What the receive will answer; or a piece of it. */ readonly answer: string; readonly part?: true };

export type TurnOutcome =
  | { readonly type: 'answer'; readonly json: string }
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  /** The answer stands in the message item at this position. */
  | { readonly type: 'message'; readonly position: number }
  /** The answer is made of the pieces at these positions. */
  | { readonly type: 'parts'; readonly positions: readonly number[]; readonly version: number | null }
  /** An answer of each of several sessions. */
  | { readonly type: 'each'; readonly outcomes: readonly ValueOutcome[] };

/** Where one received value stands. */
export type ValueOutcome = Extract<TurnOutcome, { type: 'answer' | 'message' | 'parts' }>;

export type Stored = StoredItem<JournalItem>;

export type Replay = { readonly start: FiberStart; readonly flags: readonly string[]; readonly steps: readonly ReplayStep[] };

/** The journal as a fiber is rebuilt from it; `undefined` when items are missing or do not fit together. */
export const replayOf = (items: readonly Stored[]): Replay | undefined => {
  const messages = messagesOf(items);
  let start: FiberStart | undefined;
  let flags: readonly string[] = [];
  const steps: ReplayStep[] = [];
  for (const { value } of items) {
    if (value.type === 'message') continue;
    if (value.type === 'start') {
      ({ start, flags } = value);
      steps.push({ at: value.at, asked: value.asked });
      continue;
    }
    const completion = completionOf(value.op, value.outcome, messages);
    if (completion === undefined) return undefined;
    steps.push({ at: value.at, completion, asked: value.asked });
  }
  return start === undefined || steps[0]?.completion !== undefined ? undefined : { start, flags, steps };
};

/** Messages and pieces of messages of a journal by position. */
export const messagesOf = (items: readonly Stored[]): Map<number, string> => {
  const messages = new Map<number, string>();
  for (const { position, value } of items) if (value.type === 'message') messages.set(position, value.answer);
  return messages;
};

export const completionOf = (op: number, outcome: TurnOutcome, messages: ReadonlyMap<number, string>): Completion | undefined => {
  switch (outcome.type) {
    case 'answer':
    case 'refused':
      return { op, ...outcome };
    case 'message':
    case 'parts': {
      const json = valueOf(outcome, messages);
      return json === undefined ? undefined : { op, type: 'answer', json };
    }
    case 'each': {
      const answers = outcome.outcomes.flatMap((one) => valueOf(one, messages) ?? []);
      return answers.length < outcome.outcomes.length ? undefined : { op, type: 'answer', json: `{"messages":[${answers.join(',')}]}` };
    }
  }
};

/** JSON text of one received value. */
const valueOf = (outcome: ValueOutcome, messages: ReadonlyMap<number, string>): string | undefined => {
  if (outcome.type === 'answer') return outcome.json;
  if (outcome.type === 'message') return messages.get(outcome.position);
  const texts = outcome.positions.flatMap((position) => messages.get(position) ?? []);
  return texts.length < outcome.positions.length ? undefined : answerOfData(texts.join(''), outcome.version);
};

/** Positions of messages that an outcome names: they are not needed in memory once it was delivered. */
export const positionsOf = (outcome: TurnOutcome): readonly number[] => {
  if (outcome.type === 'message') return [outcome.position];
  if (outcome.type === 'parts') return outcome.positions;
  return outcome.type === 'each' ? outcome.outcomes.flatMap(positionsOf) : [];
};
