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
import { addMember, openMgm, prepareJoiner, register, registrationOf, seenBy, type Context, type Joiner, type Mgm } from './dynamic-network.ts';

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
