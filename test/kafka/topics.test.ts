import { describe, expect, test } from 'vitest';
import { accessFor } from '../../src/bus/http-server-access.ts';
import { accessRules } from '../../src/bus/kafka-bridge/access-lists.ts';
import { planTopic } from '../../src/bus/kafka-bridge/topics.ts';
import { recordValueCharsMax } from '../../src/messages/grammar/envelope.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { wires } from '../../src/messages/messages.ts';

const wanted = { partitions: 8, retention: 'log', replicas: 3 } as const;

describe('the plan for a topic', () => {
  test('that is not there makes it as its wire needs', () => {
    expect(planTopic('p.x', wanted, undefined)).toMatchObject({ action: 'create', topic: 'p.x', partitions: 8, replicas: 3, settings: { 'cleanup.policy': 'delete', 'min.insync.replicas': '2' } });
    expect(planTopic('p.x', { ...wanted, retention: 'compacted', replicas: 1 }, undefined)).toMatchObject({ settings: { 'cleanup.policy': 'compact', 'min.insync.replicas': '1' } });
  });

  test('lets the longest value through, in any script', () => {
    const plan = planTopic('p.x', wanted, undefined);
    const bytesPerCharMax = 3;
    expect(Number(plan.action === 'create' && plan.settings['max.message.bytes'])).toBeGreaterThan(recordValueCharsMax * bytesPerCharMax + 100_000);
  });

  test('that stands as it should is nothing, and one that differs is changed in what differs', () => {
    const made = planTopic('p.x', wanted, undefined);
    if (made.action !== 'create') throw new Error('it is not there');
    const standing = { partitions: 8, replicas: 3, settings: { ...made.settings, 'compression.type': 'producer' } };
    expect(planTopic('p.x', wanted, standing)).toEqual({ action: 'keep', topic: 'p.x' });
    const other = { ...standing, settings: { ...standing.settings, 'retention.ms': '1' } };
    expect(planTopic('p.x', wanted, other)).toEqual({ action: 'change', topic: 'p.x', changes: [{ name: 'retention.ms', from: '1', to: '604800000' }] });
  });

  test('that has another number of partitions is refused, with the reason', () => {
    for (const partitions of [4, 12]) {
      const plan = planTopic('p.x', { ...wanted, partitions }, { partitions: 8, replicas: 3, settings: {} });
      expect(plan).toMatchObject({ action: 'refuse', reason: expect.stringContaining('keys would change their partition') });
    }
  });
});

describe('the access lists in Kafka', () => {
  const rules = accessRules(wires, { prefix: 'one.', userPrefix: 'cordage-' });

  test.each(rooms)('%s may what the bridge lets it, and nothing else', (room) => {
    const access = accessFor(room);
    const mine = rules.filter(({ principal }) => principal === `User:cordage-${room}`);
    const may = (what: 'read' | 'write'): string[] => mine.filter(({ on, may: one }) => on === 'topic' && one === what).map(({ name }) => name).sort();
    expect(may('write')).toEqual(wires.filter(({ topic }) => access.mayProduce(topic)).map(({ topic }) => `one.${topic}`).sort());
    expect(may('read')).toEqual(wires.filter(({ topic }) => access.mayRead(topic)).map(({ topic }) => `one.${topic}`).sort());
    expect(mine.filter(({ on }) => on === 'group')).toMatchObject([{ name: `one.${room}`, begins: false }, { name: `one.${room}/`, begins: true }]);
  });
});
