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
  readonly elapsed: () => number;
  /** Told before each step which turn it belongs to. */
  readonly onTurn: (place: number) => void;
};

export type BatchRun = { readonly results: TurnResult[]; readonly spent: Record<string, number> };

/** Shorter use is nobody's concern. */
const spentMsMin = 5;

export const runSlices = async (turns: readonly Turn[], { room, elapsed, onTurn }: SlicePowers, limits: SliceLimits): Promise<BatchRun> => {
  const used = new Map<string, number>();
  const isShared = turns.some(({ compartment }) => compartment !== turns[0]!.compartment);
  const sliceMs = isShared ? limits.sliceMsMax : limits.sliceAloneMsMax;
  const results: TurnResult[] = [];
  let chars = 0;
  let from = elapsed();
  for (const [place, turn] of turns.entries()) {
    const before = used.get(turn.compartment) ?? 0;
    if (before >= sliceMs || chars >= limits.answerCharsMax) {
      room.forget([turn.flowId]);
      results.push({ type: 'lost', reason: before >= sliceMs ? 'its compartment has used its time in this batch' : 'the batch has no room for another answer' });
      continue;
    }
    onTurn(place);
    const [result] = await room.run([turn]);
    results.push(result!);
    chars += charsOf(result!);
    const to = elapsed();
    used.set(turn.compartment, before + to - from);
    from = to;
  }
  return { results, spent: Object.fromEntries([...used].filter(([, ms]) => ms >= spentMsMin)) };
};

/** What is long in an answer: everything else of it is short by other bounds. */
const charsOf = (result: TurnResult): number => {
  if (result.type !== 'ran') return 0;
  let chars = result.finished?.type === 'result' ? (result.finished.result?.length ?? 0) : 0;
  for (const { asks } of result.steps) for (const { params } of asks) chars += params.length;
  return chars;
};
