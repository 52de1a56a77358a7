import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64url } from '../../../src/cipher/bytes.ts';
import { newHead } from '../../../src/workers/link-manager/head.ts';
import { alice, bob, groupId } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults, type Faults } from './two-clusters.ts';

const hourMs = 3_600_000;
const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

describe('delivery between two clusters', () => {
  test('a first message leaves as soon as the session is ready, with no wait for a repeat', async () => {
    const world = createWorld({ seed: 1 });
    world.send('alice', 'm0');
    await world.run(100);
    expect(deliveredTo(world.bob)).toEqual(['m0']);
    await world.run(200);
    expect(world.alice.items.size).toBe(0);
  });

  test('one session serves both directions', async () => {
    const world = createWorld({ seed: 2 });
    world.send('alice', 'a0');
    await world.run(100);
    world.send('bob', 'b0');
    await world.run(100);
    expect(deliveredTo(world.alice)).toEqual(['b0']);
    expect(world.bob.head?.sessions.ready.map(({ id }) => id)).toEqual(world.alice.head?.sessions.ready.map(({ id }) => id));
    expect(world.alice.packets.filter((packet) => packet.includes('"initiator-hello"'))).toHaveLength(1);
  });

  test('nothing is lost, doubled or disordered on a network that drops, doubles and delays, over processes that crash', async () => {
    const faultsArbitrary: fc.Arbitrary<Faults> = fc.record({
      drop: fc.double({ min: 0, max: 0.4, noNaN: true }),
      double: fc.double({ min: 0, max: 0.4, noNaN: true }),
      delayMs: fc.integer({ min: 0, max: 3_000 }),
      lostStep: fc.double({ min: 0, max: 0.3, noNaN: true }),
      crash: fc.double({ min: 0, max: 0.3, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.integer(), faultsArbitrary, fc.integer({ min: 1, max: 60 }), async (seed, faults, count) => {
        const world = createWorld({ seed, faults, limits: { windowMessages: 16, cachedMessagesMax: 32 } });
        for (let i = 0; i < count; i++) {
          world.send('alice', `a${i}`);
          if (i % 2 === 0) world.send('bob', `b${i / 2}`);
          await world.run(seed % 400);
        }
        await world.run(4 * hourMs);
        expect(deliveredTo(world.bob)).toEqual(ids('a', count));
        expect(deliveredTo(world.alice)).toEqual(ids('b', Math.ceil(count / 2)));
        expect([world.alice.items.size, world.bob.items.size]).toEqual([0, 0]);
      }),
      { numRuns: 150 },
    );
  });

  test('both sides that greet at the same time end with delivered messages', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = createWorld({ seed, faults: { ...noFaults, delayMs: 20 } });
      world.send('alice', 'a');
      world.send('bob', 'b');
      await world.run(10_000);
      expect([deliveredTo(world.alice), deliveredTo(world.bob)]).toEqual([['b'], ['a']]);
    }
  });

  test('a peer that is gone for a day costs one packet per back-off and catches up in order', async () => {
    const world = createWorld({ seed: 3, limits: { windowMessages: 32, cachedMessagesMax: 64 } });
    world.send('alice', 'm0');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    for (let i = 1; i <= 500; i++) {
      world.send('alice', `m${i}`, { ttlMs: 48 * hourMs });
      await world.run(100_000);
    }
    await world.run(10 * hourMs);
    // A back-off of a minute over 24 hours, for the message under way and for the greeting beside it.
    expect(world.alice.packets.length).toBeLessThan(2 * 24 * 60 * 1.5);
    world.faults = noFaults;
    await world.run(200_000);
    expect(deliveredTo(world.bob)).toEqual(ids('m', 501));
    expect(world.alice.items.size).toBe(0);
  });

  test('while a peer is silent, further messages wait in the store instead of leaving in vain', async () => {
    const world = createWorld({ seed: 11 });
    world.send('alice', 'm0');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    world.send('alice', 'm1');
    await world.run(20_000);
    const before = world.alice.packets.length;
    for (let i = 2; i <= 40; i++) {
      world.send('alice', `m${i}`);
      await world.run(100);
    }
    expect(world.alice.packets.length - before).toBeLessThan(5);
    world.faults = noFaults;
    await world.run(120_000);
    expect(deliveredTo(world.bob)).toEqual(ids('m', 41));
  });

  test('a message nobody acknowledges in time is dropped and its sender told once', async () => {
    const world = createWorld({ seed: 4, faults: { ...noFaults, drop: 1 } });
    world.send('alice', 'late', { ttlMs: 5_000 });
    world.send('alice', 'patient');
    await world.run(20_000);
    expect(world.alice.received).toMatchObject([{ type: 'undelivered', messageId: 'late' }]);
    world.faults = noFaults;
    await world.run(hourMs);
    expect(deliveredTo(world.bob)).toEqual(['patient']);
    expect(world.alice.received).toHaveLength(1);
  });

  test('a message that runs out of time while a silent peer is tried with it does not hold up those behind it', async () => {
    const world = createWorld({ seed: 12, limits: { windowMessages: 1, cachedMessagesMax: 2 } });
    world.send('alice', 'first');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    world.send('alice', 'tried in vain', { ttlMs: 4_000 });
    world.send('alice', 'behind it');
    await world.run(6_000);
    world.faults = noFaults;
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'behind it']);
  });

  test('a message in the middle that ran out of time leaves no gap behind', async () => {
    const world = createWorld({ seed: 5 });
    world.send('alice', 'first');
    await world.run(1_000);
    world.faults = { ...noFaults, drop: 1 };
    world.send('alice', 'm1');
    await world.run(10);
    world.send('alice', 'm2', { ttlMs: 3_000 });
    await world.run(10);
    world.send('alice', 'm3');
    await world.run(10_000);
    world.faults = noFaults;
    await world.run(hourMs);
    expect(deliveredTo(world.bob)).toEqual(['first', 'm1', 'm3']);
  });

  test('a message id sent twice by its room is delivered once', async () => {
    const world = createWorld({ seed: 6 });
    world.send('alice', 'same');
    await world.run(1_000);
    world.send('alice', 'same');
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['same']);
    expect(world.alice.cluster.metrics.text()).toContain('cordage_link_manager_sends_repeated_total 1');
  });

  test('a batch of messages rides in one packet, and its acknowledgement in one', async () => {
    const world = createWorld({ seed: 7 });
    world.send('alice', 'warm');
    await world.run(1_000);
    const before = [world.alice.packets.length, world.bob.packets.length];
    for (const id of ids('m', 20)) world.send('alice', id);
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toHaveLength(21);
    expect([world.alice.packets.length - before[0]!, world.bob.packets.length - before[1]!]).toEqual([1, 1]);
  });

  test('messages larger than a packet together are split between packets, and one larger than a packet goes in parts', async () => {
    const world = createWorld({ seed: 8 });
    for (const id of ids('big', 5)) world.send('alice', id, { payload: 'x'.repeat(400_000) });
    const payload = '\u{1F600}€'.repeat(200_000);
    world.send('alice', 'huge', { payload });
    world.send('alice', 'after it');
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual([...ids('big', 5), 'huge', 'after it']);
    expect(world.bob.received.find(({ messageId }) => messageId === 'huge')?.payload === payload).toBe(true);
    expect(Math.max(...world.alice.packets.map((packet) => packet.length))).toBeLessThanOrEqual(900_000);
  });

  test('a side whose state was wiped is greeted anew at the first packet it does not know, and loses nothing sent since', async () => {
    for (const wiped of ['alice', 'bob'] as const) {
      const world = createWorld({ seed: 9 });
      world.send('alice', 'before');
      world.send('bob', 'from bob before');
      await world.run(60_000);
      world.loseState(wiped);
      // Well before any repeat: a notice, a handshake, and what was under way again.
      world.send('alice', 'after');
      await world.run(500);
      expect(deliveredTo(world.bob)).toEqual(['before', 'after']);
      world.send('bob', 'from bob after');
      await world.run(500);
      expect(deliveredTo(world.alice)).toEqual(['from bob before', 'from bob after']);
    }
  });

  test('a state restored from an old copy begins a new stream instead of being swallowed as repeats', async () => {
    const world = createWorld({ seed: 10 });
    world.send('alice', 'old');
    await world.run(60_000);
    const copy = JSON.stringify(world.alice.head);
    for (const id of ids('lost', 3)) world.send('alice', id);
    await world.run(60_000);
    world.alice.head = JSON.parse(copy) as NonNullable<typeof world.alice.head>;
    world.send('alice', 'new');
    await world.run(hourMs);
    expect(deliveredTo(world.bob)).toEqual(['old', ...ids('lost', 3), 'new']);
    expect(world.alice.items.size).toBe(0);
  });

  test('a peer that gives another numbering the name of an old one makes no message come under the id of an old one', async () => {
    const world = createWorld({ seed: 11 });
    const pair = { groupId, ours: alice.name, theirs: bob.name };
    const sendAnew = async (id: string, stream?: string): Promise<string> => {
      world.loseState('alice');
      // Names are drawn; this peer takes one that it had.
      if (stream !== undefined) world.alice.head = newHead(pair, () => fromBase64url(stream));
      world.send('alice', id);
      await world.run(60_000);
      return world.alice.head!.outbound.stream;
    };
    const stream = await sendAnew('first');
    expect(await sendAnew('second')).not.toBe(stream);
    expect(await sendAnew('third', stream)).toBe(stream);
    expect(deliveredTo(world.bob)).toEqual(['first', 'second', 'third']);
    expect(new Set(world.bob.receivedIds).size).toBe(3);
  });
});
