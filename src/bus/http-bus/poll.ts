/**
 * A long poll over HTTP that its caller can leave: the request is cancelled at the server, and what it brings all the same is
 * kept for the next poll.
 */
import { BusError } from '../bus.ts';
import type { PollOptions } from '../bus.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import { attempt, inPath, postTo } from './client.ts';
import type { HttpBusPowers } from './client.ts';
import { httpBusLimits as limits } from './config.ts';

export type Poll<Options extends PollOptions> = {
  next(options: Options): Promise<readonly InRecord[]>;
  /** Ends what waits. `what` is closed, for the message to later callers. */
  close(what: string): Promise<void>;
};

const nothing: readonly InRecord[] = [];

export const createPoll = <Options extends PollOptions>(
  powers: HttpBusPowers,
  request: (name: string, options: Options) => Promise<readonly InRecord[]>,
): Poll<Options> => {
  const closing = new AbortController();
  let closed: string | undefined;
  let left: { readonly answer: Promise<readonly InRecord[]> } | undefined;

  const next = async (options: Options): Promise<readonly InRecord[]> => {
    if (closed !== undefined) throw new BusError('BUS_CLOSED', `this ${closed} is closed`);
    if (options.signal?.aborted === true) return nothing;
    if (left !== undefined) {
      const { answer } = left;
      left = undefined;
      const records = await answer;
      if (records.length > 0) return records;
    }
    const name = crypto.randomUUID();
    const answer = request(name, options);
    if (await endsFirst(answer, options.signal, closing.signal)) return answer;
    left = { answer };
    // Nobody may come for it.
    answer.catch(() => {});
    await cancelPoll(powers, name);
    return nothing;
  };

  return {
    next,
    close: async (what) => {
      closed = what;
      closing.abort();
    },
  };
};

/** True when the answer (or its failure) comes before a signal. */
const endsFirst = (answer: Promise<unknown>, ...signals: readonly (AbortSignal | undefined)[]): Promise<boolean> =>
  new Promise((resolve) => {
    const finish = (first: boolean): void => {
      for (const signal of signals) signal?.removeEventListener('abort', leave);
      resolve(first);
    };
    const leave = (): void => finish(false);
    for (const signal of signals) signal?.addEventListener('abort', leave, { once: true });
    answer.then(() => finish(true), () => finish(true));
  });

const cancelPoll = async (powers: HttpBusPowers, name: string): Promise<void> => {
  try {
    await attempt(powers, limits.leaveTimeoutMs, () => postTo(powers, ['cancel', inPath(name)]));
  } catch (error) {
    // The request then ends by its own time.
    powers.log.debug('bus.cancel_failed', { error });
  }
};
