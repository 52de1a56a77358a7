/** REST over TLS, as clients meet it: its certificates are those of the operator, and change while it runs. */
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';
import 'reflect-metadata';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type ClusterProcess } from '../../../../src/cli/cluster-process.ts';
import { issue } from '../../../packaging/keys.ts';

const directory = mkdtempSync(join(tmpdir(), 'cordage-rest-tls-'));
const start = (name: string, environment: Record<string, string>) =>
  startCluster({ name, directory, restPort: 0, gatewayPort: 0, adminPassword: 'admin-password', environment: { CORDAGE_FLOW_SANDBOXES: '1', ...environment } });
let cluster: ClusterProcess;
beforeAll(async () => {
  cluster = await start('rest-tls', { CORDAGE_REST_TLS: 'on', CORDAGE_REST_NAMES: 'localhost,127.0.0.1,rest.example' });
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const authorization = `Basic ${btoa('admin:admin-password')}`;
const boundary = 'b';
const form = (fields: Record<string, string>): string =>
  `${Object.entries(fields).map(([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join('')}--${boundary}--`;

type Sent = { readonly method?: string; readonly json?: unknown; readonly form?: Record<string, string>; readonly agent?: Agent };
const call = (ca: string | undefined, path: string, { method = 'GET', json, form: fields, agent = new Agent({ keepAlive: false }) }: Sent = {}): Promise<{ status: number; text: string; reused: boolean }> =>
  new Promise((resolve, reject) => {
    const body = json !== undefined ? JSON.stringify(json) : fields === undefined ? undefined : form(fields);
    const type = json !== undefined ? 'application/json' : `multipart/form-data; boundary=${boundary}`;
    const url = `${cluster.restUrl}/api/v5_2${path}`;
    const sent = request(url, { method, agent, rejectUnauthorized: ca !== undefined, ...(ca === undefined ? {} : { ca }), headers: { authorization, accept: '*/*', ...(body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) }) } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => resolve({ status: response.statusCode!, text, reused: sent.reusedSocket }));
    });
    sent.on('error', reject).end(body);
  });

/** The certificate that a client sees, by the name it asks for. */
const seen = (options: ConnectionOptions = {}): Promise<{ certificate: X509Certificate; protocol: string | null }> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(cluster.restUrl).port), rejectUnauthorized: false, ...options }, () => {
      resolve({ certificate: socket.getPeerX509Certificate()!, protocol: socket.getProtocol() });
      socket.end();
    });
    socket.on('error', reject);
  });

test('without a certificate of the operator it serves with one of its own, which it shows; plain HTTP is not answered', async () => {
  expect(cluster.restUrl).toMatch(/^https:\/\/127\.0\.0\.1:/);
  const { certificate, protocol } = await seen();
  expect([protocol, certificate.subjectAltName]).toEqual(['TLSv1.3', 'DNS:localhost, IP Address:127.0.0.1, DNS:rest.example']);
  const pem = (await call(undefined, '/certificate/cluster/rest-tls/rest-tls-cert')).text;
  expect(new X509Certificate(pem).fingerprint256).toBe(certificate.fingerprint256);
  // The very certificate is all that a client must trust.
  expect((await call(pem, '/cpi')).status).toBe(200);
  await expect(fetch(cluster.restUrl.replace('https', 'http'))).rejects.toThrow();
  // The gateway's is another.
  const gateway = (await call(pem, '/certificate/cluster/p2p-tls/p2p-tls-cert')).text;
  expect(new X509Certificate(gateway).publicKey.equals(certificate.publicKey)).toBe(false);
});

test('connections are kept for the next request, TLS 1.2 is spoken, and nothing older', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const reused: boolean[] = [];
  for (let i = 0; i < 3; i++) reused.push((await call(undefined, '/cpi', { agent })).reused);
  agent.destroy();
  expect(reused).toEqual([false, true, true]);
  expect((await seen({ maxVersion: 'TLSv1.2' })).protocol).toBe('TLSv1.2');
  await expect(seen({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
});

test('a certificate that is imported is served with at once, to new connections', async () => {
  const authority = await issue({ name: 'CN=Authority, O=Acme, C=GB', ca: true, algorithm: 'ES256', notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 3_600_000 });
  const { id } = JSON.parse((await call(undefined, '/key/p2p/alias/rest/category/TLS/scheme/CORDA.ECDSA.SECP256R1', { method: 'POST' })).text) as { id: string };
  const csr = new Pkcs10CertificateRequest((await call(undefined, `/certificate/p2p/${id}`, { method: 'POST', json: { x500Name: 'CN=rest.example', subjectAlternativeNames: ['rest.example', '127.0.0.1'] } })).text);
  const signed = await X509CertificateGenerator.create({
    subject: csr.subject,
    issuer: authority.certificate.subject,
    publicKey: csr.publicKey,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'rest.example' }, { type: 'ip', value: '127.0.0.1' }])],
  });
  const pem = signed.toString('pem');
  expect((await call(undefined, '/certificate/cluster/rest-tls', { method: 'PUT', form: { alias: 'ours', certificate: pem } })).status).toBe(204);
  const wanted = new X509Certificate(pem).fingerprint256;
  const deadline = performance.now() + 10_000;
  while ((await seen({ servername: 'rest.example' })).certificate.fingerprint256 !== wanted) if (performance.now() > deadline) throw new Error('the imported certificate is not served');
  // Who trusts the operator's authority needs no other.
  expect((await call(authority.pem, '/cpi')).status).toBe(200);
});
