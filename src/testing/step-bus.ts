/**
 * A bus that moves when it is told to: in memory, never waiting. The test harness runs on a calm one, the simulation on one whose
 * faults are drawn from a seed.
 *
 * It keeps the port's promises (B1–B5) and uses every freedom they leave: a publish may fail before or after the records
 * are there, a commit may be lost, a rebalance delivers again what was not committed, at any moment.
 */
import { BusError, type Bus, type Consumer, type Follower } from '../bus/bus.ts';
import { streamOf, type InRecord, type OutRecord } from '../messages/grammar/record.ts';
import type { Clock } from '../host/clock.ts';

/** What decides where the port leaves a choice. */
export type BusChance = {
  /** True with this probability. */
  chance(probability: number): boolean;
  /** An integer in [0, bound). */
  below(bound: number): number;
};

/** Nothing goes wrong, and a poll takes all it may. */
export const calmChance: BusChance = { chance: () => false, below: (bound) => bound - 1 };

/** Probabilities. */
export type BusFaults = { readonly publishFails: number; readonly publishFailsLate: number; readonly commitLost: number };

export const noBusFaults: BusFaults = { publishFails: 0, publishFailsLate: 0, commitLost: 0 };

export type StepBus = Bus & {
  /** Records no group consumer has yet polled. */
  waiting(group: string, topics: readonly string[]): number;
  records(topic: string): readonly InRecord[];
};

const partitionCount = 4;

const partitionOf = (key: string): number => {
  let hash = 2_166_136_261;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 16_777_619);
  return (hash >>> 0) % partitionCount;
};

type Group = { readonly committed: Map<string, number>; readonly position: Map<string, number>; generation: number };

export type StepBusOptions = { readonly clock: Clock; readonly random: BusChance; readonly faults: BusFaults; readonly onAppend?: (record: InRecord) => void };

type Logs = { of(topic: string, partition: number): InRecord[] };

const createLogs = (): Logs => {
  const logs = new Map<string, InRecord[][]>();
  return {
    of: (topic, partition) => {
      let partitions = logs.get(topic);
      if (partitions === undefined) logs.set(topic, (partitions = []));
      return (partitions[partition] ??= []);
    },
  };
};

const namesOfStreams = new Map<string, readonly string[]>();
/** A topic's streams in order of their partitions: made once, since a simulation asks at every step. */
const streamsOf = (topic: string): readonly string[] => {
  let names = namesOfStreams.get(topic);
  if (names === undefined) namesOfStreams.set(topic, (names = Array.from({ length: partitionCount }, (_, partition) => streamOf({ topic, partition }))));
  return names;
};

const take = (logs: Logs, group: Group, topics: readonly string[], recordsMax: number): InRecord[] => {
  const batch: InRecord[] = [];
  for (const topic of topics) {
    for (const [partition, stream] of streamsOf(topic).entries()) {
      const from = group.position.get(stream) ?? group.committed.get(stream) ?? 0;
      const records = logs.of(topic, partition).slice(from, from + recordsMax - batch.length);
      if (records.length === 0) continue;
      batch.push(...records);
      group.position.set(stream, from + records.length);
    }
  }
  return batch;
};

const followerOver = (logs: Logs, { topics, from, partition }: { topics: readonly string[]; from: 'earliest' | 'latest'; partition?: number }): Follower => {
  const partitions = partition === undefined ? Array.from({ length: partitionCount }, (_, i) => i) : [partition];
  const positions = new Map<string, number>();
  for (const topic of topics) for (const p of partitions) positions.set(streamOf({ topic, partition: p }), from === 'earliest' ? 0 : logs.of(topic, p).length);
  const drain = async (): Promise<InRecord[]> =>
    topics.flatMap((topic) =>
      partitions.flatMap((p) => {
        const stream = streamOf({ topic, partition: p });
        const records = logs.of(topic, p).slice(positions.get(stream) ?? 0);
        positions.set(stream, logs.of(topic, p).length);
        return records;
      }),
    );
  return { ready: Promise.resolve(), poll: drain, drain, close: async () => undefined };
};

export const createStepBus = ({ clock, random, faults, onAppend }: StepBusOptions): StepBus => {
  const logs = createLogs();
  const groups = new Map<string, Group>();
  const groupOf = (name: string): Group => {
    let group = groups.get(name);
    if (group === undefined) groups.set(name, (group = { committed: new Map(), position: new Map(), generation: 0 }));
    return group;
  };
  const append = ({ topic, key, value, partition = partitionOf(key) }: OutRecord): { topic: string; partition: number; offset: number } => {
    const log = logs.of(topic, partition);
    const record: InRecord = { topic, partition, offset: log.length, timestamp: clock.now(), key, value };
    log.push(record);
    onAppend?.(record);
    return { topic, partition, offset: record.offset };
  };
  const consume = ({ group: name, topics }: { group: string; topics: readonly string[] }): Consumer => {
    const group = groupOf(name);
    // A new consumer takes the partitions over and begins where the group has committed; the one before it gets no more.
    group.position.clear();
    const generation = ++group.generation;
    return {
      poll: async ({ recordsMax }) => (generation === group.generation ? take(logs, group, topics, 1 + random.below(recordsMax)) : []),
      commit: async (positions) => {
        if (generation !== group.generation || random.chance(faults.commitLost)) return;
        for (const { topic, partition, offset } of positions) {
          const stream = streamOf({ topic, partition });
          group.committed.set(stream, Math.max(offset, group.committed.get(stream) ?? 0));
        }
      },
      close: async () => undefined,
    };
  };
  return {
    publish: async (records) => {
      if (random.chance(faults.publishFails)) throw new BusError('BUS_UNREACHABLE', 'simulated: the request was lost');
      const positions = records.map(append);
      if (random.chance(faults.publishFailsLate)) throw new BusError('BUS_UNREACHABLE', 'simulated: the answer was lost');
      return positions;
    },
    consume,
    follow: (options) => followerOver(logs, options),
    close: async () => undefined,
    waiting: (name, topics) => {
      const { committed, position } = groupOf(name);
      let sum = 0;
      for (const topic of topics) {
        for (const [partition, stream] of streamsOf(topic).entries()) sum += logs.of(topic, partition).length - (position.get(stream) ?? committed.get(stream) ?? 0);
      }
      return sum;
    },
    records: (topic) => Array.from({ length: partitionCount }, (_, p) => logs.of(topic, p)).flat(),
  };
};
