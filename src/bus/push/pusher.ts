/**
 * The pushing side: a consumer of a group that hands its records to a URL (push.ts). One batch at a time, in order; offsets are
 * committed when the worker has answered 2xx, so what it did not take is pushed again, by this process or by the next.
 */
import { pause, type Clock } from '../../host/clock.ts';
import type { HttpAnswer, HttpClient } from '../../host/http-client.ts';
import { streamOf, type InRecord, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Bus, Consumer } from '../bus.ts';
import { pushCharsMax, pushRecordsMax, pushSignatureHeader, writePush } from './push.ts';

export type Subscription = {
  /** The room that is pushed to: its consumer group. */
  readonly group: string;
  readonly topics: readonly string[];
  readonly url: string;
  readonly secret: string;
  /** PEM certificates that the worker's must chain to; empty trusts what the platform trusts. */
  readonly trustRootsPem?: readonly string[];
};

export type PusherOptions = {
  readonly bus: Pick<Bus, 'consume'>;
  readonly subscription: Subscription;
  readonly instance: string;
  readonly httpClient: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<PusherLimits>;
};

export type PusherLimits = {
  /** Milliseconds to wait for a first record. */
  readonly pollMsMax: number;
  /** Milliseconds for the worker to answer: it may be started for this request. */
  readonly answerMsMax: number;
  /** Milliseconds before a batch that was not taken is pushed again: doubles up to the maximum. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /** Milliseconds of patience that a worker may ask for. */
  readonly retryAfterMsMax: number;
  /** Milliseconds that the request under way may take when the pusher ends. */
  readonly closeMsMax: number;
};

const limitsDefault: PusherLimits = { pollMsMax: 30_000, answerMsMax: 30_000, retryMsMin: 100, retryMsMax: 30_000, retryAfterMsMax: 60_000, closeMsMax: 2_000 };

export type Pusher = {
  /** Waits a while for the request under way and leaves the group; what was not acknowledged is pushed again by whoever comes next. */
  close(): Promise<void>;
};

/** The first records that fit into one request; at least one. */
const fittingCount = (records: readonly InRecord[]): number => {
  let chars = 0;
  let count = 0;
  while (count < records.length && count < pushRecordsMax) {
    chars += records[count]!.value.length;
    if (count > 0 && chars > pushCharsMax) break;
    count++;
  }
  return count;
};

/** Where to read next in each partition. */
const positionsAfter = (records: readonly InRecord[]): TopicPartitionOffset[] => {
  const next = new Map<string, TopicPartitionOffset>();
  for (const { topic, partition, offset } of records) next.set(streamOf({ topic, partition }), { topic, partition, offset: offset + 1 });
  return [...next.values()];
};

const isTaken = (answer: HttpAnswer): boolean => answer.type === 'answered' && answer.status >= 200 && answer.status < 300;

export const startPusher = (options: PusherOptions): Pusher => {
  const { subscription, clock, log, metrics, bus, instance, httpClient } = options;
  const limits = { ...limitsDefault, ...options.limits };
  const { group, topics, url, secret, trustRootsPem = [] } = subscription;
  const pushed = metrics.counter('cordage_push_records_total', 'Records that a pushed worker took');
  const refused = metrics.counter('cordage_push_requests_failed_total', 'Requests that a pushed worker did not take');
  const closing = new AbortController();
  const { signal } = closing;
  const consumer: Consumer = bus.consume({ group, instance, topics });
  let failures = 0;

  const rest = async (askedMs = 0): Promise<void> => {
    const own = Math.min(limits.retryMsMin * 2 ** Math.min(failures++, 20), limits.retryMsMax);
    await pause(clock, Math.max(own, Math.min(askedMs, limits.retryAfterMsMax)), signal);
  };
  /** Until the worker has taken it, or we end. */
  const push = async (records: readonly InRecord[]): Promise<void> => {
    while (!signal.aborted) {
      const { body, signature } = writePush(records, { secret, now: clock.now() });
      const answer = await httpClient.post({ url, body, headers: { [pushSignatureHeader]: signature }, trustRootsPem, timeoutMs: limits.answerMsMax });
      if (isTaken(answer)) {
        failures = 0;
        pushed.add(records.length, { group });
        return await consumer.commit(positionsAfter(records));
      }
      refused.add(1, { group });
      log.warn('bus.push-not-taken', { group, url, records: records.length, answer, next: 'it is pushed again' });
      await rest(answer.type === 'answered' ? (answer.retryAfterSeconds ?? 0) * 1_000 : 0);
    }
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        let records = await consumer.poll({ timeoutMs: limits.pollMsMax, recordsMax: pushRecordsMax, signal });
        while (records.length > 0 && !signal.aborted) {
          const count = fittingCount(records);
          await push(records.slice(0, count));
          records = records.slice(count);
        }
      } catch (error) {
        if (signal.aborted) return;
        log.warn('bus.push-poll-failed', { group, error });
        await rest();
      }
    }
  };
  const running = run();
  return {
    close: async () => {
      closing.abort();
      // Cutting the connection ends a request that nobody answers.
      const cancel = clock.after(limits.closeMsMax, () => void httpClient.close());
      await running;
      cancel();
      await httpClient.close();
      await consumer.close();
    },
  };
};
