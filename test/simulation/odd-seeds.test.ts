import { describe, expect, test } from 'vitest';
import { tellHalf } from './stories.ts';
import { harshFaults, tell } from './story.ts';
import { noFaults } from './world.ts';

describe('simulation, odd seeds', () => tellHalf(1));

describe('the simulator itself', () => {
  test('a seed makes the same decisions each time, so a failing one can be looked at again', async () => {
    for (const seed of [3, 14, 159]) {
      const [one, other] = [await tell(seed), await tell(seed)];
      expect(other.trace).toEqual(one.trace);
      expect(one.trace.some((line) => line.includes('crash'))).toBe(true);
    }
  }, 60_000);

  test('without faults the story takes its shortest way', async () => {
    const { faults, turns } = await tell(1, noFaults);
    expect(faults).toEqual([]);
    expect(turns).toBeLessThan(300);
  });

  test('the checkers see what is lost: a network that carries nothing ends in faults', async () => {
    const { faults } = await tell(2, { ...harshFaults, requestLost: 1 }, { calm: false });
    expect(faults.some((fault) => fault.includes('never ended') || fault.includes('FAILED'))).toBe(true);
  }, 60_000);
});
