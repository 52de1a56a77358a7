/** The bus of workers in the broker's own process: records pass as they are, without copies. */
import { BusError } from '../bus.ts';
import type { Bus, ConsumeOptions, Consumer, FollowOptions, Follower, PollOptions } from '../bus.ts';
import type { InRecord } from '../../messages/grammar/record.ts';
import type { Clock } from '../../host/clock.ts';
import type { Appender } from './appender.ts';
import type { ColdFrames } from './cold-frames.ts';
import type { BrokerLimits } from './config.ts';
import type { Groups } from './groups.ts';
import type { Partition } from './partition.ts';
import { pollReader, takeRecords } from './poll.ts';
import { Reader } from './reader.ts';
import type { TopicTable } from './topic-table.ts';

export type InProcessPowers = {
  readonly appender: Appender;
  readonly groups: Groups;
  readonly topics: TopicTable;
  readonly cold: ColdFrames;
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  /** Names a member: never the same twice. */
  readonly nextMember: () => string;
  /** Throws BUS_CLOSED when the broker is closed. */
  readonly assertOpen: () => void;
};

const busClosed = (what: string): BusError => new BusError('BUS_CLOSED', `this ${what} is closed`);

export const createInProcessBus = (powers: InProcessPowers): Bus => {
  const open = new Set<{ close(): Promise<void> }>();
  const inFlight = new Set<Promise<unknown>>();
  let closed = false;
  const assertOpen = (): void => {
    if (closed) throw busClosed('bus');
    powers.assertOpen();
  };
  const publish: Bus['publish'] = async (records) => {
    assertOpen();
    const publishing = powers.appender.append(records);
    inFlight.add(publishing);
    try {
      return await publishing;
    } finally {
      inFlight.delete(publishing);
    }
  };
  const keep = <Closing extends { close(): Promise<void> }>(one: Closing): Closing => {
    open.add(one);
    return one;
  };
  return {
    publish,
    consume: (options) => {
      assertOpen();
      return keep(createConsumer(powers, options, (consumer) => open.delete(consumer)));
    },
    follow: (options) => {
      assertOpen();
      return keep(createFollower(powers, options, (follower) => open.delete(follower)));
    },
    close: async () => {
      closed = true;
      await Promise.all([...open].map((one) => one.close()));
      await Promise.allSettled(inFlight);
    },
  };
};

const createConsumer = (powers: InProcessPowers, options: ConsumeOptions, forget: (consumer: Consumer) => void): Consumer => {
  const { groups, limits } = powers;
  const by = { group: options.group, instance: options.instance, member: powers.nextMember() };
  const join = { ...by, topics: options.topics, reset: 'earliest', sessionTimeoutMs: limits.sessionTimeoutMs, early: options.early } as const;
  let closed = false;
  const consumer: Consumer = {
    poll: async ({ recordsMax, timeoutMs, signal }) => {
      if (closed) throw busClosed('consumer');
      powers.assertOpen();
      return groups.consume({ ...join, recordsMax, timeoutMs, signal });
    },
    commit: async (positions) => {
      if (closed) throw busClosed('consumer');
      powers.assertOpen();
      groups.commit(by, positions);
    },
    close: async () => {
      if (closed) return;
      closed = true;
      forget(consumer);
      groups.leave(by);
    },
  };
  return consumer;
};

const createFollower = (powers: InProcessPowers, options: FollowOptions, forget: (follower: Follower) => void): Follower => {
  const { cold, limits } = powers;
  const reader = new Reader();
  for (const partition of followed(powers.topics, options)) reader.add(partition, options.from === 'latest' ? partition.next : partition.start);
  const budget = { recordsMax: limits.pollRecordsMax, charsMax: limits.pollCharsMax };
  let closed = false;
  const follower: Follower = {
    ready: Promise.resolve(),
    poll: async ({ timeoutMs, signal }: PollOptions): Promise<readonly InRecord[]> => {
      if (closed) throw busClosed('follower');
      powers.assertOpen();
      return pollReader(reader, { budget, timeoutMs, signal, ended: () => closed }, powers);
    },
    drain: async () => {
      if (closed) throw busClosed('follower');
      powers.assertOpen();
      return drain(reader, cold);
    },
    close: async () => {
      if (closed) return;
      closed = true;
      forget(follower);
      reader.close();
    },
  };
  return follower;
};

const followed = (topics: TopicTable, { topics: names, partition }: FollowOptions): readonly Partition[] =>
  names.flatMap((name) => (partition === undefined ? topics.get(name).partitions : [topics.partition(name, partition)]));

/** All that is shown by now. What is published meanwhile may come along. */
const drain = async (reader: Reader, cold: ColdFrames): Promise<readonly InRecord[]> => {
  const ends = new Map([...reader.partitions].map((partition) => [partition, partition.next]));
  const behind = (): boolean => [...ends].some(([partition, end]) => (reader.position(partition) ?? end) < end);
  const drained: InRecord[] = [];
  while (behind()) {
    const records = await takeRecords(reader, { recordsMax: Number.POSITIVE_INFINITY, charsMax: Number.POSITIVE_INFINITY }, cold);
    if (records.length === 0) break;
    for (const record of records) drained.push(record);
  }
  return drained;
};

