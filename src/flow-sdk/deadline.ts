/** Deadlines: work that is given up when its time is over. */
import { FlowPlatformError } from './errors.ts';
import type { ContextHost } from './operations.ts';
import { perform } from './perform.ts';

/** The longest a flow may sleep or work: a leap year, in milliseconds. */
const durationMsMax = 366 * 24 * 60 * 60 * 1000;

export const checkDuration = (what: string, durationMs: number): void => {
  if (durationMs >= 0 && durationMs <= durationMsMax) return;
  throw new FlowPlatformError('OPERATION_INVALID', `${what} takes 0 to ${durationMsMax} milliseconds, not ${String(durationMs)}`);
};

/**
 * Runs the work with a host whose pending operations are given up when the time is over; the timer is given up when the work is
 * done before. Neither leaves anything pending behind.
 */
export const withDeadline = async <Result>(host: ContextHost, durationMs: number, work: (host: ContextHost) => Promise<Result>): Promise<Result> => {
  checkDuration('a deadline', durationMs);
  const timer = host.openScope();
  const scope = host.openScope();
  const late = perform(timer.host, 'sleep', { durationMs }).then((): never => {
    const message = `the work was not done within ${durationMs} ms`;
    scope.cancel({ code: 'DEADLINE_EXCEEDED', message });
    throw new FlowPlatformError('DEADLINE_EXCEEDED', message);
  });
  // Given up below, when the work was quicker.
  late.catch(() => {});
  try {
    return await Promise.race([work(scope.host), late]);
  } finally {
    timer.cancel({ code: 'DEADLINE_EXCEEDED', message: 'the work is over' });
  }
};
