/** What compartments owe each other on one process. */
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/host/clock.ts';
import { createShares } from '../../../src/workers/flow/sandbox/shares.ts';
import { createStopwatch, runSlices } from '../../../src/workers/flow/sandbox/slices.ts';
import type { Turn, TurnResult } from '../../../src/workers/flow/sandbox/sandbox.ts';

const open = () => {
  let now = 1_000;
  const clock: Clock = { now: () => now, after: () => () => {} };
  const shares = createShares({ clock, limits: { sliceMsMax: 100, debtMsMax: 500 } });
  return { shares, pass: (ms: number) => void (now += ms) };
};

describe('a compartment that used more of a batch than its slice', () => {
  test('waits as long as it ran, while others are about', () => {
    const { shares, pass } = open();
    expect([shares.mustWait('hot'), shares.mustWait('cool')]).toEqual([false, false]);
    shares.spend('hot', 300);
    expect([shares.mustWait('hot'), shares.mustWait('cool')]).toEqual([true, false]);
    pass(299);
    expect(shares.mustWait('hot')).toBe(true);
    pass(1);
    expect(shares.mustWait('hot')).toBe(false);
    expect(shares.mustWait('hot')).toBe(false);
  });

  test('waits no longer than is bearable, and not at all when nobody else is about', () => {
    const { shares, pass } = open();
    shares.mustWait('cool');
    shares.spend('hot', 60_000);
    expect(shares.mustWait('hot')).toBe(true);
    pass(500);
    expect(shares.mustWait('hot')).toBe(false);
    pass(1_000);
    shares.spend('hot', 60_000);
    expect(shares.mustWait('hot')).toBe(false);
  });

  test('owes nothing for less than its slice', () => {
    const { shares } = open();
    shares.mustWait('cool');
    shares.spend('hot', 99);
    expect(shares.mustWait('hot')).toBe(false);
  });
});

describe('a batch', () => {
  /** Every turn takes as many milliseconds as its flow id says, half of them of the processor. */
  const run = async (turns: readonly (readonly [compartment: string, ms: number])[], answerChars = 0) => {
    let now = 0;
    const forgotten: string[] = [];
    const room = {
      run: async (turn: Turn): Promise<TurnResult> => {
        now += Number(turn.flowId);
        return { type: 'ran', steps: [], finished: { type: 'result', result: 'x'.repeat(answerChars) } };
      },
      forget: (flowIds: readonly string[]) => void forgotten.push(...flowIds),
      unload: () => {},
    };
    const list = turns.map(([compartment, ms]): Turn => ({ flowId: String(ms), compartment, at: 1, completions: [] }));
    const { results, spent } = await runSlices(list, { room, stopwatch: createStopwatch({ elapsed: () => now, used: () => now / 2 }), onTurn: () => {} }, { sliceMsMax: 100, sliceAloneMsMax: 1_000, answerCharsMax: 10 });
    return { types: results.map(({ type }) => type).join(' '), spent, forgotten };
  };

  test('runs one turn at least of every compartment, and sends back what is over a slice', async () => {
    const { types, spent, forgotten } = await run([['a', 400], ['a', 20], ['b', 150], ['b', 150], ['b', 2], ['c', 2]]);
    expect(types).toBe('ran lost ran ran lost ran');
    expect(spent).toEqual({ a: 200, b: 150 });
    expect(forgotten).toEqual(['20', '2']);
  });

  test('of one compartment ends as well, only later', async () => {
    expect((await run([['a', 900], ['a', 900], ['a', 900], ['a', 2]])).types).toBe('ran ran ran lost');
  });

  test('answers no more than fits into one message', async () => {
    expect((await run([['a', 1], ['b', 1], ['c', 1]], 6)).types).toBe('ran ran lost');
  });
});
