/**
 * `kill -9` of db, a process of its own, in the middle of an upload, of an upgrade, of a deletion and of an import: each ends as it would have, by itself, and
 * whoever waits for it hears so.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { makeCpi, staticPolicy } from '../workers/db/packages.ts';
import type { Answer, BlackBox } from '../workers/rest/black-box/cluster.ts';
import { addNode, endOf, openDepots, runFlow, trust, upload, type Depot } from '../workers/rest/black-box/depot.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from './cluster.ts';

const directory = mkdtempSync(join(tmpdir(), 'cordage-kill-'));
let server: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let cluster: SeparateCluster;
let sql: postgres.Sql;
let depot: Depot;
let first: string;
let next: string;

const call: BlackBox['call'] = async (method, path, { json, form } = {}) => {
  const body = new FormData();
  for (const [name, value] of Object.entries(form ?? {})) body.append(name, value as string | Blob);
  const content = json === undefined ? (form === undefined ? undefined : body) : JSON.stringify(json);
  const response = await fetch(`${cluster.restUrl}/api/v5_2${path}`, {
    method,
    headers: { authorization: `Basic ${btoa('admin:test-admin-password')}`, accept: 'application/json', ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(content === undefined ? {} : { body: content }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : JSON.parse(text) };
};
const until: BlackBox['until'] = async (method, path, condition) => {
  for (const deadline = performance.now() + 60_000; ; ) {
    const answer = await call(method, path);
    // While db is away its answers are late.
    if (answer.status !== 503 && condition(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`${path}: ${answer.text}\n${cluster.logTail('db')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
// What the helpers of the black-box tests use of a cluster.
const box = { call, until } as BlackBox;

beforeAll(async () => {
  server = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  cluster = await openSeparateCluster({ name: 'killed', directory: join(directory, 'killed'), postgresUrl: server.url, portBase: 21_400 });
  await startAll(cluster);
  sql = postgres(cluster.databaseUrl, { max: 1 });
  depot = (await openDepots())();
  await trust(box, depot.signer, 'depot');
  first = (await upload(box, await depot.cpi())).json.cpiFileChecksum;
  next = (await upload(box, await depot.cpi({ next: true }))).json.cpiFileChecksum;
}, 120_000);

afterAll(async () => {
  await sql?.end();
  await cluster?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** Kills db once the condition holds, and starts it again. */
const killWhen = async (condition: () => Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
  await cluster.kill('db');
  await cluster.start('db');
};
const hasRows = async (rows: Promise<readonly unknown[]>): Promise<boolean> => (await rows).length > 0;

test('an upload goes on, and what it uploaded can be used', async () => {
  const cpi = await makeCpi({ signer: depot.signer, version: '7.0', code: `var cordageApp={flows:[]};//${randomBytes(2_000_000).toString('hex')}`, groupPolicy: staticPolicy(depot.groupId) });
  const uploading = upload(box, cpi);
  await killWhen(() => hasRows(sql`select from config.upload join config.upload_chunk on upload_id = id where ended_at is null limit 1`));
  const done: Answer = await uploading;
  expect([done.status, done.json.status]).toEqual([200, 'OK']);
  expect((await upload(box, cpi)).status).toBe(409);
}, 120_000);

test('an upgrade is made, once', async () => {
  const hash = await addNode(box, first, 'O=Upgraded, L=London, C=GB');
  expect(await runFlow(box, hash, 'Keep', { id: 'a' })).toMatchObject({ flowStatus: 'COMPLETED' });
  await call('PUT', `/virtualnode/${hash}/state/maintenance`);
  const asked = call('PUT', `/virtualnode/${hash}/cpi/${next}`);
  await killWhen(async () => true);
  expect(await endOf(box, (await asked).json.requestId)).toMatchObject({ status: 'SUCCEEDED' });
  await until('PUT', `/virtualnode/${hash}/state/active`, ({ status }) => status === 200);
  await until('GET', `/virtualnode/${hash}`, ({ json }) => json.cpiIdentifier.cpiVersion === '2.0.0' && json.flowStartOperationalStatus === 'ACTIVE');
  expect(await runFlow(box, hash, 'Shelves')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '[7]' });
}, 120_000);

test('what a room may do as its own login suffices for the SQL of databases and for a resync', async () => {
  for (const path of ['crypto', 'uniqueness', `vault/${next}`]) expect((await call('GET', `/virtualnode/create/db/${path}`)).text).toContain('-- Cordage');
  const hash = await addNode(box, first, 'O=Resynced, L=London, C=GB');
  expect((await call('GET', `/virtualnode/${hash}/db/vault/${next}`)).text).toContain('alter table');
  expect((await call('POST', `/maintenance/virtualnode/${hash}/vault-schema/force-resync`)).status).toBe(204);
}, 60_000);

test('a deletion goes on to its end, wherever it was', async () => {
  const hash = await addNode(box, first, 'O=Deleted, L=London, C=GB');
  await runFlow(box, hash, 'Keep', { id: 'a' });
  const asked = call('DELETE', `/virtualnode/${hash}?force=true`);
  await killWhen(() => hasRows(sql`select from config.virtual_node where short_hash = ${hash} and deleting`));
  expect(await endOf(box, (await asked).json.requestId)).toMatchObject({ status: 'SUCCEEDED' });
  expect(await sql`select nspname from pg_namespace where nspname like ${`%${hash.toLowerCase()}`}`).toEqual([]);
  expect(await addNode(box, first, 'O=Deleted, L=London, C=GB')).toBe(hash);
  expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '0' });
}, 120_000);

test('an import goes on, all of it or nothing', async () => {
  const hash = await addNode(box, first, 'O=Exported, L=London, C=GB');
  await runFlow(box, hash, 'Keep', { id: 'a' });
  await call('PUT', `/virtualnode/${hash}/state/maintenance`);
  const passphrase = 'correct horse battery staple';
  const exported = await fetch(`${cluster.restUrl}/api/v5_2/virtualnode/${hash}/export`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('admin:test-admin-password')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ passphrase }),
  });
  const file = await exported.blob();
  await call('DELETE', `/virtualnode/${hash}?force=true`);
  await until('GET', `/virtualnode/${hash}`, ({ status }) => status === 404);
  const importing = call('POST', '/virtualnode/import', { form: { passphrase, file } });
  await killWhen(() => hasRows(sql`select from config.transfer_piece limit 1`));
  expect((await importing).json).toEqual({ holdingIdentityShortHash: hash });
  await until('PUT', `/virtualnode/${hash}/state/active`, ({ status }) => status === 200);
  await until('GET', `/virtualnode/${hash}`, ({ json }) => json.flowStartOperationalStatus === 'ACTIVE');
  expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '1' });
}, 120_000);
