/** Batches of new entities that are one statement, worked out as the shell does. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { flowToDbEntity, type EntityOperation } from '../../../src/messages/flow-to-db.entity.ts';
import type { Delivery, Outcome } from '../../../src/messages/grammar/envelope.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { createShellMetrics } from '../../../src/shell/batch/metrics.ts';
import { workOut } from '../../../src/shell/work-out.ts';
import { createOnEntity } from '../../../src/workers/db/on-entity.ts';
import { createPostgresDbTx, writeAtOnce } from '../../../src/workers/db/worker.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { codeOf, request } from './requests.ts';
import { makeVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let vaults: readonly [string, string];
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  vaults = [await transactOn(database, makeVirtualNode), await transactOn(database, makeVirtualNode)];
});
afterAll(() => server.stop());

type Asked = Delivery<{ readonly shortHash: string; readonly operation: EntityOperation }>;

/** A room that knows both virtual nodes, and counts what it does by a transaction of several statements. */
const openRoom = async () => {
  let transactions = 0;
  const store = createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx, atOnce: writeAtOnce });
  const answers: typeof store = { ...store, transact: (work) => (transactions++, store.transact(work)) };
  const answering = createOnEntity();
  const metrics = createShellMetrics(createMetrics(), 'db', flowToDbEntity.topic);
  const ask = async (...requests: readonly Asked[]): Promise<readonly Outcome[]> =>
    (await workOut({ room: 'db', answering, answers, clock: systemClock, metrics, looks: false }, requests)).told.map(({ outcome }) => outcome);
  await ask(...vaults.map((shortHash) => of({ type: 'find', entity: 'Cat', ids: ['a'] }, shortHash)));
  transactions = 0;
  return { ask, transactions: () => transactions };
};

let count = 0;
const of = (operation: EntityOperation, shortHash = vaults[0], id = `asked-${count}`): Asked =>
  request(flowToDbEntity, { shortHash, operation }, { key: `flow-${count++}`, id });
const persist = (...ids: readonly string[]): EntityOperation => ({ type: 'persist', entity: 'Cat', items: ids.map((id) => ({ id, json: JSON.stringify({ id, text: 'a "b" \\ c' }) })) });

const schemaOf = (shortHash: string): string => `vnode_vault_${shortHash.toLowerCase()}`;
const idsIn = async (shortHash: string, prefix: string): Promise<readonly string[]> =>
  (await database.sql.unsafe<{ id: string }[]>(`select id from ${schemaOf(shortHash)}.entity where id like '${prefix}%' order by id`)).map(({ id }) => id);

test('new entities of one vault and their answers are one statement, and what they say is found as it was written', async () => {
  const { ask, transactions } = await openRoom();
  expect((await ask(of(persist('one-1', 'one-2')), of(persist('one-3')))).map(codeOf)).toEqual(['done', 'done']);
  expect(transactions()).toBe(0);
  expect(await idsIn(vaults[0], 'one-')).toEqual(['one-1', 'one-2', 'one-3']);
  const [found] = await ask(of({ type: 'find', entity: 'Cat', ids: ['one-3'] }));
  expect(found).toEqual({ type: 'done', value: { items: [{ id: 'one-3', json: JSON.stringify({ id: 'one-3', text: 'a "b" \\ c' }) }] } });
});

test('a batch with a taken id is done the ordinary way: the request that met it is refused, the others are done', async () => {
  const { ask, transactions } = await openRoom();
  await ask(of(persist('two-taken')));
  expect((await ask(of(persist('two-1', 'two-taken', 'two-2')), of(persist('two-3')))).map(codeOf)).toEqual(['DB_ENTITY_EXISTS', 'done']);
  expect(transactions()).toBe(1);
  expect(await idsIn(vaults[0], 'two-')).toEqual(['two-3', 'two-taken']);
});

test('a repeat is answered as before beside a new request, and one that says something else is refused', async () => {
  const { ask } = await openRoom();
  const first = of(persist('three-1'), vaults[0], 'repeated');
  expect((await ask(first)).map(codeOf)).toEqual(['done']);
  expect((await ask(first, of(persist('three-2')))).map(codeOf)).toEqual(['done', 'done']);
  expect((await ask(of(persist('three-3'), vaults[0], 'repeated'))).map(codeOf)).toEqual(['DB_REQUEST_CHANGED']);
  expect(await idsIn(vaults[0], 'three-')).toEqual(['three-1', 'three-2']);
});

test('other requests are worked out: of two vaults, of an id twice, of a vault that nobody has looked for', async () => {
  const { ask, transactions } = await openRoom();
  expect((await ask(of(persist('four-1')), of(persist('four-1'), vaults[1]))).map(codeOf)).toEqual(['done', 'done']);
  expect((await ask(of(persist('four-2')), of(persist('four-2')))).map(codeOf)).toEqual(['done', 'DB_ENTITY_EXISTS']);
  expect((await ask(of(persist('four-3'), '0123456789AB'))).map(codeOf)).toEqual(['DB_VIRTUAL_NODE_NOT_FOUND']);
  expect(transactions()).toBe(3);
});

test('a virtual node that another replica has deleted meanwhile is found to be gone', async () => {
  const { ask } = await openRoom();
  const gone = await transactOn(database, makeVirtualNode);
  await ask(of({ type: 'find', entity: 'Cat', ids: ['a'] }, gone));
  await transactOn(database, (tx) => tx.virtualNodes.drop(gone));
  expect((await ask(of(persist('six-1'), gone))).map(codeOf)).toEqual(['DB_VIRTUAL_NODE_NOT_FOUND']);
});

test('it writes as the role of its vault, and as the room again afterwards', async () => {
  const { ask } = await openRoom();
  const now = Date.now();
  const write = (id: string) => database.byKey(`select (${writeAtOnce.text.replace(/ as done$/, '')}) as done, current_setting('role') as role`, [
    ...writeAtOnce.parametersOf({ shortHash: vaults[1], persisted: [{ entity: 'Cat', id, json: '1' }], merged: [], now }),
    `{"${id}"}`, '{}', 'null', '{NULL}',
  ]);
  expect(await write('five-1')).toEqual([{ done: true, role: 'none' }]);
  expect(await write('five-1')).toEqual([{ done: false, role: 'none' }]);
  const [row] = await database.sql<{ role: string }[]>`select config.role_of(${schemaOf(vaults[1])}, 'dml') as role`;
  await database.sql.unsafe(`revoke insert on ${schemaOf(vaults[1])}.entity from ${row!.role}`);
  try {
    await expect(ask(of(persist('five-2'), vaults[1]))).rejects.toThrow(/permission denied/);
  } finally {
    await database.sql.unsafe(`grant insert on ${schemaOf(vaults[1])}.entity to ${row!.role}`);
  }
});
