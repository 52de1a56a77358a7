/** One timer for the earliest of many times. */
import type { Clock } from '../../host/clock.ts';

export type Alarm = {
  /** Rings at this time, unless it is set for a sooner one already. */
  set(time: number): void;
  stop(): void;
};

export const createAlarm = (clock: Clock, ring: () => void): Alarm => {
  let cancel = (): void => {};
  let setFor = Infinity;
  const fire = (): void => {
    setFor = Infinity;
    ring();
  };
  return {
    set: (time) => {
      if (time >= setFor) return;
      cancel();
      setFor = time;
      cancel = clock.after(Math.max(time - clock.now(), 0), fire);
    },
    stop: () => {
      cancel();
      // Nothing is sooner than this, so it is never set again.
      setFor = -Infinity;
    },
  };
};
