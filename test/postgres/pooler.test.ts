/**
 * The stores behind a real PgBouncer in transaction mode, whose two server connections are shared by many more clients: every two
 * transactions of ours may run on different connections, and every connection has just served a stranger.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/observability/log.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { openDatabase, type Database, type TransactionSql } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import { applyMigrations, createPostgresDbTx, writeAtOnce, writeJointly } from '../../src/workers/db/worker.ts';
import { jointSaveContract } from '../shell/joint-contract.ts';
import { answerStoreContract, change, parkingLotContract, stateStoreContract, type Counter } from '../shell/store-contract.ts';
import { makeVirtualNode } from '../workers/db/virtual-nodes.ts';
import { openJointWorld } from './joint-world.ts';
import { noPooler, startPgBouncer, type PgBouncer } from './pooler.ts';
import { startTestServer, type TestServer } from './server.ts';

if (noPooler !== undefined) console.warn(`skipped: ${noPooler}`);

describe.skipIf(noPooler !== undefined)('behind PgBouncer', () => {
  let server: TestServer;
  let pooler: PgBouncer;
  let database: Database;
  beforeAll(async () => {
    server = await startTestServer();
    pooler = await startPgBouncer({ serverUrl: server.url, portBase: 21_900, poolSize: 2 });
    database = openDatabase({ url: pooler.urlOf(server.url), pooler: 'transaction', log: silentLog });
  });
  afterAll(async () => {
    await database?.close();
    await pooler?.stop();
    await server?.stop();
  });
  const own = async () => ({ database, schema: await server.makeSchema() });

  stateStoreContract('PgBouncer', async () => createPostgresStateStore(await own()));
  jointSaveContract('PgBouncer', async () => openJointWorld({ ...(await own()), owner: server.database }), { runs: 3 });
  parkingLotContract('PgBouncer', async () => createPostgresParkingLot(await own()));
  answerStoreContract('PgBouncer', async () => {
    const { schema } = await own();
    await server.database.sql.unsafe(`create table ${schema}.counter (name text primary key, count integer not null)`);
    const makeTx = (sql: TransactionSql): Counter => ({
      add: async (name) => {
        await sql.unsafe(`insert into ${schema}.counter values ($1, 1) on conflict (name) do update set count = counter.count + 1`, [name]);
      },
      read: async (name) => (await sql.unsafe<{ count: number }[]>(`select count from ${schema}.counter where name = $1`, [name]))[0]?.count ?? 0,
    });
    return createPostgresAnswerStore({ database, schema, makeTx });
  });

  test('many transactions at once share the two connections, and none meets what another has set', async () => {
    const schema = await server.makeSchema();
    const store = createPostgresStateStore({ database, schema });
    const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`);
    const asked = keys.flatMap((key) => [
      store.save([change(key, 0)]),
      database.transact(async (sql) => {
        await sql`set local role none`;
        const [row] = await sql<{ seqscan: string; role: string; backend: number }[]>`
          select current_setting('enable_seqscan') as seqscan, current_setting('role') as role, pg_backend_pid() as backend`;
        return row!;
      }),
    ]);
    const ended = await Promise.all(asked);
    const rows = ended.flatMap((one) => ('seqscan' in one ? [one] : []));
    expect(new Set(rows.map(({ backend }) => backend)).size).toBeLessThanOrEqual(2);
    // What saves set for their plans was theirs alone.
    expect(new Set(rows.map(({ seqscan }) => seqscan))).toEqual(new Set(['on']));
    expect((await store.load(keys)).length).toBe(keys.length);
  });

  test('migrations run behind it, and wait for each other there', async () => {
    const schema = await server.makeSchema();
    const migrations = [{ name: '0001-once', sql: `create table ${schema}.once (id integer); insert into ${schema}.once values (1)` }];
    await Promise.all([1, 2, 3].map(() => migrate({ database, migrations, log: silentLog })));
    expect(await database.sql.unsafe(`select id from ${schema}.once`)).toHaveLength(1);
  });

  test('entities are one statement with their answers, or with the states of who wrote them, there too, whose roles and paths no other transaction meets', async () => {
    await server.database.sql`create database entities`;
    const url = Object.assign(new URL(server.url), { pathname: '/entities' }).href;
    const [behind, straight] = [openDatabase({ url: pooler.urlOf(url), pooler: 'transaction', log: silentLog }), openDatabase({ url, connectionsMax: 4, log: silentLog })];
    try {
      await applyMigrations(behind, silentLog);
      const store = createPostgresAnswerStore({ database: behind, schema: 'db', makeTx: createPostgresDbTx, atOnce: writeAtOnce, jointly: writeJointly });
      const states = createPostgresStateStore({ database: behind, schema: 'flow' });
      const vaults = [await store.transact(makeVirtualNode), await store.transact(makeVirtualNode)] as const;
      const settings = async () => (await behind.transact((sql) => sql`select current_setting('role') as role, current_setting('search_path') as path`))[0];
      const entities = (shortHash: string, id: string) => ({ shortHash, persisted: [{ entity: 'Cat', id, json: 'null' }], merged: [{ entity: 'Dog', id: 'one', json: '1' }], now: 0 });
      const write = (shortHash: string, id: string) => store.atOnce!(entities(shortHash, id), [{ requestId: `${shortHash}/${id}`, outcome: { type: 'done', value: {} }, effects: [] }]);
      const save = (shortHash: string, id: string) => states.saveWith!([change(`${shortHash}/${id}`, 0)], store.joint!(entities(shortHash, `joint ${id}`)));
      const ids = Array.from({ length: 20 }, (_, i) => `cat-${i}`);
      const before = await settings();
      const ended = await Promise.all(ids.flatMap((id) => [...vaults.flatMap((shortHash) => [write(shortHash, id), save(shortHash, id)]), settings()]));
      expect(new Set(ended.map((one) => JSON.stringify(one)))).toEqual(new Set(['true', JSON.stringify(before)]));
      for (const shortHash of vaults) {
        expect(await write(shortHash, 'cat-0')).toBe(false);
        expect(await states.saveWith!([change('in vain', 0)], store.joint!(entities(shortHash, 'cat-0')))).toBe(false);
        expect(await settings()).toEqual(before);
        const rows = await straight.sql.unsafe(`select entity, count(*)::integer, max(version) as version from vnode_vault_${shortHash.toLowerCase()}.entity group by entity order by entity`);
        expect([...rows]).toEqual([{ entity: 'Cat', count: 40, version: 1 }, { entity: 'Dog', count: 1, version: 40 }]);
      }
      expect([...(await straight.sql`select count(*)::integer from db.answer`)]).toEqual([{ count: 40 }]);
      expect([...(await straight.sql`select count(*)::integer from flow.state`)]).toEqual([{ count: 40 }]);
    } finally {
      await Promise.all([behind.close(), straight.close()]);
    }
  });

  test('who forgets to say that there is a pooler is told so', async () => {
    const forgetful = openDatabase({ url: pooler.urlOf(server.url), connectionsMax: 4, log: silentLog });
    await expect(forgetful.transact((sql) => sql`select 1`)).rejects.toThrow(/CORDAGE_DATABASE_POOLER=transaction/);
    await forgetful.close();
  });
});
