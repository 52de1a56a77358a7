/** A group's consumer over HTTP. Nothing is committed but by the caller; a new group begins at the earliest record. */
import { BusError } from '../bus.ts';
import type { ConsumeOptions, Consumer, PollOptions } from '../bus.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import { attempt, attempts, inPath, openClient } from './client.ts';
import type { HttpBusPowers } from './client.ts';
import { httpBusLimits as limits } from './config.ts';
import { createPoll } from './poll.ts';

/** Says now and then that we live, while a batch takes longer than a session; a poll says so by itself. */
const startBeats = ({ clock, sessionTimeoutMs }: HttpBusPowers, beat: () => Promise<void>) => {
  let polling = false;
  let polledAt = 0;
  let cancel: (() => void) | undefined;
  const next = (): void => {
    cancel = clock.after(sessionTimeoutMs / limits.beatsPerSession, () => {
      const isDue = !polling && clock.now() - polledAt < limits.batchMsMax;
      void (isDue ? beat() : Promise.resolve()).then(() => cancel !== undefined && next());
    });
  };
  return {
    during: async <Result>(poll: Promise<Result>): Promise<Result> => {
      polling = true;
      if (cancel === undefined) next();
      try {
        return await poll;
      } finally {
        polling = false;
        polledAt = clock.now();
      }
    },
    stop: (): void => {
      cancel?.();
      cancel = undefined;
    },
  };
};

type ConsumerPoll = PollOptions & { readonly recordsMax: number };

export const createHttpConsumer = (powers: HttpBusPowers, options: ConsumeOptions, forget: (consumer: Consumer) => void): Consumer => {
  const named = { consumerGroupId: inPath(options.group), instanceId: inPath(options.instance) };
  const closing = new AbortController();
  /** This life of the instance. A new one takes over from the last: the server then begins again at what is committed. */
  let member: string = crypto.randomUUID();
  /** The life that the server knows: commits count under it. */
  let joined = member;
  const membership = () => ({ 'cordage-member': joined, 'kafka-session-timeout-ms': String(powers.sessionTimeoutMs) });

  const request = async (name: string, { recordsMax, timeoutMs }: ConsumerPoll): Promise<readonly InRecord[]> => {
    const timeout = Math.min(timeoutMs, limits.pollTimeoutMsMax);
    joined = member;
    const client = openClient(powers, { ...membership(), 'cordage-poll': name, 'cordage-records-max': String(recordsMax) });
    try {
      return await attempt(powers, timeout + limits.pollGraceMs, () =>
        client.consumer().consume({ ...named, topics: [...options.topics], timeout, autoCommit: false, autoOffsetReset: 'earliest' }),
      );
    } catch (error) {
      // The answer may be lost with records in it, which the server takes for handed out: begin again at what is committed.
      if (error instanceof BusError && error.code === 'BUS_UNREACHABLE') member = crypto.randomUUID();
      throw error;
    }
  };
  const poll = createPoll<ConsumerPoll>(powers, request);
  const beats = startBeats(powers, async () => {
    try {
      // A commit of nothing counts as a sign of life.
      await attempt(powers, powers.sessionTimeoutMs, () => openClient(powers, membership()).consumer().commit({ ...named, offset: [] }));
    } catch (error) {
      powers.log.debug('bus.beat_failed', { group: options.group, instance: options.instance, error });
    }
  });

  const leave = async (): Promise<void> => {
    const admin = openClient(powers, membership()).admin();
    try {
      await attempt(powers, limits.leaveTimeoutMs, () => admin.removeConsumerInstance(named.consumerGroupId, named.instanceId));
    } catch (error) {
      powers.log.debug('bus.leave_failed', { group: options.group, instance: options.instance, error });
    }
  };

  let closed: Promise<void> | undefined;
  const consumer: Consumer = {
    poll: (pollOptions) => beats.during(poll.next(pollOptions)),
    commit: async (positions) => {
      if (closed !== undefined) throw new BusError('BUS_CLOSED', 'this consumer is closed');
      if (positions.length === 0) return;
      const client = openClient(powers, membership()).consumer();
      await attempts(powers, closing.signal, () => client.commit({ ...named, offset: [...positions] }));
    },
    close: () => {
      closing.abort();
      beats.stop();
      forget(consumer);
      closed ??= Promise.all([poll.close('consumer'), leave()]).then(() => {});
      return closed;
    },
  };
  return consumer;
};
