import { describe, expect, test } from 'vitest';
import { toBase64url } from '../../../src/cipher/bytes.ts';
import { linkManagerToGatewayLinkOut } from '../../../src/messages/link-manager-to-gateway.link-out.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { StepOutput } from '../../../src/shell/worker.ts';
import { linkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import { createHelloGate } from '../../../src/workers/link-manager/hello-gate.ts';
import type { Packet } from '../../../src/workers/link-manager/session/session.ts';
import { alice, bob, createChance, createCluster, groupId, inRecordOf, memberOf, tag, type Cluster, type Party } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults } from './two-clusters.ts';

const clock = { now: () => 1_000_000, after: () => () => {} };
const parse = (text: string): Packet => JSON.parse(text) as Packet;
type Hello = Extract<Packet, { type: 'initiator-hello' }>;

/** A hello as Alice's cluster would say it. */
const helloOfAlice = async (): Promise<Hello> => {
  const world = createWorld({ seed: 40 });
  world.send('alice', 'm');
  while (world.alice.packets.length === 0) await world.run(1);
  const hello = parse(world.alice.packets[0]!);
  if (hello.type !== 'initiator-hello') throw new Error('not a hello');
  return hello;
};

const clusterOfBob = (members: readonly Party[] = [alice, bob], limits = {}): Cluster =>
  createCluster({ hosts: [bob], members, clock, random: createChance(9).bytes, limits });

const packetsOf = (output: StepOutput<unknown, unknown> | undefined): Packet[] => {
  if (output?.type !== 'next') throw new Error('no output');
  return (output.fleeting ?? []).map((effect) => {
    const decoded = decode(linkManagerToGatewayLinkOut, inRecordOf(effect));
    if (decoded.type !== 'message') throw new Error('not a packet');
    return parse(decoded.delivery.body.packet);
  });
};

const hear = async ({ machine }: Cluster, packets: readonly Packet[], now = 1_000_000, head?: Parameters<Cluster['machine']['step']>[0][0]['head'], key = tag) => {
  const events = packets.map((packet) => ({ type: 'link-in' as const, tag: key, packet: JSON.stringify(packet) }));
  const [output] = await machine.step([{ key, head, items: undefined, events }], now);
  if (output?.type !== 'next') throw new Error('no output');
  return output;
};

const chance = createChance(77);
const freshId = (): string => toBase64url(chance.bytes(16));

describe('a stranger’s hello', () => {
  test('is answered at once while few handshakes are half open', async () => {
    const output = await hear(clusterOfBob(), [await helloOfAlice()]);
    expect(packetsOf(output).map(({ type }) => type)).toEqual(['responder-hello']);
    expect(output.head?.sessions.incoming).toHaveLength(1);
  });

  test('makes us keep nothing and agree nothing once a bound is reached: it gets a cookie, and with it an answer', async () => {
    const cluster = clusterOfBob(undefined, { halfOpenUnprovenMax: 0 });
    const hello = await helloOfAlice();
    const asked = await hear(cluster, [hello]);
    expect([asked.head, asked.itemsAdded, asked.dueAt]).toEqual([undefined, undefined, undefined]);
    const [retry, ...more] = packetsOf(asked);
    if (retry?.type !== 'hello-retry') throw new Error('no cookie was asked for');
    expect(more).toEqual([]);
    // Smaller than what asked for it: nobody is flooded through us.
    expect(JSON.stringify(retry).length).toBeLessThan(JSON.stringify(hello).length / 2);
    const answered = await hear(cluster, [{ ...hello, cookie: retry.cookie }]);
    expect(packetsOf(answered).map(({ type }) => type)).toEqual(['responder-hello']);
    expect(cluster.metrics.text()).toContain('reason="cookie-asked"} 1');
  });

  test('may bring its cookie to any replica, in that window of time and the next, and to no other pair or hello', async () => {
    const limits = { halfOpenUnprovenMax: 0 };
    const hello = await helloOfAlice();
    const [retry] = packetsOf(await hear(clusterOfBob(undefined, limits), [hello], 30_000 * 100));
    if (retry?.type !== 'hello-retry') throw new Error('no cookie was asked for');
    const types = async (packet: Packet, now: number) => packetsOf(await hear(clusterOfBob(undefined, limits), [packet], now)).map(({ type }) => type);
    const withCookie: Packet = { ...hello, cookie: retry.cookie };
    expect(await types(withCookie, 30_000 * 100)).toEqual(['responder-hello']);
    expect(await types(withCookie, 30_000 * 102 - 1)).toEqual(['responder-hello']);
    expect(await types(withCookie, 30_000 * 102)).toEqual(['hello-retry']);
    expect(await types({ ...withCookie, sessionId: freshId() }, 30_000 * 100)).toEqual(['hello-retry']);
    expect(await types({ ...withCookie, suites: ['X25519'], encapsulationKey: '' }, 30_000 * 100)).toEqual(['hello-retry']);
  });

  test('of a second half-open handshake of a pair needs the cookie, though others are few', async () => {
    const cluster = clusterOfBob();
    const hello = await helloOfAlice();
    const first = await hear(cluster, [hello]);
    const second = await hear(cluster, [{ ...hello, sessionId: freshId() }], 1_000_001, first.head ?? undefined);
    expect(packetsOf(second).map(({ type }) => type)).toEqual(['hello-retry']);
    // The first one said again is no second one.
    const again = await hear(cluster, [hello], 1_000_001, first.head ?? undefined);
    expect(packetsOf(again)).toEqual(packetsOf(first));
  });

  test('of many pairs makes us keep a bounded number of states', () => {
    const gate = createHelloGate(linkManagerLimits);
    const verdicts = Array.from({ length: 150 }, (_, i) => gate.judge({ id: `pair ${i}`, source: 'a member', halfOpen: 0, proven: false, now: 0 }));
    expect(verdicts.filter((verdict) => verdict === 'answer')).toHaveLength(linkManagerLimits.halfOpenUnprovenMax);
    expect(verdicts.at(-1)).toBe('ask-cookie');
  });

  test('with a cookie counts too, up to the bound of all; handshakes that end, or grow old, make room', () => {
    const gate = createHelloGate({ ...linkManagerLimits, halfOpenTotalMax: 3 });
    const judge = (id: string, now: number) => gate.judge({ id, source: id, halfOpen: 0, proven: true, now });
    expect(['a', 'b', 'c', 'd'].map((id) => judge(id, 0))).toEqual(['answer', 'answer', 'answer', 'full']);
    gate.ended('b');
    expect([judge('d', 10), judge('e', 10)]).toEqual(['answer', 'full']);
    expect(judge('f', linkManagerLimits.halfOpenMsMax)).toBe('answer');
  });

  test('of one member counts up to a bound of its own, which nobody else can use up', () => {
    const gate = createHelloGate({ ...linkManagerLimits, halfOpenPerSourceMax: 2, halfOpenUnprovenMax: 50 });
    const judge = (id: string, source: string, proven: boolean, now = 0) => gate.judge({ id, source, halfOpen: 0, proven, now });
    // Forged ones in its name bear no cookie, and do not count against it.
    for (let i = 0; i < 20; i++) expect(judge(`forged ${i}`, 'mallory', false)).toBe('answer');
    expect(['a', 'b', 'c'].map((id) => judge(id, 'mallory', true))).toEqual(['answer', 'answer', 'full']);
    expect(judge('d', 'alice', true)).toBe('answer');
    gate.ended('a');
    expect([judge('e', 'mallory', true), judge('f', 'mallory', true)]).toEqual(['answer', 'full']);
    expect(judge('g', 'mallory', true, linkManagerLimits.halfOpenMsMax)).toBe('answer');
  });

  test('whose key is none is refused, and counts as an answered one: it has cost as much', async () => {
    const hello = await helloOfAlice();
    const cluster = clusterOfBob(undefined, { halfOpenUnprovenMax: 3 });
    const bad = toBase64url(new Uint8Array(1_184).fill(255));
    const output = await hear(cluster, Array.from({ length: 5 }, () => ({ ...hello, sessionId: freshId(), encapsulationKey: bad })));
    expect(packetsOf(output).map(({ type }) => type)).toEqual(['hello-retry', 'hello-retry']);
    expect(cluster.metrics.text()).toContain('reason="bad-key"} 3');
  });

  test('is not asked for a cookie more often than a bound in a second', () => {
    const gate = createHelloGate({ ...linkManagerLimits, halfOpenUnprovenMax: 0, cookiesPerSecondMax: 2 });
    const judge = (id: string, now: number) => gate.judge({ id, source: 'a member', halfOpen: 0, proven: false, now });
    expect([judge('a', 0), judge('b', 5), judge('c', 900), judge('d', 1_000)]).toEqual(['ask-cookie', 'ask-cookie', 'full', 'ask-cookie']);
  });

  test('of a pair that does not exist leaves no trace', async () => {
    const hello = await helloOfAlice();
    const cluster = clusterOfBob([bob]);
    const output = await hear(cluster, [hello]);
    expect([output.head, output.effects, output.fleeting]).toEqual([undefined, [], []]);
    expect(cluster.metrics.text()).toContain('reason="unknown-peer"} 1');
    cluster.views.members.map.set(`${groupId}/${alice.name}`, { ...memberOf(alice), status: 'SUSPENDED' });
    const later = await hear(cluster, [hello], 1_002_000);
    expect([later.head, later.effects, later.fleeting]).toEqual([undefined, [], []]);
  });

  test('is answered as soon as the member list shows its member, however short a while ago it was a stranger’s', async () => {
    const hello = await helloOfAlice();
    const cluster = clusterOfBob([bob]);
    expect((await hear(cluster, [hello])).fleeting).toEqual([]);
    cluster.views.members.map.set(`${groupId}/${alice.name}`, memberOf(alice));
    expect(packetsOf(await hear(cluster, [hello])).map(({ type }) => type)).toEqual(['responder-hello']);
  });

  test('of nobody makes us look through the member list once, not once for each', async () => {
    const cluster = clusterOfBob([bob]);
    let looks = 0;
    const entries = cluster.views.members.map.entries.bind(cluster.views.members.map);
    cluster.views.members.map.entries = () => {
      looks++;
      return entries();
    };
    const hello = await helloOfAlice();
    for (let i = 0; i < 5; i++) await hear(cluster, [{ ...hello, sessionId: freshId() }], 1_000_000 + i * 60_000);
    expect(looks).toBe(1);
  });
});

describe('under load', () => {
  test('honest members that are asked for cookies come to a session, on a bad network too', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = createWorld({ seed, limits: { halfOpenUnprovenMax: 0 }, faults: { ...noFaults, drop: 0.2, double: 0.2, delayMs: 500 } });
      world.send('alice', 'a');
      world.send('bob', 'b');
      await world.run(120_000);
      expect([deliveredTo(world.alice), deliveredTo(world.bob)]).toEqual([['b'], ['a']]);
      expect(world.alice.packets.concat(world.bob.packets).some((packet) => parse(packet).type === 'hello-retry')).toBe(true);
    }
  });

  test('a handshake that nobody finished is gone after its time, its secrets with it, without any further event', async () => {
    const world = createWorld({ seed: 41 });
    world.hear('bob', { type: 'link-in', tag, packet: JSON.stringify(await helloOfAlice()) });
    await world.run(1_000);
    expect(world.bob.head?.sessions.incoming).toHaveLength(1);
    await world.run(linkManagerLimits.halfOpenMsMax);
    expect([world.bob.head?.sessions.incoming, world.bob.dueAt]).toEqual([[], undefined]);
  });

  test('who sends forged retries makes the initiator say its hello seldom', async () => {
    const world = createWorld({ seed: 42, faults: { ...noFaults, drop: 1 } });
    world.send('alice', 'm');
    while (world.alice.packets.length === 0) await world.run(1);
    const { sessionId } = parse(world.alice.packets[0]!);
    for (let i = 0; i < 200; i++) {
      world.hear('alice', { type: 'link-in', tag, packet: JSON.stringify({ v: 2, type: 'hello-retry', sessionId, cookie: toBase64url(chance.bytes(32)) }) });
      await world.run(10);
    }
    // Two seconds: at most every quarter of one, beside its own repeats.
    expect(world.alice.packets.length).toBeLessThan(14);
    world.faults = noFaults;
    await world.run(30_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
  });

  test('a forged cookie is replaced by the next good one, so nobody waits for ever', async () => {
    const world = createWorld({ seed: 43, limits: { halfOpenUnprovenMax: 0 }, faults: { ...noFaults, drop: 1 } });
    world.send('alice', 'm');
    while (world.alice.packets.length === 0) await world.run(1);
    const { sessionId } = parse(world.alice.packets[0]!);
    world.hear('alice', { type: 'link-in', tag, packet: JSON.stringify({ v: 2, type: 'hello-retry', sessionId, cookie: toBase64url(chance.bytes(32)) }) });
    await world.run(10);
    world.faults = noFaults;
    await world.run(10_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
  });
});
