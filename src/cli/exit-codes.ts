/** What the exit status of `cordage` means; docs/cli.md lists the same. */
import { RestError, RestUnreachable } from '../rest-client/rest-client.ts';
import { WaitFailed, WaitTimeout } from '../rest-client/waits.ts';

export const exitCodes = {
  done: 0,
  /** The cluster refuses: what was asked for is wrong, missing, there already, or cannot be done now. */
  refused: 1,
  usage: 2,
  /** Nobody answers, or the cluster cannot answer just now (503). */
  unreachable: 3,
  /** The login is wrong (401), or may not do this (403). */
  forbidden: 4,
  /** What was waited for has failed, or did not come in time. */
  waitedInVain: 5,
  /** The cluster failed (500). */
  failed: 6,
  /** Done as far as it goes: an operator elsewhere must act before it goes on. */
  othersTurn: 7,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodeOf = (error: unknown): ExitCode => {
  if (error instanceof RestUnreachable) return exitCodes.unreachable;
  if (error instanceof WaitFailed || error instanceof WaitTimeout) return exitCodes.waitedInVain;
  if (!(error instanceof RestError)) return exitCodes.refused;
  if (error.status === 401 || error.status === 403) return exitCodes.forbidden;
  if (error.status === 502 || error.status === 503 || error.status === 504) return exitCodes.unreachable;
  return error.status >= 500 ? exitCodes.failed : exitCodes.refused;
};
