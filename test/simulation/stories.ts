/** The seeds of one half of the simulation: each half runs in a process of its own. */
import { expect, test } from 'vitest';
import { tell } from './story.ts';

/** Seeds in all; `CORDAGE_SIMULATION_SEEDS` asks for more, `CORDAGE_SIMULATION_FROM` for others. */
const seedsTotal = Number(process.env['CORDAGE_SIMULATION_SEEDS'] ?? 1_000);
const seedFirst = Number(process.env['CORDAGE_SIMULATION_FROM'] ?? 1);

export const tellHalf = (half: 0 | 1): void => {
  const seeds = Array.from({ length: seedsTotal }, (_, i) => seedFirst + i).filter((seed) => seed % 2 === half);
  test(`${seeds.length} seeds of faults: every flow ends once with what it was told, in order, and nothing is parked`, async () => {
    const failed: string[] = [];
    for (const seed of seeds) {
      const { faults } = await tell(seed);
      if (faults.length > 0) failed.push(`seed ${seed} (again alone: CORDAGE_SIMULATION_FROM=${seed} CORDAGE_SIMULATION_SEEDS=1): ${faults.join('; ')}`);
    }
    expect(failed).toEqual([]);
  }, 600_000);
};
