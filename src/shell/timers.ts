/**
 * Wakes a machine's keys: asks the store which are due and publishes a wake record for each, so that order and ownership
 * come from the partition as for any other record. One timer is set, for the next due time; nothing polls.
 *
 * Every replica does this for every key; wakes of one due time are equal, and the second is dropped by the batch as out of
 * date. A key whose replica died is found by asking again at a bounded interval.
 */
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../host/clock.ts';
import { deriveId } from '../identity/derive.ts';
import { encode } from '../messages/grammar/envelope.ts';
import type { Room, Wire } from '../messages/grammar/wire.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createAlarm } from './batch/alarm.ts';
import { createShellMetrics, type ShellMetrics } from './batch/metrics.ts';
import type { SavedDueAt } from './batch/round.ts';
import { backOffMs, type ShellLimits } from './config.ts';
import type { StateStore } from './store.ts';

export type TimersOptions = {
  readonly room: Room;
  readonly wire: Wire<{ dueAt: number }>;
  readonly states: StateStore;
  readonly publish: Bus['publish'];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: ShellLimits;
  readonly random?: () => number;
};

export type Timers = {
  /** Asks the store at once, and goes on from there. */
  start(): void;
  /** These keys were saved with these due times: a sooner one moves the timer; their awaited wakes are over. */
  saved(keys: readonly SavedDueAt[]): void;
  /** What keeps wakes from being published, if anything. */
  fault(): unknown;
  stop(): Promise<void>;
};

/** Wakes that were published and are not known to be handled, by key. */
type Sent = Map<string, { readonly dueAt: number; readonly at: number }>;

/** Publishes wakes for what is due; returns when to ask next. */
const wakeDue = async (options: TimersOptions, metrics: ShellMetrics, sent: Sent): Promise<number> => {
  const { room, wire, states, publish, clock, limits } = options;
  const now = clock.now();
  for (const [key, { at }] of sent) if (now - at >= limits.wakeRepeatMs) sent.delete(key);
  const { keys, nextDueAt } = await states.due(now, limits.wakeKeysPerAskMax);
  const fresh = keys.filter(({ key, dueAt }) => sent.get(key)?.dueAt !== dueAt);
  if (fresh.length > 0) {
    await publish(fresh.map(({ key, dueAt }) => encode(wire, { key, id: deriveId('wake', room, key, String(dueAt)), body: { dueAt } })));
    for (const { key, dueAt } of fresh) sent.set(key, { dueAt, at: now });
    metrics.count('wake', wire.topic, fresh.length);
  }
  if (keys.length === limits.wakeKeysPerAskMax) return now + limits.wakeBacklogMs;
  return Math.min(keys.length > 0 ? now + limits.wakeRepeatMs : Infinity, nextDueAt ?? Infinity);
};

export const createTimers = (options: TimersOptions): Timers => {
  const { room, wire, clock, log, limits, random = Math.random } = options;
  const metrics = createShellMetrics(options.metrics, room, wire.topic);
  const sent: Sent = new Map();
  let asking: Promise<void> | undefined;
  let askedAt = -Infinity;
  let tries = 0;
  let fault: unknown;

  const ask = async (): Promise<void> => {
    askedAt = clock.now();
    // Set before asking, so that a due time saved meanwhile moves it forward.
    alarm.set(askedAt + limits.wakeRereadMs);
    try {
      alarm.set(Math.max(await wakeDue(options, metrics, sent), askedAt + limits.wakeAskMsMin));
      tries = 0;
      fault = undefined;
    } catch (error) {
      fault = error;
      log.warn('wake-failed', { error });
      alarm.set(clock.now() + backOffMs(tries++, limits.retryDelayMsMin, limits.retryDelayMsMax, random));
    }
  };
  const alarm = createAlarm(clock, () => {
    const before = asking;
    const mine = (async () => {
      await before;
      await ask();
    })();
    asking = mine;
  });

  return {
    start: () => alarm.set(clock.now()),
    saved: (keys) => {
      for (const { key, dueAt } of keys) {
        if (sent.get(key)?.dueAt !== dueAt) sent.delete(key);
        if (dueAt !== null) alarm.set(Math.max(dueAt, askedAt + limits.wakeAskMsMin));
      }
    },
    fault: () => fault,
    stop: async () => {
      alarm.stop();
      await asking;
    },
  };
};
