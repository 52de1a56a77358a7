import { X509Certificate } from 'node:crypto';
import 'reflect-metadata';
import { KeyUsageFlags } from '@peculiar/x509';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cryptoToDbCertificate } from '../../../src/messages/crypto-to-db.certificate.ts';
import { dbToAllCertificate } from '../../../src/messages/db-to-all.certificate.ts';
import { restToDbCertificate, type CertificateUsage } from '../../../src/messages/rest-to-db.certificate.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { readCertificateChain } from '../../../src/workers/db/certificate-chain.ts';
import { onCryptoCertificate, onRestCertificate } from '../../../src/workers/db/on-certificate.ts';
import { issue, type Issued } from '../../packaging/keys.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, read, request } from './requests.ts';

let server: TestServer;
let database: Database;
let root: Issued;
let leaf: Issued;
let session: Issued;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  root = await issue({ name: 'CN=Root, O=Acme, C=GB', ca: true });
  leaf = await issue({ name: 'CN=Leaf, O=Acme, C=GB', issuer: root, algorithm: 'ES256' });
  session = await issue({ name: 'CN=Session, O=Acme, C=GB', issuer: root, algorithm: 'ES256', keyUsage: KeyUsageFlags.digitalSignature });
});
afterAll(() => server.stop());

const transact = <Result>(work: Parameters<typeof transactOn<Result>>[1]): Promise<Result> => transactOn(database, work);
const ask = async (...bodies: readonly BodyOf<typeof restToDbCertificate>[]) =>
  (await answerBatch(onRestCertificate, { transact }, ...bodies.map((body) => request(restToDbCertificate, body)))).map(({ outcome }) => outcome);

describe('certificates', () => {
  test('a chain that was imported is listed by its usage and read back as it was', async () => {
    const pem = leaf.chainPem;
    const outcomes = await ask(
      { type: 'import', usage: 'p2p-tls', alias: 'b', pem },
      { type: 'import', usage: 'p2p-tls', alias: 'a', pem: root.pem },
      { type: 'list', usage: 'p2p-tls' },
      { type: 'list', usage: 'code-signer' },
      { type: 'get', usage: 'p2p-tls', alias: 'b' },
      { type: 'get', usage: 'code-signer', alias: 'b' },
    );
    expect(outcomes.slice(2, 5)).toEqual([
      { type: 'done', value: { aliases: ['a', 'b'] } },
      { type: 'done', value: { aliases: [] } },
      { type: 'done', value: { pem } },
    ]);
    expect(codeOf(outcomes[5]!)).toBe('DB_CERTIFICATE_NOT_FOUND');
  });

  test('an alias that is imported again is replaced', async () => {
    await ask({ type: 'import', usage: 'rest-tls', alias: 'x', pem: root.pem }, { type: 'import', usage: 'rest-tls', alias: 'x', pem: leaf.chainPem });
    expect(await ask({ type: 'get', usage: 'rest-tls', alias: 'x' }, { type: 'list', usage: 'rest-tls' })).toEqual([
      { type: 'done', value: { pem: leaf.chainPem } },
      { type: 'done', value: { aliases: ['x'] } },
    ]);
  });

  test('what is no chain is refused with its reason, and nothing is kept', async () => {
    const pems = ['', 'hello', leaf.pem.replace('BEGIN CERTIFICATE', 'BEGIN CERTIFICAT'), root.pem + leaf.pem, leaf.pem.replaceAll('CERTIFICATE', 'PRIVATE KEY'), leaf.pem.replace('M', 'N')];
    const outcomes = await ask(...pems.map((pem) => ({ type: 'import' as const, usage: 'p2p-session' as const, alias: 'bad', pem })), { type: 'import', usage: 'p2p-session', alias: 'a/b', pem: root.pem });
    expect(outcomes.map(codeOf)).toEqual(Array.from({ length: 7 }, () => 'DB_CERTIFICATE_INVALID'));
    expect(await ask({ type: 'list', usage: 'p2p-session' })).toEqual([{ type: 'done', value: { aliases: [] } }]);
  });

  test('the certificate that crypto made for the cluster is shown to operators', async () => {
    await answerBatch(onCryptoCertificate, { transact }, request(cryptoToDbCertificate, { usage: 'p2p-tls', alias: 'p2p-tls-cert', pem: root.pem }));
    expect(await ask({ type: 'get', usage: 'p2p-tls', alias: 'p2p-tls-cert' })).toEqual([{ type: 'done', value: { pem: root.pem } }]);
  });

  test('a virtual node’s chains stand beside the cluster’s, under the same aliases', async () => {
    const holder = 'A11CE0000001';
    const other = await issue({ name: 'CN=Other, O=Acme, C=GB', keyUsage: KeyUsageFlags.digitalSignature });
    await ask(
      { type: 'import', usage: 'p2p-session', alias: 'same', pem: other.chainPem },
      { type: 'import', usage: 'p2p-session', holder, alias: 'same', pem: session.chainPem },
      { type: 'import', usage: 'p2p-session', holder, alias: 'other', pem: session.chainPem },
    );
    expect(
      await ask(
        { type: 'list', usage: 'p2p-session', holder },
        { type: 'get', usage: 'p2p-session', holder, alias: 'same' },
        { type: 'get', usage: 'p2p-session', alias: 'same' },
        { type: 'list', usage: 'p2p-session', holder: 'B0B000000002' },
      ),
    ).toEqual([
      { type: 'done', value: { aliases: ['other', 'same'] } },
      { type: 'done', value: { pem: session.chainPem } },
      { type: 'done', value: { pem: other.chainPem } },
      { type: 'done', value: { aliases: [] } },
    ]);
    expect(await transact((tx) => tx.certificates.removeOf(holder))).toHaveLength(2);
    expect(await ask({ type: 'list', usage: 'p2p-session', holder }, { type: 'get', usage: 'p2p-session', alias: 'same' })).toMatchObject([{ value: { aliases: [] } }, { value: { pem: other.chainPem } }]);
  });

  test('a chain that has expired, or is not for its usage, is refused with its reason', async () => {
    const dayMs = 24 * 60 * 60 * 1_000;
    // When requests.ts asks.
    const askedAt = Date.UTC(2026, 0, 1);
    const expired = await issue({ name: 'CN=Old, O=Acme, C=GB', issuer: root, notBefore: askedAt - 2 * dayMs, notAfter: askedAt - dayMs });
    const client = await issue({ name: 'CN=Client, O=Acme, C=GB', issuer: root, extendedKeyUsage: '1.3.6.1.5.5.7.3.2' });
    const authority = await issue({ name: 'CN=Authority, O=Acme, C=GB', ca: true, keyUsage: KeyUsageFlags.keyCertSign });
    const refusal = async (usage: CertificateUsage, pem: string): Promise<string> => {
      const [outcome] = await ask({ type: 'import', usage, alias: 'unfit', pem });
      return outcome!.type === 'refused' ? `${outcome!.code} ${outcome!.message}` : 'done';
    };
    expect(await refusal('p2p-tls', expired.chainPem)).toMatch(/^DB_CERTIFICATE_INVALID .*expired on/);
    expect(await refusal('p2p-tls', client.chainPem)).toMatch(/not for TLS servers/);
    expect(await refusal('rest-tls', authority.pem)).toMatch(/not for digital signatures/);
    expect(await refusal('p2p-session', authority.pem)).toMatch(/not for digital signatures/);
    expect(await refusal('code-signer', authority.pem)).toBe('done');
    expect(await ask({ type: 'list', usage: 'rest-tls' })).not.toMatchObject([{ value: { aliases: expect.arrayContaining(['unfit']) } }]);
  });

  test('rooms are told of TLS certificates, with the key they were issued for, and of no others', async () => {
    const told = async (usage: CertificateUsage, pem: string, holder?: string) => {
      const body = { type: 'import' as const, usage, alias: 'told', pem, ...(holder === undefined ? {} : { holder }) };
      const answered = await answerBatch(onRestCertificate, { transact }, request(restToDbCertificate, body));
      return answered.flatMap(({ effects = [] }) => effects).map((record) => read(dbToAllCertificate, record));
    };
    expect(await told('p2p-session', session.chainPem)).toEqual([]);
    expect(await told('code-signer', leaf.chainPem)).toEqual([]);
    expect(await told('p2p-tls', 'nonsense')).toEqual([]);
    const [first, ...more] = await told('p2p-tls', leaf.chainPem);
    const publicKey = new X509Certificate(leaf.pem).publicKey.export({ format: 'der', type: 'spki' }).toString('base64url');
    expect(more).toEqual([]);
    expect(first).toMatchObject({ key: 'p2p-tls/cluster/told', body: { usage: 'p2p-tls', holder: 'cluster', alias: 'told', pem: leaf.chainPem, publicKey } });
    expect((await told('rest-tls', leaf.chainPem))[0]).toMatchObject({ key: 'rest-tls/cluster/told', body: { usage: 'rest-tls' } });
    expect((await told('p2p-tls', leaf.chainPem, 'A11CE0000001'))[0]).toMatchObject({ key: 'p2p-tls/A11CE0000001/told', body: { holder: 'A11CE0000001' } });
    // A repeat is the same record, another certificate is another.
    expect((await told('p2p-tls', leaf.chainPem))[0]!.id).toBe(first!.id);
    expect((await told('p2p-tls', session.chainPem))[0]!.id).not.toBe(first!.id);
  });

  test('whatever text is imported, it is read or refused', async () => {
    const lines = fc.constantFrom(...leaf.chainPem.split('\n'), '-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', 'AAAA', '=');
    const texts = fc.oneof(fc.string({ unit: 'binary', maxLength: 500 }), fc.array(lines, { maxLength: 60 }).map((all) => all.join('\n')));
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        expect(['chain', 'invalid']).toContain((await readCertificateChain(text)).type);
      }),
      { numRuns: 300 },
    );
  });
});
