import { describe, expect, test } from 'vitest';
import type { Packet } from '../../../src/workers/link-manager/session/session.ts';
import { fromBase64url, toBase64url } from '../../../src/cipher/bytes.ts';
import { alice, bob, carol, createChance, createCluster, memberOf, groupId, tag } from './cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults, type World } from './two-clusters.ts';

const parse = (text: string): Packet => JSON.parse(text) as Packet;
const packetsOf = (packets: readonly string[], type: Packet['type']): string[] => packets.filter((packet) => parse(packet).type === type);

const readyWorld = async (seed: number, options: Omit<Parameters<typeof createWorld>[0], 'seed'> = {}): Promise<World> => {
  const world = createWorld({ seed, ...options });
  world.send('alice', 'first');
  await world.run(1_000);
  world.send('bob', 'first back');
  await world.run(1_000);
  expect(deliveredTo(world.bob)).toEqual(['first']);
  return world;
};

/** What a refused packet must leave behind: nothing in the state, one count of its reason, one line of the log. */
const expectRefused = async (world: World, packet: string, reason: string): Promise<void> => {
  const side = world.bob;
  const stateBefore = JSON.stringify([side.head, [...side.items]]);
  const receivedBefore = side.received.length;
  const count = (): number => Number(new RegExp(`packets_refused_total\\{reason="${reason}"\\} (\\d+)`).exec(side.cluster.metrics.text())?.[1] ?? 0);
  const countBefore = count();
  const loggedBefore = side.cluster.logged.length;
  world.hear('bob', { type: 'link-in', tag, packet });
  await world.run(0);
  expect(count()).toBe(countBefore + 1);
  expect(side.cluster.logged.slice(loggedBefore).join('\n')).toContain(`"reason":"${reason}"`);
  expect(JSON.stringify([side.head, [...side.items]])).toBe(stateBefore);
  expect(side.received).toHaveLength(receivedBefore);
};

describe('what a stranger sends is refused, counted, logged and leaves no trace', () => {
  test('text that is no packet', async () => {
    const world = await readyWorld(1);
    for (const text of ['', '{', 'null', '{"v":2}', '{"v":1,"type":"session-unknown","sessionId":"AAAAAAAAAAAAAAAAAAAAAA"}', `{"v":2,"type":"data","sessionId":"${'A'.repeat(21)}B"}`]) {
      await expectRefused(world, text, 'malformed-packet');
    }
  });

  test('a replayed data packet', async () => {
    const world = await readyWorld(2);
    for (const packet of packetsOf(world.alice.packets, 'data')) await expectRefused(world, packet, 'replayed-counter');
  });

  test('a data packet with a changed counter, sender or content', async () => {
    const world = await readyWorld(3);
    const [packet] = packetsOf(world.alice.packets, 'data').map((text) => parse(text));
    if (packet?.type !== 'data') throw new Error('no data packet');
    const sealed = fromBase64url(packet.sealed);
    sealed[0]! ^= 1;
    await expectRefused(world, JSON.stringify({ ...packet, counter: 50 }), 'bad-mac');
    await expectRefused(world, JSON.stringify({ ...packet, counter: 50, sealed: toBase64url(sealed) }), 'bad-mac');
    await expectRefused(world, JSON.stringify({ ...packet, counter: 50, sender: 'responder' }), 'bad-mac');
    await expectRefused(world, JSON.stringify({ ...packet, counter: 50, sealed: '' }), 'bad-mac');
  });

  test('a packet of ours that is sent back to us', async () => {
    const world = await readyWorld(4);
    for (const packet of packetsOf(world.bob.packets, 'data')) {
      const reflected = { ...parse(packet), counter: 77 };
      await expectRefused(world, JSON.stringify(reflected), 'bad-mac');
    }
  });

  test('a packet that came under the key of another pair', async () => {
    const world = await readyWorld(31);
    const [packet] = packetsOf(world.alice.packets, 'data').map((text) => ({ ...parse(text), counter: 90 }));
    const before = JSON.stringify(world.bob.head);
    world.hear('bob', { type: 'link-in', tag: 'y'.repeat(43), packet: JSON.stringify(packet) });
    await world.run(0);
    expect(world.bob.cluster.metrics.text()).toContain('refused_total{reason="wrong-tag"} 1');
    expect(JSON.stringify(world.bob.head)).toBe(before);
  });

  test('a data packet of a session that nobody knows', async () => {
    const world = await readyWorld(5);
    const [packet] = packetsOf(world.alice.packets, 'data').map((text) => parse(text));
    await expectRefused(world, JSON.stringify({ ...packet, sessionId: toBase64url(new Uint8Array(16)) }), 'unknown-session');
  });

  test('a hello under another tag, of another group, of an unknown key', async () => {
    const world = await readyWorld(6);
    const [hello] = packetsOf(world.alice.packets, 'initiator-hello').map((text) => parse(text));
    const fresh = { ...hello, sessionId: toBase64url(new Uint8Array(16)) };
    await expectRefused(world, JSON.stringify({ ...fresh, groupId: 'another group' }), 'wrong-group');
    await expectRefused(world, JSON.stringify({ ...fresh, initiatorKeyHash: toBase64url(new Uint8Array(32)) }), 'unknown-peer');
    await expectRefused(world, JSON.stringify({ ...fresh, responderKeyHash: toBase64url(new Uint8Array(32)) }), 'unknown-identity');
    const elsewhere = 'x'.repeat(43);
    const [output] = await world.bob.cluster.machine.step(
      [{ key: elsewhere, head: undefined, items: undefined, events: [{ type: 'link-in', tag: elsewhere, packet: JSON.stringify(fresh) }] }],
      world.now(),
    );
    expect(output).toMatchObject({ type: 'next', head: undefined, effects: [] });
    expect(world.bob.cluster.metrics.text()).toContain('refused_total{reason="wrong-tag"} 1');
  });

  test('handshake messages of no handshake, and a third message that was tampered with', async () => {
    const world = createWorld({ seed: 7 });
    world.send('alice', 'm');
    // Up to the moment in which the third message has left and not arrived.
    while (packetsOf(world.alice.packets, 'initiator-handshake').length === 0) await world.run(1);
    const third = parse(packetsOf(world.alice.packets, 'initiator-handshake')[0]!);
    if (third.type !== 'initiator-handshake') throw new Error('not the third message');
    const sealed = fromBase64url(third.sealed);
    sealed[5]! ^= 1;
    world.hear('bob', { type: 'link-in', tag, packet: JSON.stringify({ ...third, sealed: toBase64url(sealed) }) });
    await world.run(1_000);
    expect(world.bob.cluster.metrics.text()).toContain('refused_total{reason="bad-mac"} 1');
    expect(deliveredTo(world.bob)).toEqual(['m']);
    await expectRefused(world, JSON.stringify({ ...third, sessionId: toBase64url(new Uint8Array(16)) }), 'unknown-session');
    await expectRefused(world, JSON.stringify({ ...third, type: 'responder-handshake' }), 'out-of-turn');
    await expectRefused(world, JSON.stringify({ v: 2, type: 'responder-hello', sessionId: third.sessionId, versions: [2], suites: ['X25519'], version: 2, suite: 'X25519', ephemeralKey: toBase64url(new Uint8Array(32)), encapsulated: '' }), 'out-of-turn');
  });

  test('a member that signs with a key which is not its own cannot take its place', async () => {
    const world = createWorld({ seed: 8 });
    // Alice's cluster believes that Carol's key is Alice's: it greets with Alice's key hash and signs with Carol's key.
    const forger = createCluster({ hosts: [alice], members: [alice, bob], clock: { now: () => world.now(), after: () => () => {} }, random: createChance(99).bytes });
    const impostor = { ...alice, keys: { publicKey: alice.keys.publicKey, privateKey: carol.keys.privateKey } };
    const signer = createCluster({ hosts: [impostor], members: [alice, bob], clock: { now: () => world.now(), after: () => () => {} }, random: createChance(98).bytes });
    Object.assign(world.alice.cluster, { machine: forger.machine, answerSign: signer.answerSign });
    world.send('alice', 'forged');
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual([]);
    expect(world.bob.cluster.metrics.text()).toContain('reason="bad-signature"');
    expect(world.bob.head?.sessions.ready).toEqual([]);
  });

  test('a suspended peer, and packets for a paused virtual node', async () => {
    const world = await readyWorld(9);
    world.send('alice', 'late');
    world.faults = { ...noFaults, drop: 1 };
    await world.run(0);
    const packet = packetsOf(world.alice.packets, 'data').at(-1)!;
    world.bob.cluster.views.members.map.set(`${groupId}/${alice.name}`, { ...memberOf(alice), status: 'SUSPENDED' });
    await expectRefused(world, packet, 'unknown-peer');
    world.bob.cluster.views.members.map.set(`${groupId}/${alice.name}`, memberOf(alice));
    // Only the status is looked at.
    world.bob.cluster.views.virtualNodes.map.set(bob.shortHash, { flowP2pOperationalStatus: 'INACTIVE' } as never);
    await expectRefused(world, packet, 'virtual-node-paused');
    world.bob.cluster.views.virtualNodes.map.clear();
    world.faults = noFaults;
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'late']);
  });
});

describe('sessions', () => {
  test('of two simultaneous greetings one goes on and one session comes of it', async () => {
    const world = createWorld({ seed: 20 });
    world.send('alice', 'a');
    world.send('bob', 'b');
    await world.run(20_000);
    const ready = (side: World['alice']): string[] => side.head!.sessions.ready.map(({ id }) => id);
    expect(ready(world.alice)).toHaveLength(1);
    expect(ready(world.bob)).toEqual(ready(world.alice));
    expect(world.alice.head!.sessions.outgoing ?? world.bob.head!.sessions.outgoing).toBeNull();
  });

  test('a session is renewed by age and by count while messages go on, and the old one is read for a while', async () => {
    for (const limits of [{ sessionRenewMs: 30_000, sessionGraceMs: 5_000 }, { sessionRenewPackets: 20, sessionGraceMs: 5_000 }]) {
      const world = await readyWorld(21, { limits, faults: { ...noFaults, delayMs: 40 } });
      const first = world.alice.head!.sessions.ready[0]!.id;
      const [there, back] = [['first'], ['first back']];
      for (let i = 0; i < 300; i++) {
        world.send('alice', `m${i}`);
        world.send('bob', `b${i}`);
        there.push(`m${i}`);
        back.push(`b${i}`);
        // S6: at no time does a message wait for a handshake, or for a repeat because the peer could not read it.
        await world.run(300);
        expect(deliveredTo(world.bob)).toEqual(there);
        expect(deliveredTo(world.alice)).toEqual(back);
      }
      const sessions = packetsOf(world.alice.packets, 'initiator-hello').length + packetsOf(world.bob.packets, 'initiator-hello').length;
      expect(sessions).toBeGreaterThanOrEqual(3);
      expect(world.alice.head!.sessions.ready.map(({ id }) => id)).not.toContain(first);
    }
  });

  test('the side that answered a renewal sends on the old session until the other is known to hold the new one', async () => {
    const world = await readyWorld(32, { limits: { sessionRenewMs: 30_000 } });
    await world.run(40_000);
    world.loses = (packet) => parse(packet).type === 'responder-handshake';
    const first = world.alice.head!.sessions.ready[0]!.id;
    world.send('alice', 'renews');
    await world.run(100);
    expect(world.bob.head!.sessions.ready).toHaveLength(2);
    world.send('bob', 'on the old one');
    await world.run(100);
    expect(deliveredTo(world.alice)).toEqual(['first back', 'on the old one']);
    world.loses = () => false;
    await world.run(2_000);
    world.send('bob', 'on the new one');
    await world.run(100);
    expect(deliveredTo(world.alice)).toHaveLength(3);
    expect(parse(packetsOf(world.bob.packets, 'data').at(-1)!).sessionId).not.toBe(first);
  });

  test('a session that could not be renewed in time is not used any more', async () => {
    const world = await readyWorld(22, { limits: { sessionRenewMs: 10_000, sessionMsMax: 20_000 } });
    const first = world.alice.head!.sessions.ready[0]!.id;
    await world.run(30_000);
    world.send('alice', 'later');
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'later']);
    expect(parse(packetsOf(world.alice.packets, 'data').at(-1)!).sessionId).not.toBe(first);
  });

  test('a notice that a session is unknown begins a greeting beside it and breaks nothing', async () => {
    const world = await readyWorld(23);
    const { id } = world.alice.head!.sessions.ready[0]!;
    await world.run(10_000);
    for (let i = 0; i < 50; i++) world.hear('alice', { type: 'link-in', tag, packet: JSON.stringify({ v: 2, type: 'session-unknown', sessionId: id }) });
    world.send('alice', 'meanwhile');
    await world.run(1);
    expect(parse(packetsOf(world.alice.packets, 'data').at(-1)!).sessionId).toBe(id);
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'meanwhile']);
    expect(packetsOf(world.alice.packets, 'initiator-hello')).toHaveLength(2);
  });

  test('forged hellos neither disturb a session nor keep an honest greeting out', async () => {
    const world = createWorld({ seed: 24 });
    const chance = createChance(5);
    world.send('alice', 'm');
    while (world.alice.packets.length === 0) await world.run(1);
    const hello = parse(world.alice.packets[0]!);
    const forge = (): void => world.hear('bob', { type: 'link-in', tag, packet: JSON.stringify({ ...hello, sessionId: toBase64url(chance.bytes(16)) }) });
    for (let i = 0; i < 100; i++) forge();
    await world.run(30_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
    for (let i = 0; i < 100; i++) forge();
    world.send('alice', 'n');
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['m', 'n']);
    expect(world.bob.head!.sessions.incoming.length).toBeLessThanOrEqual(4);
    // One of them took the place that is free of a cookie.
    expect(world.bob.cluster.metrics.text()).toContain('reason="cookie-asked"} 199');
  });

  test('every handshake message may be lost or repeated', async () => {
    for (const type of ['initiator-hello', 'responder-hello', 'initiator-handshake', 'responder-handshake'] as const) {
      const world = createWorld({ seed: 25 });
      world.faults = { ...noFaults, double: 1 };
      world.send('alice', 'm');
      while (packetsOf([...world.alice.packets, ...world.bob.packets], type).length === 0) await world.run(1);
      // The one that just left is on its way; from now on nothing arrives for a while.
      world.faults = { ...noFaults, drop: 1, double: 1 };
      await world.run(1_500);
      world.faults = { ...noFaults, double: 1 };
      await world.run(60_000);
      expect(deliveredTo(world.bob)).toEqual(['m']);
    }
  });

  test('a signature that crypto refuses is asked for again with a fresh handshake, later', async () => {
    const world = createWorld({ seed: 26 });
    const { answerSign } = world.alice.cluster;
    let refusals = 3;
    Object.assign(world.alice.cluster, {
      answerSign: async (record: Parameters<typeof answerSign>[0]) => {
        const answered = await answerSign(record);
        return refusals-- > 0 ? { ...answered, outcome: { type: 'refused', code: 'CRYPTO_KEY_UNKNOWN', message: 'no such key' } } : answered;
      },
    });
    world.send('alice', 'm');
    await world.run(500);
    expect(world.alice.cluster.logged.join('\n')).toContain('CRYPTO_KEY_UNKNOWN');
    await world.run(30_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
    expect(new Set(packetsOf(world.alice.packets, 'initiator-hello').map((hello) => parse(hello).sessionId)).size).toBe(4);
  });

  test('without encryption the content is readable on the way and still cannot be changed', async () => {
    const world = await readyWorld(27, { mode: 'Authentication' });
    const packet = parse(packetsOf(world.alice.packets, 'data')[0]!);
    if (packet.type !== 'data') throw new Error('no data packet');
    const sealed = fromBase64url(packet.sealed);
    expect(new TextDecoder().decode(sealed)).toContain('payload of first');
    sealed[40]! ^= 1;
    await expectRefused(world, JSON.stringify({ ...packet, counter: 9, sealed: toBase64url(sealed) }), 'bad-mac');
  });

  test('with encryption it is not', async () => {
    const world = await readyWorld(28);
    const texts = packetsOf(world.alice.packets, 'data').map((text) => {
      const packet = parse(text);
      return packet.type === 'data' ? new TextDecoder().decode(fromBase64url(packet.sealed)) : '';
    });
    expect(texts.join('')).not.toContain('payload');
  });

  test('groups set to different modes, or members known by different serials, do not come to a session', async () => {
    const world = createWorld({ seed: 29 });
    world.bob.cluster.views.members.map.set(`${groupId}/${alice.name}`, { ...memberOf(alice), serial: 2 });
    world.send('alice', 'm');
    await world.run(10_000);
    expect(deliveredTo(world.bob)).toEqual([]);
    expect(world.bob.cluster.metrics.text()).toContain('reason="serial-mismatch"');
    world.bob.cluster.views.members.map.set(`${groupId}/${alice.name}`, memberOf(alice));
    const parameters = world.bob.cluster.views.groupParameters.map.get(groupId)!;
    world.bob.cluster.views.groupParameters.map.set(groupId, { ...parameters, p2p: { ...parameters.p2p, protocolMode: 'Authentication' } });
    await world.run(20_000);
    expect(world.bob.cluster.metrics.text()).toContain('reason="mode-mismatch"');
    world.bob.cluster.views.groupParameters.map.set(groupId, parameters);
    await world.run(60_000);
    expect(deliveredTo(world.bob)).toEqual(['m']);
  });

  test('a cluster that must have the hybrid uses no classical session it has, and comes to a hybrid one', async () => {
    const world = await readyWorld(33, { keyAgreements: ['classical', 'hybrid-preferred'] });
    const [first] = world.alice.head!.sessions.ready;
    expect(first!.suite).toBe('X25519');
    const clock = { now: world.now, after: () => () => {} };
    const { machine } = createCluster({ hosts: [alice], members: [alice, bob], clock, random: createChance(3).bytes, keyAgreement: 'hybrid-required' });
    Object.assign(world.alice.cluster, { machine });
    world.send('alice', 'after');
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'after']);
    const last = parse(packetsOf(world.alice.packets, 'data').at(-1)!);
    expect(last.sessionId).not.toBe(first!.id);
    expect(world.alice.head!.sessions.ready.find(({ id }) => id === last.sessionId)?.suite).toBe('X25519MLKEM768');
  });

  test('a member whose serial rises gets a new session', async () => {
    const world = await readyWorld(30);
    const first = world.alice.head!.sessions.ready[0]!.id;
    for (const side of [world.alice, world.bob]) side.cluster.views.members.map.set(`${groupId}/${bob.name}`, { ...memberOf(bob), serial: 2 });
    world.send('alice', 'after');
    await world.run(1_000);
    expect(deliveredTo(world.bob)).toEqual(['first', 'after']);
    expect(world.alice.head!.sessions.ready[0]!.id).not.toBe(first);
  });
});
