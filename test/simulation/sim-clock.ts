/** Time that moves only when the simulator says so. */
import type { Clock } from '../../src/host/clock.ts';

export type SimClock = Clock & {
  /** Moves to the next timer and fires it; false when there is none. */
  advance(): boolean;
  /** Lets this much time pass, firing what comes due. */
  pass(durationMs: number): void;
};

type Timer = { readonly at: number; readonly order: number; readonly callback: () => void };

export const createSimClock = (start = 1_800_000_000_000): SimClock => {
  let now = start;
  let order = 0;
  const timers = new Set<Timer>();
  const earliest = (): Timer | undefined => {
    let first: Timer | undefined;
    for (const timer of timers) if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    return first;
  };
  const fire = (timer: Timer): void => {
    timers.delete(timer);
    now = Math.max(now, timer.at);
    timer.callback();
  };
  return {
    now: () => now,
    after: (delayMs, callback) => {
      const timer: Timer = { at: now + Math.max(0, delayMs), order: order++, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance: () => {
      const first = earliest();
      if (first === undefined) return false;
      fire(first);
      return true;
    },
    pass: (durationMs) => {
      const end = now + durationMs;
      for (let first = earliest(); first !== undefined && first.at <= end; first = earliest()) fire(first);
      now = end;
    },
  };
};

/** A clock that is off by a constant: one cluster's clock seen beside the other's. */
export const skewed = (clock: Clock, skewMs: number): Clock => ({ now: () => clock.now() + skewMs, after: clock.after });
