import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cryptoToDbCertificate } from '../../../src/messages/crypto-to-db.certificate.ts';
import { dbToGatewayCertificate } from '../../../src/messages/db-to-gateway.certificate.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
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
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  root = await issue({ name: 'CN=Root, O=Acme, C=GB', ca: true });
  leaf = await issue({ name: 'CN=Leaf, O=Acme, C=GB', issuer: root, algorithm: 'ES256' });
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

  test('gateways are told of TLS certificates, with the key they were issued for, and of no others', async () => {
    const told = async (usage: 'p2p-tls' | 'rest-tls' | 'p2p-session', pem: string) => {
      const answered = await answerBatch(onRestCertificate, { transact }, request(restToDbCertificate, { type: 'import', usage, alias: 'told', pem }));
      return answered.flatMap(({ effects = [] }) => effects).map((record) => read(dbToGatewayCertificate, record));
    };
    expect(await told('rest-tls', leaf.chainPem)).toEqual([]);
    expect(await told('p2p-session', leaf.chainPem)).toEqual([]);
    expect(await told('p2p-tls', 'nonsense')).toEqual([]);
    const [first, ...more] = await told('p2p-tls', leaf.chainPem);
    const publicKey = new X509Certificate(leaf.pem).publicKey.export({ format: 'der', type: 'spki' }).toString('base64url');
    expect(more).toEqual([]);
    expect(first).toMatchObject({ key: 'told', body: { alias: 'told', pem: leaf.chainPem, publicKey } });
    // A repeat is the same record, another certificate is another.
    expect((await told('p2p-tls', leaf.chainPem))[0]!.id).toBe(first!.id);
    expect((await told('p2p-tls', root.pem))[0]!.id).not.toBe(first!.id);
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
