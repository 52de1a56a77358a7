import { describe, expect, test } from 'vitest';
import { hostedOf, bob, memberOf, groupId } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults } from './two-clusters.ts';

const hourMs = 3_600_000;
const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const limits = { windowMessages: 8, cachedMessagesMax: 32 };

describe('a long backlog', () => {
  test('of a peer that was gone for a day is read a window at a time, and delivered in order when the peer is back', async () => {
    const world = createWorld({ seed: 80, limits });
    world.send('alice', 'm0');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    for (let i = 1; i <= 2_000; i++) {
      world.send('alice', `m${i}`, { ttlMs: 48 * hourMs });
      await world.run(43_000);
    }
    expect(world.alice.items.size).toBe(2_000);
    world.loseMemory('alice');
    world.faults = noFaults;
    await world.run(300_000);
    expect(deliveredTo(world.bob)).toEqual(ids('m', 2_001));
    expect(world.alice.items.size).toBe(0);
    expect(world.alice.loadedMax).toBeGreaterThan(0);
    expect(world.alice.loadedMax).toBeLessThanOrEqual(limits.cachedMessagesMax);
  });

  test('tells the sender of each message in it that ran out of time, once and soon, however deep it lies', async () => {
    const world = createWorld({ seed: 81, limits });
    world.send('alice', 'm0');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    // Of every ten, one is wanted for a day, the others for less and less.
    for (let i = 1; i <= 600; i++) {
      world.send('alice', `m${i}`, { ttlMs: i % 10 === 0 ? 48 * hourMs : 60_000 - i * 50 });
      if (i % 50 === 0) await world.run(10);
    }
    await world.run(75_000);
    const patient = ids('m', 601).filter((_, i) => i > 0 && i % 10 === 0);
    const told = world.alice.received.filter(({ type }) => type === 'undelivered').map(({ messageId }) => messageId);
    expect(told).toHaveLength(540);
    expect(new Set(told).size).toBe(540);
    expect(world.alice.items.size).toBe(60);
    expect(world.alice.loadedMax).toBeLessThanOrEqual(limits.cachedMessagesMax);
    world.faults = noFaults;
    await world.run(300_000);
    expect(deliveredTo(world.bob)).toEqual(['m0', ...patient]);
    expect([world.alice.items.size, world.alice.dueAt]).toEqual([0, undefined]);
  });

  test('whose messages all ran out of time ends quiet, and later messages go', async () => {
    const world = createWorld({ seed: 82, limits });
    world.faults = { ...noFaults, drop: 1 };
    for (const id of ids('late', 300)) world.send('alice', id, { ttlMs: 30_000 });
    await world.run(10 * 60_000);
    expect(world.alice.received.filter(({ type }) => type === 'undelivered')).toHaveLength(300);
    expect([world.alice.items.size, world.alice.head?.outbound.expiryAt]).toEqual([0, null]);
    world.faults = noFaults;
    world.send('alice', 'in time');
    await world.run(120_000);
    expect(deliveredTo(world.bob)).toEqual(['in time']);
  });

  test('for a peer that has moved to this cluster is handed on here, a window at a time, in order', async () => {
    const world = createWorld({ seed: 83, limits });
    world.faults = { ...noFaults, drop: 1 };
    for (const id of ids('m', 200)) world.send('alice', id);
    await world.run(5_000);
    world.loseMemory('alice');
    world.alice.cluster.views.hostedIdentities.map.set(bob.shortHash, hostedOf(bob));
    world.alice.cluster.views.members.map.set(`${groupId}/${bob.name}`, memberOf(bob));
    await world.run(120_000);
    expect(deliveredTo(world.alice)).toEqual(ids('m', 200));
    expect(world.alice.items.size).toBe(0);
    expect(world.alice.loadedMax).toBeLessThanOrEqual(limits.cachedMessagesMax);
  });
});

describe('a message in parts', () => {
  /** Three parts: its UTF-8 takes 1.5 MB. */
  const payload = '€'.repeat(500_000);

  test('arrives whole through losses, repeats, reordering and crashes, in its place among others', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const world = createWorld({ seed, faults: { drop: 0.25, double: 0.2, delayMs: 800, lostStep: 0.1, crash: 0.1 }, limits: { windowMessages: seed % 2 === 0 ? 1 : 16 } });
      world.send('alice', 'before');
      world.send('alice', 'large', { payload });
      world.send('alice', 'after');
      await world.run(hourMs);
      expect(deliveredTo(world.bob), `seed ${seed}`).toEqual(['before', 'large', 'after']);
      expect(world.bob.received[1]?.payload === payload).toBe(true);
      expect(world.alice.items.size).toBe(0);
    }
  });

  test('is begun anew when the receiver forgot its first parts', async () => {
    const world = createWorld({ seed: 84 });
    world.send('alice', 'before');
    await world.run(1_000);
    let parts = 0;
    world.loses = (packet) => packet.length > 100_000 && ++parts === 2;
    world.send('alice', 'large', { payload });
    await world.run(500);
    expect(deliveredTo(world.bob)).toEqual(['before']);
    world.loseMemory('bob');
    await world.run(10_000);
    expect(deliveredTo(world.bob)).toEqual(['before', 'large']);
  });

  test('is sent again whole when its receiver was silent, without a new session', async () => {
    const world = createWorld({ seed: 86 });
    world.send('alice', 'before');
    await world.run(1_000);
    world.loses = (packet) => packet.length > 100_000;
    world.send('alice', 'large', { payload });
    await world.run(500);
    world.loses = () => false;
    await world.run(1_500);
    expect(deliveredTo(world.bob)).toEqual(['before', 'large']);
    expect(world.alice.packets.filter((packet) => packet.includes('"initiator-hello"'))).toHaveLength(1);
  });

  test('that runs out of time half-way leaves nothing behind, and its sender is told', async () => {
    const world = createWorld({ seed: 85 });
    world.send('alice', 'before');
    await world.run(1_000);
    let parts = 0;
    world.loses = (packet) => packet.length > 100_000 && ++parts % 3 === 2;
    world.send('alice', 'large', { payload, ttlMs: 3_000 });
    await world.run(5_000);
    world.loses = () => false;
    world.send('alice', 'after');
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual(['before', 'after']);
    expect(world.alice.received).toMatchObject([{ type: 'undelivered', messageId: 'large' }]);
  });
});
