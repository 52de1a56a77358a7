/**
 * Member rooms of several clusters under one seed: their machines as they are, crypto that answers at once, and links that behave as the
 * link manager promises: a packet of no session may be lost or come twice, a message on a session comes once and in order, when both
 * sides know each other well enough. A room that crashes has its last records handled again, from the state it saved.
 */
import { fromBase64url, toBase64url } from '../../src/cipher/bytes.ts';
import { openWithKey, sealToKey } from '../../src/cipher/sealed-to-key.ts';
import { generateKeyPair, keyIdOf, prepareSigner, type KeyPair, type Signer } from '../../src/cipher/signature.ts';
import { holdingIdentityOf, type HoldingIdentity } from '../../src/identity/holding-identity.ts';
import { parseX500 } from '../../src/identity/x500.ts';
import { allToCryptoKey, type PublicKeyInfo } from '../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../src/messages/all-to-crypto.sign.ts';
import { allToLinkManagerSend } from '../../src/messages/all-to-link-manager.send.ts';
import type { CpiMetadata } from '../../src/messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../src/messages/db-to-all.virtual-node.ts';
import { answerTo, decode, encode, type Outcome } from '../../src/messages/grammar/envelope.ts';
import type { InRecord, OutRecord } from '../../src/messages/grammar/record.ts';
import type { BodyOf, Wire } from '../../src/messages/grammar/wire.ts';
import { linkManagerToMemberReceive } from '../../src/messages/link-manager-to-member.receive.ts';
import type { GroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllGroupParameters } from '../../src/messages/member-to-all.group-parameters.ts';
import { isManager, memberToAllMember, type Member } from '../../src/messages/member-to-all.member.ts';
import { memberToCryptoSeal } from '../../src/messages/member-to-crypto.seal.ts';
import { memberToLinkManagerUnauthenticated } from '../../src/messages/member-to-link-manager.unauthenticated.ts';
import { memberToMemberWake } from '../../src/messages/member-to-member.wake.ts';
import { silentLog } from '../../src/observability/log.ts';
import type { Machine, StoredItem } from '../../src/shell/worker.ts';
import { newVirtualNode } from '../../src/workers/db/virtual-node.ts';
import type { MemberEvent } from '../../src/workers/member/event.ts';
import { createMemberMachine } from '../../src/workers/member/machine.ts';
import { createNetworks } from '../../src/workers/member/network.ts';
import type { Item, State } from '../../src/workers/member/state.ts';
import type { Random } from './random.ts';

/** Made once for all seeds: the machines see public keys alone, and chance in keys would make a seed another run each time. */
type TestKey = { readonly pair: KeyPair; readonly signer: Signer | undefined; readonly id: string };
const keys = new Map<string, Promise<TestKey>>();
const makeKey = async (scheme: PublicKeyInfo['scheme']): Promise<TestKey> => {
  const pair = await generateKeyPair(scheme);
  return { pair, signer: scheme === 'CORDA.X25519' ? undefined : await prepareSigner(pair.privateKey), id: keyIdOf(pair.publicKey) };
};
export const testKey = (owner: string, category: PublicKeyInfo['category']): Promise<TestKey> => {
  const scheme = category === 'PRE_AUTH' ? 'CORDA.X25519' : 'CORDA.EDDSA.ED25519';
  const name = `${owner}/${category}`;
  const known = keys.get(name) ?? makeKey(scheme);
  keys.set(name, known);
  return known;
};

const viewOf = <Body>(bodies: ReadonlyMap<string, Body>) => ({ get: (key: string) => bodies.get(key), entries: () => new Map(bodies).entries(), refresh: async () => {} });

type Queued = { readonly record: OutRecord };

export type Site = {
  readonly name: string;
  readonly virtualNodes: Map<string, VirtualNode>;
  readonly cpis: Map<string, CpiMetadata>;
  readonly members: Map<string, Member>;
  readonly groupParameters: Map<string, GroupParameters>;
  readonly heads: Map<string, State>;
  readonly dueAt: Map<string, number>;
  readonly outcomes: Map<string, Outcome>;
  readonly items: Map<string, Map<number, Item>>;
  readonly machine: Machine<State, Item, MemberEvent>;
  /** One line a topic and key: order holds within it. */
  readonly lines: Map<string, Queued[]>;
};

export const openSite = (name: string, pageChars?: number): Site => {
  const virtualNodes = new Map<string, VirtualNode>();
  const cpis = new Map<string, CpiMetadata>();
  const members = new Map<string, Member>();
  const networks = createNetworks({ virtualNodes: viewOf(virtualNodes), cpis: viewOf(cpis), members: viewOf(members) });
  return {
    name, virtualNodes, cpis, members, groupParameters: new Map(), heads: new Map(), items: new Map(), dueAt: new Map(), outcomes: new Map(), lines: new Map(),
    machine: createMemberMachine({ networks, log: silentLog, ...(pageChars === undefined ? {} : { pageChars }) }),
  };
};

export const identityOf = (name: string, groupId: string): HoldingIdentity => {
  const parsed = parseX500(name);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return holdingIdentityOf(parsed.name, groupId);
};

export const host = (site: Site, identity: HoldingIdentity, groupPolicy: string): void => {
  const fullChecksum = `${identity.shortHash}`.padEnd(64, '0');
  const cpi: CpiMetadata = { id: { name: identity.x500Name, version: '1', signerSummaryHash: 'SHA-256:00' }, fullChecksum, groupId: identity.groupId, groupPolicy, cpks: [], timestamp: 0 };
  site.cpis.set(fullChecksum, cpi);
  site.virtualNodes.set(identity.shortHash, newVirtualNode(identity, cpi, 0));
};

type Link = BodyOf<typeof allToLinkManagerSend>;

export type Faults = { drop: number; readonly repeat: number; readonly crash: number };

export class JoiningWorld {
  readonly sites: readonly Site[];
  now = 1_000_000;
  steps = 0;
  /** How many lists run out of time on the way. */
  lostLists = 0;
  readonly #random: Random;
  /** May be changed while it runs. */
  readonly faults: Faults;
  readonly #links: Link[] = [];
  readonly #sent = new Set<string>();
  /** Called after every step with the state of the key: what must hold always. */
  readonly #watch: (site: Site, key: string, head: State) => void;

  constructor(random: Random, sites: readonly Site[], faults: Faults, watch: (site: Site, key: string, head: State) => void) {
    this.#random = random;
    this.sites = sites;
    this.faults = faults;
    this.#watch = watch;
  }

  /** Messages that are on their way on sessions. */
  get waitingLinks(): readonly Link[] {
    return this.#links;
  }

  put(site: Site, record: OutRecord): void {
    const line = `${record.topic}/${record.key}`;
    const queued = site.lines.get(line) ?? [];
    queued.push({ record });
    site.lines.set(line, queued);
  }

  #siteOf(groupId: string, x500Name: string): Site | undefined {
    return this.sites.find((site) => site.virtualNodes.has(identityOf(x500Name, groupId).shortHash));
  }

  async #crypto(record: OutRecord, owner: string): Promise<Outcome> {
    const inRecord: InRecord = { partition: 0, offset: 0, timestamp: 0, ...record };
    const find = record.topic === allToCryptoKey.topic ? decode(allToCryptoKey, inRecord) : undefined;
    if (find?.type === 'message' && find.delivery.body.type === 'find') {
      const { tenant, ids } = find.delivery.body;
      const categories = ['SESSION_INIT', 'LEDGER', 'PRE_AUTH'] as const;
      const made = await Promise.all(categories.map(async (category) => ({ category, key: await testKey(owner, category) })));
      const found = made.filter(({ key }) => ids?.includes(key.id));
      return {
        type: 'done',
        value: {
          keys: found.map(({ category, key }) => ({
            id: key.id, tenant, alias: category, category, scheme: category === 'PRE_AUTH' ? 'CORDA.X25519' : 'CORDA.EDDSA.ED25519', masterKeyAlias: 'm', publicKey: toBase64url(key.pair.publicKey), createdAt: 0,
          })),
        },
      };
    }
    const sign = record.topic === allToCryptoSign.topic ? decode(allToCryptoSign, inRecord) : undefined;
    if (sign?.type === 'message') {
      const key = await testKey(owner, 'SESSION_INIT');
      const signature = await key.signer!.sign('EdDSA', fromBase64url(sign.delivery.body.data));
      return { type: 'done', value: { signature: toBase64url(signature), spec: 'EdDSA', publicKey: toBase64url(key.pair.publicKey) } };
    }
    const seal = decode(memberToCryptoSeal, inRecord);
    if (seal.type !== 'message') throw new Error(`crypto was asked what it cannot be: ${record.topic}`);
    const { body } = seal.delivery;
    const context = { info: body.info, aad: fromBase64url(body.aad) };
    if (body.type === 'seal') {
      const sealed = await sealToKey(fromBase64url(body.publicKey), fromBase64url(body.plaintext), context, (length) => this.#random.bytes(length));
      return { type: 'done', value: { type: 'sealed', sealed } };
    }
    const { pair } = await testKey(owner, 'PRE_AUTH');
    try {
      return { type: 'done', value: { type: 'opened', plaintext: toBase64url(await openWithKey(pair, body.sealed, context)) } };
    } catch {
      return { type: 'refused', code: 'CRYPTO_NOT_OPENED', message: 'not opened' };
    }
  }

  /** What a step owes reaches whom it is for. */
  async #publish(site: Site, record: OutRecord): Promise<void> {
    const { id, body, replyTo } = JSON.parse(record.value) as { id: string; body: any; replyTo?: { topic: string; key: string } };
    switch (record.topic) {
      case memberToAllMember.topic:
        if (body === null) site.members.delete(record.key);
        else site.members.set(record.key, body);
        return;
      case memberToAllGroupParameters.topic:
        return void site.groupParameters.set(record.key, body);
      case 'member-to-link-manager.hosted-identity':
      case 'member-to-gateway.client-subject':
        return;
      case 'all-to-rest.answer':
        return void site.outcomes.set(body.requestId, body.outcome);
      case allToLinkManagerSend.topic:
        // As the link manager does: a sender's repeat is known by its id.
        if (!this.#sent.has(body.messageId)) this.#links.push(body);
        return void this.#sent.add(body.messageId);
      case memberToLinkManagerUnauthenticated.topic: {
        const times = this.#random.chance(this.faults.drop) ? 0 : this.#random.chance(this.faults.repeat) ? 2 : 1;
        const there = this.#siteOf(body.groupId, body.destination);
        const { shortHash } = identityOf(body.destination, body.groupId);
        for (let n = 0; n < times && there !== undefined; n++) {
          this.put(there, encode(linkManagerToMemberReceive, { key: shortHash, id, body: { type: 'unauthenticated', messageId: body.messageId, groupId: body.groupId, source: body.source, destination: body.destination, payload: body.payload } }));
        }
        return;
      }
      case allToCryptoKey.topic:
      case allToCryptoSign.topic:
      case memberToCryptoSeal.topic: {
        const outcome = await this.#crypto(record, body.tenant);
        const answer = answerTo({ key: record.key, id, body, ...(replyTo === undefined ? {} : { replyTo }) }, outcome);
        if (answer !== undefined) this.put(site, answer);
        return;
      }
      default:
        this.put(site, record);
    }
  }

  /** Both clusters must know both, in good standing or one of them the manager: else the link manager holds the message. */
  #mayPass({ groupId, source, destination }: Link): boolean {
    const known = (site: Site | undefined): boolean => {
      const [one, other] = [source, destination].map((name) => site?.members.get(`${groupId}/${name}`));
      return one !== undefined && other !== undefined && (isManager(one) || isManager(other) || (one.status === 'ACTIVE' && other.status === 'ACTIVE'));
    };
    return known(this.#siteOf(groupId, source)) && known(this.#siteOf(groupId, destination));
  }

  #pass(): boolean {
    const first = new Set<string>();
    const ready = this.#links.filter((link) => {
      const pair = `${link.source}>${link.destination}`;
      if (first.has(pair)) return false;
      first.add(pair);
      return this.#mayPass(link);
    });
    if (ready.length === 0) return false;
    const link = this.#random.pick(ready);
    this.#links.splice(this.#links.indexOf(link), 1);
    if (link.expiresAt <= this.now || (link.payload.startsWith('{"type":"list"') && this.#random.chance(this.lostLists))) return true;
    const { messageId, groupId, source, destination, payload } = link;
    this.put(this.#siteOf(groupId, destination)!, encode(linkManagerToMemberReceive, { key: link.receiverKey, id: messageId, body: { type: 'message', messageId, groupId, source, destination, payload } }));
    return true;
  }

  /** As the store gives them. */
  #items(site: Site, key: string, head: State | undefined, events: readonly MemberEvent[]): readonly StoredItem<Item>[] | undefined {
    const needs = site.machine.needsItems!(key, head, events);
    if (needs === false) return undefined;
    const all = [...(site.items.get(key) ?? [])].map(([position, value]) => ({ position, value })).sort((one, other) => one.position - other.position);
    return needs === true ? all : needs.flatMap(({ after, countMax }) => all.filter(({ position }) => position > after).slice(0, countMax));
  }

  async #step(site: Site, records: readonly OutRecord[]): Promise<void> {
    const events = records.flatMap((record): MemberEvent[] => {
      if (record.topic === memberToMemberWake.topic) return [site.machine.wake!.toEvent((JSON.parse(record.value) as { body: { dueAt: number } }).body.dueAt)];
      const hearing = site.machine.hearings.find(({ wire }) => wire.topic === record.topic);
      const decoded = hearing === undefined ? undefined : decode(hearing.wire as Wire<any, any>, { partition: 0, offset: 0, timestamp: 0, ...record });
      if (decoded?.type !== 'message') throw new Error(`${record.topic} is not heard: ${JSON.stringify(decoded)}`);
      return [hearing!.toEvent(decoded.delivery)];
    });
    const { key } = records[0]!;
    const head = site.heads.get(key);
    const [output] = await site.machine.step([{ key, head, items: this.#items(site, key, head, events), events }], this.now);
    this.steps++;
    if (output === undefined || output.type === 'poison') throw new Error(`poison: ${JSON.stringify(output)}`);
    if (output.type === 'later') return void site.lines.set(`${records[0]!.topic}/${key}`, [...records.map((record) => ({ record })), ...(site.lines.get(`${records[0]!.topic}/${key}`) ?? [])]);
    // State as the store has it: what is not JSON would not come back.
    const items = site.items.get(key) ?? new Map<number, Item>();
    site.items.set(key, items);
    for (const position of output.itemsRemoved ?? []) items.delete(position);
    for (const { position, value } of output.itemsAdded ?? []) items.set(position, JSON.parse(JSON.stringify(value)) as Item);
    if (output.head === null) site.heads.delete(key);
    if (output.head !== undefined && output.head !== null) {
      const saved = JSON.parse(JSON.stringify(output.head)) as State;
      site.heads.set(key, saved);
      this.#watch(site, key, saved);
    }
    if (output.dueAt === undefined) site.dueAt.delete(key);
    else site.dueAt.set(key, output.dueAt);
    for (const effect of output.effects) await this.#publish(site, effect);
  }

  /** Handles something that waits. False when nothing does before time moves on. */
  async #turn(): Promise<boolean> {
    const waiting = this.sites.flatMap((site) => [...site.lines].filter(([, line]) => line.length > 0).map(([name, line]) => ({ site, name, line })));
    if (waiting.length === 0 || this.#random.chance(0.2)) {
      if (this.#pass()) return true;
      if (waiting.length === 0) return false;
    }
    const { site, line } = this.#random.pick(waiting);
    const records = line.splice(0, 1 + this.#random.below(3)).map(({ record }) => record);
    this.now += this.#random.below(20);
    await this.#step(site, records);
    // Killed after the state was saved, before the records were known to be handled: they come again.
    if (this.#random.chance(this.faults.crash)) await this.#step(site, records);
    return true;
  }

  #wakeNext(until: number): boolean {
    const due = this.sites.flatMap((site) => [...site.dueAt].map(([key, dueAt]) => ({ site, key, dueAt }))).sort((one, other) => one.dueAt - other.dueAt)[0];
    if (due === undefined || due.dueAt > until) return false;
    this.now = Math.max(this.now, due.dueAt);
    due.site.dueAt.delete(due.key);
    this.put(due.site, encode(memberToMemberWake, { key: due.key, id: `wake/${due.dueAt}`, body: { dueAt: due.dueAt } }));
    return true;
  }

  /** Goes on until it is so, or nothing more happens within the time. */
  async run(isSo: () => boolean, msMax: number): Promise<boolean> {
    const until = this.now + msMax;
    for (let turns = 0; turns < 20_000; turns++) {
      if (isSo()) return true;
      if (!(await this.#turn()) && !this.#wakeNext(until)) return isSo();
    }
    throw new Error('it goes on for ever');
  }
}
