import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { database as tablesOf, migration, type Migration } from '../../../src/flow-sdk/flow-sdk.ts';
import { flowToDbQuery, queryRowsMax } from '../../../src/messages/flow-to-db.query.ts';
import { answerTo, recordValueCharsMax } from '../../../src/messages/grammar/envelope.ts';
import { parseSchema, type PackageSchema } from '../../../src/packaging/schema.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { queryMsMax } from '../../../src/workers/db/config.ts';
import type { CpkSchema, TableCall, TableReply } from '../../../src/workers/db/db-tx.ts';
import { onQuery } from '../../../src/workers/db/on-query.ts';
import { createPostgresDbTx } from '../../../src/workers/db/worker.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, request } from './requests.ts';
import { hex64, testCpi, testVirtualNode } from './virtual-nodes.ts';

type Account = { id: string; owner: string; cents: number; big: number | string; price: string; at: string; day: string; open: boolean; tags: any };
const tables = tablesOf<{ account: Account; owner: { name: string } }>();
/** What the types would not let pass. */
const loose = tablesOf<any>();

const accounts = migration('0001-accounts', [
  tables.schema.createTable('owner').addColumn('name', 'text', (column) => column.primaryKey()),
  tables.schema
    .createTable('account')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('owner', 'text', (column) => column.references('owner.name').onDelete('cascade'))
    .addColumn('cents', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('big', 'bigint')
    .addColumn('price', 'numeric(20, 4)')
    .addColumn('at', 'timestamptz')
    .addColumn('day', 'date')
    .addColumn('open', 'boolean')
    .addColumn('tags', 'jsonb'),
  tables.insertInto('owner').values([{ name: 'Ada' }, { name: 'Bob' }]),
]);

const schemaOf = (...migrations: readonly Migration[]): PackageSchema => {
  const parsed = parseSchema(JSON.stringify({ version: 1, entities: [], migrations: migrations.map(({ name, operations }) => ({ name, operations })) }));
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return parsed.schema;
};
const cpk = (cpkName: string, ...migrations: readonly Migration[]): CpkSchema => ({ cpkName, schema: schemaOf(...migrations) });

let server: TestServer;
let database: Database;
let count = 100;
beforeAll(async () => {
  server = await startTestServer();
  // As a cluster has it whose role may make roles and is no superuser.
  database = await server.database('plain');
});
afterAll(() => server.stop());

type App = { readonly shortHash: string; readonly cpkHash: string };

/** A virtual node of an application with these migrations. */
const install = async (...migrations: readonly Migration[]): Promise<App> => {
  const cpi = testCpi(count++);
  const { hash } = cpi.cpks[0]!;
  const schema = schemaOf(...migrations);
  const node = testVirtualNode(cpi);
  const created = await transactOn(database, async (tx) => {
    await tx.cpis.put(cpi, [{ hash, code: new Uint8Array(), sourceMap: null, schema: schema.text }]);
    return tx.virtualNodes.create(node, [{ cpkName: cpi.cpks[0]!.id.name, schema }]);
  });
  expect(created).toEqual({ type: 'created' });
  return { shortHash: node.holdingIdentity.shortHash, cpkHash: hash };
};

type Built = { toOperationNode(): object };
const bodyOf = ({ shortHash, cpkHash }: App, query: Built) => ({ shortHash, cpkHash, query: JSON.parse(JSON.stringify(query.toOperationNode())) as { kind: string } });

const ask = async (app: App, ...queries: readonly Built[]) =>
  (await answerBatch(onQuery, { transact: (work) => transactOn(database, work) }, ...queries.map((query) => request(flowToDbQuery, bodyOf(app, query))))).map(({ outcome }) => outcome);

const replyOf = async (app: App, query: Built): Promise<TableReply> => {
  const [outcome] = await ask(app, query);
  if (outcome?.type !== 'done') expect.fail(JSON.stringify(outcome));
  return outcome.value;
};
const rowsOf = async (app: App, query: Built): Promise<readonly unknown[]> => (await replyOf(app, query)).rows;
const refusalOf = async (app: App, query: Built): Promise<string> => {
  const [outcome] = await ask(app, query);
  return outcome?.type === 'refused' ? `${outcome.code}: ${outcome.message}` : 'done';
};
const vaultOf = ({ shortHash }: App): string => `vnode_vault_${shortHash.toLowerCase()}`;

const accountRow = (id: string, more: Partial<Account> = {}) => ({ id, owner: 'Ada', ...more }) as Account;

describe('queries', () => {
  let app: App;
  beforeAll(async () => {
    app = await install(accounts);
  });

  test('insert, change, find and remove rows, and say how many', async () => {
    const insert = await replyOf(app, tables.insertInto('account').values([accountRow('a', { cents: 5 }), accountRow('b')]));
    expect(insert).toEqual({ columns: [], rows: [], affected: 2, more: false });
    const change = await replyOf(app, tables.updateTable('account').set((eb) => ({ cents: eb('cents', '+', 1) })).where('id', 'in', ['a', 'b']).returning(['id', 'cents']));
    expect(change).toEqual({ columns: ['id', 'cents'], rows: expect.arrayContaining([['a', 6], ['b', 1]]) as unknown, affected: 2, more: false });
    expect(await rowsOf(app, tables.selectFrom('account').select(['id', 'cents']).orderBy('cents', 'desc'))).toEqual([['a', 6], ['b', 1]]);
    expect(await rowsOf(app, tables.selectFrom('account').innerJoin('owner', 'owner.name', 'account.owner').select(({ fn }) => ['name', fn.sum('cents').as('total')]).groupBy('name'))).toEqual([['Ada', 7]]);
    expect(await replyOf(app, tables.deleteFrom('account').where('id', '=', 'a'))).toMatchObject({ affected: 1 });
    expect(await replyOf(app, tables.deleteFrom('account').where('id', '=', 'a'))).toMatchObject({ affected: 0 });
  });

  test('lose nothing of a value on the way, and hold texts that look like SQL', async () => {
    const row = { id: "x'; drop table account; --", owner: 'Bob', cents: -7, big: 9_007_199_254_740_991, price: '1234567890123456.7891', at: '2026-01-02T03:04:05.678+02:00', day: '2026-01-31', open: true, tags: { a: [1, "it's"], kind: 'RawNode' } };
    await replyOf(app, tables.insertInto('account').values(row));
    const found = await rowsOf(app, tables.selectFrom('account').selectAll().where('owner', '=', 'Bob'));
    expect(found).toEqual([[row.id, 'Bob', -7, row.big, row.price, '2026-01-02T01:04:05.678Z', '2026-01-31', true, row.tags]]);
    expect(await rowsOf(app, loose.selectFrom('account').select((eb: any) => eb.ref('tags', '->').key('a').at(1).as('tag')).where('id', '=', row.id))).toEqual([["it's"]]);
    await replyOf(app, tables.updateTable('account').set({ big: '9007199254740993', open: false, tags: null }).where('id', '=', row.id));
    expect(await refusalOf(app, tables.selectFrom('account').select('big').where('id', '=', row.id))).toMatch(/^DB_QUERY_REFUSED: .*big holds 9007199254740993.*cast it to text/);
    expect(await rowsOf(app, tables.selectFrom('account').select((eb) => [eb.cast<string>('big', 'text').as('big'), 'open', 'tags']).where('id', '=', row.id))).toEqual([['9007199254740993', false, null]]);
  });

  test('that the database refuses change nothing, say why, and leave the others of their batch alone', async () => {
    await replyOf(app, tables.insertInto('account').values(accountRow('taken')));
    const before = await rowsOf(app, tables.selectFrom('account').select('id').orderBy('id'));
    const outcomes = await ask(
      app,
      tables.insertInto('account').values([accountRow('new'), accountRow('taken')]),
      tables.insertInto('account').values({ ...accountRow('lost'), owner: 'nobody' }),
      loose.insertInto('account').values({ id: 'null', cents: null }),
      loose.insertInto('account').values({ id: 'odd', at: 'no time at all' }),
      tables.selectFrom('account').select((eb) => eb('cents', '/', 0).as('nothing')),
      loose.selectFrom('owner').select('cents'),
      loose.updateTable('account').innerJoin('owner', 'name', 'owner').set({ cents: 1 }),
      tables.insertInto('owner').values({ name: 'Cleo' }),
    );
    expect(outcomes.map(codeOf)).toEqual(['DB_CONSTRAINT_VIOLATED', 'DB_CONSTRAINT_VIOLATED', 'DB_CONSTRAINT_VIOLATED', 'DB_QUERY_REFUSED', 'DB_QUERY_REFUSED', 'DB_QUERY_REFUSED', 'DB_QUERY_INVALID', 'done']);
    expect(outcomes[0]).toMatchObject({ message: expect.stringMatching(/account_pkey/) as string });
    expect(await rowsOf(app, tables.selectFrom('account').select('id').orderBy('id'))).toEqual(before);
    expect(await rowsOf(app, tables.selectFrom('owner').select('name').where('name', '=', 'Cleo'))).toEqual([['Cleo']]);
  });

  test('are refused for a virtual node or a code unit that is not here', async () => {
    const query = tables.selectFrom('account').selectAll();
    expect(await refusalOf({ ...app, shortHash: '000000000000' }, query)).toMatch(/^DB_VIRTUAL_NODE_NOT_FOUND/);
    expect(await refusalOf({ ...app, cpkHash: hex64(1) }, query)).toMatch(/^DB_QUERY_INVALID: the table account is none of this code unit/);
  });
});

describe('bounds', () => {
  let app: App;
  const rows = queryRowsMax + 5;
  beforeAll(async () => {
    app = await install(accounts);
    await replyOf(app, tables.insertInto('account').values(Array.from({ length: rows }, (_, n) => accountRow(`id-${String(n).padStart(6, '0')}`, { cents: n }))));
  });

  test('a select with more rows than an answer carries gives the first and says so; the next page follows', async () => {
    const page = tables.selectFrom('account').select('cents').orderBy('id', 'desc');
    const first = await replyOf(app, page);
    expect(first.rows).toHaveLength(queryRowsMax);
    expect(first.more).toBe(true);
    expect(first.rows.slice(0, 2)).toEqual([[rows - 1], [rows - 2]]);
    const rest = await replyOf(app, page.offset(first.rows.length));
    expect(rest).toMatchObject({ rows: [[4], [3], [2], [1], [0]], more: false });
    expect(await replyOf(app, page.limit(2))).toMatchObject({ rows: [[rows - 1], [rows - 2]], more: false });
  });

  test('a select whose rows are longer than an answer gives those that fit into a record', async () => {
    const text = randomBytes(50_000).toString('hex');
    for (let n = 0; n < 15; n++) await replyOf(app, tables.insertInto('account').values(accountRow(`long-${n}`, { tags: { text } })));
    const asked = request(flowToDbQuery, bodyOf(app, tables.selectFrom('account').select(['id', 'tags']).where('id', 'like', 'long-%').orderBy('id')));
    const [answered] = await answerBatch(onQuery, { transact: (work) => transactOn(database, work) }, asked);
    const reply = (answered!.outcome as { value: TableReply }).value;
    expect(reply.more).toBe(true);
    expect(reply.rows.length).toBeGreaterThan(5);
    expect(answerTo(asked, answered!.outcome)!.value.length).toBeLessThanOrEqual(recordValueCharsMax);
  });

  test('a change that would return more than an answer carries is refused, and nothing is changed', async () => {
    expect(await refusalOf(app, tables.deleteFrom('account').returning('id'))).toMatch(/^DB_QUERY_TOO_LARGE/);
    expect(await rowsOf(app, tables.selectFrom('account').select(({ fn }) => fn.countAll().as('n')).where('id', 'like', 'id-%'))).toEqual([[rows]]);
    expect(await replyOf(app, tables.updateTable('account').set({ cents: 1 }).where('id', 'like', 'id-%'))).toMatchObject({ affected: rows });
  });

  test('a statement that takes too long is stopped alone, and the next may take its time again', async () => {
    const cross = loose.selectFrom(['account as a', 'account as b', 'account as c']).select(({ fn }: any) => fn.countAll().as('n'));
    const started = performance.now();
    const outcomes = await ask(app, cross, tables.selectFrom('account').select(({ fn }) => fn.countAll().as('n')));
    expect(outcomes.map(codeOf)).toEqual(['DB_QUERY_TIMEOUT', 'done']);
    expect(performance.now() - started).toBeLessThan(2 * queryMsMax + 3_000);
    const [row] = await database.transact(async (statement) => {
      await createPostgresDbTx(statement).tables.run([{ shortHash: app.shortHash, statement: tables.selectFrom('account').select('id').toOperationNode() as TableCall['statement'] }]);
      return statement<{ statement: string; lock: string; role: string }[]>`select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock, current_setting('role') as role`;
    });
    expect({ ...row }).toEqual({ statement: '30s', lock: '10s', role: 'none' });
  });
});

describe('two batches at once', () => {
  test('that change one row: the second waits, and is tried again rather than refused', async () => {
    const app = await install(accounts);
    await replyOf(app, tables.insertInto('account').values(accountRow('row')));
    const change = () => answerBatch(onQuery, { transact: (work) => transactOn(database, work) }, request(flowToDbQuery, bodyOf(app, tables.updateTable('account').set((eb) => ({ cents: eb('cents', '+', 1) })).where('id', '=', 'row'))));
    await database.transact(async (statement) => {
      await statement.unsafe(`update ${vaultOf(app)}.account set cents = 10 where id = 'row'`);
      // Longer than a query may wait for a lock, and no error of its own making.
      await expect(change()).rejects.toMatchObject({ name: 'DatabaseError', code: 'DATABASE_CONFLICT' });
    });
    expect(codeOf((await change())[0]!.outcome)).toBe('done');
    expect(await rowsOf(app, tables.selectFrom('account').select('cents'))).toEqual([[11]]);
  });
});

describe('isolation', () => {
  let mine: App;
  let other: App;
  beforeAll(async () => {
    mine = await install(accounts);
    other = await install(accounts);
    await replyOf(other, tables.insertInto('account').values(accountRow('secret', { cents: 42 })));
  });

  test('two virtual nodes of one application have tables of their own', async () => {
    expect(await rowsOf(mine, tables.selectFrom('account').selectAll())).toEqual([]);
    expect(await rowsOf(other, tables.selectFrom('account').select('cents'))).toEqual([[42]]);
    const answered = await answerBatch(onQuery, { transact: (work) => transactOn(database, work) }, ...[mine, other, mine].map((app) => request(flowToDbQuery, bodyOf(app, tables.selectFrom('account').select('id')))));
    expect(answered.map(({ outcome }) => (outcome as { value: TableReply }).value.rows)).toEqual([[], [['secret']], []]);
  });

  test.each<[string, () => Built]>([
    ["another virtual node's table", () => loose.selectFrom(`${vaultOf(other)}.account`).selectAll()],
    ["the cluster's tables", () => loose.selectFrom('config.virtual_node').selectAll()],
    ['the catalog', () => loose.selectFrom('pg_catalog.pg_roles').selectAll()],
    ['the catalog without its schema', () => loose.selectFrom('pg_roles').selectAll()],
    ["the vault's entities", () => loose.selectFrom('entity').selectAll()],
    ["the vault's migrations", () => loose.updateTable('cordage_migration').set({ digest: 'x' })],
    ['set_config', () => tables.selectFrom('account').select(({ fn, val }) => fn<string>('set_config', [val('role'), val('postgres'), val(false)]).as('x'))],
    ['pg_sleep', () => tables.selectFrom('account').select(({ fn, val }) => fn<string>('pg_sleep', [val(10)]).as('x'))],
    ['pg_read_file', () => tables.selectFrom('account').select(({ fn, val }) => fn<string>('pg_read_file', [val('/etc/passwd')]).as('x'))],
    ['raw SQL', () => tables.selectFrom('account').selectAll().where(sql<boolean>`set_config('role', 'postgres', true) is null`)],
    ['a definition', () => tables.schema.dropTable('account')],
  ])('a query cannot name %s', async (_, query) => {
    expect(await refusalOf(mine, query())).toMatch(/^DB_QUERY_INVALID/);
  });

  // The second wall: what the check would let pass by mistake meets the role of the virtual node.
  test('a statement that nobody checked still reaches no schema but its own, and no table of the platform', async () => {
    const unchecked = async (query: Built): Promise<string> => {
      const statement = query.toOperationNode() as TableCall['statement'];
      const [result] = await transactOn(database, (tx) => tx.tables.run([{ shortHash: mine.shortHash, statement }]));
      return result?.type === 'refused' ? result.reason : 'done';
    };
    for (const name of [`${vaultOf(other)}.account`, `${vaultOf(mine)}.cordage_migration`, 'config.virtual_node', 'rbac.account', 'crypto.signing_key', `vnode_crypto_${mine.shortHash.toLowerCase()}.signing_key`, 'db.answer', 'pg_catalog.pg_authid']) {
      expect(await unchecked(loose.selectFrom(name).selectAll()), name).toMatch(/permission denied/);
    }
    expect(await unchecked(loose.updateTable('cordage_migration').set({ digest: 'x' }))).toMatch(/permission denied/);
    expect(await unchecked(tables.schema.dropTable('account') as never)).toMatch(/must be owner|permission denied|returning/);
  });
});

describe('migrations', () => {
  const migrate = (shortHashes: readonly string[], ...schemas: readonly CpkSchema[]) => transactOn(database, (tx) => tx.virtualNodes.migrate(shortHashes, schemas, 0));
  const applied = async (app: App): Promise<string[]> =>
    (await database.sql.unsafe<{ cpk_name: string; name: string }[]>(`select cpk_name, name from ${vaultOf(app)}.cordage_migration order by cpk_name, name`)).map(({ cpk_name, name }) => `${cpk_name}/${name}`);
  const openColumn = migration('0002-limit', [tables.schema.alterTable('owner').addColumn('limit_cents', 'integer', (column) => column.defaultTo(100)), loose.updateTable('owner').set({ limit_cents: 500 }).where('name', '=', 'Ada')]);
  const nameOf = (app: App): string => `cpk-${Number.parseInt(app.cpkHash.slice(0, 12), 16) - 0xdef000}`;

  test('are applied when a virtual node is made, and each only once however often they come', async () => {
    const app = await install(accounts);
    expect(await applied(app)).toEqual([`${nameOf(app)}/0001-accounts`]);
    expect(await migrate([app.shortHash], cpk(nameOf(app), accounts))).toEqual({ type: 'migrated' });
    expect(await rowsOf(app, tables.selectFrom('owner').select('name').orderBy('name'))).toEqual([['Ada'], ['Bob']]);
  });

  test('that are new are applied to every vault, over the data that is there', async () => {
    const apps = [await install(accounts), await install(accounts)];
    for (const app of apps) expect(await migrate([app.shortHash], cpk(nameOf(app), accounts, openColumn))).toEqual({ type: 'migrated' });
    for (const app of apps) {
      const rows = await database.sql.unsafe(`select name, limit_cents from ${vaultOf(app)}.owner order by name`);
      expect(rows.map((row) => ({ ...row }))).toEqual([{ name: 'Ada', limit_cents: 500 }, { name: 'Bob', limit_cents: 100 }]);
    }
  });

  test('that were applied and have changed are refused with both digests', async () => {
    const app = await install(accounts);
    const edited = cpk(nameOf(app), { ...accounts, operations: accounts.operations.slice(0, 2) });
    const result = await migrate([app.shortHash], edited);
    const [before, after] = [schemaOf(accounts).migrations[0]!.digest, edited.schema.migrations[0]!.digest];
    expect(result).toEqual({ type: 'failed', reason: `migration 0001-accounts of ${nameOf(app)} was applied as ${before} and is ${after} now; leave it as it was and append another` });
  });

  test('that fail leave no trace, in no vault, and the reason names the step', async () => {
    const apps = [await install(accounts), await install(accounts)];
    const wrong = migration('0002-wrong', [tables.schema.createIndex('account_cents').on('account').column('cents'), tables.insertInto('owner').values({ name: 'Ada' })]);
    const name = nameOf(apps[0]!);
    const result = await migrate([apps[0]!.shortHash], cpk(name, accounts, wrong));
    expect(result).toMatchObject({ type: 'failed', reason: expect.stringMatching(/migration 0002-wrong of cpk-\d+, step 2: duplicate key/) as string });
    expect(await applied(apps[0]!)).toEqual([`${name}/0001-accounts`]);
    const [row] = await database.sql<{ n: number }[]>`select count(*)::int as n from pg_indexes where schemaname = ${vaultOf(apps[0]!)} and indexname = 'account_cents'`;
    expect(row!.n).toBe(0);
  });

  test('that come twice at once are applied once, and both succeed', async () => {
    const app = await install(accounts);
    const slow = cpk(nameOf(app), accounts, openColumn);
    const results = await Promise.all(Array.from({ length: 4 }, () => migrate([app.shortHash], slow)));
    expect(results).toEqual(results.map(() => ({ type: 'migrated' })));
    expect(await applied(app)).toEqual([`${nameOf(app)}/0001-accounts`, `${nameOf(app)}/0002-limit`]);
  });

  test('that fail when a virtual node is made leave no virtual node and no schema', async () => {
    const cpi = testCpi(count++);
    const node = testVirtualNode(cpi);
    const wrong = cpk('wrong', migration('0001-twice', [tables.schema.createTable('owner').addColumn('name', 'text', (column) => column.primaryKey()), tables.insertInto('owner').values([{ name: 'a' }, { name: 'a' }])]));
    const created = await transactOn(database, async (tx) => {
      await tx.cpis.put(cpi, [{ hash: cpi.cpks[0]!.hash, code: new Uint8Array(), sourceMap: null, schema: wrong.schema.text }]);
      return tx.virtualNodes.create(node, [wrong]);
    });
    expect(created).toMatchObject({ type: 'failed', reason: expect.stringMatching(/0001-twice/) as string });
    expect(await transactOn(database, (tx) => tx.virtualNodes.find(node.holdingIdentity.shortHash))).toBeUndefined();
  });

  test('are not seen and not written by the role of queries', async () => {
    const app = await install(accounts);
    await expect(
      database.transact(async (statement) => {
        await statement`select set_config('role', config.role_of(${vaultOf(app)}, 'dml'), true)`;
        return statement.unsafe(`select * from ${vaultOf(app)}.cordage_migration`);
      }),
    ).rejects.toThrow(/permission denied/);
  });
});

describe('indexes of entities', () => {
  test('are made for declared fields, and queries by condition and order use them', async () => {
    const parsed = parseSchema(JSON.stringify({ version: 1, entities: [{ name: 'com.example.Cat', indexes: ['weight'] }], migrations: [] }));
    if (parsed.type === 'invalid') throw new Error(parsed.reason);
    const { shortHash } = await install();
    for (let again = 0; again < 2; again++) expect(await transactOn(database, (tx) => tx.virtualNodes.migrate([shortHash], [{ cpkName: 'cats', schema: parsed.schema }], 0))).toEqual({ type: 'migrated' });
    const schema = `vnode_vault_${shortHash.toLowerCase()}`;
    const items = Array.from({ length: 1_000 }, (_, n) => ({ id: `id-${n}`, json: JSON.stringify({ weight: n, name: `n${n}` }) }));
    await transactOn(database, (tx) => tx.entities.apply([{ flowId: 'f', shortHash, operation: { type: 'persist', entity: 'com.example.Cat', items } }], 0));
    await database.sql.unsafe(`analyze ${schema}.entity`);
    const query = { type: 'query' as const, entity: 'com.example.Cat', where: {}, conditions: [{ field: 'weight', operator: 'gte' as const, value: 500 }], orderBy: { field: 'weight', descending: false }, countMax: 3 };
    const [found] = await database.transact(async (statement) => {
      const results = await createPostgresDbTx(statement).entities.apply([{ flowId: 'f', shortHash, operation: query }], 0);
      await statement`select pg_stat_force_next_flush()`;
      return results;
    });
    expect(found).toMatchObject({ type: 'done', reply: { items: [{ id: 'id-500' }, { id: 'id-501' }, { id: 'id-502' }] } });
    const [row] = await database.sql<{ scans: number }[]>`select coalesce(sum(idx_scan), 0)::int as scans from pg_stat_all_indexes where schemaname = ${schema} and relname = 'entity' and indexrelname not in ('entity_pkey', 'entity_fields')`;
    expect(row!.scans).toBeGreaterThan(0);
  });
});
