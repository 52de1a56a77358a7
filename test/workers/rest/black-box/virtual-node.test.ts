import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../../../src/host/embedded-postgres.ts';
import { silentLog } from '../../../../src/observability/log.ts';
import { addNode, endOf, openDepots, runFlow, startIdle, trust, upload, type Depot } from './depot.ts';
import { covers, useCluster, type BlackBox } from './cluster.ts';

const cluster = useCluster();
let depot: Depot;
let first: string;
let next: string;
let names = 0;
const newName = (): string => `O=Depot ${++names}, L=London, C=GB`;

beforeAll(async () => {
  depot = (await openDepots())();
  await trust(cluster(), depot.signer, 'depot');
  first = (await upload(cluster(), await depot.cpi())).json.cpiFileChecksum;
  next = (await upload(cluster(), await depot.cpi({ next: true }))).json.cpiFileChecksum;
});

const stranger = '0123456789AB';
const newNode = (): Promise<string> => addNode(cluster(), first, newName());

describe('creation and reads', () => {
  covers(cluster, ['POST /virtualnode', 'GET /virtualnode', 'GET /virtualnode/{holdingidentityshorthash}', 'GET /virtualnode/status/{requestid}'], 'happy', 'what was made is listed, in both shapes of the body', async (box) => {
    const x500Name = newName();
    const hash = await addNode(box, first, x500Name);
    const nested = await box.call('POST', '/virtualnode', { json: { request: { cpiFileChecksum: first.toLowerCase(), x500Name: newName() } } });
    expect(nested.status).toBe(202);
    expect(await endOf(box, nested.json.requestId)).toMatchObject({ status: 'SUCCEEDED', operation: 'CREATE_VIRTUAL_NODE', resourceId: nested.json.requestId, errorReason: null });
    const { json: node } = await box.call('GET', `/virtualnode/${hash}`);
    expect(node).toMatchObject({ holdingIdentity: { shortHash: hash, x500Name, groupId: depot.groupId }, cpiIdentifier: { cpiVersion: '1.0.0' }, flowOperationalStatus: 'ACTIVE', operationInProgress: null });
    expect((await box.call('GET', '/virtualnode')).json.virtualNodes).toContainEqual(node);
  });

  covers(cluster, ['POST /virtualnode', 'GET /virtualnode/{holdingidentityshorthash}', 'GET /virtualnode/status/{requestid}', 'GET /virtualnode'], 'refused', 'each fault has its code', async ({ call }) => {
    const create = async (json: object) => (await call('POST', '/virtualnode', { json })).status;
    const x500Name = newName();
    expect(await create({ cpiFileChecksum: '000000000000', x500Name })).toBe(400);
    expect(await create({ cpiFileChecksum: 'nonsense', x500Name })).toBe(400);
    expect(await create({ cpiFileChecksum: first, x500Name: 'CN=Nobody' })).toBe(400);
    expect(await create({ cpiFileChecksum: first, x500Name, vaultDmlConnection: '{}' })).toBe(400);
    expect(await create({ cpiFileChecksum: first, x500Name: 'O=Depot 1, L=London, C=GB' })).toBe(409);
    expect((await call('GET', `/virtualnode/${stranger}`)).status).toBe(404);
    expect((await call('GET', '/virtualnode/nonsense')).status).toBe(400);
    expect((await call('GET', '/virtualnode/status/nonsense')).status).toBe(404);
    expect((await call('GET', '/virtualnode?limit=0')).status).toBe(400);
  });

  test('pages are in order, each after the last of the one before, and together the whole', async () => {
    const { call } = cluster();
    for (let more = 0; more < 3; more++) await newNode();
    const all = ((await call('GET', '/virtualnode')).json.virtualNodes as { holdingIdentity: { shortHash: string } }[]).map(({ holdingIdentity }) => holdingIdentity.shortHash).sort();
    const seen: string[] = [];
    for (let after = ''; ; after = `&after=${seen.at(-1)}`) {
      const page = (await call('GET', `/virtualnode?limit=2${after}`)).json.virtualNodes as { holdingIdentity: { shortHash: string } }[];
      if (page.length === 0) break;
      expect(page.length).toBeLessThanOrEqual(2);
      seen.push(...page.map(({ holdingIdentity }) => holdingIdentity.shortHash));
    }
    expect(seen).toEqual(all);
  });
});

describe('state', () => {
  covers(cluster, 'PUT /virtualnode/{virtualnodeshortid}/state/{newstate}', 'happy', 'in maintenance nothing starts and what runs is ended; then it goes on', async (box) => {
    const hash = await newNode();
    const set = await box.call('PUT', `/virtualnode/${hash}/state/maintenance`);
    expect([set.status, set.json]).toEqual([200, { holdingIdShortHash: hash, newState: 'MAINTENANCE' }]);
    expect((await box.call('GET', `/virtualnode/${hash}`)).json).toMatchObject({ flowStartOperationalStatus: 'INACTIVE', flowOperationalStatus: 'INACTIVE', flowP2pOperationalStatus: 'INACTIVE', vaultDbOperationalStatus: 'INACTIVE' });
    const started = await box.call('POST', `/flow/${hash}`, { json: { clientRequestId: 'r', flowClassName: 'com.example.Count', requestBody: {} } });
    expect(started.status).toBe(405);
    expect((await box.call('PUT', `/virtualnode/${hash}/state/ACTIVE`)).status).toBe(200);
    await box.until('GET', `/virtualnode/${hash}`, ({ json }) => json.flowStartOperationalStatus === 'ACTIVE');
    expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '0' });
  });

  covers(cluster, 'PUT /virtualnode/{virtualnodeshortid}/state/{newstate}', 'refused', 'unknown nodes and states', async ({ call }) => {
    expect((await call('PUT', `/virtualnode/${stranger}/state/active`)).status).toBe(404);
    expect((await call('PUT', `/virtualnode/${first}/state/asleep`)).status).toBe(400);
  });
});

describe('upgrade', () => {
  covers(cluster, 'PUT /virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}', 'happy', 'the vault keeps its rows and has the new column', async (box) => {
    const hash = await newNode();
    expect(await runFlow(box, hash, 'Keep', { id: 'a' })).toMatchObject({ flowStatus: 'COMPLETED' });
    await box.call('PUT', `/virtualnode/${hash}/state/maintenance`);
    const begun = await box.call('PUT', `/virtualnode/${hash}/cpi/${next}`);
    expect([begun.status, begun.json.requestId]).toEqual([202, expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    expect(await endOf(box, begun.json.requestId)).toMatchObject({ status: 'SUCCEEDED', operation: 'UPGRADE_VIRTUAL_NODE', resourceId: hash });
    await box.call('PUT', `/virtualnode/${hash}/state/active`);
    await box.until('GET', `/virtualnode/${hash}`, ({ json }) => json.cpiIdentifier.cpiVersion === '2.0.0' && json.flowStartOperationalStatus === 'ACTIVE');
    expect(await runFlow(box, hash, 'Shelves')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '[7]' });
  });

  covers(cluster, 'PUT /virtualnode/{virtualnodeshortid}/cpi/{targetcpifilechecksum}', 'refused', 'the rules of an upgrade', async (box) => {
    const { call } = box;
    const hash = await newNode();
    const upgrade = async (target: string, query = '') => (await call('PUT', `/virtualnode/${hash}/cpi/${target}${query}`)).status;
    expect(await upgrade(next)).toBe(400);
    await startIdle(box, hash);
    await call('PUT', `/virtualnode/${hash}/state/maintenance`);
    // It sleeps: maintenance ends a flow when something happens to it.
    expect(await upgrade(next)).toBe(409);
    expect(await upgrade(first, '?forceupgrade=true')).toBe(400);
    expect(await upgrade('000000000000', '?forceupgrade=true')).toBe(400);
    const { json: renamed } = await upload(box, await depot.cpi({ next: true, name: 'renamed' }));
    expect(await upgrade(renamed.cpiFileChecksum, '?forceupgrade=true')).toBe(400);
    expect(await upgrade(next, '?forceupgrade=maybe')).toBe(400);
    expect((await call('PUT', `/virtualnode/${stranger}/cpi/${next}`)).status).toBe(404);
    expect(await upgrade(next, '?forceupgrade=true')).toBe(202);
  });
});

describe('a database of its own', () => {
  let directory: string;
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cordage-own-'));
    server = await startEmbeddedPostgres({ directory, log: silentLog });
  });
  afterAll(async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** As a client of Corda writes it. */
  const cordaForm = (schema: string) => {
    const { host, pathname, username, password } = new URL(server.url);
    return { database: { jdbc: { url: `jdbc:postgresql://${host}${pathname}?currentSchema=${schema}` }, user: username, pass: decodeURIComponent(password) } };
  };
  const create = async (box: BlackBox, connections: object): Promise<Awaited<ReturnType<typeof endOf>>> => {
    const { status, json, text } = await box.call('POST', '/virtualnode', { json: { cpiFileChecksum: first, x500Name: newName(), ...connections } });
    expect(status, text).toBe(202);
    return endOf(box, json.requestId);
  };

  covers(cluster, ['POST /virtualnode', 'PUT /virtualnode/{virtualnodeshortid}/db'], 'happy', 'holds its rows, each once though its server is killed, and may be reached another way', async (box) => {
    const connection = JSON.stringify(cordaForm('depot'));
    const made = await create(box, { vaultDmlConnection: connection, vaultDdlConnection: connection, uniquenessDmlConnection: 'none' });
    expect(made).toMatchObject({ status: 'SUCCEEDED', errorReason: null });
    const hash = made.resourceId!;
    const { json: node } = await box.call('GET', `/virtualnode/${hash}`);
    expect(node).toMatchObject({ vaultDdlConnectionId: expect.any(String), vaultDbOperationalStatus: 'ACTIVE' });

    const kept = Array.from({ length: 20 }, (_, at) => runFlow(box, hash, 'Keep', { id: `piece ${at}` }));
    await Promise.race(kept);
    process.kill(Number(readFileSync(join(directory, 'data/postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
    // Done twice, the second would meet its own row and fail.
    expect((await Promise.all(kept)).map(({ flowStatus }) => flowStatus)).toEqual(kept.map(() => 'COMPLETED'));
    expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '20' });

    await box.call('PUT', `/virtualnode/${hash}/state/maintenance`);
    const url = `${server.url}?currentSchema=depot`;
    const begun = await box.call('PUT', `/virtualnode/${hash}/db`, { json: { request: { vaultDmlConnection: url, vaultDdlConnection: cordaForm('depot') } } });
    expect(begun.status).toBe(202);
    expect(await endOf(box, begun.json.requestId)).toMatchObject({ status: 'SUCCEEDED', operation: 'UPDATE_VIRTUAL_NODE_DB', resourceId: hash });
    await box.call('PUT', `/virtualnode/${hash}/state/active`);
    await box.until('GET', `/virtualnode/${hash}`, ({ json }) => json.flowStartOperationalStatus === 'ACTIVE' && json.vaultDmlConnectionId !== node.vaultDmlConnectionId);
    expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '20' });

    const password = decodeURIComponent(new URL(server.url).password);
    expect(readFileSync(box.logFile, 'utf8')).not.toContain(password);
  });

  covers(cluster, ['POST /virtualnode', 'PUT /virtualnode/{virtualnodeshortid}/db'], 'refused', 'what cannot be read, or would not be obeyed, is named', async (box) => {
    const hash = await newNode();
    const fault = async (json: object): Promise<unknown[]> => {
      const { status, json: said } = await box.call('PUT', `/virtualnode/${hash}/db`, { json });
      return [status, said.details.code, Object.keys(said.details)[0]];
    };
    const url = 'postgres://user:password@localhost/name';
    expect(await fault({ request: { vaultDmlConnection: { database: {} } } })).toEqual([400, 'REST_BODY_INVALID', 'vaultDmlConnection']);
    expect(await fault({ vaultDdlConnection: 'mysql://user:password@localhost/name' })).toEqual([400, 'REST_BODY_INVALID', 'vaultDdlConnection']);
    expect(await fault({ vaultDmlConnection: `${url}?options=-c` })).toEqual([400, 'REST_BODY_INVALID', 'vaultDmlConnection']);
    expect(await fault({ vaultDmlConnection: `${url}?sslmode=prefer` })).toEqual([400, 'REST_BODY_INVALID', 'vaultDmlConnection']);
    expect(await fault({ cryptoDmlConnection: url })).toEqual([400, 'REST_UNSUPPORTED', 'cryptoDmlConnection']);
    expect(await fault({ uniquenessDmlConnection: 'some' })).toEqual([400, 'REST_BODY_INVALID', 'uniquenessDmlConnection']);
    expect(await fault({})).toEqual([400, 'REST_BODY_INVALID', 'request']);
    expect(await fault({ vaultDmlConnection: url })).toEqual([400, 'DB_CONNECTION_INVALID', 'code']);
    expect((await box.call('PUT', `/virtualnode/${stranger}/db`, { json: { vaultDmlConnection: url } })).status).toBe(404);
    const { status } = await box.call('POST', '/virtualnode', { json: { cpiFileChecksum: first, x500Name: newName(), vaultDdlConnection: url } });
    expect(status).toBe(400);
    expect(await create(box, { vaultDmlConnection: 'postgres://user:password@127.0.0.1:1/name' })).toMatchObject({ status: 'FAILED', resourceId: null, errorReason: expect.stringContaining('ECONNREFUSED') });
  });
});

describe('the SQL for administrators', () => {
  covers(
    cluster,
    ['GET /virtualnode/create/db/crypto', 'GET /virtualnode/create/db/uniqueness', 'GET /virtualnode/create/db/vault/{cpichecksum}', 'GET /virtualnode/{virtualnodeshortid}/db/vault/{newcpichecksum}'],
    'happy',
    'each is a script',
    async ({ call }) => {
      const hash = await newNode();
      expect((await call('GET', '/virtualnode/create/db/crypto')).json).toMatch(/^-- Cordage.*create table signing_key/s);
      expect((await call('GET', '/virtualnode/create/db/uniqueness')).json).toMatch(/^-- Cordage/);
      const vault = (await call('GET', `/virtualnode/create/db/vault/${next}`)).json;
      expect(vault).toMatch(/create table entity.*create table "piece".*alter table "piece"/s);
      expect((await call('GET', `/virtualnode/create/db/vault/${next}`, { headers: { accept: 'text/plain' } })).text).toBe(vault);
      const lacks = (await call('GET', `/virtualnode/${hash}/db/vault/${next}`)).json;
      expect(lacks).toContain('alter table "piece"');
      expect(lacks).not.toContain('create table');
    },
  );

  covers(cluster, ['GET /virtualnode/create/db/crypto', 'GET /virtualnode/create/db/uniqueness'], 'refused', 'whoever has no permission', async ({ call }) => {
    const reader = { login: 'reader', password: 'a password of a reader' };
    expect((await call('POST', '/user', { json: { enabled: true, fullName: 'Reader', loginName: reader.login, initialPassword: reader.password } })).status).toBe(201);
    for (const schema of ['crypto', 'uniqueness']) expect((await call('GET', `/virtualnode/create/db/${schema}`, { as: reader })).status).toBe(403);
  });

  covers(cluster, ['GET /virtualnode/create/db/vault/{cpichecksum}', 'GET /virtualnode/{virtualnodeshortid}/db/vault/{newcpichecksum}'], 'refused', 'unknown CPIs and nodes', async ({ call }) => {
    expect((await call('GET', '/virtualnode/create/db/vault/000000000000')).status).toBe(400);
    expect((await call('GET', `/virtualnode/${stranger}/db/vault/${next}`)).status).toBe(404);
  });
});

describe('deletion', () => {
  covers(cluster, 'DELETE /virtualnode/{holdingidentityshorthash}', 'happy', 'the virtual node is gone with what it kept, and its name can begin anew', async (box) => {
    const x500Name = newName();
    const hash = await addNode(box, first, x500Name);
    await runFlow(box, hash, 'Keep', { id: 'a' });
    const begun = await box.call('DELETE', `/virtualnode/${hash}`);
    expect(begun.status).toBe(202);
    expect(await endOf(box, begun.json.requestId)).toMatchObject({ status: 'SUCCEEDED', operation: 'DELETE_VIRTUAL_NODE', resourceId: hash });
    await box.until('GET', `/virtualnode/${hash}`, ({ status }) => status === 404);
    expect((await box.call('DELETE', `/virtualnode/${hash}`)).status).toBe(404);
    expect(await addNode(box, first, x500Name)).toBe(hash);
    expect((await box.call('GET', `/flow/${hash}`)).json).toEqual({ flowStatusResponses: [] });
    expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '0' });
  });

  covers(cluster, 'DELETE /virtualnode/{holdingidentityshorthash}', 'refused', 'while flows run, until it is forced', async (box) => {
    const hash = await newNode();
    await startIdle(box, hash);
    expect((await box.call('DELETE', `/virtualnode/${hash}`)).status).toBe(409);
    expect((await box.call('DELETE', `/virtualnode/${stranger}`)).status).toBe(404);
    expect((await box.call('GET', `/virtualnode/${hash}`)).json.flowStartOperationalStatus).toBe('ACTIVE');
    const forced = await box.call('DELETE', `/virtualnode/${hash}?force=true`);
    expect(await endOf(box, forced.json.requestId)).toMatchObject({ status: 'SUCCEEDED' });
  });

  test('a member of a network is deleted only by force', async () => {
    const box = cluster();
    const app = await box.installApp();
    const hash = await box.addMember(app, 'CN=Alice, O=Alice Corp, L=London, C=GB');
    const refused = await box.call('DELETE', `/virtualnode/${hash}`);
    expect([refused.status, refused.json.title]).toEqual([409, expect.stringContaining('member of its network')]);
    const forced = await box.call('DELETE', `/virtualnode/${hash}?force=true`);
    expect(await endOf(box, forced.json.requestId)).toMatchObject({ status: 'SUCCEEDED' });
    // It may come back, and join again.
    expect(await box.addMember(app, 'CN=Alice, O=Alice Corp, L=London, C=GB')).toBe(hash);
  });
});
