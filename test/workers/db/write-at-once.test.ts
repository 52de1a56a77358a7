/** Batches of persists and merges that are one statement, worked out as the shell does. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock, type Clock } from '../../../src/host/clock.ts';
import { flowToDbEntity, type EntityOperation } from '../../../src/messages/flow-to-db.entity.ts';
import type { Delivery, Outcome } from '../../../src/messages/grammar/envelope.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { createShellMetrics } from '../../../src/shell/batch/metrics.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import type { AnswerStore } from '../../../src/shell/store.ts';
import { workOut } from '../../../src/shell/work-out.ts';
import { createOnEntity } from '../../../src/workers/db/on-entity.ts';
import { createMemoryDb, createPostgresDbTx, writeAtOnce, writeAtOnceInMemory, type DbTx } from '../../../src/workers/db/worker.ts';
import { createRandom, type Random } from '../../simulation/random.ts';
import { startTestServer, waitForLocks, type TestServer } from './database.ts';
import { codeOf, request } from './requests.ts';
import { makeVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let postgres: AnswerStore<DbTx>;
let vaults: readonly [string, string];
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  postgres = createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx, atOnce: writeAtOnce });
  vaults = await makeVaults(postgres);
});
afterAll(() => server.stop());

const memoryStore = (): AnswerStore<DbTx> => {
  const memory = createMemoryDb();
  return createMemoryAnswerStore(memory.makeTx, memory.rollback, writeAtOnceInMemory);
};

const makeVaults = async ({ transact }: AnswerStore<DbTx>): Promise<readonly [string, string]> => [await transact(makeVirtualNode), await transact(makeVirtualNode)];

type Asked = Delivery<{ readonly shortHash: string; readonly operation: EntityOperation }>;

/** A room that knows both virtual nodes, and counts what it does by a transaction of several statements. */
const openRoom = async (store = postgres, nodes = vaults, clock: Clock = systemClock) => {
  let transactions = 0;
  const answers: typeof store = { ...store, transact: (work) => (transactions++, store.transact(work)) };
  const answering = createOnEntity();
  const metrics = createShellMetrics(createMetrics(), 'db', flowToDbEntity.topic);
  const ask = async (...requests: readonly Asked[]): Promise<readonly Outcome[]> =>
    (await workOut({ room: 'db', answering, answers, clock, metrics, looks: false }, requests)).told.map(({ outcome }) => outcome);
  await ask(...nodes.map((shortHash) => of({ type: 'find', entity: 'Cat', ids: ['a'] }, shortHash)));
  transactions = 0;
  return { ask, transactions: () => transactions };
};

let count = 0;
const of = (operation: EntityOperation, shortHash = vaults[0], id = `asked-${count}`): Asked =>
  request(flowToDbEntity, { shortHash, operation }, { key: `flow-${count++}`, id });

const itemOf = (id: string) => ({ id, json: JSON.stringify({ id, text: 'a "b" \\ c' }) });
const persist = (...ids: readonly string[]): EntityOperation => ({ type: 'persist', entity: 'Cat', items: ids.map(itemOf) });
const merge = (json: string, ...ids: readonly string[]): EntityOperation => ({ type: 'merge', entity: 'Cat', items: ids.map((id) => ({ id, json })) });

const schemaOf = (shortHash: string): string => `vnode_vault_${shortHash.toLowerCase()}`;
const idsIn = async (shortHash: string, prefix: string): Promise<readonly string[]> =>
  (await database.sql.unsafe<{ id: string }[]>(`select id from ${schemaOf(shortHash)}.entity where id like '${prefix}%' order by id`)).map(({ id }) => id);
/** Of the first vault: `id value version`. */
const rowsIn = async (prefix: string): Promise<readonly string[]> => {
  const text = `select id || ' ' || value::text || ' ' || version as row from ${schemaOf(vaults[0])}.entity where id like '${prefix}%' order by id`;
  return (await database.sql.unsafe<{ row: string }[]>(text)).map(({ row }) => row);
};

test('new entities of one vault and their answers are one statement, and what they say is found as it was written', async () => {
  const { ask, transactions } = await openRoom();
  expect((await ask(of(persist('one-1', 'one-2')), of(persist('one-3')))).map(codeOf)).toEqual(['done', 'done']);
  expect(transactions()).toBe(0);
  expect(await idsIn(vaults[0], 'one-')).toEqual(['one-1', 'one-2', 'one-3']);
  const [found] = await ask(of({ type: 'find', entity: 'Cat', ids: ['one-3'] }));
  expect(found).toEqual({ type: 'done', value: { items: [itemOf('one-3')] } });
});

test('merges are one statement, alone and among persists, and count the versions of what they replace', async () => {
  const { ask, transactions } = await openRoom();
  expect((await ask(of(merge('1', 'merged-1', 'merged-2')))).map(codeOf)).toEqual(['done']);
  expect((await ask(of(merge('2', 'merged-2', 'merged-3')), of({ type: 'persist', entity: 'Cat', items: [{ id: 'merged-4', json: 'null' }] }))).map(codeOf)).toEqual(['done', 'done']);
  expect((await ask(of(merge('null', 'merged-4')), of(merge('3', 'merged-2')))).map(codeOf)).toEqual(['done', 'done']);
  expect(transactions()).toBe(0);
  expect(await rowsIn('merged-')).toEqual(['merged-1 1 1', 'merged-2 3 3', 'merged-3 2 1', 'merged-4 null 2']);
});

test('a batch with a taken id is done the ordinary way: the request that met it is refused, the others are done', async () => {
  const { ask, transactions } = await openRoom();
  await ask(of(persist('two-taken')));
  expect((await ask(of(persist('two-1', 'two-taken', 'two-2')), of(persist('two-3')), of(merge('4', 'two-4')))).map(codeOf)).toEqual(['DB_ENTITY_EXISTS', 'done', 'done']);
  expect(transactions()).toBe(1);
  expect(await idsIn(vaults[0], 'two-')).toEqual(['two-3', 'two-4', 'two-taken']);
  expect(await rowsIn('two-4')).toEqual(['two-4 4 1']);
});

test('a repeat is answered as before beside a new request, and one that says something else is refused', async () => {
  const { ask } = await openRoom();
  const first = of(persist('three-1'), vaults[0], 'repeated');
  expect((await ask(first)).map(codeOf)).toEqual(['done']);
  expect((await ask(first, of(persist('three-2')))).map(codeOf)).toEqual(['done', 'done']);
  expect((await ask(of(persist('three-3'), vaults[0], 'repeated'))).map(codeOf)).toEqual(['DB_REQUEST_CHANGED']);
  expect(await idsIn(vaults[0], 'three-')).toEqual(['three-1', 'three-2']);
});

test('a batch that comes again after a crash is answered as before, and its merges do not undo what was merged since', async () => {
  const { ask, transactions } = await openRoom();
  const batch = [of(persist('again-1')), of(merge('"old"', 'again-2'))];
  expect((await ask(...batch)).map(codeOf)).toEqual(['done', 'done']);
  await ask(of(merge('"new"', 'again-2')));
  expect(transactions()).toBe(0);
  expect((await ask(...batch)).map(codeOf)).toEqual(['done', 'done']);
  expect(transactions()).toBe(1);
  expect(await rowsIn('again-2')).toEqual(['again-2 "new" 2']);
});

test('other requests are worked out: of two vaults, of an id twice, of a vault that nobody has looked for, of no write', async () => {
  const { ask, transactions } = await openRoom();
  expect((await ask(of(persist('four-1')), of(persist('four-1'), vaults[1]))).map(codeOf)).toEqual(['done', 'done']);
  expect((await ask(of(persist('four-2')), of(persist('four-2')))).map(codeOf)).toEqual(['done', 'DB_ENTITY_EXISTS']);
  expect((await ask(of(persist('four-3'), '0123456789AB'))).map(codeOf)).toEqual(['DB_VIRTUAL_NODE_NOT_FOUND']);
  expect((await ask(of(merge('1', 'four-4')), of({ type: 'remove', entity: 'Cat', ids: ['four-4'] }))).map(codeOf)).toEqual(['done', 'done']);
  expect(transactions()).toBe(4);
});

test('what is foreseen holds whatever the order, so an id that is merged stands there once', () => {
  const known = { find: () => Promise.reject(new Error('all is known')), remembered: new Set(vaults), forget: () => {} };
  const isForeseen = (...operations: readonly EntityOperation[]): boolean => createOnEntity(known).foresee!(operations.map((operation) => of(operation)), 0) !== undefined;
  expect(isForeseen(merge('1', 'a'), merge('2', 'a'))).toBe(false);
  expect(isForeseen(persist('a', 'b'), merge('2', 'b', 'c'))).toBe(false);
  expect(isForeseen(merge('1', 'b'), persist('a', 'b'))).toBe(false);
  expect(isForeseen(merge('1', 'a'), { ...persist('a'), entity: 'Dog' } as EntityOperation, merge('1', 'b'))).toBe(true);
  expect(isForeseen(merge('1', 'a', 'a'))).toBe(false);
});

test('a virtual node that another replica has deleted meanwhile is found to be gone', async () => {
  const nodes = await makeVaults(postgres);
  const { ask } = await openRoom(postgres, nodes);
  for (const [at, operation] of [persist('six-1'), merge('1', 'six-1')].entries()) {
    const shortHash = nodes[at]!;
    await postgres.transact((tx) => tx.virtualNodes.drop(shortHash));
    expect((await ask(of(operation, shortHash))).map(codeOf)).toEqual(['DB_VIRTUAL_NODE_NOT_FOUND']);
  }
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
    await expect(ask(of(merge('1', 'five-3'), vaults[1]))).rejects.toThrow(/permission denied/);
  } finally {
    await database.sql.unsafe(`grant insert on ${schemaOf(vaults[1])}.entity to ${row!.role}`);
  }
});

describe('two batches at once', () => {
  /** Holds an entity's row while the batches come one after another, each until it waits for a lock; then lets it go. */
  const whileHeld = async (id: string, ...batches: readonly (() => Promise<readonly Outcome[]>)[]): Promise<readonly (readonly Outcome[])[]> => {
    const running: Promise<readonly Outcome[]>[] = [];
    await database.transact(async (sql) => {
      await sql`select set_config('role', config.role_of(${schemaOf(vaults[0])}, 'dml'), true)`;
      await sql.unsafe(`select from ${schemaOf(vaults[0])}.entity where id = '${id}' for update`);
      for (const batch of batches) {
        running.push(batch());
        await Promise.race([running.at(-1), waitForLocks(database, running.length)]);
      }
    });
    return Promise.all(running);
  };

  test('write the same ids in their order, whatever that of the requests, so neither stops the other', async () => {
    const { ask, transactions } = await openRoom();
    await ask(of(merge('0', 'line-1', 'line-2', 'line-3')));
    const ended = await whileHeld('line-2', () => ask(of(merge('1', 'line-1', 'line-2', 'line-3'))), () => ask(of(merge('2', 'line-3')), of(merge('2', 'line-1'))));
    expect(ended.flat().map(codeOf)).toEqual(['done', 'done', 'done']);
    expect(transactions()).toBe(0);
    expect(await rowsIn('line-')).toEqual(['line-1 2 3', 'line-2 1 2', 'line-3 2 3']);
  });

  test('that wait for each other all the same end as if one had come after the other', async () => {
    const { ask, transactions } = await openRoom();
    await ask(of(merge('0', 'cross-0')));
    const ended = await whileHeld('cross-0',
      () => ask(of(persist('cross-1')), of(merge('1', 'cross-0', 'cross-2'))),
      () => ask(of(persist('cross-2')), of(merge('2', 'cross-1'))),
    );
    // One gives way and goes the ordinary way; if it comes across the other there once more, that one may be who gives way.
    expect([1, 2]).toContain(transactions());
    expect(ended.flat().map(codeOf).toSorted()).toEqual(['DB_ENTITY_EXISTS', 'done', 'done', 'done']);
    expect(await idsIn(vaults[0], 'cross-')).toEqual(['cross-0', 'cross-1', 'cross-2']);
  });
});

/** What a batch asks for; each world names its virtual nodes and requests itself. */
type Plan = { readonly node: 0 | 1; readonly flow: string; readonly id: string; readonly operation: EntityOperation };

const entities = ['Cat', 'Dog'] as const;
/** Many, so that some are new; the first of them come often, so that they meet within a batch. */
const idsKnown = 400;
const idsOften = 4;
const jsons = ['1', 'null', '"null"', '{"a": 1.50, "b": "x\\"y"}', '[]'];

const planBatches = (random: Random, batches: number): readonly (readonly Plan[])[] => {
  let next = 0;
  const asked: (readonly Plan[])[] = [];
  const operation = (): EntityOperation => {
    const entity = random.pick(entities);
    // What a flow finds beside others' writes depends on an order that nobody promises; what it removes does not.
    const type = random.chance(0.03) ? 'remove' : random.pick(['persist', 'merge'] as const);
    const often = type === 'merge' ? 0.3 : 0.03;
    const ids = Array.from({ length: 1 + random.below(3) }, () => `id-${random.below(random.chance(often) ? idsOften : idsKnown)}`);
    if (type === 'remove') return { type, entity, ids };
    return { type, entity, items: ids.map((id) => ({ id, json: random.pick(jsons) })) };
  };
  const plan = (): Plan => {
    const repeated = random.chance(0.05) && asked.length > 0 ? random.pick(random.pick(asked)) : undefined;
    if (repeated !== undefined) return random.chance(0.7) ? repeated : { ...repeated, operation: operation() };
    return { node: random.chance(0.02) ? 1 : 0, flow: `flow-${random.below(4)}`, id: `request-${next++}`, operation: operation() };
  };
  while (asked.length < batches) asked.push(random.chance(0.1) && asked.length > 0 ? random.pick(asked) : Array.from({ length: 1 + random.below(5) }, plan));
  return asked;
};

type World = {
  /** What the batch was answered, the same in all worlds. */
  readonly tell: (batch: readonly Plan[], now: number) => Promise<readonly string[]>;
  readonly nodes: readonly [string, string];
  /** Batches with persists, and with merges, that one statement did. */
  readonly atOnce: { persists: number; merges: number };
};

let worlds = 0;

const openWorld = async (store: AnswerStore<DbTx>): Promise<World> => {
  const name = `world-${++worlds}/`;
  const nodes = await makeVaults(store);
  let now = 0;
  const atOnce = { persists: 0, merges: 0 };
  let room: Awaited<ReturnType<typeof openRoom>> | undefined;
  return {
    nodes,
    atOnce,
    tell: async (batch, at) => {
      now = at;
      room ??= await openRoom(store, nodes, { ...systemClock, now: () => now });
      const before = room.transactions();
      const requests = batch.map(({ node, flow, id, operation }) => request(flowToDbEntity, { shortHash: nodes[node], operation }, { key: flow, id: name + id }));
      const outcomes = await room.ask(...requests);
      if (room.transactions() === before) {
        if (batch.some(({ operation: { type } }) => type === 'persist')) atOnce.persists++;
        if (batch.some(({ operation: { type } }) => type === 'merge')) atOnce.merges++;
      }
      // What is found comes in no promised order.
      return outcomes.map((outcome) => JSON.stringify(outcome, (_key, value: unknown) => (Array.isArray(value) ? value.map((one) => JSON.stringify(one)).toSorted() : value)).replaceAll(name, ''));
    },
  };
};

const findAll = ([0, 1] as const).flatMap((node) =>
  entities.map((entity): Plan => ({ node, flow: 'finder', id: `find-${node}-${entity}`, operation: { type: 'find', entity, ids: Array.from({ length: idsKnown }, (_, i) => `id-${i}`) } })),
);

const rowsOf = ({ nodes }: World): Promise<readonly unknown[]> =>
  Promise.all(nodes.map(async (node) => [...(await database.sql.unsafe(`select entity, id, value::text, version, updated_at from ${schemaOf(node)}.entity order by entity, id`))]));

test.each([1, 2, 3])('whatever a batch holds, one statement leaves and answers what the ordinary way does, in memory too: seed %i', async (seed) => {
  const { transact } = postgres;
  const ordinary = await openWorld({ transact });
  const [atOnce, memory] = [await openWorld(postgres), await openWorld(memoryStore())];
  const batches = planBatches(createRandom(seed), 50);
  for (const [i, batch] of [...batches, findAll].entries()) {
    const told = await ordinary.tell(batch, 1_000 * i);
    expect(await atOnce.tell(batch, 1_000 * i), `batch ${i}`).toEqual(told);
    expect(await memory.tell(batch, 1_000 * i), `batch ${i} in memory`).toEqual(told);
  }
  expect(await rowsOf(atOnce)).toEqual(await rowsOf(ordinary));
  expect(ordinary.atOnce).toEqual({ persists: 0, merges: 0 });
  for (const { persists, merges } of [atOnce.atOnce, memory.atOnce]) expect(Math.min(persists, merges)).toBeGreaterThan(10);
  expect(memory.atOnce).toEqual(atOnce.atOnce);
});
