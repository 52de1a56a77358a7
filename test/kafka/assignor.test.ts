import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assign, decodeAssigned, decodeSubscription, encodeAssigned, encodeSubscription, type GroupMember } from '../../src/bus/kafka-bridge/assignor.ts';
import { streamOf, type TopicPartition } from '../../src/messages/grammar/record.ts';

const topics = ['a', 'b', 'c'];
const partitions = 5;
const member = (instance: string, heard: readonly string[], owned: readonly TopicPartition[] = [], generation = 1): GroupMember => ({ memberId: `${instance}-id`, instance, topics: heard, owned, generation });

/** One round of a group: who owns what afterwards, as the members themselves keep it. */
const round = (members: readonly GroupMember[]): { members: GroupMember[]; pending: boolean } => {
  const assigned = assign(members, () => partitions);
  return {
    members: members.map((one) => ({ ...one, owned: assigned.get(one.memberId)!.places, generation: one.generation + 1 })),
    pending: [...assigned.values()].some(({ pending }) => pending),
  };
};

const heard = fc.uniqueArray(fc.constantFrom(...topics), { minLength: 1 });
const groups = fc.uniqueArray(fc.record({ instance: fc.stringMatching(/^[a-z]{1,3}$/), heard }), { selector: ({ instance }) => instance, minLength: 1, maxLength: 6 });

describe('the leader of a Kafka group', () => {
  test('never gives a partition that another still reads, and comes to rest in two rounds', () => {
    fc.assert(
      fc.property(groups, groups, (before, after) => {
        const settled = round(before.map((one) => member(one.instance, one.heard))).members;
        const kept = new Map(settled.map((one) => [one.instance, one.owned]));
        const first = round(after.map((one) => member(one.instance, one.heard, kept.get(one.instance) ?? [], 2)));
        const owners = new Map<string, string>();
        // Until its owner has joined again, what it read before is still its own.
        for (const one of first.members) for (const place of one.owned) {
          expect(owners.get(streamOf(place)) ?? one.instance).toBe(one.instance);
          owners.set(streamOf(place), one.instance);
          for (const other of after) if (other.instance !== one.instance) expect(kept.get(other.instance)?.some((held) => streamOf(held) === streamOf(place)) ?? false).toBe(false);
        }
        const second = first.pending ? round(first.members) : first;
        expect(second.pending).toBe(false);
        const all = second.members.flatMap(({ owned }) => owned.map(streamOf));
        const wanted = [...new Set(after.flatMap((one) => one.heard))].flatMap((topic) => Array.from({ length: partitions }, (_, partition) => streamOf({ topic, partition })));
        expect(all.toSorted()).toEqual(wanted.toSorted());
      }),
    );
  });

  test('does not believe a member that missed a round', () => {
    const places = [0, 1, 2, 3, 4].map((partition) => ({ topic: 'a', partition }));
    const assigned = assign([member('old', ['a'], places, 1), member('new', ['a'], places, 2)], () => partitions);
    // What the latest round gave to one moves by way of nobody; the other's claim moves nothing.
    expect(assigned.get('new-id')?.places.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    expect(assigned.get('old-id')?.places).toEqual([]);
    expect(assigned.get('old-id')?.pending).toBe(true);
  });

  test('and its members read what the other wrote', () => {
    const owned = [{ topic: 'a', partition: 0 }, { topic: 'a', partition: 2 }, { topic: 'b', partition: 1 }];
    expect(decodeSubscription(encodeSubscription({ topics: ['a', 'b'], owned, generation: 7 }))).toEqual({ topics: ['a', 'b'], owned, generation: 7 });
    expect(decodeAssigned(encodeAssigned({ places: owned, pending: true, topics: ['a', 'b'] }))).toEqual({ places: owned, pending: true, topics: ['a', 'b'] });
  });
});
