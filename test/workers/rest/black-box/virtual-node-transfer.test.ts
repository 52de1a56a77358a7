import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type ClusterProcess } from '../../../../src/cli/cluster-process.ts';
import { connect, covers, useCluster, type BlackBox } from './cluster.ts';
import { addNode, openDepots, runFlow, startIdle, trust, upload } from './depot.ts';

const secrets = { CORDAGE_CRYPTO_PASSPHRASE: 'a passphrase of both clusters', CORDAGE_CRYPTO_SALT: 'a salt of both clusters' };
const passphrase = 'correct horse battery staple';
const admin = { login: 'admin', password: 'admin-password' };

/** Where virtual nodes come from; the file's own cluster, with another root key, is where they cannot go. */
const stranger = useCluster();
const directory = mkdtempSync(join(tmpdir(), 'cordage-transfer-'));
const processes: ClusterProcess[] = [];
let here: BlackBox;
let there: BlackBox;
let cpis: readonly Uint8Array[];
let checksum: string;

const start = async (name: string): Promise<BlackBox> => {
  const process = await startCluster({ name, directory: join(directory, name), restPort: 0, gatewayPort: 0, adminPassword: admin.password, environment: { ...secrets, CORDAGE_FLOW_SANDBOXES: '1' } });
  processes.push(process);
  // What these tests and their helpers use of a cluster.
  return { ...connect(process.restUrl, admin), url: process.restUrl } as BlackBox;
};

beforeAll(async () => {
  const { mkdirSync } = await import('node:fs');
  for (const name of ['here', 'there']) mkdirSync(join(directory, name));
  [here, there] = await Promise.all([start('here'), start('there')]);
  const depot = (await openDepots())();
  cpis = [await depot.cpi(), await depot.cpi({ next: true })];
  for (const box of [here, there, stranger()]) await trust(box, depot.signer, 'depot');
  checksum = (await upload(here, cpis[0]!)).json.cpiFileChecksum;
});

afterAll(async () => {
  await Promise.all(processes.map((process) => process.stop()));
  rmSync(directory, { recursive: true, force: true });
});

const exportFrom = async ({ url }: BlackBox, hash: string, secret = passphrase): Promise<{ status: number; file: Uint8Array }> => {
  const response = await fetch(`${url}/api/v5_2/virtualnode/${hash}/export`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${admin.login}:${admin.password}`)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ passphrase: secret }),
  });
  return { status: response.status, file: new Uint8Array(await response.arrayBuffer()) };
};
const importTo = ({ call }: BlackBox, file: Uint8Array, secret = passphrase) => call('POST', '/virtualnode/import', { form: { passphrase: secret, file: new Blob([new Uint8Array(file)]) } });
const set = ({ call }: BlackBox, hash: string, state: string) => call('PUT', `/virtualnode/${hash}/state/${state}`);
const makeKey = async ({ call }: BlackBox, hash: string): Promise<string> => {
  await call('POST', `/hsm/soft/${hash}/LEDGER`);
  return (await call('POST', `/key/${hash}/alias/${hash}-ledger/category/LEDGER/scheme/CORDA.ECDSA.SECP256R1`)).json.id;
};

test('a virtual node goes to another cluster with what it kept and the keys it signs with', async () => {
  const hash = await addNode(here, checksum, 'O=Traveller, L=London, C=GB');
  const keyId = await makeKey(here, hash);
  for (const id of ['a', "b's; \\ \n line"]) await runFlow(here, hash, 'Keep', { id });
  const publicKey = (await runFlow(here, hash, 'Sign', { id: keyId })).flowResult;
  await set(here, hash, 'maintenance');
  const { status, file } = await exportFrom(here, hash);
  expect(status).toBe(200);
  expect(Buffer.from(file).includes('kept')).toBe(false);

  // Without its CPI it cannot come, and then nothing of it is there.
  expect((await importTo(there, file)).json.details.code).toBe('DB_CPI_NOT_FOUND');
  await upload(there, cpis[0]!);
  for (const [damaged, secret] of [[file.subarray(0, file.length - 20), passphrase], [file.map((byte, at) => (at === file.length - 30 ? byte ^ 1 : byte)), passphrase], [file, 'not the passphrase']] as const) {
    const refused = await importTo(there, damaged, secret);
    expect([refused.status, refused.json.details.code]).toEqual([400, 'REST_TRANSFER_INVALID']);
  }
  expect((await there.call('GET', '/virtualnode')).json).toEqual({ virtualNodes: [] });

  const imported = await importTo(there, file);
  expect([imported.status, imported.json]).toEqual([200, { holdingIdentityShortHash: hash }]);
  expect((await there.until('GET', `/virtualnode/${hash}`, ({ status: found }) => found === 200)).json.flowOperationalStatus).toBe('INACTIVE');
  expect((await importTo(there, file)).status).toBe(409);
  await set(there, hash, 'active');
  await there.until('GET', `/virtualnode/${hash}`, ({ json }) => json.flowStartOperationalStatus === 'ACTIVE');
  expect((await runFlow(there, hash, 'Count')).flowResult).toBe('2');
  expect((await runFlow(there, hash, 'Sign', { id: keyId })).flowResult).toBe(publicKey);
  expect((await runFlow(there, hash, 'Keep', { id: 'a' })).flowStatus).toBe('FAILED');
}, 120_000);

test('it comes back to where it was deleted', async () => {
  const hash = await addNode(here, checksum, 'O=Returner, L=London, C=GB');
  await runFlow(here, hash, 'Keep', { id: 'a' });
  await set(here, hash, 'maintenance');
  const { file } = await exportFrom(here, hash);
  await here.call('DELETE', `/virtualnode/${hash}`);
  await here.until('GET', `/virtualnode/${hash}`, ({ status }) => status === 404);
  expect((await importTo(here, file)).status).toBe(200);
  await set(here, hash, 'active');
  await here.until('GET', `/virtualnode/${hash}`, ({ json }) => json.flowStartOperationalStatus === 'ACTIVE');
  expect((await runFlow(here, hash, 'Count')).flowResult).toBe('1');
}, 60_000);

covers(stranger, ['POST /virtualnode/{holdingidentityshorthash}/export', 'POST /virtualnode/import'], 'refused', 'each fault has its code, and changes nothing', async (box) => {
  const hash = await addNode(here, checksum, 'O=Refused, L=London, C=GB');
  expect((await exportFrom(here, hash)).status).toBe(409);
  await startIdle(here, hash);
  await set(here, hash, 'maintenance');
  expect((await exportFrom(here, hash)).status).toBe(409);
  const own = (await upload(box, cpis[0]!)).json.cpiFileChecksum;
  const ours = await addNode(box, own, 'O=Ours, L=London, C=GB');
  const exported = async (json: object) => (await box.call('POST', `/virtualnode/${ours}/export`, { json })).status;
  expect([await exported({ passphrase: 'short' }), await exported({}), await exported({ passphrase })]).toEqual([400, 400, 409]);
  expect((await box.call('POST', '/virtualnode/0123456789AB/export', { json: { passphrase } })).status).toBe(404);
  // Keys that another root key sealed are of no use here.
  const other = await addNode(here, checksum, 'O=Other Root, L=London, C=GB');
  await makeKey(here, other);
  await set(here, other, 'maintenance');
  const refused = await importTo(box, (await exportFrom(here, other)).file);
  expect([refused.status, refused.json.details.code]).toEqual([400, 'CRYPTO_ROOT_KEY_WRONG']);
  expect((await box.call('GET', `/virtualnode/${other}`)).status).toBe(404);
  expect((await box.call('POST', '/virtualnode/import', { form: { passphrase, file: new Blob(['nonsense']) } })).status).toBe(400);
}, 60_000);
