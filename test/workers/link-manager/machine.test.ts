import { describe, expect, test } from 'vitest';
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { pairTagOf } from '../../../src/identity/derive.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { LinkEvent } from '../../../src/workers/link-manager/head.ts';
import { alice, bob, carol, createChance, createCluster, groupId, inRecordOf, memberOf, tag, type Party } from './cluster-fixture.ts';
import { createWorld, deliveredTo } from './two-clusters.ts';

const clock = { now: () => 1_000, after: () => () => {} };
const cluster = (hosts: readonly Party[], members: readonly Party[]) => createCluster({ hosts, members, clock, random: createChance(1).bytes });
const sendEvent = (source: Party, destination: Party, messageId: string, expiresAt = 10_000): LinkEvent => ({
  type: 'send',
  message: { messageId, groupId, source: source.name, destination: destination.name, subsystem: 'flow', receiverKey: 'to', senderKey: 'from', expiresAt, payload: 'hello' },
});
const bodyOf = (record: OutRecord) => {
  const decoded = decode(linkManagerToFlowReceive, inRecordOf(record));
  return decoded.type === 'message' ? { key: record.key, ...decoded.delivery.body } : decoded;
};

describe('the machine of a pair', () => {
  test('delivers straight to the flow room when both identities live here, in both directions, each message id once', async () => {
    const { machine } = cluster([alice, carol], [alice, carol, bob]);
    const key = pairTagOf(groupId, alice.name, carol.name);
    const events = [sendEvent(alice, carol, '1'), sendEvent(carol, alice, '2'), sendEvent(alice, carol, '1')];
    const [output] = await machine.step([{ key, head: undefined, items: undefined, events }], 1_000);
    if (output?.type !== 'next') throw new Error('no output');
    expect(output.effects.map(bodyOf)).toMatchObject([
      { key: 'to', type: 'message', messageId: '1', source: alice.name, destination: carol.name, payload: 'hello' },
      { key: 'to', type: 'message', messageId: '2', source: carol.name, destination: alice.name },
    ]);
    expect([output.itemsAdded, output.dueAt]).toEqual([[], undefined]);
  });

  test('tells the sender at once when the source does not live here, and keeps no state for it', async () => {
    const { machine } = cluster([alice], [alice, bob, carol]);
    const key = pairTagOf(groupId, carol.name, bob.name);
    const [output] = await machine.step([{ key, head: undefined, items: undefined, events: [sendEvent(carol, bob, '1')] }], 1_000);
    expect(output).toMatchObject({ type: 'next', head: undefined });
    if (output?.type !== 'next') throw new Error('no output');
    expect(output.effects.map(bodyOf)).toMatchObject([{ key: 'from', type: 'undelivered', messageId: '1' }]);
  });

  test('parks a send whose record key is not the tag of its pair, and only that', async () => {
    const { machine } = cluster([alice], [alice, bob, carol]);
    const [output] = await machine.step([{ key: tag, head: undefined, items: undefined, events: [sendEvent(alice, bob, '1'), sendEvent(alice, carol, '2')] }], 1_000);
    expect(output).toMatchObject({ type: 'poison', event: 1 });
  });

  test('waits for a peer that is no member yet, and greets it when it is', async () => {
    const world = createWorld({ seed: 1 });
    world.alice.cluster.views.members.map.delete(`${groupId}/${bob.name}`);
    world.send('alice', 'early');
    world.send('alice', 'too early', { ttlMs: 5_000 });
    await world.run(30_000);
    expect(world.alice.packets).toEqual([]);
    expect(world.alice.received).toMatchObject([{ type: 'undelivered', messageId: 'too early' }]);
    world.alice.cluster.views.members.map.set(`${groupId}/${bob.name}`, memberOf(bob));
    await world.run(40_000);
    expect(deliveredTo(world.bob)).toEqual(['early']);
  });

  test('asks crypto to sign with the session key of the identity that lives here, and with no other', async () => {
    const world = createWorld({ seed: 2 });
    const asked: unknown[] = [];
    for (const side of [world.alice, world.bob]) {
      const { answerSign } = side.cluster;
      Object.assign(side.cluster, {
        answerSign: (record: OutRecord) => {
          const decoded = decode(allToCryptoSign, inRecordOf(record));
          if (decoded.type === 'message') asked.push([decoded.delivery.body.tenant, decoded.delivery.replyTo]);
          return answerSign(record);
        },
      });
    }
    world.send('alice', 'm');
    await world.run(1_000);
    const replyTo = { topic: 'all-to-link-manager.answer', key: tag };
    expect(asked).toEqual([[alice.shortHash, replyTo], [bob.shortHash, replyTo]]);
  });

  test('reads its backlog from the store only when the messages in memory fall short', async () => {
    const world = createWorld({ seed: 3, limits: { windowMessages: 4, cachedMessagesMax: 64 } });
    const { machine } = world.alice.cluster;
    let reads = 0;
    Object.assign(world.alice.cluster, { machine: { ...machine, needsItems: (...asked: Parameters<NonNullable<typeof machine.needsItems>>) => {
      const needed = machine.needsItems!(...asked);
      if (needed === true || (needed !== false && needed.length > 0)) reads++;
      return needed;
    } } });
    for (let i = 0; i < 200; i++) world.send('alice', `m${i}`);
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toHaveLength(200);
    // Of 200 messages 64 are held at a time, and 50 windows are sent.
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThanOrEqual(8);
  });

  test('parks what comes for a state that another version wrote, and says what to do', async () => {
    const world = createWorld({ seed: 5 });
    world.send('alice', 'm');
    await world.run(1_000);
    const { machine } = world.alice.cluster;
    // As a later or an earlier version would have stored it.
    const foreign = { ...world.alice.head!, v: 1 } as unknown as NonNullable<typeof world.alice.head>;
    const [output] = await machine.step([{ key: tag, head: foreign, items: undefined, events: [sendEvent(alice, bob, '1', 1e12)] }], world.now());
    expect(output).toMatchObject({ type: 'poison', event: 0, reason: expect.stringContaining('version 1, this worker reads 2') as unknown });
  });

  test('a peer that is gone, with a long backlog, takes one packet of a batch and holds nobody up', async () => {
    const { machine } = cluster([alice], [alice, bob, carol]);
    const key = pairTagOf(groupId, alice.name, carol.name);
    const sends = (from: number, count: number) => Array.from({ length: count }, (_, i) => sendEvent(alice, bob, `to Bob ${from + i}`));
    const first = await machine.step(
      [
        { key: tag, head: undefined, items: undefined, events: sends(0, 500) },
        { key, head: undefined, items: undefined, events: [sendEvent(alice, carol, 'first')] },
      ],
      1_000,
    );
    const heads = first.map((output) => (output.type === 'next' ? output.head! : undefined));
    // Later Bob still says nothing; Carol's next message comes in the same batch as his pair's waking.
    const later = await machine.step(
      [
        { key: tag, head: heads[0], items: undefined, events: [{ type: 'wake', dueAt: 5_000 }, ...sends(500, 500)] },
        { key, head: heads[1], items: undefined, events: [sendEvent(alice, carol, 'now')] },
      ],
      5_000,
    );
    const packetsOf = (output: (typeof later)[number]): number => (output.type === 'next' ? (output.fleeting ?? []).length : -1);
    expect([packetsOf(first[0]!), packetsOf(later[0]!), packetsOf(later[1]!)]).toEqual([1, 1, 1]);
  });

  test('a step that failed to save and is stepped again uses no counter for two contents that both leave', async () => {
    const world = createWorld({ seed: 4, faults: { drop: 0, double: 0, delayMs: 30, lostStep: 0.5, crash: 0.2 } });
    for (let i = 0; i < 60; i++) {
      world.send('alice', `m${i}`);
      await world.run(20);
    }
    await world.run(600_000);
    const bySlot = new Map<string, Set<string>>();
    for (const text of world.alice.packets) {
      const packet = JSON.parse(text) as { type: string; sessionId: string; counter: number; sealed: string };
      if (packet.type !== 'data') continue;
      const slot = `${packet.sessionId}/${packet.counter}`;
      bySlot.set(slot, (bySlot.get(slot) ?? new Set()).add(packet.sealed));
    }
    expect([...bySlot.values()].filter((contents) => contents.size > 1)).toEqual([]);
    expect(deliveredTo(world.bob)).toHaveLength(60);
  });
});
