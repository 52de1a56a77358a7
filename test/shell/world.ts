/**
 * A world for the shell's crash tests: several replicas of one machine over one bus and one store. Every operation waits at a
 * gate before it takes effect and at another before its result is known; a seeded scheduler opens one gate at a time. So any
 * replica may stall, die or lose its partitions between any two effects, and go on later as a zombie.
 */
import type { Bus, Consumer } from '../../src/bus/bus.ts';
import { BusError } from '../../src/bus/bus.ts';
import { partitionOf } from '../../src/bus/topics.ts';
import type { Clock } from '../../src/host/clock.ts';
import { streamOf, type HeardRecord, type InRecord, type OutRecord, type TopicPartitionOffset } from '../../src/messages/grammar/record.ts';
import type { ParkingLot, StateStore } from '../../src/shell/store.ts';
import type { Random } from '../simulation/random.ts';

export const partitionCount = 2;

/** Thrown into nothing: a dead replica's operations never end. */
const never = new Promise<never>(() => {});

export type Life = { dead: boolean };
type Gate = { readonly life: Life; readonly open: () => void };

export class Scheduler {
  readonly #random: Random;
  #gates: Gate[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Waits until the scheduler lets this replica go on. */
  pass(life: Life): Promise<void> {
    if (life.dead) return never;
    return new Promise((resolve) => void this.#gates.push({ life, open: resolve }));
  }

  /** Opens one gate of the living; false when nobody waits. */
  async turn(): Promise<boolean> {
    // Lets everything that can run without a gate come to rest.
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    this.#gates = this.#gates.filter(({ life }) => !life.dead);
    if (this.#gates.length === 0) return false;
    const index = this.#random.below(this.#gates.length);
    const [gate] = this.#gates.splice(index, 1);
    gate!.open();
    return true;
  }
}

type Group = { readonly committed: Map<string, number>; readonly owners: Map<number, WorldConsumer>; readonly position: Map<string, number> };
export type WorldConsumer = Consumer & { readonly life: Life; readonly topics: readonly string[] };

/** What was appended together and is not on the disk yet. */
type Submitted = { readonly records: readonly HeardRecord[]; readonly written: () => void; readonly failed: (error: BusError) => void };
export type Appended = { readonly positions: readonly TopicPartitionOffset[]; readonly durable: Promise<void> };

/** Topics, partitions and one group; a partition's owner is whoever took it last. */
export class WorldBus {
  readonly logs = new Map<string, InRecord[]>();
  readonly group: Group = { committed: new Map(), owners: new Map(), position: new Map() };
  publishFails = 0;
  commitFails = 0;
  /** Whether records are heard before they are durable (B7); `write` and `lose` say what becomes of them. */
  isEarly = false;
  /** What was done for records that were not durable yet (E1). */
  readonly hasty: string[] = [];
  #submitted: Submitted[] = [];
  readonly #random: Random;
  #time = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  append(records: readonly OutRecord[]): Appended {
    const { promise: durable, resolve: written, reject: failed } = Promise.withResolvers<void>();
    durable.catch(() => {});
    const submitted: HeardRecord[] = [];
    this.#submitted.push({ records: submitted, written, failed });
    for (const { topic, key, value, partition = partitionOf(key, partitionCount) } of records) {
      const offset = this.#heardIn(streamOf({ topic, partition })).length;
      submitted.push({ topic, partition, offset, timestamp: ++this.#time, key, value, durable });
    }
    if (!this.isEarly) this.write();
    return { positions: submitted.map(({ topic, partition, offset }) => ({ topic, partition, offset })), durable };
  }

  /** What was submitted first is on the disk. */
  write(): void {
    const first = this.#submitted.shift();
    for (const { durable: _, ...record } of first?.records ?? []) this.#logOf(streamOf(record)).push(record);
    first?.written();
  }

  /** The disk takes none of what was submitted: its offsets are given again. */
  lose(): void {
    const lost = this.#submitted;
    this.#submitted = [];
    for (const [stream, position] of this.group.position) this.group.position.set(stream, Math.min(position, this.#logOf(stream).length));
    for (const { failed } of lost) failed(new BusError('BUS_UNREACHABLE', 'the disk is full'));
  }

  get submittedCount(): number {
    return this.#submitted.length;
  }

  /** Whether the record of this offset is on the disk. */
  isDurable(stream: string, offset: number): boolean {
    return offset < this.#logOf(stream).length;
  }

  #logOf(stream: string): InRecord[] {
    const log = this.logs.get(stream) ?? [];
    this.logs.set(stream, log);
    return log;
  }

  #heardIn(stream: string): HeardRecord[] {
    const submitted = this.#submitted.flatMap(({ records }) => records.filter((record) => streamOf(record) === stream));
    return [...this.#logOf(stream), ...submitted];
  }

  records(topic: string): InRecord[] {
    return [...this.logs.values()].flat().filter((record) => record.topic === topic);
  }

  /** Gives a partition number of all topics to this consumer, which begins at what is committed (B3, B4). */
  assign(partition: number, consumer: WorldConsumer): void {
    this.group.owners.set(partition, consumer);
    for (const topic of consumer.topics) this.group.position.delete(streamOf({ topic, partition }));
  }

  connect(life: Life, scheduler: Scheduler, topics: readonly string[]): { publish: Bus['publish']; consumer: WorldConsumer } {
    const consumer: WorldConsumer = {
      life,
      topics,
      poll: async ({ recordsMax }) => {
        await scheduler.pass(life);
        return this.#take(consumer, 1 + this.#random.below(recordsMax));
      },
      commit: async (positions) => {
        await scheduler.pass(life);
        if (this.#random.chance(this.commitFails)) throw new BusError('BUS_UNREACHABLE', 'commit lost');
        for (const { topic, partition, offset } of positions) {
          if (offset > 0 && !this.isDurable(streamOf({ topic, partition }), offset - 1)) this.hasty.push(`${topic}/${partition} was committed up to ${offset}`);
          if (this.group.owners.get(partition) === consumer) this.group.committed.set(streamOf({ topic, partition }), offset);
        }
        await scheduler.pass(life);
      },
      close: async () => {},
    };
    const publish: Bus['publish'] = async (records) => {
      await scheduler.pass(life);
      if (this.#random.chance(this.publishFails)) throw new BusError('BUS_UNREACHABLE', 'request lost');
      const { positions, durable } = this.append(records);
      await durable;
      if (this.#random.chance(this.publishFails)) throw new BusError('BUS_UNREACHABLE', 'answer lost');
      await scheduler.pass(life);
      return positions;
    };
    return { publish, consumer };
  }

  /** Records between what the group has committed and the end. */
  uncommitted(topics: readonly string[]): number {
    return [...this.logs].reduce((sum, [stream, log]) => {
      const heard = log.length > 0 && topics.includes(log[0]!.topic);
      return heard ? sum + log.length - (this.group.committed.get(stream) ?? 0) : sum;
    }, 0);
  }

  #take(consumer: WorldConsumer, recordsMax: number): HeardRecord[] {
    const taken: HeardRecord[] = [];
    const topics = [...consumer.topics].sort(() => this.#random.next() - 0.5);
    for (const [partition, owner] of this.group.owners) {
      if (owner !== consumer) continue;
      for (const topic of topics) {
        const stream = streamOf({ topic, partition });
        const from = this.group.position.get(stream) ?? this.group.committed.get(stream) ?? 0;
        const records = this.#heardIn(stream).slice(from, from + recordsMax - taken.length);
        if (records.length > 0) this.group.position.set(stream, from + records.length);
        taken.push(...records);
      }
    }
    return taken;
  }
}

/** Every call waits before and after it takes effect; some fail, before or after. */
export const gated = <Port extends StateStore | ParkingLot>(port: Port, life: Life, scheduler: Scheduler, fails: () => boolean): Port => {
  const gate =
    (work: (...given: unknown[]) => Promise<unknown>) =>
    async (...given: unknown[]): Promise<unknown> => {
      await scheduler.pass(life);
      const fault = Object.assign(new Error('the database is away'), { operational: true });
      if (fails()) throw fault;
      const result = await work(...given);
      if (fails()) throw fault;
      await scheduler.pass(life);
      return result;
    };
  // The same functions, each behind its gates.
  return Object.fromEntries(Object.entries(port).map(([name, work]) => [name, gate(work as (...given: unknown[]) => Promise<unknown>)])) as unknown as Port;
};

/** Time that passes when the world says so. */
export class WorldClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now = (): number => this.#now;

  after = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  pass(ms: number): void {
    this.#now += ms;
    for (const timer of [...this.#timers].toSorted((one, other) => one.at - other.at)) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue;
      timer.callback();
    }
  }
}
