/** No statement of the hot path reads more of a large table than it answers: a hundred thousand states cost storage only. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/postgres/database.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import type { Parameter } from '../../src/postgres/statement.ts';
import type { StateStore } from '../../src/shell/store.ts';
import { change } from '../shell/store-contract.ts';
import { startTestServer, type TestServer } from './server.ts';

const states = 100_000;

let server: TestServer;
let schema: string;
beforeAll(async () => {
  server = await startTestServer();
  schema = await server.makeSchema();
  // Sleeping, ended and removed ones, of a few virtual nodes; statistics are left as they are after a first start: none.
  await server.database.sql.unsafe(`
    insert into ${schema}.state (key, version, due_at, scope, status, born_at, removed_at, handled, owed, head)
    select 'flow-' || i, 1, case when i % 2 = 0 then 2000000000000 + i end, 'NODE' || i % 3, case when i % 2 = 0 then 'RUNNING' else 'COMPLETED' end,
      now() + i * interval '1 microsecond', case when i % 100 = 1 then now() end, '{}', '[]', case when i % 100 <> 1 then '{}' end
    from generate_series(1, ${states}) as i`);
  await server.database.sql.unsafe(`insert into ${schema}.item (key, position, value) select 'flow-' || i, p, '{}' from generate_series(1, ${states}) as i, generate_series(0, 1) as p`);
}, 60_000);
afterAll(() => server.stop());

type Node = { readonly 'Node Type': string; readonly 'Relation Name'?: string; readonly 'Actual Rows'?: number; readonly 'Actual Loops'?: number; readonly Plans?: readonly Node[] };

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

/** Reads of the tables that these calls cause, as the server ran them. */
const readsOf = async (work: (store: StateStore) => Promise<unknown>): Promise<{ readonly type: string; readonly table: string; readonly rows: number }[]> => {
  const said: { text: string; parameters: readonly Parameter[] }[] = [];
  const byKey: Database['byKey'] = (text, parameters) => {
    said.push({ text, parameters });
    return server.database.byKey(text, parameters);
  };
  await work(createPostgresStateStore({ database: { ...server.database, byKey }, schema }));
  const plans = await Promise.all(said.map(({ text, parameters }) => server.database.byKey(`explain (analyze, format json) ${text}`, parameters)));
  return plans
    .flatMap(([row]) => nodesOf((row as { 'QUERY PLAN': [{ Plan: Node }] })['QUERY PLAN'][0].Plan))
    .filter((node) => node['Relation Name'] !== undefined && node['Node Type'].includes('Scan'))
    .map((node) => ({ type: node['Node Type'], table: node['Relation Name']!, rows: (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1) }));
};

test('due keys are read from their index alone, and no more of them than are asked for', async () => {
  const reads = await readsOf((store) => store.due(3_000_000_000_000, 500));
  expect(reads).toEqual([{ type: 'Index Only Scan', table: 'state', rows: 501 }]);
});

const keys = Array.from({ length: 50 }, (_, i) => `flow-${i * 1_000 + 3}`);

test.each<[string, number, (store: StateStore) => Promise<unknown>]>([
  ['loading states', 50, (store) => store.load(keys)],
  ['loading journals', 100, (store) => store.loadItems(keys)],
  ['a save of new and of known keys', 50, (store) => store.save([change('new', 0), ...keys.map((key) => change(key, 1, { itemsAdded: [{ position: 2, value: 1 }], itemsRemoved: [0] }))])],
  ['a list of a virtual node', 60, (store) => store.list({ scope: 'NODE1', countMax: 20 })],
  ['a list by status', 30, (store) => store.list({ scope: 'NODE1', status: 'RUNNING', countMax: 20 })],
  ['a page of a list', 60, (store) => store.list({ scope: 'NODE1', countMax: 20, after: 'flow-50002' })],
  ['a page of a list by status', 30, (store) => store.list({ scope: 'NODE1', status: 'RUNNING', countMax: 20, after: 'flow-50002' })],
  ['a sweep of tombstones', 40, (store) => store.sweep(Date.now() + 60_000, 10)],
])('%s reads by index, and no more than it answers', async (_name, rowsMax, work) => {
  const reads = await readsOf(work);
  expect(reads.filter(({ type }) => !type.startsWith('Index'))).toEqual([]);
  expect(Math.max(...reads.map(({ rows }) => rows))).toBeLessThanOrEqual(rowsMax);
});
