import { describe, expect, test } from 'vitest';
import type { Packet } from '../../../src/workers/link-manager/session/session.ts';
import { createChance, createCluster, alice, bob, tag } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults, type World, type WorldOptions } from './two-clusters.ts';

const parse = (text: string): Packet => JSON.parse(text) as Packet;
const hellosOf = (world: World): number =>
  new Set([...world.alice.packets, ...world.bob.packets].map(parse).filter(({ type }) => type === 'initiator-hello').map(({ sessionId }) => sessionId)).size;
const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** Both sides send every 10 ms for a while; gives the longest time that one message took. */
const underLoad = async (options: WorldOptions, count: number): Promise<{ world: World; longestMs: number }> => {
  const world = createWorld(options);
  world.send('alice', 'a0');
  await world.run(3_000);
  let longestMs = 0;
  for (let i = 1; i < count; i++) {
    world.send('alice', `a${i}`);
    world.send('bob', `b${i}`);
    const before = world.now();
    while (deliveredTo(world.bob).at(-1) !== `a${i}` || deliveredTo(world.alice).at(-1) !== `b${i}`) {
      await world.run(1);
      if (world.now() > before + 60_000) throw new Error(`a${i} or b${i} never came`);
    }
    longestMs = Math.max(longestMs, world.now() - before);
    await world.run(10);
  }
  return { world, longestMs };
};

describe('renewal', () => {
  test.each([
    ['by age', { sessionRenewMs: 500 }],
    ['by count', { sessionRenewPackets: 20 }],
    ['by both sides at once', { sessionRenewMs: 500, sessionRenewResponderMs: 0 }],
    ['by both sides at once, by count', { sessionRenewPackets: 20, sessionRenewMs: 400, sessionRenewResponderMs: 0 }],
  ])('%s under load makes no message wait for a handshake', async (_name, limits) => {
    const { world, longestMs } = await underLoad({ seed: 60, limits }, 150);
    expect(deliveredTo(world.bob)).toEqual(ids('a', 150));
    expect(deliveredTo(world.alice)).toEqual(ids('b', 150).slice(1));
    expect(hellosOf(world)).toBeGreaterThan(3);
    // There and back in this network is 2 ms; a handshake takes some 8.
    expect(longestMs).toBeLessThanOrEqual(3);
  });

  test('of a session whose counters near their end happens before the end, and nothing is sent beyond it', async () => {
    const limits = { sessionRenewPackets: 30, sessionPacketsMax: 40 };
    const { world } = await underLoad({ seed: 61, limits }, 120);
    expect(deliveredTo(world.bob)).toHaveLength(120);
    const counters = [...world.alice.packets, ...world.bob.packets].map(parse).flatMap((packet) => (packet.type === 'data' ? [packet.counter] : []));
    expect(Math.max(...counters)).toBeLessThanOrEqual(40);
    expect(Math.max(...counters)).toBeGreaterThan(25);
  });

  test('that does not come in time leaves the counters at their end, and messages wait for the next session', async () => {
    const world = createWorld({ seed: 62, limits: { sessionRenewPackets: 10, sessionPacketsMax: 12, windowMessages: 4 } });
    world.send('alice', 'a0');
    await world.run(1_000);
    world.loses = (packet) => parse(packet).type === 'initiator-hello';
    for (let i = 1; i < 40; i++) {
      world.send('alice', `a${i}`);
      await world.run(50);
    }
    expect(deliveredTo(world.bob).length).toBeLessThan(20);
    world.loses = () => false;
    await world.run(120_000);
    expect(deliveredTo(world.bob)).toEqual(ids('a', 40));
    const counters = world.alice.packets.map(parse).flatMap((packet) => (packet.type === 'data' ? [packet.counter] : []));
    expect(Math.max(...counters)).toBe(12);
  });

  test('leaves packets of one step that are beyond the end to the next session', async () => {
    const world = createWorld({ seed: 64, limits: { sessionPacketsMax: 3 } });
    world.send('alice', 'a0');
    await world.run(1_000);
    // Five packets at once, and the session has two left.
    for (let i = 1; i <= 5; i++) world.send('alice', `a${i}`, { payload: 'x'.repeat(400_000) });
    await world.run(30_000);
    expect(deliveredTo(world.bob)).toEqual(ids('a', 6));
    const counters = world.alice.packets.map(parse).flatMap((packet) => (packet.type === 'data' ? [packet.counter] : []));
    expect(Math.max(...counters)).toBe(3);
  });

  test('a counter beyond the end is refused, whoever sealed it', async () => {
    const world = createWorld({ seed: 63 });
    world.send('alice', 'm');
    await world.run(1_000);
    const packet = world.alice.packets.map(parse).find(({ type }) => type === 'data');
    world.hear('bob', { type: 'link-in', tag, packet: JSON.stringify({ ...packet, counter: 2 ** 24 + 1 }) });
    await world.run(1);
    expect(world.bob.cluster.metrics.text()).toContain('reason="exhausted-counter"} 1');
  });
});

describe('any replica', () => {
  test('takes a pair over at any moment, from what is stored alone', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const world = createWorld({ seed, faults: { ...noFaults, delayMs: 30 }, limits: { sessionRenewMs: 2_000 } });
      const chance = createChance(seed);
      for (let i = 0; i < 60; i++) {
        world.send('alice', `a${i}`);
        await world.run(Math.floor(chance.next() * 120));
        for (const [of, party] of [['alice', alice], ['bob', bob]] as const) {
          const clock = { now: world.now, after: () => () => {} };
          const { machine } = createCluster({ hosts: [party], members: [alice, bob], clock, random: chance.bytes, limits: { sessionRenewMs: 2_000 } });
          Object.assign(world[of].cluster, { machine });
          world.loseMemory(of);
        }
      }
      await world.run(60_000);
      expect(deliveredTo(world.bob)).toEqual(ids('a', 60));
    }
  });
});
