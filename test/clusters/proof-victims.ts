/** Kills what it is given with SIGKILL, one after the other by chance, and starts each again: workers, brokers, the database. */
import { createRandom } from '../simulation/random.ts';

export type Victim = {
  readonly name: string;
  /** Resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves when it serves again. */
  start(): Promise<void>;
  /** Victims of one group are killed one at a time: brokers that keep each other's records. */
  readonly group?: string;
};

export type KillPlan = {
  readonly seed: number;
  /** Kills begin after the first so many milliseconds, with such pauses between them. */
  readonly everyMs: readonly [min: number, max: number];
  /** How long a victim stays away. */
  readonly awayMs: readonly [min: number, max: number];
  /** As many may be away at once. */
  readonly awayMax: number;
  /** So many at most, and none afterwards. */
  readonly killsMax: number;
};

export type Killing = {
  /** How often each was killed. */
  readonly counts: Readonly<Record<string, number>>;
  readonly total: () => number;
  /** Kills no more, and resolves when all are back. Throws what kept one from coming back. */
  stop(): Promise<void>;
};

const pauseUntil = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

export const startKilling = (victims: readonly Victim[], plan: KillPlan, say: (line: string) => void): Killing => {
  const random = createRandom(plan.seed);
  const between = ([min, max]: readonly [number, number]): number => min + random.below(max - min + 1);
  const stopping = new AbortController();
  const counts: Record<string, number> = {};
  const away = new Map<Victim, Promise<void>>();
  let total = 0;

  const strike = async (victim: Victim, awayMs: number): Promise<void> => {
    await victim.kill();
    await pauseUntil(awayMs, stopping.signal);
    await victim.start();
    away.delete(victim);
  };

  const choose = (): Victim | undefined => {
    const groupsAway = new Set([...away.keys()].flatMap(({ group }) => group ?? []));
    const free = victims.filter((victim) => !away.has(victim) && (victim.group === undefined || !groupsAway.has(victim.group)));
    return free.length === 0 || away.size >= plan.awayMax ? undefined : random.pick(free);
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted && total < plan.killsMax) {
      await pauseUntil(between(plan.everyMs), stopping.signal);
      const victim = stopping.signal.aborted ? undefined : choose();
      if (victim === undefined) continue;
      total++;
      counts[victim.name] = (counts[victim.name] ?? 0) + 1;
      const struck = strike(victim, between(plan.awayMs));
      // Whoever stops the killing hears of a failure; nobody else waits for it.
      struck.catch((error: unknown) => say(`${victim.name} did not come back: ${error instanceof Error ? error.message : String(error)}`));
      away.set(victim, struck);
    }
  };
  const running = run();
  return {
    counts,
    total: () => total,
    stop: async () => {
      stopping.abort();
      await running;
      await Promise.all(away.values());
    },
  };
};
