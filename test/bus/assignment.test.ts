import { expect, test } from 'vitest';
import * as fc from 'fast-check';
import { assignPartitions } from '../../src/bus/assignment.ts';

const topics = ['a', 'b', 'c', 'd'];
const counts: Record<string, number> = { a: 8, b: 8, c: 5, d: 1 };
const members = fc
  .uniqueArray(fc.record({ instance: fc.string({ minLength: 1, maxLength: 6 }), topics: fc.subarray(topics).map((names) => new Set(names)) }), {
    selector: ({ instance }) => instance,
    maxLength: 12,
  })
  .filter((list) => list.length > 0);

test('every partition of every heard topic has one owner, and one that hears it', () => {
  fc.assert(
    fc.property(members, (list) => {
      const owners = assignPartitions(list, (topic) => counts[topic]!);
      for (const topic of topics) {
        const hearers = list.filter((member) => member.topics.has(topic)).map(({ instance }) => instance);
        if (hearers.length === 0) expect(owners.has(topic)).toBe(false);
        else expect(owners.get(topic)).toHaveLength(counts[topic]!);
        for (const owner of owners.get(topic) ?? []) expect(hearers).toContain(owner);
      }
    }),
  );
});

test('members that hear the same get equal numbers of all topics, and shares that differ by one at most', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 10 }), (instances) => {
      const list = instances.map((instance) => ({ instance, topics: new Set(['a', 'b', 'c']) }));
      const owners = assignPartitions(list, (topic) => counts[topic]!);
      expect(owners.get('b')).toEqual(owners.get('a'));
      expect(owners.get('c')).toEqual(owners.get('a')!.slice(0, 5));
      const shares = instances.map((instance) => owners.get('a')!.filter((owner) => owner === instance).length);
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
    }),
  );
});

test('does not depend on the order in which members came', () => {
  fc.assert(
    fc.property(members, (list) => {
      const partitionsOf = (topic: string): number => counts[topic]!;
      const sorted = (owners: ReadonlyMap<string, readonly string[]>) => [...owners].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(sorted(assignPartitions([...list].reverse(), partitionsOf))).toEqual(sorted(assignPartitions(list, partitionsOf)));
    }),
  );
});
