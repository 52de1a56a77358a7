/** A clock that a test turns by hand. */
import type { Clock } from '../../../src/host/clock.ts';

export type ManualClock = Clock & {
  /** Runs what comes due, in order. */
  advance(ms: number): void;
  /** Resolves when somebody has asked to be called back after exactly this delay. */
  waitForTimer(delayMs: number): Promise<void>;
};

type Timer = { readonly at: number; readonly delayMs: number; readonly callback: () => void };

export const createManualClock = (startMs = 1_700_000_000_000): ManualClock => {
  let now = startMs;
  const timers = new Set<Timer>();
  const watchers = new Set<() => void>();
  return {
    now: () => now,
    after: (delayMs, callback) => {
      const timer = { at: now + delayMs, delayMs, callback };
      timers.add(timer);
      for (const watcher of watchers) watcher();
      return () => void timers.delete(timer);
    },
    advance: (ms) => {
      const until = now + ms;
      for (;;) {
        const next = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers.delete(next);
        now = Math.max(now, next.at);
        next.callback();
      }
      now = until;
    },
    waitForTimer: (delayMs) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (![...timers].some((timer) => timer.delayMs === delayMs)) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
      }),
  };
};
