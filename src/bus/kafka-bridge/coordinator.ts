/** The broker that coordinates a group, and what is asked of it beside membership: committed offsets. */
import { findCoordinatorV6, offsetCommitV9, offsetFetchV9, type Connection } from '@platformatic/kafka';
import { BusError } from '../bus.ts';
import { streamOf, type TopicPartition, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import { errorOf, kafkaCodeOf } from './failure.ts';

/** Under which name and generation a member speaks. A tool that commits for a group without members has none. */
export type Speaker = { readonly memberId: string; readonly generation: number; readonly groupInstance: string | null };
export const nobody: Speaker = { memberId: '', generation: -1, groupInstance: null };

const groupKey = 0;

const moved = new Set(['NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS']);

export class Coordinator {
  readonly cluster: KafkaCluster;
  readonly group: string;
  #broker: Promise<number> | undefined;

  constructor(cluster: KafkaCluster, group: string) {
    this.cluster = cluster;
    this.group = group;
  }

  /** A connection to it for a member alone: a join is answered when all have joined. */
  async connect(): Promise<Connection> {
    return this.cluster.connect(await this.#find());
  }

  /** Asks over the shared connection. What is answered with an error is thrown as Kafka's. */
  async ask<Answer>(question: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    try {
      return await question(await this.cluster.shared(await this.#find()));
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  /** Whether the group has another coordinator after this error. */
  note(error: unknown): void {
    const code = kafkaCodeOf(error);
    if (code === undefined || moved.has(code)) this.#broker = undefined;
  }

  #find(): Promise<number> {
    const finding = (this.#broker ??= this.#ask());
    finding.catch(() => {
      if (this.#broker === finding) this.#broker = undefined;
    });
    return finding;
  }

  async #ask(): Promise<number> {
    const { coordinators } = await findCoordinatorV6.api.async(await this.cluster.any(), groupKey, [this.group]);
    const [one] = coordinators;
    if (one === undefined) throw new BusError('BUS_UNREACHABLE', `Kafka names no coordinator of the group ${this.group}`);
    if (one.errorCode !== 0) throw errorOf(one.errorCode, one.errorMessage);
    // It may be a broker that joined since the cluster was looked at.
    await this.cluster.refreshIfOld();
    return one.nodeId;
  }

  /** Committed offsets in the order asked for, -1 where there is none. Topics are Kafka's names. Throws BusError. */
  committed(places: readonly TopicPartition[]): Promise<number[]> {
    if (places.length === 0) return Promise.resolve([]);
    const topics = groupPlaces(places).map(({ name, places: of }) => ({ name, partitionIndexes: of.map(({ partition }) => partition) }));
    const requireStable = false;
    return this.cluster.insist('read committed offsets', this.cluster.limits.answerMsMax, async () => {
      const { groups } = await this.ask((connection) => offsetFetchV9.api.async(connection, [{ groupId: this.group, memberId: null, memberEpoch: -1, topics }], requireStable));
      const offsets = new Map<string, number>();
      for (const { topics: told } of groups) for (const { name, partitions } of told) for (const { partitionIndex, committedOffset } of partitions) offsets.set(streamOf({ topic: name, partition: partitionIndex }), Number(committedOffset));
      return places.map((place) => offsets.get(streamOf(place)) ?? -1);
    });
  }

  /** One try; throws Kafka's error. */
  async commit({ memberId, generation, groupInstance }: Speaker, positions: readonly TopicPartitionOffset[]): Promise<void> {
    const topics = groupPlaces(positions).map(({ name, places }) => ({
      name,
      partitions: places.map(({ partition, offset }) => ({ partitionIndex: partition, committedOffset: BigInt(offset), committedLeaderEpoch: -1, committedMetadata: null })),
    }));
    await this.ask((connection) => offsetCommitV9.api.async(connection, this.group, generation, memberId, groupInstance, topics));
  }
}

export const groupPlaces = <Place extends TopicPartition>(places: readonly Place[]): { readonly name: string; readonly places: Place[] }[] => {
  const topics = new Map<string, Place[]>();
  for (const place of places) {
    const of = topics.get(place.topic);
    if (of === undefined) topics.set(place.topic, [place]);
    else of.push(place);
  }
  return [...topics].map(([name, of]) => ({ name, places: of }));
};
