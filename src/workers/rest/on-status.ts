/**
 * Hears `flow-to-rest.status`: follows the whole topic from its latest record, since every rest worker must see every
 * status. When the bus fails it begins again, and says that statuses may have been missed.
 */
import type { Bus, Follower } from '../../bus/bus.ts';
import { pause, type Clock } from '../../host/clock.ts';
import { flowToRestStatus } from '../../messages/flow-to-rest.status.ts';
import { decode } from '../../messages/grammar/envelope.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { RestLimits } from './config.ts';
import type { FlowStatuses } from './flow-statuses.ts';

export type StatusFollower = { close(): Promise<void> };

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

  const note = (record: InRecord): void => {
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
    close: async () => {
      ending.abort();
      await follower?.close().catch(() => {});
      await running;
    },
  };
};
