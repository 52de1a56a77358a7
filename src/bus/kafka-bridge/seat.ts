/** An instance's place in a group: its membership, what it reads, and how far it has committed. HTTP clients come and go on it. */
import type { OffsetReset } from '../engine.ts';
import { streamOf, type TopicPartition, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import type { GroupTimes } from './config.ts';
import { Coordinator } from './coordinator.ts';
import { Membership } from './membership.ts';
import type { Names } from './names.ts';
import { earliestTime, latestTime, listOffsets } from './offsets.ts';
import { KafkaReader } from './reader.ts';

export type SeatOptions = {
  readonly cluster: KafkaCluster;
  readonly names: Names;
  readonly group: string;
  readonly instance: string;
  readonly topics: readonly string[];
  readonly reset: OffsetReset;
  readonly times: GroupTimes;
  readonly rebalanced: () => void;
};

export class Seat {
  readonly reader: KafkaReader;
  readonly membership: Membership;
  readonly #options: SeatOptions;
  readonly #coordinator: Coordinator;
  /** The last commit of each owned partition, by callers' names. */
  readonly #committed = new Map<string, number>();
  #topics: ReadonlySet<string>;
  #rewinding: Promise<void> | undefined;

  constructor(options: SeatOptions) {
    const { cluster, names, group, topics, reset } = options;
    this.#options = options;
    this.#topics = new Set(topics);
    this.#coordinator = new Coordinator(cluster, names.group(group));
    this.reader = new KafkaReader({ cluster, kafkaName: names.topic, onGone: reset === 'latest' ? 'latest' : 'earliest' });
    this.membership = new Membership({
      coordinator: this.#coordinator,
      instance: options.instance,
      topics: topics.map(names.topic),
      times: options.times,
      gained: (places) => this.#begin(places),
      lost: (places) => this.#end(places),
      changed: () => this.reader.wake(),
    });
  }

  get topics(): ReadonlySet<string> {
    return this.#topics;
  }

  /** True when a poll may say that there is nothing. Throws what keeps the member out of its group. */
  settled(): boolean {
    if (this.membership.settled && this.#rewinding === undefined) return true;
    const { failure } = this.membership;
    if (failure !== undefined && failure.code !== 'BUS_UNREACHABLE') throw failure;
    return false;
  }

  subscribe(topics: readonly string[]): void {
    if (topics.length === this.#topics.size && topics.every((topic) => this.#topics.has(topic))) return;
    this.#topics = new Set(topics);
    this.membership.subscribe(topics.map(this.#options.names.topic));
  }

  /** Begins again at what is committed: a new client does not know what the one before it was handed. */
  rewind(): void {
    const owned = this.membership.owned;
    this.#end(owned);
    const rewinding = this.#begin(owned)
      // Who moved away meanwhile is not read.
      .then(() => this.#end(owned.filter((place) => !this.membership.owns(place))))
      .catch(() => this.membership.rejoinFromNothing())
      .finally(() => {
        if (this.#rewinding === rewinding) this.#rewinding = undefined;
        this.reader.wake();
      });
    this.#rewinding = rewinding;
  }

  /** The ends of what it owns, as they stand in Kafka now. */
  async ends(): Promise<readonly TopicPartitionOffset[]> {
    const { cluster, names } = this.#options;
    const places = this.membership.owned;
    const offsets = await listOffsets(cluster, latestTime, places);
    return places.map(({ topic, partition }, i) => ({ topic: names.callersTopic(topic), partition, offset: offsets[i]! }));
  }

  /** Positions of partitions that are not owned are left out, and where asked for those that lie behind an earlier commit. */
  async commit(positions: readonly TopicPartitionOffset[], onlyForward: boolean): Promise<void> {
    const { names } = this.#options;
    const counting = positions.filter((position) => {
      const before = this.#committed.get(streamOf(position));
      return before !== position.offset && !(onlyForward && before !== undefined && position.offset < before);
    });
    if (counting.length === 0) return;
    await this.membership.commit(counting.map(({ topic, partition, offset }) => ({ topic: names.topic(topic), partition, offset })));
    for (const position of counting) if (this.reader.has(position)) this.#committed.set(streamOf(position), position.offset);
  }

  /** All that was handed out. */
  async commitConsumed(): Promise<void> {
    const positions = this.reader.partitions.flatMap((place) => {
      const offset = this.reader.position(place);
      return offset === undefined || offset === 0 ? [] : [{ topic: place.topic, partition: place.partition, offset }];
    });
    await this.commit(positions, false);
  }

  async leave(): Promise<void> {
    this.reader.close();
    await this.membership.leave();
  }

  /** K2 */
  async #begin(places: readonly TopicPartition[]): Promise<void> {
    const { cluster, names, reset } = this.#options;
    const committed = await this.#coordinator.committed(places);
    const unknown = places.filter((_, i) => committed[i]! < 0);
    const starts = unknown.length === 0 ? [] : await listOffsets(cluster, reset === 'latest' ? latestTime : earliestTime, unknown);
    const firsts = new Map(unknown.map((place, i) => [streamOf(place), starts[i]!]));
    for (const [i, place] of places.entries()) {
      const mine = { topic: names.callersTopic(place.topic), partition: place.partition };
      const offset = committed[i]!;
      if (offset >= 0) this.#committed.set(streamOf(mine), offset);
      this.reader.add(mine, offset >= 0 ? offset : firsts.get(streamOf(place))!);
    }
    this.#options.rebalanced();
  }

  #end(places: readonly TopicPartition[]): void {
    for (const { topic, partition } of places) {
      const mine = { topic: this.#options.names.callersTopic(topic), partition };
      this.#committed.delete(streamOf(mine));
      this.reader.remove(mine);
    }
  }
}
