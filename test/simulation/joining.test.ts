/** Joining a network while messages are lost and come twice, and while rooms crash: every registration ends well, or with a reason. */
import { expect, test } from 'vitest';
import { encode, type Outcome } from '../../src/messages/grammar/envelope.ts';
import { restToMemberMgm } from '../../src/messages/rest-to-member.mgm.ts';
import { restToMemberNetwork } from '../../src/messages/rest-to-member.network.ts';
import { registrationStatus, restToMemberRegistration } from '../../src/messages/rest-to-member.registration.ts';
import { toBase64url } from '../../src/cipher/bytes.ts';
import { createRandom } from './random.ts';
import { host, identityOf, JoiningWorld, openSite, testKey, type Site } from './joining-world.ts';
import type { HoldingIdentity } from '../../src/identity/holding-identity.ts';
import type { State } from '../../src/workers/member/state.ts';

const groupId = '3f6f4ad0-2c3c-4f5e-9a3b-6c1d5a8e7f10';
const mgmPolicy = JSON.stringify({
  fileFormatVersion: 1, groupId: 'CREATE_ID',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
});
const certificate = '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n';
const mgm = identityOf('O=Mgm, L=London, C=GB', groupId);
const alice = identityOf('O=Alice, L=London, C=GB', groupId);
const bob = identityOf('O=Bob, L=Paris, C=FR', groupId);
const carol = identityOf('O=Carol, L=Rome, C=IT', groupId);

const replyTo = (key: string) => ({ topic: 'all-to-rest.answer', key });

const ask = {
  register: (identity: HoldingIdentity, context: Record<string, string>, id = `register/${identity.x500Name}`) =>
    encode(restToMemberRegistration, { key: identity.shortHash, id, replyTo: replyTo(id), body: { type: 'register', shortHash: identity.shortHash, context } }),
  setUp: async (identity: HoldingIdentity) => {
    const { id, pair } = await testKey(identity.shortHash, 'SESSION_INIT');
    const body = { shortHash: identity.shortHash, sessionKey: { id, publicKey: toBase64url(pair.publicKey), spec: 'EdDSA' }, sessionCertificates: null, otherCertificates: [] };
    return encode(restToMemberNetwork, { key: identity.shortHash, id: `set-up/${identity.x500Name}`, replyTo: replyTo('set-up'), body });
  },
};

const mgmContext = async (): Promise<Record<string, string>> => ({
  'corda.session.keys.0.id': (await testKey(mgm.shortHash, 'SESSION_INIT')).id,
  'corda.ecdh.key.id': (await testKey(mgm.shortHash, 'PRE_AUTH')).id,
  'corda.group.protocol.registration': 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
  'corda.group.protocol.synchronisation': 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
  'corda.group.protocol.p2p.mode': 'Authenticated_Encryption', 'corda.group.key.session.policy': 'Distinct', 'corda.group.pki.session': 'NoPKI',
  'corda.group.pki.tls': 'Standard', 'corda.group.tls.type': 'OneWay', 'corda.group.tls.version': '1.3', 'corda.group.trustroot.tls.0': certificate,
  'corda.endpoints.0.connectionURL': 'https://mgm.example:8080', 'corda.endpoints.0.protocolVersion': '1',
});

/** Members of one cluster share its gateway. */
const memberContext = async (site: Site, { shortHash }: HoldingIdentity, more: Record<string, string> = {}): Promise<Record<string, string>> => ({
  'corda.session.keys.0.id': (await testKey(shortHash, 'SESSION_INIT')).id,
  'corda.ledger.keys.0.id': (await testKey(shortHash, 'LEDGER')).id,
  'corda.endpoints.0.connectionURL': `https://${site.name}.example:8080`, 'corda.endpoints.0.protocolVersion': '1',
  ...more,
});

const lastOf = (site: Site, { shortHash }: HoldingIdentity) => {
  const head = site.heads.get(shortHash);
  return head !== undefined && 'registrations' in head ? head.registrations.at(-1) : undefined;
};
const statusIn = (site: Site, identity: HoldingIdentity): string | undefined => lastOf(site, identity)?.registrationStatus;

const order = registrationStatus.options as readonly string[];

/** What must hold after every step. */
const createWatch = () => {
  const before = new Map<string, State>();
  return (site: Site, key: string, head: State): void => {
    const place = `${site.name}/${key}`;
    const was = before.get(place);
    before.set(place, head);
    if (head.type === 'list' && was?.type === 'list') {
      expect(head.version).toBeGreaterThanOrEqual(was.version);
      expect(head.epoch).toBeGreaterThanOrEqual(was.epoch);
    }
    if (head.type === 'joining' && was?.type === 'joining') {
      for (const [n, one] of was.registrations.entries()) {
        const now = head.registrations[n]!;
        expect(now.registrationId).toBe(one.registrationId);
        expect(order.indexOf(now.registrationStatus), `${one.registrationStatus} became ${now.registrationStatus}`).toBeGreaterThanOrEqual(order.indexOf(one.registrationStatus));
      }
    }
  };
};

const listOf = ({ members, groupParameters }: Site) => ({
  members: [...members.values()].filter(({ status }) => status !== 'PENDING').map(({ x500Name, status, serial, memberContext: context }) => [x500Name, status, serial, context['corda.registration.id']]).sort(),
  epoch: groupParameters.get(groupId)?.epoch,
});

type Manage = Parameters<typeof encode<Parameters<typeof restToMemberMgm.body.parse>[0]>>[1];

const story = async (seed: number): Promise<string> => {
  const random = createRandom(seed);
  // Some lists come in pages of one member, as long ones do.
  const pageChars = random.chance(0.5) ? 1_000 : undefined;
  const [here, there] = [openSite('here', pageChars), openSite('there', pageChars)];
  const faults = { drop: random.next() * 0.5, repeat: random.next() * 0.5, crash: random.next() * 0.3 };
  const world = new JoiningWorld(random, [here, there], faults, createWatch());
  const manage = (id: string, body: object): void =>
    world.put(here, encode(restToMemberMgm, { key: mgm.shortHash, id, replyTo: replyTo(id), body: { ...body, shortHash: mgm.shortHash } } as Manage as never));
  const hour = 3_600_000;
  host(here, mgm, mgmPolicy);
  world.put(here, ask.register(mgm, await mgmContext()));
  world.put(here, await ask.setUp(mgm));
  expect(await world.run(() => statusIn(here, mgm) === 'APPROVED', hour)).toBe(true);
  manage('info', { type: 'info' });
  const byHand = random.chance(0.5);
  if (byHand) manage('rule', { type: 'add-rule', rules: 'standard', regex: '^ext\\.ask', label: null });
  expect(await world.run(() => here.outcomes.has('info') && (!byHand || here.outcomes.has('rule')), hour)).toBe(true);
  const policy = (here.outcomes.get('info') as Extract<Outcome, { type: 'done' }> & { value: { groupPolicy: string } }).value.groupPolicy;

  const places: readonly [Site, HoldingIdentity][] = [[here, alice], [there, bob], [random.chance(0.5) ? here : there, carol]];
  for (const [site, identity] of places) {
    host(site, identity, policy);
    world.put(site, await ask.setUp(identity));
    await world.run(() => random.chance(0.3), hour);
    // A registration before the setup is known ends INVALID: the operator waits for the answer first.
    await world.run(() => site.heads.has(identity.shortHash), hour);
    world.put(site, ask.register(identity, await memberContext(site, identity, identity === bob && byHand ? { 'ext.ask': 'yes' } : {})));
  }
  const isUp = ([site, identity]: readonly [Site, HoldingIdentity]): boolean => statusIn(site, identity) === 'APPROVED';
  if (byHand) {
    expect(await world.run(() => statusIn(there, bob) === 'PENDING_MANUAL_APPROVAL', hour), `Bob is ${statusIn(there, bob)}`).toBe(true);
    manage('approve', { type: 'approve', registrationId: lastOf(there, bob)!.registrationId });
  }
  expect(await world.run(() => places.every(isUp), hour), JSON.stringify(places.map(([site, identity]) => lastOf(site, identity)))).toBe(true);

  world.lostLists = random.chance(0.5) ? 0.4 : 0;
  manage('suspend', { type: 'set-status', x500Name: alice.x500Name, status: 'SUSPENDED', serial: 1, reason: null });
  world.put(there, ask.register(bob, await memberContext(there, bob, { 'ext.more': '1', ...(byHand ? { 'ext.ask': 'yes' } : {}) }), 'again'));
  manage('parameters', { type: 'group-parameters', parameters: { 'ext.rate': '5' } });
  // What Bob hears of himself may be lost, too: then he asks, at the latest after some hours.
  expect(await world.run(() => lastOf(there, bob)?.serial === 2 && here.outcomes.has('suspend') && here.outcomes.has('parameters'), 20 * hour), JSON.stringify(lastOf(there, bob))).toBe(true);
  manage('activate', { type: 'set-status', x500Name: alice.x500Name, status: 'ACTIVE', serial: 2, reason: null });
  world.lostLists = 0;
  await world.run(() => false, 20 * hour);
  expect(here.outcomes.get('activate')).toMatchObject({ type: 'done' });
  expect(listOf(there)).toEqual(listOf(here));
  expect(listOf(here).members.map(([name, status, serial]) => [name, status, serial])).toEqual([
    [alice.x500Name, 'ACTIVE', 3], [bob.x500Name, 'ACTIVE', 2], [carol.x500Name, 'ACTIVE', 1], [mgm.x500Name, 'ACTIVE', 1],
  ]);
  return `${world.steps} steps`;
};

const seeds = Number(process.env['CORDAGE_JOINING_SEEDS'] ?? 1_000);
const first = Number(process.env['CORDAGE_JOINING_SEED'] ?? 1);

test(`${seeds} seeds of losses, repeats and crashes: all who join are seen by all, and both clusters have the same list`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      await story(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: CORDAGE_JOINING_SEED=${seed} CORDAGE_JOINING_SEEDS=1 runs it alone`, { cause: error });
    }
  }
}, 300_000);
