/** The topics of the broker and their numbers in the log. A topic keeps its number, its partitions and its retention for ever. */
import { BusError } from '../bus.ts';
import type { TopicConfig } from '../topics.ts';
import type { Retention } from '../../messages/grammar/wire.ts';
import type { Snapshot } from './log/entry.ts';
import { createPartition } from './partition.ts';
import type { Partition } from './partition.ts';

export type Topic = {
  readonly name: string;
  readonly number: number;
  readonly retention: Retention;
  readonly partitions: readonly Partition[];
};

export class TopicTable {
  readonly #isTombstone: (value: string) => boolean;
  readonly #partitionsMax: number;
  readonly #topics: Topic[] = [];
  readonly #byName = new Map<string, Topic>();

  constructor(options: { isTombstone: (value: string) => boolean; partitionsMax: number }) {
    this.#isTombstone = options.isTombstone;
    this.#partitionsMax = options.partitionsMax;
  }

  all(): readonly Topic[] {
    return this.#topics;
  }

  find(name: string): Topic | undefined {
    return this.#byName.get(name);
  }

  /** Throws BUS_UNKNOWN_TOPIC. */
  get(name: string): Topic {
    const topic = this.#byName.get(name);
    if (topic === undefined) throw new BusError('BUS_UNKNOWN_TOPIC', `the broker has no topic "${name}"; topics come from src/messages`);
    return topic;
  }

  /** Throws BUS_UNKNOWN_TOPIC, and BUS_REFUSED for a partition that the topic does not have. */
  partition(name: string, number: number): Partition {
    const { partitions } = this.get(name);
    const partition = partitions[number];
    if (partition === undefined) throw new BusError('BUS_REFUSED', `topic ${name} has partitions 0 to ${partitions.length - 1}, not ${number}`);
    return partition;
  }

  byNumber(number: number): Topic | undefined {
    return this.#topics[number];
  }

  /** Adds what is new; refuses a change of what the log holds. Throws BUS_REFUSED. Returns names that only the log has. */
  configure(configs: readonly TopicConfig[]): readonly string[] {
    for (const config of configs) {
      const known = this.#byName.get(config.topic);
      if (known === undefined) this.#add(config.topic, config.retention, config.partitions);
      else refuseChange(known, config);
    }
    const wanted = new Set(configs.map(({ topic }) => topic));
    return this.#topics.flatMap(({ name }) => (wanted.has(name) ? [] : name));
  }

  restore(snapshot: Snapshot): void {
    for (const [number, { topic, retention, partitions }] of snapshot.topics.entries()) {
      const known = this.#topics[number] ?? this.#add(topic, retention, partitions.length);
      if (known.name !== topic) throw new BusError('BUS_CORRUPT', `topic ${number} of the log is ${known.name} in one snapshot and ${topic} in another; restore the directory from a copy`);
      for (const [i, [start, next]] of partitions.entries()) known.partitions[i]?.restoreBounds(start, next);
    }
  }

  snapshot(): Snapshot['topics'] {
    return this.#topics.map(({ name, retention, partitions }) => ({
      topic: name,
      retention,
      partitions: partitions.map(({ start, next }) => [start, next]),
    }));
  }

  /** Offsets that were given and not written are given again. */
  resetAssigned(): void {
    for (const { partitions } of this.#topics) {
      for (const partition of partitions) {
        partition.assigned = partition.next;
        if (partition.retention === 'log') partition.takeBack();
      }
    }
  }

  #add(name: string, retention: Retention, count: number): Topic {
    if (!Number.isInteger(count) || count < 1) throw new BusError('BUS_REFUSED', `topic ${name} needs at least one partition, not ${count}`);
    const total = this.#topics.reduce((sum, { partitions }) => sum + partitions.length, count);
    if (total > this.#partitionsMax) throw new BusError('BUS_REFUSED', `the topics have more than ${this.#partitionsMax} partitions together`);
    const number = this.#topics.length;
    const partitions = Array.from({ length: count }, (_, i) => createPartition(retention, { topic: name, number: i, topicNumber: number, isTombstone: this.#isTombstone }));
    const topic: Topic = { name, number, retention, partitions };
    this.#topics.push(topic);
    this.#byName.set(name, topic);
    return topic;
  }
}

const refuseChange = (known: Topic, config: TopicConfig): void => {
  const change =
    known.partitions.length !== config.partitions
      ? `${known.partitions.length} partitions, not ${config.partitions}: keys would change their partition and lose their order`
      : known.retention !== config.retention
        ? `retention "${known.retention}", not "${config.retention}"`
        : undefined;
  if (change === undefined) return;
  throw new BusError('BUS_REFUSED', `topic ${known.name} has ${change}. Keep what it has, or let the consumers finish and start with an empty directory`);
};
