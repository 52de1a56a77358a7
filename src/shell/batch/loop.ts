/**
 * Polls and handles, batch after batch, until it is stopped. While batches are under way it polls the next, up to what they allow.
 * Operational errors make it wait and go on; nothing that was polled is dropped, because a batch that failed is continued, alone,
 * before anything new is polled.
 */
import { BusError, type Consumer } from '../../bus/bus.ts';
import type { HeardRecord } from '../../messages/grammar/record.ts';
import { pause, type Clock } from '../../host/clock.ts';
import type { Log } from '../../observability/log.ts';
import { backOffMs, type ShellLimits } from '../config.ts';
import type { Batch } from '../machine-batch.ts';
import { messageOf, needsAttention } from '../operational.ts';

export type Status = 'UP' | 'DOWN' | 'ERROR';
export type Health = { readonly status: Status; readonly detail: string };

export type LoopOptions = {
  /** What it hears, for logs and health. */
  readonly name: string;
  readonly consumer: Consumer;
  readonly batch: Batch;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ShellLimits;
  readonly random: () => number;
};

export type Loop = {
  health(): Health;
  /** Finishes the batch in work, commits, leaves the group. */
  stop(): Promise<void>;
};

export const healthOf = (name: string, fault: unknown): Health =>
  fault === undefined
    ? { status: 'UP', detail: name }
    : { status: needsAttention(fault) ? 'ERROR' : 'DOWN', detail: `${name}: ${messageOf(fault)}; it is tried again` };

const isClosed = (error: unknown): boolean => error instanceof BusError && error.code === 'BUS_CLOSED';

/** What is ready already is the business of a batch under way, where there is one. */
const timeToPoll = ({ batch, clock, limits }: LoopOptions, isUnderWay: boolean): number => {
  const waitMs = (batch.readyAt() ?? Infinity) - clock.now();
  if (waitMs <= 0 && !isUnderWay) return 0;
  return waitMs <= 0 ? limits.pollWaitMsMax : Math.min(waitMs, limits.pollWaitMsMax);
};

type UnderWay = {
  /** Resolves when fewer batches are under way; throws what one of them threw. */
  fewerThan(count: number): Promise<void>;
  start(handling: Promise<void>): void;
  count(): number;
  /** Resolves when none is under way, with whether one had failed. */
  end(): Promise<boolean>;
};

/** Batches that have been started and not ended. `ended` is told of each end. */
const createUnderWay = (ended: (failed: boolean) => void): UnderWay => {
  const handlings = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const check = (): void => {
    if (failure !== undefined) throw failure.error;
  };
  const settle = async (handling: Promise<void>): Promise<void> => {
    try {
      await handling;
    } catch (error) {
      failure ??= { error };
    }
    ended(failure !== undefined);
  };
  return {
    fewerThan: async (count) => {
      check();
      while (handlings.size >= count) await Promise.race(handlings);
      check();
    },
    start: (handling) => {
      const mine = settle(handling).then(() => void handlings.delete(mine));
      handlings.add(mine);
    },
    count: () => handlings.size,
    end: async () => {
      await Promise.all(handlings);
      const failed = failure !== undefined;
      failure = undefined;
      return failed;
    },
  };
};

/**
 * Begins a batch. What has little to do while others are in work waits a moment for more (Kafka: `linger.ms`), since a batch costs
 * much whatever is in it, and callers that were answered together come again together.
 */
const begin = async ({ batch, clock, consumer, limits }: LoopOptions, underWay: UnderWay, records: readonly HeardRecord[], signal: AbortSignal): Promise<void> => {
  const lingerMs = batch.lingerMs?.() ?? 0;
  if (lingerMs === 0 || records.length === 0 || records.length >= limits.lingerRecordsMax) return underWay.start(batch.handleBatch(records));
  let more: readonly HeardRecord[] = [];
  try {
    await pause(clock, lingerMs, signal);
    more = await consumer.poll({ timeoutMs: 0, recordsMax: limits.recordsPerPollMax });
  } finally {
    // What was polled is handled, whatever became of the second poll.
    underWay.start(batch.handleBatch([...records, ...more]));
  }
};

export const startLoop = (options: LoopOptions): Loop => {
  const { name, consumer, batch, clock, log, limits, random } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let fault: unknown;
  let tries = 0;
  /** A batch that failed goes on before anything new is polled. */
  let unfinished = false;
  /** Ends a long poll. */
  let interrupt = new AbortController();
  // What a batch has left behind for a later time, the poll that began before could not know of; nor of its failure.
  const underWay = createUnderWay((failed) => {
    if (failed || batch.readyAt() !== undefined) interrupt.abort();
  });

  /** Alone, after a failure: goes on with what failed, then looks whether the loop works again. */
  const recover = async (): Promise<void> => {
    if (unfinished) await batch.handleBatch([]);
    unfinished = false;
    // Only a poll shows that the bus is back: a batch with nothing to do succeeds without it.
    const records = await consumer.poll({ timeoutMs: 0, recordsMax: limits.recordsPerPollMax });
    unfinished = true;
    await batch.handleBatch(records);
    unfinished = false;
    log.info('loop-recovered', { name, tries });
    fault = undefined;
    tries = 0;
  };
  const turn = async (): Promise<void> => {
    await underWay.fewerThan(batch.atOnceMax);
    if (batch.heldCount() >= limits.recordsHeldMax) {
      // What is under way may make room; else it comes with time.
      if (underWay.count() > 0) return underWay.fewerThan(underWay.count());
      await pause(clock, timeToPoll(options, false), signal);
      return underWay.start(batch.handleBatch([]));
    }
    if (signal.aborted) return;
    if (interrupt.signal.aborted) interrupt = new AbortController();
    const timeoutMs = timeToPoll(options, underWay.count() > 0);
    const records = await consumer.poll({ timeoutMs, recordsMax: limits.recordsPerPollMax, signal: interrupt.signal });
    if (records.length === 0 && interrupt.signal.aborted) return;
    await begin(options, underWay, records, signal);
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await (fault === undefined ? turn() : recover());
      } catch (error) {
        // A fault of one may be a fault of all: nothing new begins before they have ended.
        unfinished = (await underWay.end()) || unfinished;
        if (signal.aborted) return;
        fault = error;
        (needsAttention(error) ? log.error : log.warn)('loop-failed', { name, tries, error });
        if (isClosed(error)) return;
        await pause(clock, backOffMs(tries++, limits.retryDelayMsMin, limits.retryDelayMsMax, random), signal);
      }
    }
  };
  const running = run();

  return {
    health: () => healthOf(name, fault),
    stop: async () => {
      stopping.abort();
      interrupt.abort();
      const inTime = new AbortController();
      await Promise.race([running.then(underWay.end).then(batch.committed).catch(() => {}), pause(clock, limits.stopMsMax, inTime.signal)]);
      inTime.abort();
      await consumer.close();
    },
  };
};
