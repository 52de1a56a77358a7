/**
 * Runs the turns of a batch and keeps compartments from taking it all: one that has used its slice is sent back with its other
 * turns, for a later batch. Every compartment has one turn at least in every batch, so each goes on.
 */
import type { FiberRoom } from './fiber-room.ts';
import type { Turn, TurnResult } from './sandbox.ts';

export type SliceLimits = {
  /** Milliseconds of one batch that a compartment may use where others wait in it, and where it is alone. */
  readonly sliceMsMax: number;
  readonly sliceAloneMsMax: number;
  /** UTF-16 code units of one batch's answer; what comes beyond it is sent back. */
  readonly answerCharsMax: number;
};

export type SlicePowers = {
  readonly room: FiberRoom;
  readonly stopwatch: Stopwatch;
  /** Told before each step which turn it belongs to. */
  readonly onTurn: (place: number) => void;
};

export type BatchRun = { readonly results: TurnResult[]; readonly spent: Record<string, number> };

/** Shorter use is nobody's concern. */
const spentMsMin = 5;

export type Stopwatch = {
  /** What follows is measured. */
  begin(): void;
  /** Milliseconds since it began or since the last lap. */
  lap(): number;
};

/**
 * Measures pieces of work by the clock where they are short, and by the processor's time where it matters. The latter is dear to ask for, so it is asked again
 * only when the short pieces since then could be mistaken for something.
 */
export const createStopwatch = ({ elapsed, used }: { readonly elapsed: () => number; readonly used: () => number }): Stopwatch => {
  let from = elapsed();
  let usedFrom = used();
  let shortMs = 0;
  return {
    begin: () => void (from = elapsed()),
    lap: () => {
      const to = elapsed();
      const tookMs = to - from;
      from = to;
      shortMs += tookMs;
      if (shortMs < spentMsMin) return tookMs;
      const usedTo = used();
      const usedMs = usedTo - usedFrom;
      usedFrom = usedTo;
      shortMs = 0;
      return Math.min(tookMs, usedMs);
    },
  };
};

export const runSlices = async (turns: readonly Turn[], powers: SlicePowers, limits: SliceLimits): Promise<BatchRun> => {
  const { room, stopwatch, onTurn } = powers;
  const spent = new Map<string, number>();
  const isShared = turns.some(({ compartment }) => compartment !== turns[0]!.compartment);
  const sliceMs = isShared ? limits.sliceMsMax : limits.sliceAloneMsMax;
  const results: TurnResult[] = [];
  stopwatch.begin();
  let chars = 0;
  for (const [place, turn] of turns.entries()) {
    const before = spent.get(turn.compartment) ?? 0;
    if (before >= sliceMs || chars >= limits.answerCharsMax) {
      room.forget([turn.flowId]);
      results.push({ type: 'lost', reason: before >= sliceMs ? 'its application has used its time in this batch' : 'the batch has no room for another answer' });
      continue;
    }
    onTurn(place);
    const result = await room.run(turn);
    results.push(result);
    chars += charsOf(result);
    spent.set(turn.compartment, before + stopwatch.lap());
  }
  return { results, spent: Object.fromEntries([...spent].filter(([, ms]) => ms >= spentMsMin)) };
};

/** What is long in an answer: everything else of it is short by other bounds. */
const charsOf = (result: TurnResult): number => {
  if (result.type !== 'ran') return 0;
  let chars = result.finished?.type === 'result' ? (result.finished.result?.length ?? 0) : 0;
  for (const { asks } of result.steps) for (const { params } of asks) chars += params.length;
  return chars;
};
