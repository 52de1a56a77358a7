/** Asks leaders for offsets. */
import { listOffsetsV9 } from '@platformatic/kafka';
import { BusError } from '../bus.ts';
import { streamOf, type TopicPartition } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';

/** Kafka's marks for the next offset and the earliest that is left. */
export const latestTime = -1n;
export const earliestTime = -2n;

/**
 * Offsets at a time (milliseconds since the epoch, or a mark above), in the order asked for; -1 where no record is as late.
 * Topics are Kafka's names. Throws BusError.
 */
export const listOffsets = (cluster: KafkaCluster, at: bigint, partitions: readonly TopicPartition[]): Promise<number[]> =>
  cluster.insist('list offsets', cluster.limits.answerMsMax, async () => {
    const byLeader = new Map<number, TopicPartition[]>();
    for (const place of partitions) {
      const leader = cluster.leaderOf(place.topic, place.partition);
      if (leader === undefined) throw new BusError('BUS_UNREACHABLE', `${streamOf(place)} has no leader now`);
      const places = byLeader.get(leader);
      if (places === undefined) byLeader.set(leader, [place]);
      else places.push(place);
    }
    const offsets = new Map<string, number>();
    await Promise.all([...byLeader].map(([leader, places]) => ask(cluster, { leader, at, places }, offsets)));
    return partitions.map((place) => offsets.get(streamOf(place)) ?? -1);
  });

const ask = async (cluster: KafkaCluster, { leader, at, places }: { leader: number; at: bigint; places: readonly TopicPartition[] }, offsets: Map<string, number>): Promise<void> => {
  const topics = new Map<string, listOffsetsV9.ListOffsetsRequestPartition[]>();
  for (const { topic, partition } of places) {
    const part = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp: at };
    topics.set(topic, [...(topics.get(topic) ?? []), part]);
  }
  const uncommittedToo = 0;
  const response = await listOffsetsV9.api.async(await cluster.shared(leader), -1, uncommittedToo, [...topics].map(([name, partitions]) => ({ name, partitions })));
  for (const { name, partitions } of response.topics) for (const { partitionIndex, offset } of partitions) offsets.set(streamOf({ topic: name, partition: partitionIndex }), Number(offset));
};
