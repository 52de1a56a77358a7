/** `cordage network …` as operators type it, against two running clusters that know nothing of the network at first. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { buildPackage } from '../../src/packaging/build.ts';
import { openSigningKey } from '../../src/packaging/build-signing-key.ts';
import { useCluster, type BlackBox } from '../workers/rest/black-box/cluster.ts';
import { openSessionAuthority } from '../workers/rest/black-box/session-authority.ts';
import { networkCommand, told, type Ended } from './network-command.ts';

const first = useCluster();
const second = useCluster();
const project = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cordage-network-'));
const policy = join(folder, 'GroupPolicy.json');
const names = { mgm: 'O=Network, L=London, C=GB', alice: 'O=Alice, L=London, C=GB', bob: 'O=Bob, L=Paris, C=FR', carol: 'O=Carol, L=Rome, C=IT', notary: 'O=Notary, L=Oslo, C=NO' };

const cordage = (box: BlackBox, ...args: string[]) => networkCommand(box, folder, args);
const signingKey = ['--key', join(folder, 'signing-key')];
const create = (...more: string[]) => cordage(first(), 'create', '--name', names.mgm, '--endpoint', first().gatewayUrl, '--out', policy, ...signingKey, '--json', ...more);
const joinAs = (box: BlackBox, name: string, ...more: string[]) => cordage(box, 'join', '--policy', policy, '--name', name, '--endpoint', box.gatewayUrl, ...signingKey, '--json', ...more);
const rootOf = async ({ until }: BlackBox, name: string): Promise<string> => {
  const file = join(folder, name);
  writeFileSync(file, (await until('GET', '/certificate/cluster/p2p-tls/p2p-tls-cert', ({ status }) => status === 200)).json as string);
  return file;
};
const statuses = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    told(await cordage(first(), 'list', '--json')).members.map(({ memberContext, mgmContext }: Record<string, Record<string, string>>) => [memberContext!['corda.name'], mgmContext!['corda.status']]),
  );

const cpb = join(folder, 'app.cpb');
beforeAll(async () => {
  writeFileSync(cpb, (await buildPackage({ project, signer: await openSigningKey(join(folder, 'vendor')) })).cpb);
}, 30_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a network by the command line', () => {
  let mgm: string;
  let alice: string;

  test('is founded by one command; again, it is the same network', async () => {
    const made = told(await create('--trust-root', await rootOf(second(), 'second.pem')));
    expect(JSON.parse(readFileSync(policy, 'utf8'))).toMatchObject({ groupId: made.groupId });
    expect(told(await create())).toEqual(made);
    mgm = made.shortHash;
    writeFileSync(join(folder, 'other.json'), '{}');
    expect(await create('--out', join(folder, 'other.json'))).toMatchObject({ code: 2, err: expect.stringContaining('other.json is there') });
  }, 30_000);

  test('is joined by one command with the policy file, at the same cluster and at one that never heard of it', async () => {
    const ended = await joinAs(first(), names.alice, '--project', project);
    expect(ended.progress).toContain('APPROVED');
    const joined = told(ended);
    expect(joined).toMatchObject({ status: 'APPROVED', next: null });
    alice = joined.shortHash;
    expect(told(await joinAs(first(), names.alice))).toEqual(joined);
    const unknown = await joinAs(second(), names.bob, '--cpb', cpb);
    expect(unknown.code, 'the vendor is not trusted yet').toBe(1);
    told(await joinAs(second(), names.bob, '--cpb', cpb, '--signer', join(folder, 'vendor/signing-certificate.pem')));
    await first().until('GET', `/members/${alice}`, ({ json }) => json.members.length === 3);
    const path = `/flow/${alice}`;
    await first().call('POST', path, { json: { clientRequestId: 'hello', flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember: names.bob } } });
    const flow = await first().until('GET', `${path}/hello`, ({ json }) => !['START_REQUESTED', 'RUNNING'].includes(json.flowStatus));
    expect(flow.json.flowStatus, flow.text).toBe('COMPLETED');
  }, 40_000);

  test('waits for an operator where a rule says so, and goes on when it is run again', async () => {
    await first().call('POST', `/mgm/${mgm}/approval/rules`, { json: { ruleRegex: '^ext\\.' } });
    const asking = (...more: string[]) => joinAs(second(), names.carol, '--cpb', cpb, '--set-context', 'ext.note=hello', ...more);
    const { registrationId, shortHash, next } = told(await asking(), 7);
    expect(next).toBe(`cordage network approve ${registrationId} --manager ${mgm}`);
    expect(told(await asking(), 7).registrationId).toBe(registrationId);
    expect(told(await cordage(first(), 'list', '--json')).requests).toMatchObject([{ registrationId, registrationStatus: 'PENDING_MANUAL_APPROVAL' }]);
    expect((await cordage(first(), 'decline', registrationId, '--reason', 'unknown to us')).code).toBe(0);
    await second().until('GET', `/membership/${shortHash}/${registrationId}`, ({ json }) => json.registrationStatus === 'DECLINED');
    expect(await asking()).toMatchObject({ code: 5, err: expect.stringContaining('unknown to us') });
    const { registrationId: anew } = told(await asking('--again'), 7);
    expect((await cordage(first(), 'approve', anew, '--manager', mgm)).code).toBe(0);
    await second().until('GET', `/membership/${shortHash}/${anew}`, ({ json }) => json.registrationStatus === 'APPROVED');
    expect(told(await asking())).toMatchObject({ registrationId: anew, status: 'APPROVED' });
  }, 40_000);

  test('a notary with a token passes the rule; a member is suspended and activated', async () => {
    const token = (await cordage(first(), 'token', names.notary, '--ttl', 'PT1H')).out.trim();
    told(await joinAs(second(), names.notary, '--cpb', cpb, '--notary', 'O=Notary Service, L=Oslo, C=NO', '--preauth-token', token, '--set-context', 'ext.note=hello'));
    expect((await cordage(first(), 'suspend', names.bob, '--reason', 'audit')).code).toBe(0);
    await vi.waitFor(async () => expect(await statuses()).toMatchObject({ [names.bob]: 'SUSPENDED', [names.notary]: 'ACTIVE' }), 10_000);
    expect(await cordage(first(), 'activate', names.bob, '--serial', '1')).toMatchObject({ code: 1, err: expect.stringContaining('MEMBER_SERIAL_STALE') });
    expect((await cordage(first(), 'activate', names.bob)).code).toBe(0);
    await vi.waitFor(async () => expect(await statuses()).toMatchObject({ [names.bob]: 'ACTIVE' }), 10_000);
  }, 30_000);

  test('with certificates of session keys says what is missing, at its founding and at each joining, and goes on once it is there', async () => {
    const authority = await openSessionAuthority('Sessions');
    const root = join(folder, 'sessions.pem');
    writeFileSync(root, authority.rootPem);
    const own = { mgm: 'O=Certified Network, L=London, C=GB', dave: 'O=Dave, L=Paris, C=FR' };
    const file = join(folder, 'Certified.json');
    const founding = (...more: string[]) => create('--name', own.mgm, '--out', file, '--session-root', root, '--trust-root', join(folder, 'second.pem'), ...more);
    const joiningAs = (...more: string[]) => joinAs(second(), own.dave, '--policy', file, '--cpb', cpb, '--cpi-name', 'certified', ...more);
    const certified = async (box: BlackBox, x500Name: string, { code, err }: Ended): Promise<string> => {
      expect([code, err]).toEqual([1, expect.stringContaining('--session-certificate')]);
      const [, keyId, hash] = /for ([0-9A-F]{12}) of ([0-9A-F]{12})/.exec(err)!;
      return authority.certify(box, hash!, { keyId: keyId!, x500Name });
    };
    told(await founding('--session-certificate', await certified(first(), own.mgm, await founding())));
    expect(told(await joiningAs('--session-certificate', await certified(second(), own.dave, await joiningAs()))).status).toBe('APPROVED');
  }, 40_000);

  test('is not joined by a cluster whose gateway it would not trust, nor with a wrong word', async () => {
    const foreign = join(folder, 'foreign.json');
    const text = JSON.parse(readFileSync(policy, 'utf8'));
    writeFileSync(foreign, JSON.stringify({ ...text, p2pParameters: { ...text.p2pParameters, tlsTrustRoots: [readFileSync(join(folder, 'second.pem'), 'utf8')] } }));
    expect(await joinAs(first(), 'O=Eve, L=Bern, C=CH', '--policy', foreign, '--cpb', cpb)).toMatchObject({ code: 1, err: expect.stringContaining('--trust-root') });
    expect(await joinAs(first(), 'Eve', '--cpb', cpb)).toMatchObject({ code: 2, err: expect.stringContaining('--name must be an X.500 name') });
    expect((await cordage(second(), 'list')).err).toContain("hosts no network's manager");
  }, 30_000);
});
