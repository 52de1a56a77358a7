import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { KeyUsageFlags, Pkcs10CertificateRequest } from '@peculiar/x509';
import { beforeAll, expect } from 'vitest';
import { issue, type Issued } from '../../../packaging/keys.ts';
import { alice, covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const hourMs = 3_600_000;
const dates = { notBefore: Date.now() - hourMs, notAfter: Date.now() + hourMs };
let authority: Issued;
let leaf: Issued;
let node: string;
beforeAll(async () => {
  authority = await issue({ name: 'CN=Authority, O=Acme, C=GB', ca: true, ...dates });
  leaf = await issue({ name: 'CN=Leaf, O=Acme, C=GB', issuer: authority, keyUsage: KeyUsageFlags.digitalSignature, ...dates });
  const { installApp, call, until } = cluster();
  const { cpiFileChecksum } = await installApp([alice]);
  const { requestId } = (await call('POST', '/virtualnode', { json: { cpiFileChecksum, x500Name: alice } })).json;
  node = (await until('GET', `/virtualnode/status/${requestId}`, ({ json }) => json.status === 'SUCCEEDED')).json.resourceId;
});

const usages = ['p2p-tls', 'p2p-session', 'rest-tls', 'code-signer'];
const scopes = () => [
  ['cluster', '/certificate/cluster'],
  ['vnode', `/certificate/vnode/${node}`],
] as const;
const form = (alias: string, ...pems: string[]) => ({ form: { alias, certificate: pems.map((pem) => new Blob([pem])) } });

covers(cluster, [
  'PUT /certificate/cluster/{usage}',
  'PUT /certificate/vnode/{holdingidentityid}/{usage}',
  'GET /certificate/cluster/{usage}',
  'GET /certificate/vnode/{holdingidentityid}/{usage}',
  'GET /certificate/cluster/{usage}/{alias}',
  'GET /certificate/vnode/{holdingidentityid}/{usage}/{alias}',
], 'happy', 'chains are imported, listed by usage, read back and replaced, of the cluster and of a virtual node', async ({ call }) => {
  for (const [scope, base] of scopes()) {
    for (const usage of usages) {
      expect((await call('PUT', `${base}/${usage}`, form('chain', leaf.pem, authority.pem))).status).toBe(204);
      expect((await call('GET', `${base}/${usage}`)).json).toContain('chain');
      const read = await call('GET', `${base}/${usage.toUpperCase()}/chain`);
      expect(read.json.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
      expect(new X509Certificate(read.json).fingerprint256).toBe(new X509Certificate(leaf.pem).fingerprint256);
    }
    await call('PUT', `${base}/p2p-session`, form(`only-${scope}`, leaf.pem));
    await call('PUT', `${base}/p2p-session`, form('chain', leaf.pem));
    expect((await call('GET', `${base}/p2p-session/chain`)).json.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    expect((await call('GET', `${base}/p2p-session`)).json).toEqual(['chain', `only-${scope}`]);
  }
  expect((await call('GET', `/api/v1/certificates/cluster/p2p-session`)).json).toContain('chain');
});

covers(cluster, [
  'PUT /certificate/cluster/{usage}',
  'PUT /certificate/vnode/{holdingidentityid}/{usage}',
  'GET /certificate/cluster/{usage}',
  'GET /certificate/vnode/{holdingidentityid}/{usage}',
  'GET /certificate/cluster/{usage}/{alias}',
  'GET /certificate/vnode/{holdingidentityid}/{usage}/{alias}',
], 'refused', 'what is no chain, no usage, no alias, no virtual node, or is out of date', async ({ call }) => {
  const expired = await issue({ name: 'CN=Old, O=Acme, C=GB', notBefore: Date.now() - 2 * hourMs, notAfter: Date.now() - hourMs });
  for (const [, base] of scopes()) {
    const put = async (usage: string, alias: string, ...pems: string[]) => (await call('PUT', `${base}/${usage}`, form(alias, ...pems))).status;
    expect(await put('nonsense', 'a', leaf.pem)).toBe(400);
    expect(await put('p2p-tls', 'a/b', leaf.pem)).toBe(400);
    expect(await put('p2p-tls', 'a', 'not a certificate')).toBe(400);
    expect(await put('p2p-tls', 'a', authority.pem, leaf.pem)).toBe(400);
    expect(await put('p2p-tls', 'a', expired.pem)).toBe(400);
    expect(await put('p2p-session', 'a', authority.pem)).toBe(400);
    expect((await call('GET', `${base}/nonsense`)).status).toBe(400);
    expect((await call('GET', `${base}/p2p-tls/nobody`)).status).toBe(404);
  }
  const stranger = '/certificate/vnode/000000000000/p2p-tls';
  expect((await call('PUT', stranger, form('a', leaf.pem))).status).toBe(404);
  expect([(await call('GET', stranger)).status, (await call('GET', `${stranger}/a`)).status]).toEqual([404, 404]);
  expect((await call('GET', '/certificate/vnode/short/p2p-tls')).status).toBe(400);
});

covers(cluster, 'POST /certificate/{tenantid}/{keyid}', 'happy', 'a signing request of a key names what was asked for', async ({ call }) => {
  await call('POST', '/hsm/soft/p2p/TLS');
  const { id } = (await call('POST', '/key/p2p/alias/black-box/category/TLS/scheme/CORDA.ECDSA.SECP256R1')).json;
  const request = { x500Name: 'CN=CordaOperator, C=GB, L=London, O=Org', subjectAlternativeNames: ['gateway.example', '10.0.0.1'], contextMap: { signatureSpec: 'SHA384withECDSA' } };
  const csr = new Pkcs10CertificateRequest((await call('POST', `/certificate/p2p/${id}`, { json: request })).json);
  expect(await csr.verify()).toBe(true);
  expect(csr.subject).toBe('C=GB, L=London, O=Org, CN=CordaOperator');
  expect(csr.signatureAlgorithm).toMatchObject({ name: 'ECDSA', hash: { name: 'SHA-384' } });
  // A client that reads text gets the PEM itself, to write into a file.
  const text = await call('POST', `/certificate/p2p/${id}`, { json: { x500Name: 'CN=gateway', subjectAlternativeNames: null, contextMap: null }, headers: { accept: '*/*' } });
  expect(text.text).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----\n/);
});

covers(cluster, 'POST /certificate/{tenantid}/{keyid}', 'refused', 'of keys that are not there, names that are none, specs that do not fit', async ({ call }) => {
  await call('POST', '/hsm/soft/p2p/SESSION_INIT');
  const { id } = (await call('POST', '/key/p2p/alias/refused/category/SESSION_INIT/scheme/CORDA.ECDSA.SECP256R1')).json;
  const status = async (json: unknown, key = id as string) => (await call('POST', `/certificate/p2p/${key}`, { json })).status;
  expect(await status({ x500Name: alice }, '000000000000')).toBe(404);
  expect(await status({ x500Name: alice }, 'short')).toBe(400);
  expect(await status({ x500Name: 'nonsense' })).toBe(400);
  expect(await status({ x500Name: '' })).toBe(400);
  expect(await status({})).toBe(400);
  expect(await status({ x500Name: alice, subjectAlternativeNames: ['a b'] })).toBe(400);
  expect(await status({ x500Name: alice, contextMap: { signatureSpec: 'EdDSA' } })).toBe(400);
  expect(await status({ x500Name: alice, contextMap: { signatureSpec: 'SHA1withRSA' } })).toBe(400);
});
