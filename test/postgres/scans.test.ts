/**
 * No statement that a room says while the cluster works reads a table from end to end. The server itself tells which plan it ran each statement
 * by (auto_explain), those inside functions too; the tables hold tens of thousands of rows, and their statistics are fresh.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import type { CryptoTx } from '../../src/workers/crypto/crypto-tx.ts';
import { createPostgresKeys } from '../../src/workers/crypto/postgres-keys.ts';
import { applyMigrations, createPostgresDbTx, type DbTx } from '../../src/workers/db/worker.ts';
import { change } from '../shell/store-contract.ts';
import { signing } from '../workers/crypto/keys-contract.ts';

const rows = 10_000;
const now = Date.UTC(2026, 0, 1);
const vault = 'A11CE0000001';
const hex = (count: number): string => count.toString(16).toUpperCase().padStart(12, '0');

const directory = mkdtempSync(join(tmpdir(), 'cordage-scans-'));
const lines: string[] = [];
let heard = (): void => {};
/** The server's own log, line by line. */
const keep = (_event: string, fields?: Readonly<Record<string, unknown>>): void => {
  if (typeof fields?.['line'] !== 'string') return;
  lines.push(fields['line']);
  heard();
};
let server: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let admin: Database;
let database: Database;

/** Checksums share no first digits, as real ones. */
const checksumSql = 'upper(md5(i::text) || md5(i::text))';
const checksumOf = (count: number): string => createHash('md5').update(String(count)).digest('hex').toUpperCase().repeat(2);

/** Every table that grows with the cluster's work or with what it hosts. */
const seed = `
  insert into config.cpi (name, version, signer_summary_hash, full_checksum, group_id, group_policy, stored_at)
    select 'app-' || i, '1.0', 'S', ${checksumSql}, 'group', '{}', now() from generate_series(1, ${rows}) as i;
  insert into config.cpk (hash, name, version, signer_summary_hash, flows, code, stored_at)
    select ${checksumSql}, 'cpk-' || i, '1.0', 'S', '[]', 'code', now() from generate_series(1, ${rows}) as i;
  insert into config.cpi_cpk select name, version, signer_summary_hash, 0, full_checksum from config.cpi;
  insert into config.virtual_node (short_hash, full_hash, x500_name, group_id, cpi_name, cpi_version, cpi_signer_summary_hash,
      flow_start_status, flow_status, flow_p2p_status, vault_db_status, version, updated_at)
    select lpad(upper(to_hex(i)), 12, '0'), lpad(upper(to_hex(i)), 64, '0'), 'O=' || i, 'group', 'app-' || i, '1.0', 'S', 'ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE', 1, now()
    from generate_series(1, ${rows}) as i;
  insert into config.vault_connection select short_hash, 1, '{}', null, now() from config.virtual_node where short_hash > '${hex(rows / 2)}';
  insert into config.virtual_node_operation (request_id, operation, status, updated_at, message_id) select 'op-' || i, 'CREATE', 'SUCCEEDED', now(), 'm-' || i from generate_series(1, ${rows}) as i;
  insert into config.upload (id, chunk_count, force, touched_at, ended_at, full_checksum)
    select gen_random_uuid(), 1, false, now(), now(), 'x' from generate_series(1, ${rows});
  insert into config.upload_chunk (upload_id, index, bytes) select id, 0, 'x' from config.upload;
  insert into db.answer (request_id, outcome, effects, created_at) select 'r-' || i, '{}', '[]', now() from generate_series(1, ${rows}) as i;
  insert into db.parked (id, topic, partition, "offset", key, value, reason, parked_at) select 'p-' || i, 't', 0, i, '""', '""', '""', i from generate_series(1, ${rows}) as i;
  insert into vnode_vault_a11ce0000001.entity (entity, id, value, updated_at)
    select 'Order', 'order-' || i, json_build_object('id', 'order-' || i, 'item', 'item-' || i % 1000), now() from generate_series(1, ${rows}) as i;
  insert into crypto.signing_key select lpad(upper(to_hex(i)), 12, '0'), 'key-' || i, category, scheme, public_key, wrapping_alias, wrapping_generation, encoding_version, material, created_at
    from crypto.signing_key, generate_series(1, ${rows}) as i;
  insert into vnode_crypto_a11ce0000001.wrapping_key select * from crypto.wrapping_key;
  insert into vnode_crypto_a11ce0000001.signing_key select * from crypto.signing_key;
  insert into flow.state (key, version, due_at, scope, status, born_at, handled, owed, head)
    select 'flow-' || i, 1, case when i % 2 = 0 then 2000000000000 + i end, 'NODE' || i % 50, 'RUNNING', now(), '{}', '[]', '{}' from generate_series(1, ${rows}) as i;
  analyze;`;

beforeAll(async () => {
  server = await startEmbeddedPostgres({ directory, log: { debug: keep, info: keep, warn: keep, error: keep } });
  admin = openDatabase({ url: server.url, connectionsMax: 4, log: silentLog });
  await applyMigrations(admin, silentLog);
  await admin.transact(async (sql) => {
    await createPostgresDbTx(sql).virtualNodes.known([]);
    await sql`select config.create_virtual_node_schemas(${vault}), crypto.create_tenant(${vault})`;
    const keys = createPostgresKeys(sql);
    await keys.wrappingKeys.add([{ tenant: 'p2p', alias: 'p2p-wrapping', generation: 1, parent: 'root', material: new Uint8Array(8), createdAt: now }]);
    await keys.signingKeys.add([signing('p2p', 'FFFFFFFFFFFF', { wrappingAlias: 'p2p-wrapping' })]);
  });
  await admin.transact((sql) => sql.unsafe(seed), { timeMsMax: 100_000 });
  const settings = { session_preload_libraries: 'auto_explain', 'auto_explain.log_min_duration': 0, 'auto_explain.log_nested_statements': 'on', 'auto_explain.log_verbose': 'on' };
  for (const [name, value] of Object.entries(settings)) await admin.sql.unsafe(`alter database postgres set ${name} = '${value}'`);
  database = openDatabase({ url: server.url, connectionsMax: 4, log: silentLog });
}, 120_000);
afterAll(async () => {
  await Promise.all([admin?.close(), database?.close()]);
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

let marks = 0;
/** What the server scanned from end to end while this was done, and the number of plans that it told. */
const scansOf = async (work: () => Promise<unknown>): Promise<{ readonly scans: readonly string[]; readonly plans: number }> => {
  lines.length = 0;
  await work();
  const mark = `cordage-mark-${++marks}-end`;
  const said = new Promise<void>((resolve) => {
    heard = () => {
      if (lines.some((line) => line.includes(mark))) resolve();
    };
  });
  // On its own connection: what was said before on others stands before it in the log.
  await database.sql.unsafe(`select '${mark}'`);
  await said;
  heard = () => {};
  const scans = lines.flatMap((line) => /Seq Scan on (\S+)/.exec(line)?.[1] ?? []);
  return { scans, plans: lines.filter((line) => line.includes('Query Text:')).length - 1 };
};

const inDb = (work: (tx: DbTx) => Promise<unknown>) => (): Promise<unknown> => database.transact((sql) => work(createPostgresDbTx(sql)));
const inCrypto = (work: (tx: CryptoTx) => Promise<unknown>) => (): Promise<unknown> => database.transact((sql) => work(createPostgresKeys(sql)));
const entity = (...operations: readonly Parameters<DbTx['entities']['apply']>[0][number]['operation'][]) =>
  inDb((tx) => tx.entities.apply(operations.map((operation, i) => ({ flowId: `f-${i}`, shortHash: vault, operation })), now));
const item = (id: string) => ({ id, json: JSON.stringify({ id, item: 'item-7' }) });
const states = () => createPostgresStateStore({ database, schema: 'flow' });
const cpiId = { name: 'app-7', version: '1.0', signerSummaryHash: 'S' };

const hot: Readonly<Record<string, () => Promise<unknown>>> = {
  'states: load, save, due, list': async () => {
    await states().load(['flow-1', 'flow-2']);
    await states().save([change('flow-1', 1, { itemsAdded: [{ position: 0, value: 1 }] }), change('new', 0)]);
    await states().due(now, 100);
    await states().list({ scope: 'NODE7', countMax: 10 });
  },
  'answers: found, stored': () =>
    createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx }).transact(async (_tx, answers) => {
      await answers.find(['r-1', 'unknown']);
      await answers.add([{ requestId: 'new', outcome: { type: 'done', value: 1 }, effects: [] }]);
    }),
  'parked records: listed, found, taken': async () => {
    const lot = createPostgresParkingLot({ database, schema: 'db' });
    await lot.list(10);
    await lot.find(['p-1']);
    await lot.take(['p-2']);
  },
  'entities: persist, merge, find, remove': async () => {
    await entity({ type: 'persist', entity: 'Order', items: [item('new-1'), item('new-2')] })();
    await entity({ type: 'merge', entity: 'Order', items: [item('order-1')] }, { type: 'find', entity: 'Order', ids: ['order-2'] }, { type: 'remove', entity: 'Order', ids: ['order-3'] })();
  },
  'entities: a page, and a page by a field': entity({ type: 'query', entity: 'Order', where: {}, countMax: 10 }, { type: 'query', entity: 'Order', where: { item: 'item-7' }, countMax: 10 }),
  'virtual nodes: which are known, one, those of a CPI': inDb(async ({ virtualNodes }) => {
    await virtualNodes.known([hex(5), hex(6)]);
    await virtualNodes.find(hex(7));
    await virtualNodes.connections(hex(8));
    await virtualNodes.findByCpi(cpiId);
    await virtualNodes.findOperation('op-9');
  }),
  'CPIs: by id, by checksum, code': inDb(async ({ cpis }) => {
    await cpis.findById(cpiId);
    expect(await cpis.findByChecksum(checksumOf(7).slice(0, 12))).toHaveLength(1);
    expect(await cpis.findCode([checksumOf(7)])).toHaveLength(1);
    await cpis.findSchemas([checksumOf(7)]);
  }),
  'uploads: begun, a chunk, assembled, finished, forgotten': inDb(async ({ uploads }) => {
    const id = '00000000-0000-4000-8000-000000000001';
    await uploads.countOpen();
    await uploads.begin({ id, count: 1, force: false }, now);
    await uploads.addChunk(id, 0, new Uint8Array(3), now);
    await uploads.assemble(id);
    await uploads.finish(id, { type: 'stored', fullChecksum: 'x', replaced: null }, now);
    await uploads.forget(0, 0);
  }),
  'keys: by id, by alias': inCrypto(async ({ signingKeys }) => {
    await signingKeys.findByIds([{ tenant: 'p2p', id: hex(7) }, { tenant: vault, id: hex(8) }]);
    await signingKeys.findByAliases([{ tenant: 'p2p', alias: 'key-7' }]);
  }),
};

/** Tables of a few rows, one for each role or wrapping key: an index would be longer than they are. */
const small = /^(crypto|vnode_crypto_\w+)\.(wrapping_key|hsm_association)$|^pg_catalog\./;

describe('what is said while the cluster works', () => {
  test.each(Object.keys(hot))('%s', async (name) => {
    const { scans, plans } = await scansOf(hot[name]!);
    expect(plans).toBeGreaterThan(0);
    expect(scans.filter((table) => !small.test(table))).toEqual([]);
  });

  test('a scan would be seen', async () => {
    const { scans } = await scansOf(() => database.sql.unsafe(`select count(*) from config.virtual_node where x500_name like '%nobody%'`));
    expect(scans).toEqual(['config.virtual_node']);
  });
});
