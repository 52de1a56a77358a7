import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPackage, wrapCpb } from '../../../../src/packaging/build.ts';
import { openSigningKey } from '../../../../src/packaging/build-signing-key.ts';
import { useCluster, type BlackBox } from './cluster.ts';
import type { Depot } from './depot.ts';
import { addMember, makeKey, openMgm, prepareJoiner, register, registrationOf, seenBy, setUp, settled, type Context, type Joiner, type Mgm } from './dynamic-network.ts';
import { openSessionAuthority, type SessionAuthority } from './session-authority.ts';

const first = useCluster();
const second = useCluster();
const directory = mkdtempSync(join(tmpdir(), 'cordage-joining-'));
let app: Pick<Depot, 'cpi' | 'signer'>;
let mgm: Mgm;
let alice: Joiner;
let bob: Joiner;
let policy: string;

const joining = (box: BlackBox, x500Name: string) => ({ depot: { ...app, groupId: mgm.groupId }, policy, gatewayUrl: box.gatewayUrl, x500Name });

beforeAll(async () => {
  const signer = await openSigningKey(join(directory, 'signing-key'));
  const { cpb } = await buildPackage({ project: fileURLToPath(new URL('../../../apps/ping-pong', import.meta.url)), signer });
  app = { signer, cpi: async ({ groupPolicy = '', name = 'ping-pong' } = {}) => (await wrapCpb({ cpb, groupPolicy, signer, name })).cpi };
  mgm = await openMgm(first(), { signer, gatewayUrl: first().gatewayUrl, clusters: [first(), second()] });
  policy = await mgm.policy();
  alice = await addMember(first(), joining(first(), 'O=Alice, L=London, C=GB'));
}, 60_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const seesAll = async (box: BlackBox, hash: string, names: readonly string[]): Promise<void> => {
  await box.until('GET', `/members/${hash}`, ({ json }) => json.members.length === names.length);
  expect(await seenBy(box, hash)).toEqual(Object.fromEntries(names.map((name) => [name, 'ACTIVE'])));
};

/** How a flow of one with another ends. */
const greet = async ({ call, until }: BlackBox, one: Joiner, other: Joiner): Promise<string> => {
  const clientRequestId = randomUUID();
  const started = await call('POST', `/flow/${one.hash}`, { json: { clientRequestId, flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember: other.x500Name } } });
  expect(started.status, started.text).toBe(202);
  return (await until('GET', `/flow/${one.hash}/${clientRequestId}`, ({ json }) => !['START_REQUESTED', 'RUNNING'].includes(json.flowStatus))).json.flowStatus;
};

describe('a cluster that has never heard of the network', () => {
  test('joins with the policy file alone, and its members talk to those elsewhere', async () => {
    bob = await addMember(second(), joining(second(), 'O=Bob, L=Paris, C=FR'));
    const names = [mgm.x500Name, alice.x500Name, bob.x500Name];
    await seesAll(second(), bob.hash, names);
    await seesAll(first(), alice.hash, names);
    expect(await greet(first(), alice, bob)).toBe('COMPLETED');
    expect(await greet(second(), bob, alice)).toBe('COMPLETED');
  }, 30_000);

  test('who joins later is told to all, and a second member of a cluster finds the list there', async () => {
    const carol = await addMember(second(), joining(second(), 'O=Carol, L=Rome, C=IT'));
    const names = [mgm.x500Name, alice.x500Name, bob.x500Name, carol.x500Name];
    await Promise.all([seesAll(first(), alice.hash, names), seesAll(second(), bob.hash, names), seesAll(second(), carol.hash, names)]);
  }, 30_000);

  test('flows to a suspended member are refused at once, and reach it again when it is active', async () => {
    const set = (verb: string) => first().call('POST', `/mgm/${mgm.hash}/${verb}`, { json: { x500Name: bob.x500Name } });
    expect((await set('suspend')).status).toBe(204);
    await first().until('GET', `/members/${alice.hash}`, ({ json }) => !json.members.some(({ memberContext }: { memberContext: Context }) => memberContext['corda.name'] === bob.x500Name));
    await second().until('GET', `/members/${bob.hash}?statuses=SUSPENDED`, ({ json }) => json.members.length === 1);
    expect(await seenBy(second(), bob.hash, '?statuses=ACTIVE&statuses=SUSPENDED')).toEqual({ [mgm.x500Name]: 'ACTIVE', [bob.x500Name]: 'SUSPENDED' });
    expect(await greet(first(), alice, bob)).toBe('FAILED');
    expect((await set('activate')).status).toBe(204);
    await second().until('GET', `/members/${bob.hash}`, ({ json }) => json.members.length === 4);
    await first().until('GET', `/members/${alice.hash}`, ({ json }) => json.members.length === 4);
    expect(await greet(first(), alice, bob)).toBe('COMPLETED');
  }, 40_000);

  test('a declined request is told its reason across clusters', async () => {
    const { json: rule } = await first().call('POST', `/mgm/${mgm.hash}/approval/rules`, { json: { ruleRegex: '^ext\\.' } });
    const dora = await prepareJoiner(second(), joining(second(), 'O=Dora, L=Bern, C=CH'));
    const begun = await register(second(), dora.hash, { ...dora.context, 'ext.note': 'hello' });
    const { registrationId } = await registrationOf(second(), dora.hash, begun.json.registrationId, (status) => status === 'PENDING_MANUAL_APPROVAL');
    expect((await first().call('POST', `/mgm/${mgm.hash}/decline/${registrationId}`, { json: { reason: 'unknown to us' } })).status).toBe(204);
    expect(await registrationOf(second(), dora.hash, registrationId)).toMatchObject({ registrationStatus: 'DECLINED', reason: 'unknown to us' });
    await first().call('DELETE', `/mgm/${mgm.hash}/approval/rules/${rule.ruleId}`);
  }, 30_000);
});

describe('a network that wants certificates of session keys', () => {
  let authority: SessionAuthority;
  let stranger: SessionAuthority;
  let standard: Mgm;
  let text: string;
  let dave: Joiner;
  let erin: Joiner;

  const joins = (box: BlackBox, x500Name: string, by = authority, groupPolicy = text) => ({ depot: { ...app, groupId: standard.groupId }, policy: groupPolicy, gatewayUrl: box.gatewayUrl, x500Name, authority: by });

  beforeAll(async () => {
    [authority, stranger] = await Promise.all([openSessionAuthority('Sessions'), openSessionAuthority('Stranger')]);
    standard = await openMgm(first(), {
      signer: app.signer, gatewayUrl: first().gatewayUrl, clusters: [first(), second()], authority,
      more: { 'corda.group.pki.session': 'Standard', 'corda.group.trustroot.session.0': authority.rootPem },
    });
    text = await standard.policy();
    [dave, erin] = await Promise.all([addMember(first(), joins(first(), 'O=Dave, L=London, C=GB')), addMember(second(), joins(second(), 'O=Erin, L=Paris, C=FR'))]);
  }, 60_000);

  test('admits members whose keys an authority of the network certified, and they talk across clusters', async () => {
    await Promise.all([seesAll(second(), erin.hash, [standard.x500Name, dave.x500Name, erin.x500Name]), seesAll(first(), dave.hash, [standard.x500Name, dave.x500Name, erin.x500Name])]);
    const { members } = (await second().call('GET', `/members/${erin.hash}?O=Dave`)).json;
    expect(members[0].memberContext['corda.session.keys.0.certificates'].match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(await greet(first(), dave, erin)).toBe('COMPLETED');
    expect(await greet(second(), erin, dave)).toBe('COMPLETED');
  }, 30_000);

  test('takes no chain for a setup that is missing, of another key, of another name, or of an authority that it does not trust', async () => {
    const { call } = second();
    const set = async (sessionCertificateChainAlias?: string): Promise<string> => {
      const { status, text: said } = await setUp(second(), erin.hash, erin.sessionKeyId, { sessionCertificateChainAlias });
      expect(status, said).toBe(400);
      return said;
    };
    const otherKey = await makeKey(second(), erin.hash, 'SESSION_INIT', `${erin.hash}-other`);
    const of = (by: SessionAuthority, alias: string, keyId: string, x500Name: string) => by.certify(second(), erin.hash, { alias, keyId, x500Name });
    expect(await set()).toContain('(missing)');
    expect(await set(await of(authority, 'other-key', otherKey, erin.x500Name))).toContain('(other-key)');
    expect(await set(await of(authority, 'other-name', erin.sessionKeyId, 'O=Mallory, L=Paris, C=FR'))).toContain('(other-name)');
    expect(await set(await of(stranger, 'stranger', erin.sessionKeyId, erin.x500Name))).toContain('(untrusted)');
    expect((await call('GET', `/membership/${erin.hash}`)).json).toHaveLength(1);
  }, 30_000);

  test('declines whoever comes with a chain that its own cluster was made to trust', async () => {
    const policyOfMallory = JSON.parse(text);
    policyOfMallory.p2pParameters.sessionTrustRoots = [stranger.rootPem];
    const mallory = await prepareJoiner(second(), joins(second(), 'O=Mallory, L=Rome, C=IT', stranger, JSON.stringify(policyOfMallory)));
    expect((await register(second(), mallory.hash, mallory.context)).status).toBe(200);
    const path = `/mgm/${standard.hash}/registrations?requestsubjectx500name=${encodeURIComponent(mallory.x500Name)}&viewhistoric=true`;
    const { json } = await first().until('GET', path, ({ json: all }) => all.length > 0 && all[0].registrationStatus === 'DECLINED');
    expect(json).toMatchObject([{ registrationStatus: 'DECLINED', reason: expect.stringMatching(/session certificates \(untrusted\)/) }]);
    expect(await seenBy(first(), dave.hash)).not.toHaveProperty([mallory.x500Name]);
  }, 30_000);

  test('lets a member change its session key by registering anew, once the new key is certified too', async () => {
    const { call } = second();
    const next = await makeKey(second(), erin.hash, 'SESSION_INIT', `${erin.hash}-next`);
    const keys = (...entries: readonly object[]) => call('PUT', `/network/setup/${erin.hash}`, { json: { p2pTlsCertificateChainAlias: 'p2p-tls-cert', useClusterLevelTlsCertificateAndKey: true, sessionKeysAndCertificates: entries } });
    const own = { sessionKeyId: erin.sessionKeyId, preferred: true, sessionCertificateChainAlias: 'session' };
    const both = { ...erin.context, 'corda.session.keys.1.id': next };
    expect((await keys(own, { sessionKeyId: next, preferred: false })).status).toBe(204);
    expect(await settled(second(), erin.hash, both)).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringMatching(/\(missing\)/) });
    const sessionCertificateChainAlias = await authority.certify(second(), erin.hash, { keyId: next, x500Name: erin.x500Name, alias: 'next' });
    expect((await keys(own, { sessionKeyId: next, preferred: false, sessionCertificateChainAlias })).status).toBe(204);
    expect(await settled(second(), erin.hash, both)).toMatchObject({ registrationStatus: 'APPROVED', serial: 2 });
    expect((await keys({ sessionKeyId: next, preferred: true, sessionCertificateChainAlias })).status).toBe(204);
    expect(await settled(second(), erin.hash, { ...erin.context, 'corda.session.keys.0.id': next })).toMatchObject({ registrationStatus: 'APPROVED', serial: 3 });
    await first().until('GET', `/members/${dave.hash}?O=Erin`, ({ json }) => json.members[0]?.mgmContext['corda.serial'] === '3');
    expect(await greet(first(), dave, erin)).toBe('COMPLETED');
  }, 60_000);
});
