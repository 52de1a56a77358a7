/** A long poll: takes what is there, else sleeps until something comes, the time is over, or the caller gives up (B6). */
import type { Clock } from '../../host/clock.ts';
import type { ColdFrames } from './cold-frames.ts';
import type { Budget, Reader, Taken } from './reader.ts';
import type { LogRecord } from '../engine.ts';
import type { Location } from './record.ts';

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
    const taking = takeRecords(reader, poll.budget, cold);
    const records = taking instanceof Promise ? await taking : taking;
    if (records.length > 0) return records;
    const left = deadline - clock.now();
    if (left <= 0) return nothing;
    if (!reader.ready) await sleep(reader, clock, left, poll.signal);
  }
};

/** What is there now, read back from the log where memory no longer holds it; a promise only where it is, or others take before. */
export const takeRecords = (reader: Reader, budget: Budget, cold: ColdFrames): readonly LogRecord[] | Promise<readonly LogRecord[]> => {
  const take = (): readonly LogRecord[] | Promise<readonly LogRecord[]> => {
    const first = reader.take(budget, cold.find);
    return first.cold === undefined ? first.records : takeCold(reader, budget, { cold, first });
  };
  if (!reader.isFree) return reader.inTurn(async () => take());
  const taking = take();
  return taking instanceof Promise ? reader.inTurn(() => taking) : taking;
};

const takeCold = async (reader: Reader, budget: Budget, { cold, first }: { cold: ColdFrames; first: Taken }): Promise<readonly LogRecord[]> => {
  const { records } = first;
  let { chars } = first;
  let missing = first.cold;
  let failed: Location | undefined;
  // Each turn loads a frame that holds the next record, so it ends with the budget or with the records.
  while (missing !== undefined) {
    const location = missing;
    await cold.load(location).catch((error: unknown) => {
      // Retention may have moved the record while its old place was read; then it is found elsewhere now.
      if (failed === location) throw error;
      failed = location;
    });
    const recordsMax = budget.recordsMax - records.length;
    const charsMax = budget.charsMax - chars;
    if (recordsMax <= 0 || charsMax <= 0) break;
    const taken = reader.take({ recordsMax, charsMax }, cold.find);
    // Alone in its batch a record may be longer than the bound; behind others it is taken all the same, once.
    for (const record of taken.records) records.push(record);
    chars += taken.chars;
    missing = taken.cold;
  }
  return records;
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
