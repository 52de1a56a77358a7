/** A network over three clusters whose gateways ask each other for certificates: whom the manager allows, and whom members know, is let in. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHttpClient } from '../../src/host/http-client.ts';
import type { TlsKey } from '../../src/host/http-server.ts';
import { distinguishedName } from '../../src/identity/x500.ts';
import { readTrusted } from '../../src/cipher/certificates.ts';
import { networkCommand, told } from '../cli/network-command.ts';
import { useClusters, type BlackBox } from '../workers/rest/black-box/cluster.ts';
import type { Depot } from '../workers/rest/black-box/depot.ts';
import {
  prepareJoiner, prepareMgm, register, registrationOf, setUp, settled, type Context, type Joiner, type Mgm,
} from '../workers/rest/black-box/dynamic-network.ts';
import { makeTlsKey } from '../workers/gateway/gateway-fixture.ts';
import { networkStories, openSampleDepot, untilSeen, type Network } from './three-clusters.ts';

const clusters = useClusters(3, { CORDAGE_GATEWAY_TLS: 'mutual' });
const first = () => clusters()[0]!;
const second = () => clusters()[1]!;
const third = () => clusters()[2]!;

const tlsAlias = 'p2p-tls-cert';
const tlsOf = async ({ until }: BlackBox): Promise<string> => (await until('GET', `/certificate/cluster/p2p-tls/${tlsAlias}`, ({ status }) => status === 200)).json as string;
const subjectOf = (pem: string): string => distinguishedName(readTrusted([pem])[0]!.subject)!;

let depot: Depot;
let mgm: Mgm;
let policy: string;
/** Whose private key this test holds: a gateway of nobody's, which the network's roots trust. */
let probe: TlsKey;
let bob: Joiner;
let carol: Joiner;

const client = createHttpClient({ clientKey: () => probe });
const bare = createHttpClient();
afterAll(() => Promise.all([client.close(), bare.close()]));

/** How a gateway answers a request without packets: 400 says that it was read, 403 that it was not. */
const knock = async (box: BlackBox, by = client): Promise<number | string> => {
  const answer = await by.post({ url: box.gatewayUrl, body: '{}', trustRootsPem: [await tlsOf(box)], timeoutMs: 10_000 });
  return answer.type === 'answered' ? answer.status : answer.code;
};
const untilKnock = async (box: BlackBox, status: number): Promise<void> => {
  const deadline = performance.now() + 20_000;
  for (let last = await knock(box); last !== status; last = await knock(box)) {
    if (performance.now() > deadline) throw new Error(`the gateway goes on answering ${last}, not ${status}`);
  }
};
const shutOut = async ({ healthUrl }: BlackBox): Promise<number> => {
  const text = await (await fetch(`${healthUrl}/metrics`)).text();
  return Number(/cordage_gateway_requests_refused_total\{reason="not-admitted"\} (\d+)/.exec(text)?.[1] ?? 0);
};
const untilShutOut = async (box: BlackBox, more: number): Promise<void> => {
  const deadline = performance.now() + 20_000;
  while ((await shutOut(box)) < more) if (performance.now() > deadline) throw new Error('the gateway refuses nobody');
};

const allow = async (method: 'PUT' | 'DELETE', subject: string): Promise<void> => {
  expect((await first().call(method, `/mgm/${mgm.hash}/mutual-tls/allowed-client-certificate-subjects/${encodeURIComponent(subject)}`)).status).toBe(204);
};
const joining = (box: BlackBox, x500Name: string) => prepareJoiner(box, { depot, policy, gatewayUrl: box.gatewayUrl, x500Name });
const setTlsType = async (box: BlackBox, tlsType: 'MUTUAL' | 'ONE_WAY'): Promise<void> => {
  const { version } = (await box.call('GET', '/config/corda.p2p.gateway')).json;
  expect((await box.call('PUT', '/config', { json: { section: 'corda.p2p.gateway', version, config: { sslConfig: { tlsType } }, schemaVersion: { major: 1, minor: 0 } } })).status).toBe(202);
};

const network = (): Network => ({ mgm: { box: first(), ...mgm }, bob: { box: second(), ...bob }, carol: { box: third(), ...carol } });

beforeAll(async () => {
  [depot, probe] = await Promise.all([openSampleDepot(), makeTlsKey(['probe.example'])]);
}, 60_000);

describe('a manager', () => {
  test('whose TLS type is not that of its cluster is refused', async () => {
    const options = { signer: depot.signer, gatewayUrl: first().gatewayUrl, clusters: clusters(), more: { 'corda.group.trustroot.tls.3': probe.certificateChainPem } };
    mgm = await prepareMgm(first(), { ...options, more: { ...options.more, 'corda.group.tls.type': 'Mutual' } });
    const { status, json } = await register(first(), mgm.hash, { ...mgm.context, 'corda.group.tls.type': 'OneWay' });
    expect([status, json.title]).toEqual([400, expect.stringContaining('TLS type')]);
    expect(await settled(first(), mgm.hash, mgm.context)).toMatchObject({ registrationStatus: 'APPROVED' });
  }, 30_000);

  test('exports its policy once it is set up: the policy names the certificate of its gateway, whose subject stays', async () => {
    expect((await first().call('GET', `/mgm/${mgm.hash}/info`)).json).toMatchObject({ status: 400, title: expect.stringContaining('network/setup') });
    expect((await setUp(first(), mgm.hash, mgm.sessionKeyId)).status).toBe(204);
    policy = await mgm.policy();
    expect(JSON.parse(policy).p2pParameters).toMatchObject({ tlsType: 'Mutual', mtlsMgmClientCertificateSubject: subjectOf(await tlsOf(first())) });
    expect((await first().call('PUT', '/certificate/cluster/p2p-tls', { form: { alias: 'probe', certificate: new Blob([probe.certificateChainPem]) } })).status).toBe(204);
    const other = { p2pTlsCertificateChainAlias: 'probe', useClusterLevelTlsCertificateAndKey: true, sessionKeysAndCertificates: [{ sessionKeyId: mgm.sessionKeyId, preferred: true }] };
    expect((await first().call('PUT', `/network/setup/${mgm.hash}`, { json: other })).json).toMatchObject({ status: 409, title: expect.stringContaining('same subject') });
  }, 30_000);
});

describe('a member', () => {
  test('of a cluster with another TLS type is told so, and joins once the type is set, without a restart', async () => {
    carol = await joining(third(), 'O=Carol, L=Rome, C=IT');
    await allow('PUT', subjectOf(await tlsOf(third())));
    await setTlsType(third(), 'ONE_WAY');
    expect(await settled(third(), carol.hash, carol.context)).toMatchObject({ registrationStatus: 'INVALID', reason: expect.stringContaining('sslConfig.tlsType') });
    await setTlsType(third(), 'MUTUAL');
    expect(await settled(third(), carol.hash, carol.context)).toMatchObject({ registrationStatus: 'APPROVED' });
  }, 60_000);

  test('whose certificate the manager does not allow is not heard, and joins once it does', async () => {
    bob = await joining(second(), 'O=Bob, L=Paris, C=FR');
    const before = await shutOut(first());
    const { registrationId } = (await register(second(), bob.hash, bob.context)).json;
    await untilShutOut(first(), before + 1);
    expect(await registrationOf(second(), bob.hash, registrationId, () => true)).toMatchObject({ registrationStatus: 'SENT_TO_MGM' });
    expect((await first().call('GET', `/mgm/${mgm.hash}/registrations?viewhistoric=true`)).json).toHaveLength(1);
    await allow('PUT', subjectOf(await tlsOf(second())));
    expect(await registrationOf(second(), bob.hash, registrationId)).toMatchObject({ registrationStatus: 'APPROVED' });
    const subject = subjectOf(await tlsOf(second()));
    await untilSeen({ box: third(), ...carol }, bob, (listed) => listed?.memberContext['corda.tls.certificate.subject'] === subject);
  }, 60_000);
});

networkStories(network);

test('a network of the same kind is founded, its members\' certificates are allowed, and it is joined, by one command each', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cordage-mutual-'));
  const file = join(folder, 'GroupPolicy.json');
  const cpi = join(folder, 'app.cpi');
  const root = join(folder, 'third.pem');
  writeFileSync(root, await tlsOf(third()));
  const key = ['--key', join(folder, 'signing-key'), '--json'];
  const made = told(await networkCommand(first(), folder, ['create', '--mutual-tls', '--name', 'O=Network, L=London, C=GB', '--endpoint', first().gatewayUrl, '--out', file, '--trust-root', root, ...key]));
  writeFileSync(cpi, await depot.cpi({ groupPolicy: readFileSync(file, 'utf8'), name: 'of-the-second' }));
  const subject = subjectOf(await tlsOf(third()));
  const allowing = (...more: string[]) => networkCommand(first(), folder, ['allow', subject, '--manager', made.shortHash, ...more]);
  expect([await allowing(), await allowing('--remove'), await allowing('--remove'), await allowing()]).toMatchObject([{ code: 0 }, { code: 0 }, { code: 1 }, { code: 0 }]);
  const ended = await networkCommand(third(), folder, ['join', '--policy', file, '--name', 'O=Frank, L=Wien, C=AT', '--endpoint', third().gatewayUrl, '--cpi', cpi, ...key]);
  expect(ended.progress).toContain(`cordage network allow '${subject}'`);
  expect(told(ended).status).toBe('APPROVED');
  rmSync(folder, { recursive: true });
}, 60_000);

describe("a stranger's gateway", () => {
  const dora = 'O=Dora, L=Bern, C=CH';
  let joiner: Joiner;
  const standing = async (verb: string): Promise<void> => void expect((await first().call('POST', `/mgm/${mgm.hash}/${verb}`, { json: { x500Name: dora } })).status).toBe(204);

  test('is let in to the manager alone while its subject is allowed, and nowhere without a certificate', async () => {
    const subject = subjectOf(probe.certificateChainPem);
    expect([await knock(first()), await knock(third()), await knock(first(), bare)]).toEqual([403, 403, 403]);
    await allow('PUT', subject);
    await untilKnock(first(), 400);
    expect(await knock(third())).toBe(403);
    await allow('DELETE', subject);
    await untilKnock(first(), 403);
    await allow('PUT', subject);
  }, 60_000);

  test('is let in by all once it is a member\'s, shut out of the others while that member is suspended, and let in when it is active again', async () => {
    joiner = await joining(second(), dora);
    expect((await second().call('PUT', '/certificate/cluster/p2p-tls', { form: { alias: 'probe', certificate: new Blob([probe.certificateChainPem]) } })).status).toBe(204);
    const sessionKeysAndCertificates = [{ sessionKeyId: joiner.sessionKeyId, preferred: true }];
    expect((await second().call('PUT', `/network/setup/${joiner.hash}`, { json: { p2pTlsCertificateChainAlias: 'probe', sessionKeysAndCertificates } })).status).toBe(204);
    expect(await settled(second(), joiner.hash, joiner.context)).toMatchObject({ registrationStatus: 'APPROVED' });
    await untilSeen({ box: third(), ...carol }, { x500Name: dora }, (listed) => listed?.memberContext['corda.tls.certificate.subject'] === subjectOf(probe.certificateChainPem));
    await untilKnock(third(), 400);
    const before = await shutOut(third());
    await standing('suspend');
    await untilKnock(third(), 403);
    expect(await shutOut(third())).toBeGreaterThan(before);
    expect(await knock(first()), 'it speaks to the manager still').toBe(400);
    await standing('activate');
    await untilKnock(third(), 400);
  }, 60_000);

  test('that the manager allows no more is a member\'s all the same; a stranger that shows it is declined', async () => {
    const subject = subjectOf(probe.certificateChainPem);
    await allow('DELETE', subject);
    const again: Context = { ...joiner.context, 'ext.note': 'still here' };
    expect(await settled(second(), joiner.hash, again)).toMatchObject({ registrationStatus: 'APPROVED' });
    const erin = await joining(second(), 'O=Erin, L=Bonn, C=DE');
    expect((await second().call('PUT', `/network/setup/${erin.hash}`, { json: { p2pTlsCertificateChainAlias: 'probe', sessionKeysAndCertificates: [{ sessionKeyId: erin.sessionKeyId, preferred: true }] } })).status).toBe(204);
    expect(await settled(second(), erin.hash, erin.context)).toMatchObject({ registrationStatus: 'DECLINED', reason: expect.stringContaining('not among those that the network allows') });
  }, 60_000);
});
