/** A dynamic network's machines by themselves: what strangers, the manager and members send, and what is refused without a change. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { canonicalJson } from '../../../src/cipher/canonical-json.ts';
import { sealToKey } from '../../../src/cipher/sealed-to-key.ts';
import { dbToMemberDeparture } from '../../../src/messages/db-to-member.departure.ts';
import { encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import { linkManagerToMemberReceive } from '../../../src/messages/link-manager-to-member.receive.ts';
import { isVisible, type Member } from '../../../src/messages/member-to-all.member.ts';
import { restToMemberMgm } from '../../../src/messages/rest-to-member.mgm.ts';
import { restToMemberNetwork } from '../../../src/messages/rest-to-member.network.ts';
import { restToMemberRegistration } from '../../../src/messages/rest-to-member.registration.ts';
import { parseJoinContext } from '../../../src/workers/member/joining/context.ts';
import { keyMap } from '../../../src/workers/member/peer/context-map.ts';
import { contextInput, leafOf, leaveInput, memberOf, requestInput, rootOf, rootOfRoster, statementInput, type Entry } from '../../../src/workers/member/peer/entry.ts';
import type { Leave, RegistrationRequest, SignedRequest } from '../../../src/workers/member/peer/peer-message.ts';
import { ruleFault, someMatches } from '../../../src/workers/member/mgm/rule-regex.ts';
import type { ListState } from '../../../src/workers/member/list/state.ts';
import type { MgmState } from '../../../src/workers/member/mgm/state.ts';
import { createRandom } from '../../simulation/random.ts';
import { host, identityOf, JoiningWorld, openSite, testKey, type Site } from '../../simulation/joining-world.ts';

const groupId = '3f6f4ad0-2c3c-4f5e-9a3b-6c1d5a8e7f11';
const mgmPolicy = JSON.stringify({
  fileFormatVersion: 1, groupId: 'CREATE_ID',
  registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
  synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
});
const mgm = identityOf('O=Mgm, L=London, C=GB', groupId);
const bob = identityOf('O=Bob, L=Paris, C=FR', groupId);
const hour = 3_600_000;
const replyTo = (key: string) => ({ topic: 'all-to-rest.answer', key });

let here: Site;
let there: Site;
let world: JoiningWorld;
let policy: string;

const keyOf = async (owner: string) => {
  const { pair, signer, id } = await testKey(owner, 'SESSION_INIT');
  return { publicKey: toBase64url(pair.publicKey), spec: 'EdDSA' as const, id, sign: async (input: Uint8Array) => toBase64url(await signer!.sign('EdDSA', input)) };
};

const open = async (faults = { drop: 0, repeat: 0, crash: 0 }): Promise<void> => {
  [here, there] = [openSite('here'), openSite('there')];
  world = new JoiningWorld(createRandom(1), [here, there], faults, () => {});
  host(here, mgm, mgmPolicy);
  const context = {
    'corda.session.keys.0.id': (await keyOf(mgm.shortHash)).id, 'corda.ecdh.key.id': (await testKey(mgm.shortHash, 'PRE_AUTH')).id,
    'corda.group.protocol.registration': 'net.corda.membership.impl.registration.dynamic.member.DynamicMemberRegistrationService',
    'corda.group.protocol.synchronisation': 'net.corda.membership.impl.synchronisation.MemberSynchronisationServiceImpl',
    'corda.group.protocol.p2p.mode': 'Authenticated_Encryption', 'corda.group.key.session.policy': 'Distinct', 'corda.group.pki.session': 'NoPKI', 'corda.group.pki.tls': 'Standard',
    'corda.group.tls.version': '1.3', 'corda.group.trustroot.tls.0': '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n',
    'corda.endpoints.0.connectionURL': 'https://mgm.example:8080', 'corda.endpoints.0.protocolVersion': '1',
  };
  world.put(here, encode(restToMemberRegistration, { key: mgm.shortHash, id: 'mgm', replyTo: replyTo('mgm'), body: { type: 'register', shortHash: mgm.shortHash, context } }));
  world.put(here, encode(restToMemberNetwork, { key: mgm.shortHash, id: 'set-up', replyTo: replyTo('set-up'), body: { shortHash: mgm.shortHash, sessionKey: await keyOf(mgm.shortHash), sessionCertificates: null, otherCertificates: [] } }));
  expect(await world.run(() => manager().registrations[0]?.registrationStatus === 'APPROVED', hour)).toBe(true);
  world.put(here, encode(restToMemberMgm, { key: mgm.shortHash, id: 'info', replyTo: replyTo('info'), body: { type: 'info', shortHash: mgm.shortHash } }));
  await world.run(() => here.outcomes.has('info'), hour);
  policy = (here.outcomes.get('info') as Extract<Outcome, { type: 'done' }> & { value: { groupPolicy: string } }).value.groupPolicy;
};

const manager = (): MgmState => (here.heads.get(mgm.shortHash) ?? { registrations: [] }) as MgmState;
const list = (): ListState => here.heads.get(groupId) as ListState;

beforeEach(() => open());

describe('a request of no session', () => {
  const contextOf = async (registrationId: string, owner = bob.shortHash): Promise<Record<string, string>> => ({
    'corda.name': bob.x500Name, 'corda.groupId': groupId, 'corda.platformVersion': '50200', 'corda.softwareVersion': '1', 'corda.serial': '0', 'corda.registration.id': registrationId,
    'corda.endpoints.0.connectionURL': 'https://bob.example:8080', 'corda.endpoints.0.protocolVersion': '1', ...keyMap('corda.session.keys.0', await keyOf(owner)),
  });

  const id = '11111111-1111-4111-8111-111111111111';
  type Change = { readonly request?: Partial<RegistrationRequest>; readonly context?: Record<string, string>; readonly signer?: string; readonly contextSigner?: string; readonly source?: string; readonly aad?: string };

  const send = async ({ request: changes = {}, context: more = {}, signer = bob.shortHash, contextSigner = bob.shortHash, source = bob.x500Name, aad = `${groupId}/${mgm.x500Name}` }: Change = {}): Promise<void> => {
    const memberContext = { ...(await contextOf(id)), ...more };
    const request: RegistrationRequest = { v: 1, registrationId: id, groupId, x500Name: bob.x500Name, manager: mgm.x500Name, memberContext, serial: 0, token: null, sentAt: world.now, ...changes };
    const own = await keyOf(bob.shortHash);
    const signed: SignedRequest = {
      request,
      signature: await (await keyOf(signer)).sign(requestInput(request)),
      signatures: [{ publicKey: own.publicKey, spec: 'EdDSA', signature: await (await keyOf(contextSigner)).sign(contextInput(request.memberContext)) }],
    };
    const { pair } = await testKey(mgm.shortHash, 'PRE_AUTH');
    const sealed = await sealToKey(pair.publicKey, utf8(canonicalJson(signed)), { info: 'cordage registration', aad: utf8(aad) });
    const body = { type: 'unauthenticated' as const, messageId: 'm', groupId, source, destination: mgm.x500Name, payload: JSON.stringify({ v: 1, sealed }) };
    world.put(here, encode(linkManagerToMemberReceive, { key: mgm.shortHash, id: `m/${Math.random()}`, body }));
    await world.run(() => false, 1_000);
  };

  const forgeries: readonly (readonly [string, () => Change])[] = [
    ['signed by another key', () => ({ signer: 'stranger' })],
    ['whose context another key signed', () => ({ contextSigner: 'stranger' })],
    ['of another group', () => ({ request: { groupId: 'another' } })],
    ['for another manager', () => ({ request: { manager: 'O=Other, L=London, C=GB' } })],
    ['that names another than who sends it', () => ({ source: 'O=Mallory, L=London, C=GB' })],
    ['that is too old', () => ({ request: { sentAt: world.now - hour } })],
    ['of the future', () => ({ request: { sentAt: world.now + hour } })],
    ['whose context is of another request', () => ({ context: { 'corda.registration.id': '22222222-2222-4222-8222-222222222222' } })],
    ['whose context is of another member', () => ({ context: { 'corda.name': 'O=Mallory, L=London, C=GB' } })],
    ['whose context names another serial', () => ({ context: { 'corda.serial': '1' } })],
    ['in the name of the manager', () => ({ request: { x500Name: mgm.x500Name }, source: mgm.x500Name })],
    ['sealed for something else', () => ({ aad: 'something else' })],
  ];

  test.each(forgeries)('%s is refused without a trace', async (_what, change) => {
    const before = JSON.stringify(manager());
    await send(change());
    expect(JSON.stringify(manager())).toBe(before);
    expect([...here.members.values()].map(({ x500Name }) => x500Name)).toEqual([mgm.x500Name]);
    // The same one without the fault is taken: it was the fault that was refused.
    await send();
    expect(manager().requests[id]).toMatchObject({ status: 'PENDING_MEMBER_VERIFICATION' });
  });

  test('that breaks a rule of the network is declined, and one that comes again is told so again and changes nothing', async () => {
    await send({ context: { 'corda.endpoints.0.connectionURL': 'http://bob.example' } });
    expect(manager().ended).toMatchObject([{ registrationId: id, status: 'DECLINED', reason: expect.stringContaining('https://') }]);
    const before = JSON.stringify(manager());
    await send({ context: { 'corda.endpoints.0.connectionURL': 'http://bob.example' } });
    expect(JSON.stringify(manager())).toBe(before);
  });

  test('that nobody verifies is declined in time, and the name is forgotten', async () => {
    await send();
    expect(here.members.get(`${groupId}/${bob.x500Name}`)).toMatchObject({ status: 'PENDING' });
    await world.run(() => false, hour);
    expect(manager().ended).toMatchObject([{ status: 'DECLINED' }]);
    expect(manager().requests).toEqual({});
    expect(here.members.has(`${groupId}/${bob.x500Name}`)).toBe(false);
  });

  test('gives way to a newer one of its name while nobody has verified it', async () => {
    await send();
    const newer = '33333333-3333-4333-8333-333333333333';
    await send({ request: { registrationId: newer }, context: { 'corda.registration.id': newer } });
    expect(Object.keys(manager().requests)).toEqual([newer]);
    expect(manager().ended).toMatchObject([{ registrationId: id, status: 'DECLINED' }]);
  });
});

describe('a registration', () => {
  const register = async (more: Record<string, string> = {}): Promise<void> => {
    host(there, bob, policy);
    world.put(there, encode(restToMemberNetwork, { key: bob.shortHash, id: 'bob-set-up', replyTo: replyTo('x'), body: { shortHash: bob.shortHash, sessionKey: await keyOf(bob.shortHash), sessionCertificates: null, otherCertificates: [] } }));
    await world.run(() => there.heads.has(bob.shortHash), hour);
    const context = {
      'corda.session.keys.0.id': (await keyOf(bob.shortHash)).id, 'corda.ledger.keys.0.id': (await testKey(bob.shortHash, 'LEDGER')).id,
      'corda.endpoints.0.connectionURL': 'https://bob.example:8080', 'corda.endpoints.0.protocolVersion': '1', ...more,
    };
    world.put(there, encode(restToMemberRegistration, { key: bob.shortHash, id: 'bob', replyTo: replyTo('bob'), body: { type: 'register', shortHash: bob.shortHash, context } }));
  };
  const registration = () => (there.heads.get(bob.shortHash) as { registrations: { registrationStatus: string; reason: string | null }[] } | undefined)?.registrations[0];

  test('that the manager never answers has failed after half an hour, with a reason', async () => {
    await open({ drop: 0, repeat: 0, crash: 0 });
    world = new JoiningWorld(createRandom(2), [here, there], { drop: 1, repeat: 0, crash: 0 }, () => {});
    await register();
    await world.run(() => false, 29 * 60_000);
    expect(registration()).toMatchObject({ registrationStatus: 'SENT_TO_MGM' });
    await world.run(() => registration()?.registrationStatus === 'FAILED', hour);
    expect(registration()).toMatchObject({ registrationStatus: 'FAILED', reason: expect.stringContaining('did not answer within 30 minutes') });
    await world.run(() => false, 10);
    expect(there.members.has(`${groupId}/${bob.x500Name}`)).toBe(false);
  });

  test('with a token is refused once the time of the token has run out', async () => {
    const id = 'token';
    world.put(here, encode(restToMemberMgm, { key: mgm.shortHash, id, replyTo: replyTo(id), body: { type: 'add-token', shortHash: mgm.shortHash, x500Name: bob.x500Name, ttlMs: hour, remark: null } }));
    await world.run(() => here.outcomes.has(id), hour);
    const token = Object.keys(manager().tokens)[0]!;
    world.now += hour;
    await register({ 'corda.auth.token': token });
    await world.run(() => registration()?.registrationStatus === 'DECLINED', hour);
    expect(registration()).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('token is not valid') });
    expect(manager().tokens[token]).toMatchObject({ status: 'AVAILABLE' });
  });

  describe('that came to a member, whose virtual node is then deleted', () => {
    /** As db does: the virtual node is marked first. */
    const depart = (id: string): void => {
      there.virtualNodes.set(bob.shortHash, { ...there.virtualNodes.get(bob.shortHash)!, deleting: true });
      world.put(there, encode(dbToMemberDeparture, { key: bob.shortHash, id, replyTo: replyTo(id), body: { shortHash: bob.shortHash, groupId, x500Name: bob.x500Name } }));
    };
    const standing = () => manager().roster[bob.x500Name];
    const becomeMember = async (): Promise<void> => {
      await register();
      await world.run(() => registration()?.registrationStatus === 'APPROVED', hour);
      await world.run(() => false, 1_000);
    };

    test('has its manager suspend it, and asks the manager nothing more', async () => {
      await becomeMember();
      depart('departure');
      await world.run(() => standing()?.status === 'SUSPENDED', hour);
      expect([standing(), there.outcomes.get('departure')]).toMatchObject([{ status: 'SUSPENDED', serial: 2 }, { type: 'done' }]);
      await world.run(() => false, 1_000);
      expect(there.heads.has(bob.shortHash)).toBe(false);
      expect((there.heads.get(groupId) as ListState).locals).toEqual([]);
      depart('again');
      await world.run(() => there.outcomes.has('again'), hour);
      expect([there.outcomes.get('again'), standing()]).toMatchObject([{ type: 'done' }, { serial: 2 }]);
    });

    test('is gone although the manager hears nothing of it', async () => {
      await becomeMember();
      world.faults.drop = 1;
      depart('departure');
      await world.run(() => there.outcomes.has('departure'), hour);
      await world.run(() => false, 1_000);
      expect([there.outcomes.get('departure'), standing()]).toMatchObject([{ type: 'done' }, { status: 'ACTIVE', serial: 1 }]);
    });

    test.each<readonly [string, (leave: Leave) => { readonly leave?: Partial<Leave>; readonly signer?: string; readonly source?: string }]>([
      ['signed by another key', () => ({ signer: 'stranger' })],
      ['of another serial', ({ serial }) => ({ leave: { serial: serial + 1 } })],
      ['of long ago', ({ sentAt }) => ({ leave: { sentAt: sentAt - hour } })],
      ['of another network', () => ({ leave: { groupId: 'another' } })],
      ['in the name of another', () => ({ source: 'O=Mallory, L=London, C=GB' })],
      ['in the name of the manager', () => ({ leave: { x500Name: mgm.x500Name }, source: mgm.x500Name })],
    ])('does not leave by a word that is %s', async (_what, change) => {
      await becomeMember();
      const send = async (leave: Leave, signer: string, source: string): Promise<void> => {
        const signature = await (await keyOf(signer)).sign(leaveInput(leave));
        const { pair } = await testKey(mgm.shortHash, 'PRE_AUTH');
        const sealed = await sealToKey(pair.publicKey, utf8(canonicalJson({ leave, signature })), { info: 'cordage registration', aad: utf8(`${groupId}/${mgm.x500Name}`) });
        const body = { type: 'unauthenticated' as const, messageId: 'm', groupId, source, destination: mgm.x500Name, payload: JSON.stringify({ v: 1, sealed }) };
        world.put(here, encode(linkManagerToMemberReceive, { key: mgm.shortHash, id: `m/${Math.random()}`, body }));
        await world.run(() => false, 1_000);
      };
      const good: Leave = { v: 1, type: 'leave', groupId, x500Name: bob.x500Name, manager: mgm.x500Name, serial: 1, sentAt: world.now };
      const { leave = {}, signer = bob.shortHash, source = bob.x500Name } = change(good);
      const before = JSON.stringify(manager());
      await send({ ...good, ...leave }, signer, source);
      expect(JSON.stringify(manager())).toBe(before);
      await send(good, bob.shortHash, bob.x500Name);
      expect(standing()).toMatchObject({ status: 'SUSPENDED', serial: 2 });
    });
  });

  test('moves by the word of its own manager alone', async () => {
    await register();
    await world.run(() => registration()?.registrationStatus === 'SENT_TO_MGM', hour);
    const { registrationId } = registration() as unknown as { registrationId: string };
    const forge = (more: object): void => {
      const body = { type: 'message' as const, messageId: 'x', groupId, source: mgm.x500Name, destination: bob.x500Name, payload: JSON.stringify({ type: 'status', v: 1, registrationId, status: 'DECLINED', reason: 'ha' }), ...more };
      world.put(there, encode(linkManagerToMemberReceive, { key: bob.shortHash, id: `x/${JSON.stringify(more)}`, body }));
    };
    forge({ source: 'O=Mallory, L=London, C=GB' });
    forge({ groupId: 'another' });
    forge({ type: 'unauthenticated' });
    forge({ destination: 'O=Mallory, L=London, C=GB' });
    await world.run(() => registration()?.registrationStatus === 'APPROVED', hour);
    expect(registration()).toMatchObject({ registrationStatus: 'APPROVED', reason: null });
  });
});

describe('a list', () => {
  const carol = 'O=Carol, L=Rome, C=IT';
  const entryOf = async (x500Name: string, serial = 1): Promise<Entry> => {
    const key = await keyOf(x500Name);
    const memberContext = { 'corda.name': x500Name, 'corda.registration.id': 'r', ...keyMap('corda.session.keys.0', key) };
    return { x500Name, status: 'ACTIVE', serial, memberContext, mgmContext: { 'corda.status': 'ACTIVE' }, signatures: [{ publicKey: key.publicKey, spec: 'EdDSA', signature: await key.sign(contextInput(memberContext)) }] };
  };

  type Change = { readonly version?: number; readonly signer?: string; readonly groupId?: string; readonly extra?: Entry; readonly entry?: Entry };

  /** The next version, with Carol in it. */
  const payloadOf = async ({ version = list().version + 1, signer = mgm.shortHash, groupId: group = groupId, extra, entry }: Change = {}): Promise<string> => {
    const one = entry ?? (await entryOf(carol));
    const roster: Record<string, { leaf: string }> = { ...list().roster, [carol]: { leaf: leafOf(one) } };
    if (extra !== undefined) roster[extra.x500Name] = { leaf: leafOf(extra) };
    const { statement: last } = manager().signed!;
    const statement = { ...last, groupId: group, version, count: Object.keys(roster).length, root: rootOfRoster(roster) };
    const signature = await (await keyOf(signer)).sign(statementInput(statement));
    return JSON.stringify({ type: 'list', v: 1, statement, signature, entries: [one], since: version - 1, after: null, next: null, parameters: null });
  };

  const receive = async (payload: string, more: object = {}): Promise<void> => {
    const body = { type: 'message' as const, messageId: 'l', groupId, source: mgm.x500Name, destination: bob.x500Name, payload, ...more };
    world.put(here, encode(linkManagerToMemberReceive, { key: groupId, id: `l/${Math.random()}`, body }));
    await world.run(() => false, 10);
  };

  test.each<readonly [string, () => Promise<readonly [string, object]>]>([
    ['that the manager has not signed', async () => [await payloadOf({ signer: 'stranger' }), {}]],
    ['of another group', async () => [await payloadOf({ groupId: 'another' }), {}]],
    ['of a version that is there', async () => [await payloadOf({ version: 1 }), {}]],
    ['from somebody else', async () => [await payloadOf(), { source: 'O=Mallory, L=London, C=GB' }]],
    ['from a stranger', async () => [await payloadOf(), { type: 'unauthenticated' }]],
    ['with an entry that its member has not signed', async () => [await payloadOf({ entry: { ...(await entryOf(carol)), signatures: (await entryOf('O=Dora, L=Bern, C=CH')).signatures } }), {}]],
    ['that is none', async () => ['{"type":"list"}', {}]],
  ])('%s changes nothing', async (_what, make) => {
    const { version, roster } = list();
    const [payload, more] = await make();
    await receive(payload, more);
    expect(list()).toMatchObject({ version, roster });
    expect(here.members.has(`${groupId}/${carol}`)).toBe(false);
    await receive(await payloadOf());
    expect(list().version).toBe(version + 1);
    expect(here.members.get(`${groupId}/${carol}`)).toMatchObject({ status: 'ACTIVE', serial: 1 });
  });

  test('with something missing is not taken over, and the manager is asked', async () => {
    const before = list();
    await receive(await payloadOf({ extra: await entryOf('O=Dora, L=Bern, C=CH') }));
    expect(list()).toMatchObject({ version: before.version, roster: before.roster, syncs: 1 });
  });

  test('has a root that each leaf, their order and their number change', () => {
    const leaves = ['a', 'b', 'c', 'd', 'e'].map((letter) => toBase64url(utf8(letter.repeat(32))));
    const roots = [leaves, leaves.slice(0, 4), [...leaves].reverse(), [...leaves, leaves[4]!], [leaves[1]!, ...leaves.slice(1)], leaves.slice(0, 1)].map(rootOf);
    expect(new Set(roots).size).toBe(roots.length);
  });

  test('goes to two members of a cluster in turn, however many live there', async () => {
    const one = await entryOf(carol);
    const names = Array.from({ length: 9 }, (_, n) => `O=M${n}, L=London, C=GB`);
    for (const [n, name] of names.entries()) {
      const endpoints = [{ url: `https://${n < 6 ? 'first' : 'second'}.example:8080`, protocolVersion: 1 }];
      here.members.set(`${groupId}/${name}`, { ...memberOf(groupId, one), x500Name: name, endpoints });
    }
    const told: string[][] = [];
    for (const serial of [1, 2, 3]) {
      const state = manager();
      const others = Object.fromEntries(names.map((name) => [name, { serial: 1, status: 'ACTIVE' as const, createdAt: 0, leaf: leafOf(one), version: 1 }]));
      here.heads.set(mgm.shortHash, { ...state, roster: { ...state.roster, ...others }, changed: { [carol]: { ...one, serial } } });
      const { version } = state.signed!.statement;
      world.put(here, encode(restToMemberMgm, { key: mgm.shortHash, id: `poke/${serial}`, replyTo: replyTo('poke'), body: { type: 'rules', shortHash: mgm.shortHash, rules: 'standard' } }));
      await world.run(() => manager().signed!.statement.version === version + 1, 60_000);
      told.push(world.waitingLinks.filter(({ payload }) => payload.includes(`"version":${version + 1},`)).map(({ destination }) => destination).filter((name) => name !== carol));
    }
    expect(told.map(({ length }) => length)).toEqual([4, 4, 4]);
    expect(new Set(told.flat())).toEqual(new Set(names));
  });

  test('costs each recipient the same, however many members there are', async () => {
    const one = await entryOf(carol);
    const sizes: number[] = [];
    for (const count of [10, 1_000]) {
      await open();
      const state = manager();
      const others = Object.fromEntries(Array.from({ length: count }, (_, n) => [`O=M${n}, L=London, C=GB`, { serial: 1, status: 'ACTIVE' as const, createdAt: 0, leaf: leafOf(one), version: 1 }]));
      here.heads.set(mgm.shortHash, { ...state, roster: { ...state.roster, ...others }, parametersChanged: false, changed: { [carol]: one } });
      world.put(here, encode(restToMemberMgm, { key: mgm.shortHash, id: 'poke', replyTo: replyTo('poke'), body: { type: 'rules', shortHash: mgm.shortHash, rules: 'standard' } }));
      await world.run(() => manager().signed!.statement.count === count + 2, 60_000);
      const sent = world.waitingLinks.filter(({ payload }) => payload.startsWith('{"type":"list"'));
      expect(sent).toHaveLength(count + 1);
      sizes.push(Math.max(...sent.map(({ payload }) => payload.length)));
    }
    // Two digits more to count a thousand.
    expect(sizes[1]! - sizes[0]!).toBeLessThanOrEqual(4);
    expect(memberOf(groupId, one).serial).toBe(1);
  });
});

describe('who sees whom', () => {
  const memberIn = (status: 'ACTIVE' | 'SUSPENDED' | 'PENDING', x500Name: string, mgmContext: Record<string, string> = {}): Member => ({
    groupId, x500Name, status, serial: 1, memberContext: {}, mgmContext, endpoints: [], sessionKeys: [], ledgerKeys: [], ...(status === 'PENDING' ? {} : { signatures: [] }),
  });
  const manager = memberIn('ACTIVE', 'mgm', { 'corda.mgm': 'true' });
  const [active, suspended, pending] = [memberIn('ACTIVE', 'active'), memberIn('SUSPENDED', 'suspended'), memberIn('PENDING', 'pending')];
  const everybody = [manager, active, suspended, pending];
  const seen = (viewer: string, own: Member | undefined): string[] => everybody.filter((member) => isVisible(viewer, own, member)).map(({ x500Name }) => x500Name);

  test('the manager all, a member the active ones, the others the manager and themselves', () => {
    expect(seen('mgm', manager)).toEqual(['mgm', 'active', 'suspended', 'pending']);
    expect(seen('other', memberIn('ACTIVE', 'other'))).toEqual(['mgm', 'active']);
    expect(seen('suspended', suspended)).toEqual(['mgm', 'suspended']);
    expect(seen('pending', pending)).toEqual(['mgm', 'pending']);
    expect(seen('nobody', undefined)).toEqual(['mgm']);
    const { signatures: _none, ...listed } = memberIn('SUSPENDED', 'static', { 'corda.mgm.static': 'true' });
    expect(isVisible('nobody', undefined, listed)).toBe(true);
  });
});

describe('what may be written', () => {
  let session: string;
  beforeAll(async () => {
    session = (await keyOf('x')).id;
  });
  const reasonOf = (more: Record<string, string>): string | undefined => {
    const parsed = parseJoinContext({ 'corda.session.keys.0.id': session, 'corda.endpoints.0.connectionURL': 'https://h:1', 'corda.endpoints.0.protocolVersion': '1', ...more }, bob.x500Name);
    return parsed.type === 'invalid' ? parsed.reason : undefined;
  };

  test.each([
    ['https://host:8080', undefined], ['https://[::1]:8080/path', undefined], ['https://host:443', undefined], ['https://host', /port/], ['https://host:0', /port|URL/], ['https://host:65536', /URL/],
    ['http://host:1', /https/], ['https://user@host:1', /user/], ['https://host:1/?q', /query/], ['nonsense', /URL/],
  ])('an endpoint %s', (url, complaint) => {
    const reason = reasonOf({ 'corda.endpoints.0.connectionURL': url });
    if (complaint === undefined) expect(reason).toBeUndefined();
    else expect(reason).toMatch(complaint);
  });

  test('a context within its bounds', () => {
    expect(reasonOf({ 'ext.a': 'x'.repeat(800) })).toBeUndefined();
    expect(reasonOf({ 'ext.a': 'x'.repeat(801) })).toMatch(/800/);
    expect(reasonOf({ [`ext.${'k'.repeat(125)}`]: '' })).toMatch(/128/);
    expect(reasonOf(Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`ext.${n}`, ''])))).toMatch(/100/);
    expect(reasonOf({ 'corda.serial': '-1' })).toMatch(/serial/);
    expect(reasonOf({ 'corda.auth.token': 'no' })).toMatch(/UUID/);
  });

  test('rules whose cost has a bound, and an operator where even that is too much', () => {
    for (const regex of ['^ext\\.', 'corda\\.(session|ledger)\\.keys', '(corda|ext)(\\.[a-z]+)+$', '(a+)+$', '^*']) expect(ruleFault(regex), regex).toBeUndefined();
    for (const regex of ['(?=a)b', '(a)\\1', '(', '']) expect(ruleFault(regex), regex).toBeDefined();
    expect(someMatches(['^corda\\.endpoints'], ['ext.a', 'corda.endpoints.0.connectionURL'])).toBe(true);
    expect(someMatches(['^corda\\.endpoints', '^corda\\.roles'], ['ext.corda.endpoints'])).toBe(false);
    const greedy = Array.from({ length: 200 }, (_, n) => `(a|b|[ac]){1,300}${n}`);
    expect(someMatches(greedy, Array.from({ length: 500 }, () => 'a'.repeat(128)))).toBe(true);
  });
});
