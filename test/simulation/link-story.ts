/**
 * A story of two link managers alone, over a network that drops, doubles, delays and reorders, with somebody on it who repeats
 * what was said and makes up what was not. Sessions are renewed within seconds, both sides greet at once, counters run out.
 *
 * Checked at the end: each message was handed on once, in order, with the words that were sent, or its sender was told; no nonce
 * met two contents; no state grew; and all is quiet.
 */
import { createChance, tag } from '../workers/link-manager/cluster-fixture.ts';
import { createWorld, deliveredTo, noFaults, type World } from '../workers/link-manager/two-clusters.ts';
import { toBase64url } from '../../src/cipher/bytes.ts';
import type { Packet } from '../../src/workers/link-manager/session/session.ts';
import type { KeyAgreement } from '../../src/workers/link-manager/worker.ts';

type Chance = ReturnType<typeof createChance>;
const pick = <Item>(chance: Chance, items: readonly Item[]): Item => items[Math.floor(chance.next() * items.length)]!;
const parse = (text: string): Packet => JSON.parse(text) as Packet;

const agreements: readonly (readonly [KeyAgreement, KeyAgreement, string])[] = [
  ['hybrid-preferred', 'hybrid-preferred', 'X25519MLKEM768'],
  ['hybrid-required', 'hybrid-preferred', 'X25519MLKEM768'],
  ['classical', 'hybrid-preferred', 'X25519'],
  ['hybrid-preferred', 'classical', 'X25519'],
  ['classical', 'classical', 'X25519'],
];

const limitsOf = (chance: Chance) => {
  const windowMessages = pick(chance, [1, 4, 16]);
  return {
    sessionRenewMs: pick(chance, [1_000, 4_000, 1e9]),
    sessionRenewResponderMs: pick(chance, [0, 500]),
    sessionMsMax: pick(chance, [8_000, 1e9]),
    sessionGraceMs: pick(chance, [200, 5_000]),
    sessionRenewPackets: pick(chance, [6, 1_000]),
    sessionPacketsMax: pick(chance, [12, 100_000]),
    replayWindow: pick(chance, [4, 256]),
    halfOpenUnprovenMax: pick(chance, [0, 100]),
    halfOpenMsMin: pick(chance, [500, 5_000]),
    windowMessages,
    cachedMessagesMax: 3 * windowMessages,
  };
};

/** What somebody on the path can make of what passed, and of nothing. */
const forge = (chance: Chance, seen: Packet): string => {
  const other = toBase64url(chance.bytes(16));
  const { sessionId } = seen;
  const garbage = toBase64url(chance.bytes(60));
  switch (Math.floor(chance.next() * 9)) {
    case 0:
      return JSON.stringify({ ...seen, sessionId: other });
    case 1:
      return JSON.stringify(seen.type === 'data' ? { ...seen, counter: seen.counter + 1 + Math.floor(chance.next() * 50) } : seen);
    case 2:
      return JSON.stringify('sealed' in seen ? { ...seen, sealed: `${seen.sealed.slice(0, -4)}AAAA` } : seen);
    case 3:
      return JSON.stringify({ v: 2, type: pick(chance, ['initiator-handshake', 'responder-handshake']), sessionId, sealed: garbage });
    case 4:
      return JSON.stringify({ v: 2, type: 'session-unknown', sessionId });
    case 5:
      return JSON.stringify({ v: 2, type: 'hello-retry', sessionId, cookie: toBase64url(chance.bytes(32)) });
    case 6:
      return JSON.stringify({ v: 2, type: 'responder-hello', sessionId, versions: [2], suites: ['X25519'], version: 2, suite: 'X25519', ephemeralKey: toBase64url(chance.bytes(32)), encapsulated: '' });
    case 7:
      // A weaker offer in the place of the one that was made.
      return JSON.stringify(seen.type === 'initiator-hello' ? { ...seen, suites: ['X25519'], encapsulationKey: '' } : { ...seen, sender: 'initiator' });
    default:
      return JSON.stringify(seen).slice(0, -2);
  }
};

const attack = (world: World, chance: Chance): void => {
  const passed = [...world.alice.packets, ...world.bob.packets];
  if (passed.length === 0) return;
  // What passed lately is of more use than what is long past.
  const text = pick(chance, passed.slice(-30));
  const packet = chance.next() < 0.5 ? text : forge(chance, parse(text));
  world.hear(pick(chance, ['alice', 'bob'] as const), { type: 'link-in', tag: chance.next() < 0.03 ? 'z'.repeat(43) : tag, packet });
};

const faultsOf = (world: World, sent: ReadonlyMap<string, boolean>, suite: string): string[] => {
  const faults: string[] = [];
  for (const [from, to] of [[world.alice, world.bob], [world.bob, world.alice]] as const) {
    const prefix = from === world.alice ? 'a' : 'b';
    const delivered = deliveredTo(to);
    const numbers = delivered.map((id) => Number(id.slice(1)));
    if (numbers.some((number, i) => i > 0 && number <= numbers[i - 1]!)) faults.push(`twice or out of order: ${delivered.join(' ')}`);
    for (const { type, messageId, payload } of to.received) {
      if (type === 'message' && (!sent.has(messageId) || payload !== `payload of ${messageId}`)) faults.push(`never sent like that: ${messageId} ${payload}`);
    }
    const told = from.received.filter(({ type }) => type === 'undelivered').map(({ messageId }) => messageId);
    if (new Set(told).size !== told.length) faults.push(`told twice: ${told.join(' ')}`);
    for (const [id, patient] of sent) {
      if (!id.startsWith(prefix)) continue;
      if (patient ? !delivered.includes(id) || told.includes(id) : !delivered.includes(id) && !told.includes(id)) faults.push(`lost: ${id}`);
    }
    const { sessions } = from.head!;
    if (from.items.size > 0 || from.dueAt !== undefined) faults.push(`not quiet: ${from.items.size} items, due at ${from.dueAt}`);
    if (sessions.ready.length > 3 || sessions.incoming.length > 0 || sessions.outgoing !== null) faults.push('sessions or handshakes are left over');
    if (sessions.ready.some((session) => session.suite !== suite)) faults.push(`another suite than ${suite}`);
  }
  const bySlot = new Map<string, string>();
  for (const packet of [...world.alice.packets, ...world.bob.packets].map(parse)) {
    if (packet.type !== 'data') continue;
    const slot = `${packet.sessionId}/${packet.sender}/${packet.counter}`;
    if ((bySlot.get(slot) ?? packet.sealed) !== packet.sealed) faults.push(`one counter for two contents: ${slot}`);
    bySlot.set(slot, packet.sealed);
  }
  return faults;
};

export type LinkStory = { readonly faults: readonly string[]; readonly sessions: number; readonly refusals: ReadonlySet<string> };

export const tellLinkStory = async (seed: number): Promise<LinkStory> => {
  const chance = createChance(seed * 7_919 + 1);
  const [ofAlice, ofBob, suite] = pick(chance, agreements);
  const world = createWorld({
    seed,
    limits: limitsOf(chance),
    keyAgreements: [ofAlice, ofBob],
    mode: pick(chance, ['Authenticated_Encryption', 'Authentication']),
    faults: { drop: chance.next() * 0.3, double: chance.next() * 0.3, delayMs: pick(chance, [0, 50, 1_500]), lostStep: chance.next() * 0.1, crash: chance.next() * 0.1 },
  });
  const sent = new Map<string, boolean>();
  const say = (from: 'alice' | 'bob', id: string): void => {
    const patient = chance.next() < 0.8;
    sent.set(id, patient);
    world.send(from, id, { ttlMs: patient ? 1e9 : 3_000 });
  };
  for (let i = 0; i < 16; i++) {
    // Often both at once, and often the first after a session has grown old.
    if (chance.next() < 0.8) say('alice', `a${i}`);
    if (chance.next() < 0.8) say('bob', `b${i}`);
    for (let blows = Math.floor(chance.next() * 4); blows > 0; blows--) {
      await world.run(Math.floor(chance.next() * 40));
      attack(world, chance);
    }
    await world.run(pick(chance, [5, 100, 1_200]));
  }
  world.faults = noFaults;
  // Half-open handshakes of the last forged hellos end with their time.
  await world.run(15 * 60_000);
  const metrics = world.alice.cluster.metrics.text() + world.bob.cluster.metrics.text();
  const refusals = new Set([...metrics.matchAll(/packets_refused_total\{reason="([^"]+)"\}/g)].map(([, reason]) => reason!));
  const sessions = [...metrics.matchAll(/sessions_total\{[^}]*role="responder"[^}]*\} (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  return { faults: faultsOf(world, sent, suite), sessions, refusals };
};
