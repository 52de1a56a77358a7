/**
 * Hears `flow-to-rest.status`: follows the whole topic from its latest record, since every rest worker must see every
 * status. When the bus fails it begins again, and says that statuses may have been missed. A flow room of the same process tells what it has
 * saved before it is on the bus (`hear`).
 */
import type { Bus, Follower } from '../../bus/bus.ts';
import { pause, type Clock } from '../../host/clock.ts';
import { flowToRestStatus } from '../../messages/flow-to-rest.status.ts';
import { decode } from '../../messages/grammar/envelope.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import { createEar, type Hear } from '../../shell/ears.ts';
import type { RestLimits } from './config.ts';
import type { FlowStatuses } from './flow-statuses.ts';

export type StatusFollower = { readonly hear: Hear; close(): Promise<void> };

type FollowStatuses = {
  readonly bus: Pick<Bus, 'follow'>;
  readonly statuses: FlowStatuses;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: RestLimits;
};

export const followStatuses = ({ bus, statuses, clock, log, limits }: FollowStatuses): StatusFollower => {
  const ending = new AbortController();
  const { signal } = ending;

  const ear = createEar({
    wire: flowToRestStatus,
    // What is told tells nothing of statuses that were missed before (S6).
    heeds: () => statuses.isTracking,
    hear: (status) => {
      statuses.note(status);
      return true;
    },
    log,
  });
  const note = (record: InRecord): void => {
    if (ear.hasHeard(record)) return;
    const decoded = decode(flowToRestStatus, record);
    if (decoded.type === 'message') statuses.note(decoded.delivery.body);
    else if (decoded.type === 'malformed') log.warn('rest.status.malformed', { topic: record.topic, partition: record.partition, offset: record.offset, reason: decoded.reason });
  };

  let follower: Follower | undefined;

  /** Runs until the bus fails or the worker ends; gives whether it ever stood. */
  const follow = async (): Promise<boolean> => {
    try {
      follower = bus.follow({ topics: [flowToRestStatus.topic], from: 'latest' });
      await follower.ready;
      statuses.followed();
      while (!signal.aborted) (await follower.poll({ timeoutMs: limits.followPollMs, signal })).forEach(note);
      return true;
    } catch (cause) {
      if (!signal.aborted) log.warn('rest.status.follow-failed', { cause, next: 'it is followed again' });
      const stood = statuses.isTracking;
      statuses.lost();
      // The copy of what was told and is forgotten now is to be noted, should it come (S6).
      ear.forget();
      return stood;
    } finally {
      await follower?.close().catch(() => {});
    }
  };

  const run = async (): Promise<void> => {
    let delayMs = limits.followRetryMsMin;
    while (!signal.aborted) {
      const stood = await follow();
      if (signal.aborted) return;
      delayMs = stood ? limits.followRetryMsMin : Math.min(delayMs * 2, limits.followRetryMsMax);
      await pause(clock, delayMs, signal);
    }
  };

  const running = run();
  return {
    hear: ear.hear,
    close: async () => {
      ending.abort();
      await follower?.close().catch(() => {});
      await running;
    },
  };
};
