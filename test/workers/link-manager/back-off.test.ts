import { expect, test } from 'vitest';
import { backOff } from '../../../src/workers/link-manager/back-off.ts';

test('a wait doubles up to its bound, a quarter longer or shorter, the same for the same thing and spread over others', () => {
  const wait = (of: string, repeats: number): number => backOff({ of, repeats, min: 1_000, max: 60_000 });
  for (const [repeats, middle] of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].entries()) {
    const waits = Array.from({ length: 200 }, (_, i) => wait(`session ${i}`, repeats));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(middle * 0.75);
    expect(Math.max(...waits)).toBeLessThan(middle * 1.25 + 1);
    // Spread over the whole breadth, not in two heaps.
    expect(new Set(waits.map((value) => Math.floor((value / middle) * 20))).size).toBeGreaterThanOrEqual(10);
    expect(wait('session 7', repeats)).toBe(waits[7]);
  }
});
