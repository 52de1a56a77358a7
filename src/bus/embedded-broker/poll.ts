/** A long poll: takes what is there, else sleeps until something comes, the time is over, or the caller gives up (B6). */
import type { Clock } from '../../host/clock.ts';
import type { ColdFrames } from './cold-frames.ts';
import type { Budget, Reader } from './reader.ts';
import type { LogRecord, Location } from './record.ts';

export type Poll = {
  readonly budget: Budget;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** True when this poll's reader was taken away; it then ends with nothing. */
  readonly ended?: () => boolean;
};

const nothing: readonly LogRecord[] = [];

export const pollReader = async (reader: Reader, poll: Poll, powers: { clock: Clock; cold: ColdFrames }): Promise<readonly LogRecord[]> => {
  const { clock, cold } = powers;
  const deadline = clock.now() + poll.timeoutMs;
  // Each turn ends in records, in the end of the poll, or in a sleep up to the deadline.
  for (;;) {
    // Before taking: what is taken must reach somebody.
    if (poll.signal?.aborted === true || poll.ended?.() === true) return nothing;
    const records = await takeRecords(reader, poll.budget, cold);
    if (records.length > 0) return records;
    const left = deadline - clock.now();
    if (left <= 0) return nothing;
    if (!reader.ready) await sleep(reader, clock, left, poll.signal);
  }
};

/** What is there now, read back from the log where memory no longer holds it. */
export const takeRecords = async (reader: Reader, budget: Budget, cold: ColdFrames): Promise<readonly LogRecord[]> => {
  let failed: Location | undefined;
  for (;;) {
    const taken = reader.take(budget, cold.find);
    if (taken.type === 'records') return taken.records;
    const { location } = taken;
    await cold.load(location).catch((error: unknown) => {
      // Retention may have moved the record while its old place was read; then it is found elsewhere now.
      if (failed === location) throw error;
      failed = location;
    });
  }
};

const sleep = (reader: Reader, clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    // It may have fired while the poll looked for records: then no event comes any more.
    if (signal?.aborted === true) return resolve();
    const finish = (): void => {
      reader.onWake(undefined);
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(ms, finish);
    signal?.addEventListener('abort', finish, { once: true });
    reader.onWake(finish);
  });
