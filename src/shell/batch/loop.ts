/**
 * Polls and handles, batch after batch, until it is stopped. Operational errors make it wait and go on; nothing that was
 * polled is dropped, because a batch that failed is continued before anything new is polled.
 */
import { BusError, type Consumer } from '../../bus/bus.ts';
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

const timeToPoll = ({ batch, clock, limits }: LoopOptions): number =>
  Math.min(Math.max((batch.readyAt() ?? Infinity) - clock.now(), 0), limits.pollWaitMsMax);

export const startLoop = (options: LoopOptions): Loop => {
  const { name, consumer, batch, clock, log, limits, random } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let fault: unknown;
  let tries = 0;
  /** A batch that failed goes on before anything new is polled. */
  let unfinished = false;

  const turn = async (): Promise<void> => {
    const isFull = batch.heldCount() >= limits.recordsHeldMax;
    if (isFull) await pause(clock, timeToPoll(options), signal);
    const polls = !unfinished && !isFull;
    // A loop that has failed only looks, so that it soon knows whether it works again.
    const timeoutMs = fault === undefined ? timeToPoll(options) : 0;
    const records = polls ? await consumer.poll({ timeoutMs, recordsMax: limits.recordsPerPollMax, signal }) : [];
    unfinished = true;
    await batch.handleBatch(records);
    unfinished = false;
    // Only a poll shows that the bus is back: a batch with nothing to do succeeds without it.
    if (!polls || fault === undefined) return;
    log.info('loop-recovered', { name, tries });
    fault = undefined;
    tries = 0;
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await turn();
      } catch (error) {
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
      const inTime = new AbortController();
      await Promise.race([running.then(batch.committed).catch(() => {}), pause(clock, limits.stopMsMax, inTime.signal)]);
      inTime.abort();
      await consumer.close();
    },
  };
};
