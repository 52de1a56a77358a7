/**
 * What the leader of a Kafka group hands out: the same ranges as the embedded broker (assignment.ts), moved cooperatively.
 *
 * A partition that goes from one member to another is given to nobody at first; its owner sees that it has lost it, lets go of
 * it and joins again, and in that next round it is free. Whoever keeps a partition never stops reading it.
 */
import { decodeConsumerProtocolAssignment, decodeConsumerProtocolSubscription, encodeConsumerProtocolAssignment, encodeConsumerProtocolSubscription } from '@platformatic/kafka';
import * as z from 'zod';
import { assignPartitions } from '../assignment.ts';
import { streamOf, type TopicPartition } from '../../messages/grammar/record.ts';
import { groupPlaces } from './coordinator.ts';

/** Names the rules above: members with other rules cannot be in the same group. */
export const protocolName = 'cordage-cooperative';
/** Of Kafka's formats; since 2 it carries the generation. */
const formatVersion = 3;

export type Subscription = { readonly topics: readonly string[]; readonly owned: readonly TopicPartition[]; readonly generation: number };
export type GroupMember = Subscription & { readonly memberId: string; readonly instance: string };

/** What a member is given. */
export type Assigned = {
  readonly places: readonly TopicPartition[];
  /** Partitions of the group are on their way to another owner: there will be another round. */
  readonly pending: boolean;
  /** What the leader took the member to hear; another set is joined with again. */
  readonly topics: readonly string[];
};

const grouped = (places: readonly TopicPartition[]): { topic: string; partitions: number[] }[] =>
  groupPlaces(places).map(({ name, places: of }) => ({ topic: name, partitions: of.map(({ partition }) => partition) }));
const flat = (topics: readonly { topic: string; partitions: readonly number[] }[]): TopicPartition[] =>
  topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })));

export const encodeSubscription = ({ topics, owned, generation }: Subscription): Buffer =>
  encodeConsumerProtocolSubscription({ version: formatVersion, topics: [...topics], userData: Buffer.alloc(0), ownedPartitions: grouped(owned), generationId: generation, rackId: null });

export const decodeSubscription = (bytes: Buffer): Subscription => {
  const { topics, ownedPartitions, generationId } = decodeConsumerProtocolSubscription(bytes);
  return { topics, owned: flat(ownedPartitions), generation: generationId };
};

const noteShape = z.object({ v: z.literal(1), pending: z.boolean(), topics: z.array(z.string()) });

export const encodeAssigned = ({ places, pending, topics }: Assigned): Buffer =>
  encodeConsumerProtocolAssignment({ version: formatVersion, assignedPartitions: grouped(places), userData: Buffer.from(JSON.stringify({ v: 1, pending, topics })) });

export const decodeAssigned = (bytes: Buffer): Assigned => {
  const { assignedPartitions, userData } = decodeConsumerProtocolAssignment(bytes);
  const { pending, topics } = noteShape.parse(JSON.parse(userData.toString('utf8')));
  return { places: flat(assignedPartitions), pending, topics };
};

export const assign = (members: readonly GroupMember[], partitionsOf: (topic: string) => number): ReadonlyMap<string, Assigned> => {
  const byInstance = members.map(({ instance, topics }) => ({ instance, topics: new Set(topics) }));
  const owners = claims(members);
  const given = new Map<string, TopicPartition[]>(members.map(({ instance }) => [instance, []]));
  let pending = false;
  for (const [topic, instances] of assignPartitions(byInstance, partitionsOf)) {
    for (const [partition, instance] of instances.entries()) {
      const place = { topic, partition };
      const owner = owners.get(streamOf(place));
      if (owner === undefined || owner === instance) given.get(instance)?.push(place);
      else pending = true;
    }
  }
  return new Map(members.map(({ memberId, instance, topics }) => [memberId, { places: given.get(instance) ?? [], pending, topics: topics.toSorted() }]));
};

/** Who reads what now. Who missed a round claims what others may have been given in it, and is not believed. */
const claims = (members: readonly GroupMember[]): ReadonlyMap<string, string> => {
  const latest = Math.max(...members.map(({ generation }) => generation));
  const owners = new Map<string, string>();
  for (const { instance, owned, generation } of members) if (generation === latest) for (const place of owned) owners.set(streamOf(place), instance);
  return owners;
};
