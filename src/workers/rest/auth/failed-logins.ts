/** Counts wrong passwords in a window of time, so that guessing is slow; a login that succeeded does not count. */
import type { Clock } from '../../../host/clock.ts';
import type { RestLimits } from '../config.ts';

export type FailedLogins = {
  /** Seconds until the next try is allowed; 0 when it is now. */
  waitSeconds(login: string, address: string): number;
  /** Counts a try as failed before it is checked, so that tries at the same time are bounded too. */
  add(login: string, address: string): void;
  /** The try succeeded after all. */
  forgive(login: string, address: string): void;
};

type Window = { readonly since: number; count: number };

export const createFailedLogins = (clock: Clock, limits: RestLimits): FailedLogins => {
  // In order of beginning: the oldest window goes first when there are too many.
  const windows = new Map<string, Window>();

  /** One person at one place is bounded soonest; one place that tries many logins, and one login tried from many places, later. */
  const countsOf = (login: string, address: string): readonly (readonly [key: string, max: number])[] => [
    [`pair ${login} ${address}`, limits.failedLoginsPerPairMax],
    [`address ${address}`, limits.failedLoginsPerAddressMax],
    [`login ${login}`, limits.failedLoginsPerLoginMax],
  ];
  const windowOf = (key: string): Window | undefined => {
    const window = windows.get(key);
    if (window === undefined || clock.now() - window.since < limits.failedLoginWindowMs) return window;
    windows.delete(key);
    return undefined;
  };
  return {
    waitSeconds: (login, address) => {
      const waits = countsOf(login, address).map(([key, max]) => {
        const window = windowOf(key);
        return window === undefined || window.count < max ? 0 : window.since + limits.failedLoginWindowMs - clock.now();
      });
      return Math.ceil(Math.max(...waits) / 1000);
    },
    add: (login, address) => {
      for (const [key] of countsOf(login, address)) {
        const window = windowOf(key);
        if (window !== undefined) window.count++;
        else windows.set(key, { since: clock.now(), count: 1 });
      }
      for (const oldest of windows.keys()) {
        if (windows.size <= 3 * limits.failedLoginsTrackedMax) return;
        windows.delete(oldest);
      }
    },
    forgive: (login, address) => {
      for (const [key] of countsOf(login, address)) {
        const window = windowOf(key);
        if (window !== undefined) window.count--;
      }
    },
  };
};
