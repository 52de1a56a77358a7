/** Follows topics over HTTP without a group: positions are kept here, and every fetch names them. */
import type { Clock } from '../../host/clock.ts';
import { pause } from '../../host/clock.ts';
import { BusError } from '../bus.ts';
import type { FollowOptions, Follower, PollOptions } from '../bus.ts';
import type { InRecord, TopicPartition, TopicPartitionOffset } from '../../messages/grammar/record.ts';
import { streamOf } from '../../messages/grammar/record.ts';
import { attempt, attempts, openClient, retryDelayMs } from './client.ts';
import type { HttpBusPowers } from './client.ts';
import { httpBusLimits as limits } from './config.ts';
import { createPoll } from './poll.ts';

type Positions = Map<string, TopicPartitionOffset>;

export const createHttpFollower = (powers: HttpBusPowers, options: FollowOptions, forget: (follower: Follower) => void): Follower => {
  const closing = new AbortController();
  const positions: Positions = new Map();
  const ready = begin(powers, options, closing.signal).then((first) => {
    for (const position of first) positions.set(streamOf(position), position);
  });
  // Polls tell of its failure; who does not wait for `ready` must not die of it.
  ready.catch(() => {});

  const fetchFrom = async (timeout: number, headers: Readonly<Record<string, string>>): Promise<{ came: number; fresh: readonly InRecord[] }> => {
    const consumer = openClient(powers, headers).consumer();
    const topicPartitionOffsets = [...positions.values()];
    const answer = await attempt(powers, timeout + limits.pollGraceMs, () => consumer.fetch({ topicPartitionOffsets, timeout }, { parallel: false }));
    return { came: answer.length, fresh: advance(positions, answer) };
  };
  const poll = createPoll<PollOptions>(powers, async (name, { timeoutMs }) => {
    const timeout = Math.min(timeoutMs, limits.pollTimeoutMsMax);
    await within(powers.clock, timeout + limits.pollGraceMs, ready);
    return (await fetchFrom(timeout, { 'cordage-poll': name })).fresh;
  });

  const drain = async (): Promise<readonly InRecord[]> => {
    if (closing.signal.aborted) throw new BusError('BUS_CLOSED', 'this follower is closed');
    await ready;
    const ends = await offsetsOf(powers, closing.signal, 'latest', [...positions.values()]);
    const behind = (): boolean => ends.some((end) => positions.get(streamOf(end))!.offset < end.offset);
    const drained: InRecord[] = [];
    while (behind()) {
      const { came, fresh } = await fetchFrom(0, {});
      if (came === 0) break;
      drained.push(...fresh);
    }
    return drained;
  };

  const follower: Follower = {
    ready,
    poll: (pollOptions) => poll.next(pollOptions),
    drain,
    close: async () => {
      closing.abort();
      forget(follower);
      await poll.close('follower');
    },
  };
  return follower;
};

/** Records that were not yet handed out; moves the positions behind them. Polls and drains may overlap. */
const advance = (positions: Positions, records: readonly InRecord[]): readonly InRecord[] =>
  records.filter((record) => {
    const position = positions.get(streamOf(record));
    if (position === undefined || record.offset < position.offset) return false;
    positions.set(streamOf(record), { topic: record.topic, partition: record.partition, offset: record.offset + 1 });
    return true;
  });

/** Fixes the start. A broker that is not there yet is waited for: processes of a cluster start in any order. */
const begin = async (powers: HttpBusPowers, options: FollowOptions, closing: AbortSignal): Promise<readonly TopicPartitionOffset[]> => {
  for (let tried = 1; ; tried++) {
    try {
      const partitions = await partitionsOf(powers, options, closing);
      if (options.from === 'latest') return await offsetsOf(powers, closing, 'latest', partitions);
      return partitions.map((partition) => ({ ...partition, offset: 0 }));
    } catch (error) {
      if (closing.aborted) throw new BusError('BUS_CLOSED', 'this follower is closed');
      if (!(error instanceof BusError) || error.code !== 'BUS_UNREACHABLE') throw error;
      powers.log.warn('bus.unreachable', { topics: options.topics, error, next: 'tried again' });
      await pause(powers.clock, retryDelayMs(tried), closing);
    }
  }
};

const partitionsOf = async (powers: HttpBusPowers, { topics, partition }: FollowOptions, closing: AbortSignal): Promise<readonly TopicPartition[]> => {
  const counts = await attempts(powers, closing, () => openClient(powers).admin().topics());
  return topics.flatMap((topic) => {
    const count = Object.hasOwn(counts, topic) ? counts[topic] : undefined;
    if (count === undefined) throw new BusError('BUS_UNKNOWN_TOPIC', `the broker at ${powers.url} shows no topic "${topic}" to this credential`);
    if (partition !== undefined && partition >= count) throw new BusError('BUS_REFUSED', `topic ${topic} has partitions 0 to ${count - 1}, not ${partition}`);
    return partition === undefined ? Array.from({ length: count }, (_, i) => ({ topic, partition: i })) : [{ topic, partition }];
  });
};

const offsetsOf = (powers: HttpBusPowers, closing: AbortSignal, timestamp: 'latest', partitions: readonly TopicPartition[]): Promise<TopicPartitionOffset[]> => {
  // The package's types ask for a group that its request does not send.
  const request = { consumerGroupId: '', instanceId: '', timestamp, topicPartitions: partitions.map(({ topic, partition }) => ({ topic, partition })) };
  return attempts(powers, closing, () => openClient(powers).admin().topicPartitionOffsets(request));
};

const within = async (clock: Clock, ms: number, promise: Promise<void>): Promise<void> => {
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(ms, () => reject(new BusError('BUS_UNREACHABLE', 'the broker has not told yet where to begin')));
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    cancel();
  }
};
