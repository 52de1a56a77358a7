/** A workbench for the shell's tests: one batch object at a time over a log that the test writes, with every port in sight. */
import { streamOf, type InRecord, type OutRecord, type TopicPartitionOffset } from '../../src/messages/grammar/record.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { shellLimits, type ShellLimits } from '../../src/shell/config.ts';
import type { Ears } from '../../src/shell/ears.ts';
import { createMachineBatch, type Batch } from '../../src/shell/machine-batch.ts';
import { createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { BatchPoint, Probe } from '../../src/shell/operational.ts';
import type { ParkingLot, StateStore } from '../../src/shell/store.ts';
import type { Machine } from '../../src/shell/worker.ts';
import type { SavedDueAt } from '../../src/shell/batch/round.ts';
import { partitionOf } from '../../src/bus/topics.ts';
import { WorldClock } from './world.ts';

export class Crash extends Error {}

/** Dies at the nth time this point is reached. */
export const crashAt = (point: BatchPoint, count = 1): Probe => {
  let seen = 0;
  return (reached) => {
    if (reached === point && ++seen === count) throw new Crash(point);
  };
};

export type Bench = ReturnType<typeof createBench>;

export const createBench = (given: { states?: StateStore; parking?: ParkingLot; limits?: Partial<ShellLimits>; ears?: Ears } = {}) => {
  const log: InRecord[] = [];
  const published: OutRecord[] = [];
  const order: string[] = [];
  const committed = new Map<string, number>();
  const saves: SavedDueAt[] = [];
  const states = { ...(given.states ?? createMemoryStateStore()) };
  const parking = given.parking ?? createMemoryParkingLot();
  const clock = new WorldClock();
  const metrics = createMetrics();
  const limits = shellLimits(given.limits);
  /** Replaced by a test that wants a failing port. */
  const faults: { publish?: (records: readonly OutRecord[]) => void; commit?: () => void } = {};

  const publish = async (records: readonly OutRecord[]): Promise<TopicPartitionOffset[]> => {
    faults.publish?.(records);
    order.push(`publish ${records.length}`);
    published.push(...records);
    return records.map(({ topic, partition = 0 }, offset) => ({ topic, partition, offset }));
  };
  const commit = async (positions: readonly TopicPartitionOffset[]): Promise<void> => {
    faults.commit?.();
    order.push('commit');
    for (const position of positions) committed.set(streamOf(position), position.offset);
  };
  const spied: StateStore = {
    ...states,
    load: (keys) => states.load(keys),
    loadItems: (keys) => states.loadItems(keys),
    save: async (changes) => (order.push(`save ${changes.length}`), states.save(changes)),
  };

  return {
    log,
    published,
    order,
    committed,
    saves,
    states,
    parking,
    clock,
    metrics,
    limits,
    faults,
    publish,
    commit,
    /** Appends to the log and returns what a poll would give. */
    append: (...records: OutRecord[]): InRecord[] =>
      records.map(({ topic, key, value }) => {
        const partition = partitionOf(key, 2);
        const offset = log.filter((one) => one.topic === topic && one.partition === partition).length;
        const record = { topic, partition, offset, timestamp: clock.now(), key, value };
        log.push(record);
        return record;
      }),
    /** What a new consumer of the group is given. */
    redelivered: (): InRecord[] => log.filter((record) => record.offset >= (committed.get(streamOf(record)) ?? 0)),
    openBatch: (machine: Machine<any, any, any>, probe?: Probe): Batch =>
      createMachineBatch({
        room: 'flow',
        machine,
        states: spied,
        parking,
        publish,
        commit,
        clock,
        log: silentLog,
        metrics,
        limits,
        random: () => 0,
        onSaved: (saved) => void saves.push(...saved),
        ...(probe === undefined ? {} : { probe }),
        ...(given.ears === undefined ? {} : { ears: given.ears }),
      }),
  };
};
