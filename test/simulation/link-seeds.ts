/** The seeds of one half of the link simulation: each half runs in a process of its own. */
import { expect, test } from 'vitest';
import { tellLinkStory } from './link-story.ts';

/** Seeds in all; `CORDAGE_SIMULATION_LINK_SEEDS` asks for more, `CORDAGE_SIMULATION_FROM` for others. */
const seedsTotal = Number(process.env['CORDAGE_SIMULATION_LINK_SEEDS'] ?? 2_000);
const seedFirst = Number(process.env['CORDAGE_SIMULATION_FROM'] ?? 1);

/** What somebody on the path must have been refused for, or the story attacks nothing. */
const refusalsExpected = ['replayed-counter', 'bad-mac', 'malformed-packet', 'unknown-session', 'out-of-turn', 'wrong-tag', 'cookie-asked', 'simultaneous-hello', 'notice-ignored', 'bad-choice'];

export const tellHalfOfLinks = (half: 0 | 1): void => {
  const seeds = Array.from({ length: seedsTotal }, (_, i) => seedFirst + i).filter((seed) => seed % 2 === half);
  test(`${seeds.length} seeds of sessions under attack: each message once and in order, or its sender told; nothing forged is heard`, async () => {
    const failed: string[] = [];
    const refusals = new Set<string>();
    let sessions = 0;
    for (const seed of seeds) {
      const told = await tellLinkStory(seed);
      sessions += told.sessions;
      for (const refusal of told.refusals) refusals.add(refusal);
      if (told.faults.length > 0) failed.push(`seed ${seed} (again alone: CORDAGE_SIMULATION_FROM=${seed} CORDAGE_SIMULATION_LINK_SEEDS=1): ${told.faults.join('; ')}`);
    }
    expect(failed).toEqual([]);
    if (seeds.length < 100) return;
    expect(sessions).toBeGreaterThan(3 * seeds.length);
    expect([...refusals]).toEqual(expect.arrayContaining(refusalsExpected));
  }, 600_000);
};
