import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BusError } from '../../../src/bus/bus.ts';
import { fromBase64url } from '../../../src/cipher/bytes.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import { generateKeyPair, keyIdOf } from '../../../src/cipher/signature.ts';
import { allToCryptoKey } from '../../../src/messages/all-to-crypto.key.ts';
import { memberToAllGroupParameters } from '../../../src/messages/member-to-all.group-parameters.ts';
import { memberToAllMember } from '../../../src/messages/member-to-all.member.ts';
import { memberToLinkManagerHostedIdentity } from '../../../src/messages/member-to-link-manager.hosted-identity.ts';
import { restToMemberRegistration } from '../../../src/messages/rest-to-member.registration.ts';
import { cpiOf, groupId, listed, name, openCluster, policyOf, shortHashOf, type Cluster } from './cluster.ts';

let cluster: Cluster;
beforeEach(async () => {
  cluster = await openCluster();
});
afterEach(() => cluster.close());

const newKeyPem = async (): Promise<string> => encodePem('PUBLIC KEY', (await generateKeyPair('CORDA.ECDSA.SECP256R1')).publicKey);

const status = (common: string, registrationId?: string) => {
  const shortHash = shortHashOf(name(common));
  return cluster.ask(restToMemberRegistration, shortHash, { type: 'status', shortHash, ...(registrationId === undefined ? {} : { registrationId }) });
};

const published = async (): Promise<{ members: string[]; hosted: string[]; groups: string[] }> => ({
  members: [...(await cluster.topic(memberToAllMember)).keys()].sort(),
  hosted: [...(await cluster.topic(memberToLinkManagerHostedIdentity)).keys()].sort(),
  groups: [...(await cluster.topic(memberToAllGroupParameters)).keys()],
});
const nothing = { members: [], hosted: [], groups: [] };

const code = (outcome: { type: string; code?: string }): string => outcome.code ?? outcome.type;

describe('a static registration', () => {
  test('is answered NEW at once, makes the keys, and once it is APPROVED everybody knows the member', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice', { 'ext.team': 'blue' })])), 'Alice');
    const begun = await cluster.register('Alice', { 'corda.key.scheme': 'CORDA.ECDSA.SECP256K1', 'ext.colour': 'red' });
    expect(begun).toMatchObject({ type: 'done', value: { registrations: [{ registrationStatus: 'NEW', reason: null, serial: null }] } });
    const shortHash = shortHashOf(name('Alice'));
    let registration;
    do {
      const answer = await status('Alice');
      registration = answer.type === 'done' ? answer.value.registrations[0] : undefined;
    } while (registration?.registrationStatus === 'NEW');
    expect(registration).toMatchObject({ registrationStatus: 'APPROVED', serial: 1, memberInfoSubmitted: { 'ext.colour': 'red' } });

    const member = (await cluster.topic(memberToAllMember)).get(`${groupId}/${name('Alice')}`)!;
    const hosted = (await cluster.topic(memberToLinkManagerHostedIdentity)).get(shortHash)!;
    const keys = await cluster.ask(allToCryptoKey, shortHash, { type: 'find', tenant: shortHash });
    const made = keys.type === 'done' ? keys.value.keys : [];
    expect(made.map(({ alias, category, scheme }) => [alias, category, scheme]).sort()).toEqual([
      [`${shortHash}-ledger`, 'LEDGER', 'CORDA.ECDSA.SECP256K1'],
      [`${shortHash}-session`, 'SESSION_INIT', 'CORDA.ECDSA.SECP256K1'],
    ]);
    const session = made.find(({ category }) => category === 'SESSION_INIT')!;
    const ledger = made.find(({ category }) => category === 'LEDGER')!;
    expect(hosted).toEqual({ holdingIdentity: expect.objectContaining({ shortHash }) as object, sessionKey: { id: session.id, publicKey: session.publicKey, spec: 'SHA256withECDSA' } });
    expect(member).toMatchObject({
      status: 'ACTIVE',
      serial: 1,
      endpoints: [{ url: 'https://alice.example:8080', protocolVersion: 1 }],
      sessionKeys: [{ publicKey: session.publicKey, spec: 'SHA256withECDSA' }],
      ledgerKeys: [{ publicKey: ledger.publicKey, spec: 'SHA256withECDSA' }],
    });
    expect(member.memberContext).toMatchObject({
      'corda.name': name('Alice'),
      'corda.groupId': groupId,
      'corda.platformVersion': '50200',
      'corda.serial': '1',
      'corda.endpoints.0.connectionURL': 'https://alice.example:8080',
      'corda.endpoints.0.protocolVersion': '1',
      'corda.session.keys.0.id': keyIdOf(fromBase64url(session.publicKey)),
      'corda.session.keys.0.pem': encodePem('PUBLIC KEY', fromBase64url(session.publicKey)),
      'corda.session.keys.0.hash': expect.stringMatching(/^SHA-256:[0-9A-F]{64}$/) as string,
      'corda.session.keys.0.signature.spec': 'SHA256withECDSA',
      'corda.ledger.keys.0.id': ledger.id,
      'corda.cpi.version': '1.0',
      'corda.registration.id': registration!.registrationId,
      'ext.team': 'blue',
      'ext.colour': 'red',
    });
    expect(member.mgmContext).toMatchObject({ 'corda.status': 'ACTIVE', 'corda.serial': '1', 'corda.creationTime': expect.stringMatching(/Z$/) as string });
    expect((await cluster.topic(memberToAllGroupParameters)).get(groupId)).toMatchObject({
      epoch: 1,
      parameters: { 'corda.epoch': '1' },
      p2p: { protocolMode: 'Authenticated_Encryption', sessionPki: 'NoPKI', tlsType: 'OneWay' },
    });
  });

  test('takes keys that were made before under its aliases', async () => {
    const shortHash = shortHashOf(name('Alice'));
    await cluster.ask(allToCryptoKey, shortHash, { type: 'assign-hsm', tenant: shortHash, category: 'SESSION_INIT' });
    const before = await cluster.ask(allToCryptoKey, shortHash, { type: 'generate', tenant: shortHash, alias: `${shortHash}-session`, category: 'SESSION_INIT', scheme: 'CORDA.EDDSA.ED25519' });
    const key = before.type === 'done' ? before.value.keys[0]! : undefined;
    const sessionKeyPem = encodePem('PUBLIC KEY', fromBase64url(key!.publicKey));
    await cluster.host(cpiOf(policyOf([listed('Alice', { sessionKeyPem })])), 'Alice');
    expect(await cluster.settled('Alice')).toMatchObject({ registrationStatus: 'APPROVED' });
    expect((await cluster.topic(memberToLinkManagerHostedIdentity)).get(shortHash)!.sessionKey).toEqual({ id: key!.id, publicKey: key!.publicKey, spec: 'EdDSA' });
  });

  test('makes known the members of other clusters whose keys the policy names, and those of this cluster when they register', async () => {
    const sessionKeyPem = await newKeyPem();
    const members = [listed('Alice'), listed('Bob'), listed('Carol', { sessionKeyPem, memberStatus: 'SUSPENDED' }), listed('Dave'), listed('Erin', { sessionKeyPem })];
    await cluster.host(cpiOf(policyOf(members)), 'Alice', 'Bob', 'Erin');
    await cluster.settled('Alice');
    const key = (common: string): string => `${groupId}/${name(common)}`;
    expect((await published()).members).toEqual([key('Alice'), key('Carol')]);
    const carol = (await cluster.topic(memberToAllMember)).get(key('Carol'))!;
    expect(carol).toMatchObject({ status: 'SUSPENDED', endpoints: [{ url: 'https://carol.example:8080' }], ledgerKeys: [] });
    expect(carol.memberContext['corda.session.keys.0.pem']).toBe(sessionKeyPem);
    await cluster.settled('Bob');
    expect((await published()).members).toEqual([key('Alice'), key('Bob'), key('Carol')]);
    expect((await published()).hosted).toEqual([shortHashOf(name('Alice')), shortHashOf(name('Bob'))].sort());
  });

  test('of a notary makes a notary key and puts its service into the group parameters', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice'), listed('Notary')])), 'Alice', 'Notary');
    const service = name('Service');
    const context = {
      'corda.roles.0': 'notary',
      'corda.notary.service.name': service,
      'corda.notary.service.flow.protocol.name': 'com.r3.corda.notary.plugin.nonvalidating',
      'corda.notary.service.flow.protocol.version.0': '1',
    };
    expect(await cluster.settled('Notary', context)).toMatchObject({ registrationStatus: 'APPROVED' });
    await cluster.settled('Alice');
    const notary = (await cluster.topic(memberToAllMember)).get(`${groupId}/${name('Notary')}`)!;
    expect(notary.ledgerKeys).toEqual([]);
    expect(notary.memberContext).toMatchObject({ ...context, 'corda.notary.keys.0.id': expect.stringMatching(/^[0-9A-F]{12}$/) as string });
    expect(Object.keys(notary.memberContext).some((field) => field.startsWith('corda.ledger'))).toBe(false);
    expect((await cluster.topic(memberToAllGroupParameters)).get(groupId)).toMatchObject({
      epoch: 1,
      parameters: {
        'corda.notary.service.0.name': service,
        'corda.notary.service.0.flow.protocol.name': 'com.r3.corda.notary.plugin.nonvalidating',
        'corda.notary.service.0.keys.0': notary.memberContext['corda.notary.keys.0.pem'],
      },
    });
  });

  test('a request that comes again is answered again and begins nothing', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Alice');
    const shortHash = shortHashOf(name('Alice'));
    const again = () => cluster.ask(restToMemberRegistration, shortHash, { type: 'register', shortHash, context: {} }, 'the-same-request');
    const first = await again();
    const second = await again();
    expect(second).toMatchObject({ value: { registrations: [{ registrationId: first.type === 'done' ? first.value.registrations[0]!.registrationId : '' }] } });
    const all = await status('Alice');
    expect(all.type === 'done' && all.value.registrations).toHaveLength(1);
  });
});

describe('a registration that cannot be', () => {
  test('is refused for what it asks, and leaves nothing', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Alice');
    expect(code(await cluster.register('Nobody'))).toBe('MEMBER_VIRTUAL_NODE_NOT_FOUND');
    expect(code(await cluster.register('Alice', { 'corda.key.scheme': 'CORDA.X25519' }))).toBe('MEMBER_CONTEXT_INVALID');
    expect(code(await status('Nobody'))).toBe('MEMBER_VIRTUAL_NODE_NOT_FOUND');
    expect(await status('Alice')).toEqual({ type: 'done', value: { registrations: [] } });
    expect(code(await status('Alice', '8c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10'))).toBe('MEMBER_REGISTRATION_NOT_FOUND');
    expect(await published()).toEqual(nothing);
    expect(await cluster.states.load([shortHashOf(name('Nobody')), shortHashOf(name('Alice'))])).toEqual([]);
  });

  test('is refused while another is under way and after one was approved', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Alice');
    const [, second] = await Promise.all([cluster.register('Alice'), cluster.register('Alice')]);
    expect(code(second)).toBe('MEMBER_ALREADY_REGISTERED');
    const all = await status('Alice');
    const id = all.type === 'done' ? all.value.registrations[0]!.registrationId : '';
    for (;;) {
      const one = await status('Alice', id);
      if (one.type === 'done' && one.value.registrations[0]!.registrationStatus === 'APPROVED') break;
    }
    expect(code(await cluster.register('Alice'))).toBe('MEMBER_ALREADY_REGISTERED');
  });

  test('ends INVALID when the policy does not list the member', async () => {
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Mallory');
    expect(await cluster.settled('Mallory')).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringContaining('does not list') as string });
    expect(await published()).toEqual(nothing);
  });

  test.each(['session', 'ledger'])('ends INVALID with the remedy when the policy names another %s key, publishes nothing, and may be tried again', async (use) => {
    await cluster.host(cpiOf(policyOf([listed('Alice', { [`${use}KeyPem`]: await newKeyPem() })])), 'Alice');
    const registration = await cluster.settled('Alice');
    const remedy = new RegExp(`another ${use} key .*GET /key/[0-9A-F/]+ .*${use}KeyPem`, 's');
    expect(registration).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringMatching(remedy) as string });
    expect(await published()).toEqual(nothing);
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Alice');
    expect(await cluster.settled('Alice')).toMatchObject({ registrationStatus: 'APPROVED' });
    const all = await status('Alice');
    expect(all.type === 'done' && all.value.registrations.map(({ registrationStatus }) => registrationStatus)).toEqual(['INVALID', 'APPROVED']);
  });

  test('ends FAILED when the key of its alias is of another category', async () => {
    const shortHash = shortHashOf(name('Alice'));
    await cluster.ask(allToCryptoKey, shortHash, { type: 'assign-hsm', tenant: shortHash, category: 'LEDGER' });
    await cluster.ask(allToCryptoKey, shortHash, { type: 'generate', tenant: shortHash, alias: `${shortHash}-session`, category: 'LEDGER', scheme: 'CORDA.ECDSA.SECP256R1' });
    await cluster.host(cpiOf(policyOf([listed('Alice')])), 'Alice');
    expect(await cluster.settled('Alice')).toMatchObject({ registrationStatus: 'FAILED', reason: expect.stringContaining('category LEDGER') as string });
    expect(await published()).toEqual(nothing);
  });

  test('of a notary ends DECLINED when its service speaks otherwise, and changes neither members nor parameters', async () => {
    await cluster.host(cpiOf(policyOf([listed('One'), listed('Two'), listed('Three')])), 'One', 'Two', 'Three');
    const context = (protocol: string, service = name('Service')) => ({
      'corda.roles.0': 'notary',
      'corda.notary.service.name': service,
      'corda.notary.service.flow.protocol.name': protocol,
      'corda.notary.service.flow.protocol.version.0': '1',
    });
    await cluster.settled('One', context('a'));
    const before = await cluster.topic(memberToAllGroupParameters);
    expect(await cluster.settled('Two', context('b'))).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('MEMBER_NOTARY_CONFLICT') as string });
    expect(await cluster.topic(memberToAllGroupParameters)).toEqual(before);
    expect((await published()).members).toEqual([`${groupId}/${name('One')}`]);
    expect(await cluster.settled('Three', context('a', name('One')))).toMatchObject({ registrationStatus: 'INVALID' });
    await cluster.settled('Two', context('a'));
    expect((await cluster.topic(memberToAllGroupParameters)).get(groupId)).toMatchObject({ epoch: 2 });
  });
});

describe('a crash', () => {
  test.each(['stepped', 'saved', 'published'] as const)('at the point "%s" of every batch still ends in one approved registration', async (point) => {
    await cluster.host(cpiOf(policyOf([listed('Alice'), listed('Carol', { sessionKeyPem: await newKeyPem() })])), 'Alice');
    await cluster.stopMember();
    // Each batch is interrupted twice before it goes through.
    let tries = 0;
    await cluster.startMember((reached) => {
      if (reached === point && tries++ % 3 !== 2) throw new BusError('BUS_UNREACHABLE', 'the process dies here');
    });
    expect(await cluster.settled('Alice')).toMatchObject({ registrationStatus: 'APPROVED' });
    const all = await status('Alice');
    expect(all.type === 'done' && all.value.registrations).toHaveLength(1);
    const shortHash = shortHashOf(name('Alice'));
    const keys = await cluster.ask(allToCryptoKey, shortHash, { type: 'find', tenant: shortHash });
    expect(keys.type === 'done' && keys.value.keys).toHaveLength(2);
    expect(await published()).toEqual({ members: [`${groupId}/${name('Alice')}`, `${groupId}/${name('Carol')}`], hosted: [shortHash], groups: [groupId] });
  });
});
