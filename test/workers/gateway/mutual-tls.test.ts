/** TLS between two gateways as containers set it up: real connections, a real responder, certificates of a small authority. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayTls } from '../../../containers/gateway-tls.ts';
import { startValuesOf } from '../../../containers/live-config.ts';
import type { SectionValues } from '../../../src/messages/configuration/sections.ts';
import { fixedConfig, type Config } from '../../../src/shell/live-config.ts';
import { settingsShape } from '../../../containers/settings.ts';
import { encodePem } from '../../../src/cipher/pem.ts';
import type { RevocationMode } from '../../../src/cipher/revocation/revocation.ts';
import { systemClock } from '../../../src/host/clock.ts';
import type { HttpAnswer } from '../../../src/host/http-client.ts';
import { listen, type Listener, type TlsKey } from '../../../src/host/http-server.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../../src/observability/metrics.ts';
import { createGatewayWorker } from '../../../src/workers/gateway/worker.ts';
import { answerRequest, issue, type Issued, type IssueOptions } from '../../cipher/authority.ts';
import { groupView, subjectsView, tagOf } from './gateway-fixture.ts';

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
/** Nothing listens on port 1. */
const unreachable = 'http://127.0.0.1:1/';

let root: Issued;
let stranger: Issued;
let responder: Listener;
let status: 'good' | 'revoked' = 'good';
let questions = 0;

const pemOf = ({ certificate }: Issued): string => encodePem('CERTIFICATE', new Uint8Array(certificate.rawData));
const keyOf = async (issued: Issued): Promise<TlsKey> => ({
  certificateChainPem: pemOf(issued),
  privateKeyPem: encodePem('PRIVATE KEY', new Uint8Array(await crypto.subtle.exportKey('pkcs8', issued.keys.privateKey))),
});
const keyFor = async (options: Partial<IssueOptions> = {}, issuer: Issued = root): Promise<TlsKey> =>
  await keyOf(await issue({ name: 'CN=gateway, O=Acme', hosts: ['localhost'], usages: [serverAuth, clientAuth], ...options }, issuer));

beforeAll(async () => {
  root = await issue({ name: 'CN=Root', ca: true });
  stranger = await issue({ name: 'CN=Stranger', ca: true });
  responder = await listen({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      questions++;
      return new Response(await answerRequest(new Uint8Array(await request.arrayBuffer()), { status, signer: root }));
    },
  });
});
afterAll(() => responder.close());

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  status = 'good';
  questions = 0;
});

type Side = { readonly key: TlsKey; readonly tls?: 'one-way' | 'mutual'; readonly revocation?: RevocationMode; readonly subjects?: string; readonly ranges?: string; readonly metrics?: Metrics; /** What the group lets in; default whoever chains to its roots. */ readonly members?: ReturnType<typeof subjectsView> };

const tlsOf = ({ key, tls = 'mutual', revocation = 'SOFT_FAIL', subjects = '', ranges = '127.0.0.0/8', members = subjectsView(null) }: Side) => {
  const settings = settingsShape.parse({
    CORDAGE_GATEWAY_TLS: tls,
    CORDAGE_GATEWAY_REVOCATION: revocation,
    CORDAGE_GATEWAY_CLIENT_SUBJECTS: subjects,
    CORDAGE_GATEWAY_PRIVATE_RANGES: ranges,
  });
  const gatewayTls = createGatewayTls({ settings, config: fixedConfig(startValuesOf(settings)), groupParameters: groupView([pemOf(root)]), clientSubjects: members, clock: systemClock });
  gatewayTls.use({ current: () => [key], named: () => undefined });
  closing.push(() => gatewayTls.httpClient.close());
  return gatewayTls;
};

const receive = async (side: Side): Promise<string> => {
  const { admit } = tlsOf(side);
  const { key, tls = 'mutual', metrics = createMetrics() } = side;
  const worker = createGatewayWorker({ bus: { publish: async () => [] }, admit, clock: systemClock, log: silentLog, metrics });
  const listener = await listen({ fetch: worker.fetch, hostname: '127.0.0.1', port: 0, tls: [key], asksClientCertificate: tls === 'mutual', limits: { closeMsMax: 50 } });
  closing.push(() => listener.close());
  return `https://localhost:${listener.port}`;
};

const batch = JSON.stringify({ v: 1, packets: [{ tag: tagOf('a'), packet: 'p' }] });
const send = async (side: Side, url: string): Promise<HttpAnswer> => await tlsOf(side).httpClient.post({ url, body: batch, trustRootsPem: [pemOf(root)], timeoutMs: 5_000 });
const outcomeOf = (answer: HttpAnswer): string | number => (answer.type === 'answered' ? answer.status : answer.code);

describe('mutual TLS', () => {
  test('takes packets of a client whose certificate chains to a root of a group, and of no other', async () => {
    const metrics = createMetrics();
    const url = await receive({ key: await keyFor(), metrics });
    expect(outcomeOf(await send({ key: await keyFor() }, url))).toBe(200);
    expect(outcomeOf(await send({ key: await keyFor(), tls: 'one-way' }, url))).toBe(403);
    expect(outcomeOf(await send({ key: await keyFor({}, stranger) }, url))).toBe(403);
    expect(outcomeOf(await send({ key: await keyFor({ usages: [serverAuth] }) }, url))).toBe(403);
    expect(metrics.text()).toContain('cordage_gateway_requests_refused_total{reason="not-admitted"} 3');
  });

  test('takes packets of the subjects that the operator lists alone, however their parts are ordered', async () => {
    const url = await receive({ key: await keyFor(), subjects: 'O=Acme,CN=gateway; CN=other' });
    expect(outcomeOf(await send({ key: await keyFor() }, url))).toBe(200);
    expect(outcomeOf(await send({ key: await keyFor({ name: 'CN=other' }) }, url))).toBe(200);
    expect(outcomeOf(await send({ key: await keyFor({ name: 'CN=gateway, O=Mallory' }) }, url))).toBe(403);
  });

  test('takes packets of those that the group lets in, and of no other from the moment it lets them in no more, on open connections too', async () => {
    const members = subjectsView();
    const url = await receive({ key: await keyFor(), members, subjects: 'CN=operator' });
    const gateway = tlsOf({ key: await keyFor() });
    const ask = async () => outcomeOf(await gateway.httpClient.post({ url, body: batch, trustRootsPem: [pemOf(root)], timeoutMs: 5_000 }));
    expect(await ask()).toBe(403);
    members.set('alice', 'CN=gateway, O=Acme');
    expect(await ask()).toBe(200);
    members.set('bob', 'CN=gateway, O=Acme');
    members.set('alice', undefined);
    expect(await ask(), 'of one cluster, whose other member is let in').toBe(200);
    members.set('bob', undefined);
    expect(await ask()).toBe(403);
    expect(outcomeOf(await send({ key: await keyFor({ name: 'CN=operator' }) }, url))).toBe(200);
  });

  test('shows the certificate that is asked for, and its first where none is', async () => {
    const url = await receive({ key: await keyFor(), members: subjectsView('CN=second') });
    const [first, second] = [await keyFor(), await keyFor({ name: 'CN=second' })];
    const { httpClient, use } = tlsOf({ key: first });
    use({ current: () => [first], named: (name) => (name === 'cluster/second' ? second : undefined) });
    const ask = async (clientCertificate?: string) => outcomeOf(await httpClient.post({ url, body: batch, trustRootsPem: [pemOf(root)], timeoutMs: 5_000, clientCertificate }));
    expect([await ask(), await ask('cluster/second'), await ask('cluster/other')]).toEqual([403, 200, 403]);
  });

  test('one way asks nobody for a certificate', async () => {
    const url = await receive({ key: await keyFor(), tls: 'one-way' });
    expect(outcomeOf(await send({ key: await keyFor({}, stranger) }, url))).toBe(200);
  });
});

describe('revocation', () => {
  const outcomes = [
    ['SOFT_FAIL', { good: 200, revoked: 'refused', unreachable: 200 }],
    ['HARD_FAIL', { good: 200, revoked: 'refused', unreachable: 'refused' }],
    ['OFF', { good: 200, revoked: 200, unreachable: 200 }],
  ] as const;

  test.each(outcomes)("of a client's certificate, in mode %s", async (revocation, expected) => {
    const url = await receive({ key: await keyFor(), revocation });
    const ask = async (ocsp: string): Promise<string | number> => {
      const outcome = outcomeOf(await send({ key: await keyFor({ ocsp }), revocation: 'OFF' }, url));
      return outcome === 403 ? 'refused' : outcome;
    };
    expect(await ask(responder.url)).toBe(expected.good);
    status = 'revoked';
    expect(await ask(responder.url)).toBe(expected.revoked);
    expect(await ask(unreachable)).toBe(expected.unreachable);
    expect(questions).toBe(revocation === 'OFF' ? 0 : 2);
  });

  test.each(outcomes)("of a server's certificate, in mode %s: nothing is sent to one that is refused", async (revocation, expected) => {
    const ask = async (ocsp: string): Promise<string | number> => {
      const metrics = createMetrics();
      const url = await receive({ key: await keyFor({ ocsp }), tls: 'one-way', metrics });
      const outcome = outcomeOf(await send({ key: await keyFor(), revocation }, url));
      expect(metrics.text().includes('cordage_gateway_packets_in_total 1')).toBe(outcome === 200);
      return outcome === 'CERTIFICATE_REFUSED' ? 'refused' : outcome;
    };
    expect(await ask(responder.url)).toBe(expected.good);
    status = 'revoked';
    expect(await ask(responder.url)).toBe(expected.revoked);
    expect(await ask(unreachable)).toBe(expected.unreachable);
  });

  test('asks no responder inside a network that is not open', async () => {
    const url = await receive({ key: await keyFor(), revocation: 'HARD_FAIL', ranges: '' });
    expect(outcomeOf(await send({ key: await keyFor({ ocsp: responder.url }), revocation: 'OFF' }, url))).toBe(403);
    expect(questions).toBe(0);
  });
});

test('TLS that becomes mutual asks each new connection for a certificate, and takes nothing more from those that showed none', async () => {
  let tlsType = 'ONE_WAY';
  const values = (): SectionValues['corda.p2p.gateway'] => fixedConfig({ 'corda.p2p.gateway': { sslConfig: { tlsType } } }).get('corda.p2p.gateway');
  // Only this section is asked for here.
  const config = { get: () => values(), onChange: () => () => {} } as unknown as Config;
  const key = await keyFor();
  const settings = settingsShape.parse({ CORDAGE_GATEWAY_PRIVATE_RANGES: '127.0.0.0/8' });
  const { admit, isMutual } = createGatewayTls({ settings, config, groupParameters: groupView([pemOf(root)]), clientSubjects: subjectsView(null), clock: systemClock });
  const worker = createGatewayWorker({ bus: { publish: async () => [] }, admit, clock: systemClock, log: silentLog, metrics: createMetrics() });
  const listener = await listen({ fetch: worker.fetch, hostname: '127.0.0.1', port: 0, tls: [key], asksClientCertificate: isMutual(), limits: { closeMsMax: 50 } });
  closing.push(() => listener.close());
  const url = `https://localhost:${listener.port}`;
  const shows = { key: await keyFor() };
  const hides = tlsOf({ key: await keyFor(), tls: 'one-way' });
  const keptOpen = async () => outcomeOf(await hides.httpClient.post({ url, body: batch, trustRootsPem: [pemOf(root)], timeoutMs: 5_000 }));
  expect([await keptOpen(), outcomeOf(await send(shows, url))]).toEqual([200, 200]);
  tlsType = 'MUTUAL';
  listener.askClientCertificates(isMutual());
  expect([await keptOpen(), outcomeOf(await send(shows, url))]).toEqual([403, 200]);
  tlsType = 'ONE_WAY';
  listener.askClientCertificates(isMutual());
  expect([await keptOpen(), outcomeOf(await send(shows, url))]).toEqual([200, 200]);
});
