/** A long poll over a reader: takes what is there, else sleeps until something comes, the time is over, or the caller gives up (B6). */
import type { LogRecord } from '../engine.ts';
import type { Clock } from '../../host/clock.ts';
import type { TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { BridgeLimits } from './config.ts';
import type { KafkaReader } from './reader.ts';

export type Poll = {
  readonly budget: { readonly recordsMax: number; readonly charsMax: number };
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** True when this poll's reader was taken away; it then ends with nothing. */
  readonly ended?: () => boolean;
  /** False while partitions may still come; throws where they will not. */
  readonly settled?: () => boolean;
  /** Where the partitions end now. */
  readonly ends: () => Promise<readonly TopicPartitionOffset[]>;
};

const nothing: readonly LogRecord[] = [];

export const pollReader = async (reader: KafkaReader, poll: Poll, { clock, limits }: { clock: Clock; limits: BridgeLimits }): Promise<readonly LogRecord[]> => {
  const deadline = clock.now() + poll.timeoutMs;
  const patience = Date.now() + limits.settleMsMax;
  let ends: readonly TopicPartitionOffset[] | undefined;
  // Each turn ends in records, in the end of the poll, or in a sleep up to the deadline.
  for (;;) {
    if (poll.signal?.aborted === true || poll.ended?.() === true) return nothing;
    const records = reader.take(poll.budget);
    if (records.length > 0) return records;
    const left = deadline - clock.now();
    const settled = poll.settled?.() ?? true;
    // A poll that waits for nothing still gives what is there: what stood in Kafka when it came.
    if (left <= 0 && settled) {
      if (poll.timeoutMs > 0) return nothing;
      ends ??= await poll.ends();
      if (reader.reached(ends) && !reader.ready) return nothing;
    }
    const patienceLeft = patience - Date.now();
    if (left <= 0 && patienceLeft <= 0) return nothing;
    if (!reader.ready) await sleep(reader, { clock, left, patienceLeft, signal: poll.signal });
  }
};

type Sleep = { readonly clock: Clock; readonly left: number; readonly patienceLeft: number; readonly signal: AbortSignal | undefined };

const sleep = (reader: KafkaReader, { clock, left, patienceLeft, signal }: Sleep): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const finish = (): void => {
      forget();
      cancel();
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const forget = reader.watch(finish);
    const cancel = left > 0 ? clock.after(left, finish) : () => {};
    const timer = left > 0 ? undefined : setTimeout(finish, Math.max(1, patienceLeft));
    signal?.addEventListener('abort', finish, { once: true });
  });
