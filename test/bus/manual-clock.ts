/** A clock that stands still until it is told, so that what happens without it is not owed to time. */
import type { Clock } from '../../src/host/clock.ts';

export type ManualClock = Clock & {
  /** Moves on and calls back what is due, in order. */
  advance(ms: number): void;
  /** Resolves when somebody waits for exactly this delay. */
  untilAfter(delayMs: number): Promise<void>;
};

type Timer = { readonly dueAt: number; readonly delayMs: number; readonly callback: () => void };

export const createManualClock = (startAt = 1_700_000_000_000): ManualClock => {
  let now = startAt;
  const timers = new Set<Timer>();
  const watchers = new Set<{ delayMs: number; resolve: () => void }>();
  const tellWatchers = (): void => {
    for (const watcher of watchers) {
      if (![...timers].some(({ delayMs }) => delayMs === watcher.delayMs)) continue;
      watchers.delete(watcher);
      watcher.resolve();
    }
  };
  return {
    now: () => now,
    after: (delayMs, callback) => {
      const timer = { dueAt: now + delayMs, delayMs, callback };
      timers.add(timer);
      tellWatchers();
      return () => timers.delete(timer);
    },
    advance: (ms) => {
      const until = now + ms;
      for (;;) {
        const [next] = [...timers].filter(({ dueAt }) => dueAt <= until).sort((a, b) => a.dueAt - b.dueAt);
        if (next === undefined) break;
        timers.delete(next);
        now = Math.max(now, next.dueAt);
        next.callback();
      }
      now = until;
    },
    untilAfter: (delayMs) =>
      new Promise((resolve) => {
        watchers.add({ delayMs, resolve });
        tellWatchers();
      }),
  };
};
