/** What a process needs to begin may be away, or not there yet: then it waits, says for what, and does not end. */
import { pause, type Clock } from '../src/host/clock.ts';
import type { Log } from '../src/observability/log.ts';
import { backOffMs, shellConfigDefault } from '../src/shell/config.ts';
import { isOperational } from '../src/shell/operational.ts';

export type Patience = { readonly clock: Clock; readonly log: Log };

/** A bus or a database that is away for longer has somebody's attention; the process ends and is started again, in vain or not. */
const waitMsMax = 300_000;

/** The work, tried again while it fails for what passes by itself. */
export const patiently = async <Result>(what: string, { clock, log }: Patience, work: () => Promise<Result>): Promise<Result> => {
  const { retryDelayMsMin, retryDelayMsMax } = shellConfigDefault;
  const until = clock.now() + waitMsMax;
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const delayMs = backOffMs(tries, retryDelayMsMin, retryDelayMsMax, Math.random);
      if (!isOperational(error) || clock.now() + delayMs >= until) throw error;
      log.warn('start-waits', { what, tries, error });
      await pause(clock, delayMs);
    }
  }
};
