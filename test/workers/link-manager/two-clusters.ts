/**
 * Two link managers on a network without mercy: virtual time, one seed, packets dropped, doubled, delayed; steps that fail to
 * save and are stepped again; effects sent twice; memory lost. A small shell, so that the machine is seen alone.
 */
import { allToCryptoSign } from '../../../src/messages/all-to-crypto.sign.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import { linkManagerToGatewayLinkOut } from '../../../src/messages/link-manager-to-gateway.link-out.ts';
import type { GroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import type { ItemRange, StoredItem } from '../../../src/shell/worker.ts';
import type { LinkManagerLimits } from '../../../src/workers/link-manager/config.ts';
import type { KeyAgreement } from '../../../src/workers/link-manager/worker.ts';
import type { Head, LinkEvent, LinkItem } from '../../../src/workers/link-manager/head.ts';
import { alice, bob, createChance, createCluster, groupId, inRecordOf, tag, type Cluster, type Party } from './cluster-fixture.ts';

export type Faults = {
  readonly drop: number;
  readonly double: number;
  /** Longest delay of a packet in ms; packets overtake each other. */
  readonly delayMs: number;
  /** Probability that a step is lost before it was saved. */
  readonly lostStep: number;
  /** Probability that effects are sent twice, and that the process forgets its memory. */
  readonly crash: number;
};
export const noFaults: Faults = { drop: 0, double: 0, delayMs: 0, lostStep: 0, crash: 0 };

export type Received = { readonly type: 'message' | 'undelivered'; readonly messageId: string; readonly source: string; readonly payload?: string };

type Side = {
  readonly party: Party;
  readonly cluster: Cluster;
  head: Head | undefined;
  items: Map<number, LinkItem>;
  dueAt: number | undefined;
  queue: LinkEvent[];
  stepping: boolean;
  readonly received: Received[];
  /** Ids of the records that carried them. */
  readonly receivedIds: string[];
  /** The most messages that one step read from the store. */
  loadedMax: number;
  /** Answers to what was asked of it. */
  readonly answers: unknown[];
  /** Every packet that left. */
  readonly packets: string[];
  /** Which certificate each was to be sent with. */
  readonly certificates: (string | undefined)[];
};

export type World = {
  readonly alice: Side;
  readonly bob: Side;
  now(): number;
  send(from: 'alice' | 'bob', messageId: string, options?: { payload?: string; ttlMs?: number; receipt?: boolean }): void;
  /** Puts an event before a side's machine. */
  hear(to: 'alice' | 'bob', event: LinkEvent): void;
  faults: Faults;
  /** Packets that the network loses, whatever the faults. */
  loses: (packet: string) => boolean;
  /** Runs until nothing is left to do, or the virtual time has passed. */
  run(forMs: number): Promise<void>;
  loseState(of: 'alice' | 'bob'): void;
  loseMemory(of: 'alice' | 'bob'): void;
};

export type WorldOptions = { readonly seed: number; readonly faults?: Faults; readonly limits?: Partial<LinkManagerLimits>; readonly mode?: GroupParameters['p2p']['protocolMode']; /** Of Alice's cluster and of Bob's. */ readonly keyAgreements?: readonly [KeyAgreement, KeyAgreement] };

export const createWorld = ({ seed, faults = noFaults, limits, mode, keyAgreements = ['hybrid-preferred', 'hybrid-preferred'] }: WorldOptions): World => {
  const chance = createChance(seed);
  let now = 1_000_000;
  let serial = 0;
  const agenda: { at: number; serial: number; act: () => void | Promise<void> }[] = [];
  const at = (time: number, act: () => void | Promise<void>): void => void agenda.push({ at: time, serial: serial++, act });
  const clock = { now: () => now, after: () => () => {} };
  const sideOf = (party: Party, keyAgreement: KeyAgreement): Side => ({
    party,
    cluster: createCluster({ hosts: [party], members: [alice, bob], clock, random: chance.bytes, ...(limits === undefined ? {} : { limits }), ...(mode === undefined ? {} : { mode }), keyAgreement }),
    head: undefined, items: new Map(), dueAt: undefined, queue: [], stepping: false, received: [], receivedIds: [], answers: [], loadedMax: 0, packets: [], certificates: [],
  });
  const sides = { alice: sideOf(alice, keyAgreements[0]), bob: sideOf(bob, keyAgreements[1]) };
  const peerOf = (side: Side): Side => (side === sides.alice ? sides.bob : sides.alice);

  const enqueue = (side: Side, event: LinkEvent): void => {
    side.queue.push(event);
    if (side.queue.length === 1) at(now, () => stepSide(side));
  };

  const carry = (from: Side, packet: string): void => {
    from.packets.push(packet);
    if (chance.next() < world.faults.drop || world.loses(packet)) return;
    const times = chance.next() < world.faults.double ? 2 : 1;
    for (let i = 0; i < times; i++) at(now + 1 + Math.floor(chance.next() * world.faults.delayMs), () => enqueue(peerOf(from), { type: 'link-in', tag, packet }));
  };

  const perform = (side: Side, effect: OutRecord): void => {
    if (effect.topic === linkManagerToGatewayLinkOut.topic) {
      const decoded = decode(linkManagerToGatewayLinkOut, inRecordOf(effect));
      if (decoded.type !== 'message') throw new Error('a malformed packet left');
      side.certificates.push(decoded.delivery.body.certificate);
      carry(side, decoded.delivery.body.packet);
    } else if (effect.topic === allToCryptoSign.topic) {
      at(now + 1, async () => enqueue(side, { type: 'answer', ...(await side.cluster.answerSign(effect)) }));
    } else if (effect.topic === 'all-to-rest.answer') {
      side.answers.push(JSON.parse(effect.value));
    } else {
      const decoded = decode(linkManagerToFlowReceive, inRecordOf(effect));
      if (decoded.type !== 'message') throw new Error('a malformed message left');
      side.received.push(decoded.delivery.body);
      side.receivedIds.push(decoded.delivery.id);
    }
  };

  const itemsFor = (side: Side, needed: boolean | readonly ItemRange[]): StoredItem<LinkItem>[] | undefined => {
    if (needed === false || needed === true || needed.length === 0) return undefined;
    const found = new Map<number, LinkItem>();
    for (const { after, countMax, bytesMax } of needed) {
      let bytes = 0;
      for (const [position, value] of [...side.items].filter(([at]) => at > after).sort(([one], [other]) => one - other).slice(0, countMax)) {
        if (bytes < bytesMax) found.set(position, value);
        bytes += JSON.stringify(value).length;
      }
    }
    side.loadedMax = Math.max(side.loadedMax, found.size);
    return [...found].sort(([one], [other]) => one - other).map(([position, value]) => ({ position, value }));
  };

  const stepSide = async (side: Side): Promise<void> => {
    if (side.queue.length === 0) return;
    const events = side.queue.splice(0, side.queue.length);
    const { machine } = side.cluster;
    await machine.prepare?.(events);
    const items = itemsFor(side, machine.needsItems?.(tag, side.head, events) ?? false);
    const [output] = await machine.step([{ key: tag, head: side.head, items, events }], now);
    if (chance.next() < world.faults.lostStep) {
      // Not saved: all is stepped again, in a batch that may hold more.
      side.queue.unshift(...events);
      return at(now + 1, () => stepSide(side));
    }
    if (output?.type !== 'next') throw new Error(`a step ended in ${JSON.stringify(output)}`);
    if (output.head !== undefined) {
      side.head = output.head ?? undefined;
      for (const position of output.itemsRemoved ?? []) side.items.delete(position);
      for (const { position, value } of output.itemsAdded ?? []) {
        if (side.items.has(position)) throw new Error(`position ${position} was used twice`);
        side.items.set(position, value);
      }
      side.dueAt = output.dueAt;
      const { dueAt } = output;
      if (dueAt !== undefined) at(Math.max(dueAt, now), () => { if (side.dueAt === dueAt) enqueue(side, { type: 'wake', dueAt }); });
    }
    const crashed = chance.next() < world.faults.crash;
    for (const effect of output.effects) perform(side, effect);
    // Packets are not owed: a crash between the save and the bus loses them.
    if (!crashed) for (const packet of output.fleeting ?? []) perform(side, packet);
    // Sent again after the crash (W2); that a flow sees a record twice is its own shell's affair.
    if (crashed) for (const effect of output.effects) if (effect.topic !== linkManagerToFlowReceive.topic) perform(side, effect);
    if (crashed && side.head !== undefined) side.head = JSON.parse(JSON.stringify(side.head)) as Head;
  };

  const world: World = {
    alice: sides.alice,
    bob: sides.bob,
    faults,
    loses: () => false,
    now: () => now,
    send: (from, messageId, { payload = `payload of ${messageId}`, ttlMs = 24 * 3_600_000, receipt = false } = {}) => {
      const side = sides[from];
      enqueue(side, {
        type: 'send',
        message: {
          messageId, groupId, source: side.party.name, destination: peerOf(side).party.name, subsystem: 'flow',
          receiverKey: 'receiving-flow', senderKey: 'sending-flow', expiresAt: now + ttlMs, payload, ...(receipt ? { receipt } : {}),
        },
      });
    },
    hear: (to, event) => enqueue(sides[to], event),
    loseState: (of) => {
      sides[of].head = undefined;
      sides[of].items.clear();
      sides[of].dueAt = undefined;
    },
    loseMemory: (of) => {
      if (sides[of].head !== undefined) sides[of].head = JSON.parse(JSON.stringify(sides[of].head)) as Head;
    },
    run: async (forMs) => {
      const end = now + forMs;
      for (;;) {
        agenda.sort((one, other) => one.at - other.at || one.serial - other.serial);
        const next = agenda[0];
        if (next === undefined || next.at > end) break;
        agenda.shift();
        now = Math.max(now, next.at);
        await next.act();
      }
      now = end;
    },
  };
  return world;
};

export const deliveredTo = (side: World['alice']): string[] => side.received.filter(({ type }) => type === 'message').map(({ messageId }) => messageId);
