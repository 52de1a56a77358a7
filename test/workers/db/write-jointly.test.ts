/** Entities that are written in the very statement that saves the flows which wrote them, with real vaults. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import type { Database, TransactionSql } from '../../../src/postgres/database.ts';
import { createPostgresStateStore } from '../../../src/postgres/state-store.ts';
import type { AnswerStore, JointWork, StateChange, StateStore } from '../../../src/shell/store.ts';
import type { EntityWrite } from '../../../src/workers/db/db-tx.ts';
import { createPostgresDbTx, writeJointly, type DbTx } from '../../../src/workers/db/worker.ts';
import { change } from '../../shell/store-contract.ts';
import { startTestServer, waitForLocks, type TestServer } from './database.ts';
import { makeVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let answers: AnswerStore<DbTx>;
let states: StateStore;
let vaults: readonly [string, string];

const answersIn = (of: Database): AnswerStore<DbTx> => createPostgresAnswerStore({ database: of, schema: 'db', makeTx: createPostgresDbTx, jointly: writeJointly });

beforeAll(async () => {
  server = await startTestServer();
  // Both rooms in one process have one login, which owns the database.
  database = await server.database('plain');
  answers = answersIn(database);
  states = createPostgresStateStore({ database, schema: 'flow' });
  vaults = [await answers.transact(makeVirtualNode), await answers.transact(makeVirtualNode)];
});
afterAll(() => server.stop());

const cat = (id: string, json = '1') => ({ entity: 'Cat', id, json });
const work = (write: Partial<EntityWrite>): JointWork => answers.joint!({ shortHash: vaults[0], persisted: [], merged: [], now: 0, ...write });
const persist = (...ids: readonly string[]): JointWork => work({ persisted: ids.map((id) => cat(id)) });
const born = (key: string): StateChange => change(key, 0, { itemsAdded: [{ position: 0, value: key }] });

const schemaOf = (shortHash: string): string => `vnode_vault_${shortHash.toLowerCase()}`;
/** Cats of a vault whose ids begin so: `id value version`. */
const catsIn = async (prefix: string, shortHash = vaults[0]): Promise<readonly string[]> => {
  const text = `select id || ' ' || value::text || ' ' || version as row from ${schemaOf(shortHash)}.entity where entity = 'Cat' and starts_with(id, '${prefix}') order by id collate "C"`;
  return (await database.sql.unsafe<{ row: string }[]>(text)).map(({ row }) => row);
};
const versionsOf = async (...keys: readonly string[]): Promise<readonly number[]> => {
  const found = new Map((await states.load(keys)).map(({ key, version }) => [key, version]));
  return keys.map((key) => found.get(key) ?? 0);
};
const answersStored = async (): Promise<unknown> => (await database.sql`select count(*)::integer as count from db.answer`)[0]!['count'];

test('three hundred new flows and what they wrote are one statement, and nothing is kept for a repeat', async () => {
  let statements = 0;
  const counted: Database = { ...database, byKey: (...given) => (statements++, database.byKey(...given)) };
  const flows = Array.from({ length: 300 }, (_, i) => `many-${i}`);
  const write: EntityWrite = { shortHash: vaults[0], persisted: flows.flatMap((flow) => [cat(`${flow} a`, `{"of": "${flow}"}`), cat(`${flow} b`, 'null')]), merged: [cat('many', '[]')], now: 0 };
  expect(await createPostgresStateStore({ database: counted, schema: 'flow' }).saveWith!(flows.map(born), answersIn(counted).joint!(write))).toBe(true);
  expect(statements).toBe(1);
  expect(await versionsOf(...flows)).toEqual(flows.map(() => 1));
  const rows = flows.flatMap((flow) => [`${flow} a {"of": "${flow}"} 1`, `${flow} b null 1`]);
  expect(new Set(await catsIn('many'))).toEqual(new Set([...rows, 'many [] 1']));
  expect(await answersStored()).toBe(0);
});

test('ids and JSON of any text are written as they were', async () => {
  const odd = ['"', '\\', "'", '{a,b}', 'NULL', 'null', '$1', '%', ' ', '\u001f', '\n', 'é🧵', '{"a":1}', ''];
  const jsons = ['null', '"null"', '""', '"\\u001f \\" \\\\ \' $1"', '1.50', '{"a" :  [null, {}]}', JSON.stringify(odd)];
  const persisted = odd.map((id, i) => ({ entity: `P ${id}`, id: `odd ${id}`, json: jsons[i % jsons.length]! }));
  const merged = odd.map((id, i) => ({ entity: `M ${id}`, id: `odd ${id}`, json: jsons[(i + 3) % jsons.length]! }));
  const keys = odd.map((id) => `odd ${id}`);
  expect(await states.saveWith!(keys.map(born), work({ persisted, merged }))).toBe(true);
  expect(await versionsOf(...keys)).toEqual(keys.map(() => 1));
  const rows = await database.sql.unsafe<{ entity: string; id: string; json: string }[]>(`select entity, id, value::text as json from ${schemaOf(vaults[0])}.entity where starts_with(id, 'odd')`);
  expect(new Set(rows.map(({ entity, id, json }) => [entity, id, json].join(' | ')))).toEqual(new Set([...persisted, ...merged].map(({ entity, id, json }) => [entity, id, json].join(' | '))));
});

describe('nothing is saved and nothing written where', () => {
  const refusedTo = async (write: Partial<EntityWrite>, changes: readonly StateChange[] = [born('refused')]): Promise<void> => {
    const keys = changes.map(({ key }) => key);
    const before = await versionsOf(...keys);
    expect(await states.saveWith!(changes, work(write))).toBe(false);
    expect(await versionsOf(...keys)).toEqual(before);
    for (const shortHash of vaults) expect(await catsIn('refused', shortHash)).toEqual([]);
  };

  test('an id is taken', async () => {
    await states.saveWith!([born('taker')], persist('taken'));
    await refusedTo({ persisted: [cat('refused'), cat('taken', '2')], merged: [cat('refused too')] });
    await refusedTo({ persisted: [cat('refused'), cat('refused')] });
    expect(await catsIn('taken')).toEqual(['taken 1 1']);
  });

  test('a state does not stand', async () => {
    await states.save([born('standing')]);
    await states.saveWith!([born('merger')], work({ merged: [cat('standing')] }));
    for (const changes of [[born('refused'), born('standing')], [born('refused'), change('standing', 2)], [change('standing', 1), change('refused', 1)]]) {
      await refusedTo({ persisted: [cat('refused')], merged: [cat('standing', '2')] }, changes);
    }
    expect(await catsIn('standing')).toEqual(['standing 1 1']);
  });

  test('the vault was deleted, never was, or has moved elsewhere', async () => {
    const [deleted, moved] = [await answers.transact(makeVirtualNode), await answers.transact(makeVirtualNode)];
    await answers.transact((tx) => tx.virtualNodes.drop(deleted));
    await database.sql`select config.close_vault(${moved})`;
    for (const shortHash of [deleted, moved, '0123456789AB']) {
      await refusedTo({ shortHash, persisted: [cat('refused')] });
      await refusedTo({ shortHash, merged: [cat('refused')] });
    }
    expect(await catsIn('refused', moved)).toEqual([]);
  });

  test('it is too much for one statement', async () => {
    await refusedTo({ persisted: [cat('refused')] }, Array.from({ length: 1_025 }, (_, i) => born(`refused-${i}`)));
    const long = 'x'.repeat(17_000_000);
    await refusedTo({ persisted: [cat('refused')] }, [change('refused', 0, { head: long }), change('refused too', 0, { head: long })]);
  });
});

test('work of another database is a mistake that is told, and nothing is done', async () => {
  const other = createPostgresStateStore({ database: { ...database }, schema: 'flow' });
  await expect(other.saveWith!([born('elsewhere')], persist('elsewhere'))).rejects.toThrow(/another database/);
  expect([await versionsOf('elsewhere'), await catsIn('elsewhere')]).toEqual([[0], []]);
});

describe('beside a transaction that is under way', () => {
  const insert = (id: string): string => `insert into ${schemaOf(vaults[0])}.entity (entity, id, value, updated_at) values ('Cat', '${id}', '"theirs"', now())`;

  const givenUp = new Error('rolled back');

  /** Saves when another transaction holds what the save wants; when the save waits for that, the other goes on to its end. */
  const besides = async (held: string, save: () => Promise<boolean>, then: (sql: TransactionSql, saving: Promise<boolean>) => Promise<unknown>): Promise<boolean> => {
    let saving: Promise<boolean> | undefined;
    const other = database.transact(async (sql) => {
      await sql.unsafe(held);
      saving = save();
      await Promise.race([saving, waitForLocks(database, 1)]);
      await then(sql, saving);
    });
    await other.catch((error: unknown) => {
      if (error !== givenUp) throw error;
    });
    return saving!;
  };

  test('it waits for an id that another writes: if that is written, nothing is done; if not, all is', async () => {
    const committed = await besides(insert('waited-1'), () => states.saveWith!([born('waited-1')], persist('waited-0', 'waited-1')), async () => {});
    expect([committed, await versionsOf('waited-1'), await catsIn('waited')]).toEqual([false, [0], ['waited-1 "theirs" 1']]);
    const rolledBack = await besides(insert('waited-2'), () => states.saveWith!([born('waited-2')], persist('waited-2')), () => Promise.reject(givenUp));
    expect([rolledBack, await versionsOf('waited-2'), await catsIn('waited-2')]).toEqual([true, [1], ['waited-2 1 1']]);
  });

  test('it waits for a state that another saves: if that is saved, nothing is done; if not, all is', async () => {
    await states.save([born('row-1'), born('row-2')]);
    const update = (key: string): string => `update flow.state set version = version + 1 where key = '${key}'`;
    const save = (key: string) => states.saveWith!([change(key, 1)], work({ persisted: [cat(key)], merged: [cat('row')] }));
    const committed = await besides(update('row-1'), () => save('row-1'), async () => {});
    expect([committed, await versionsOf('row-1'), await catsIn('row')]).toEqual([false, [2], []]);
    const rolledBack = await besides(update('row-2'), () => save('row-2'), () => Promise.reject(givenUp));
    // Merged once, though the row was waited for.
    expect([rolledBack, await versionsOf('row-2'), await catsIn('row')]).toEqual([true, [2], ['row 1 1', 'row-2 1 1']]);
  });

  test('of two that wait for each other it gives way, and leaves nothing', async () => {
    await states.save([born('crossed')]);
    const saved = await besides("select from flow.state where key = 'crossed' for update", () => states.saveWith!([change('crossed', 1)], persist('crossed')), (sql) => sql.unsafe(insert('crossed')));
    expect([saved, await versionsOf('crossed'), await catsIn('crossed')]).toEqual([false, [1], ['crossed "theirs" 1']]);
  });

  test('if its connection is killed, that is told as an operational fault, nothing is left, and the same can be done again', async () => {
    await states.save([born('killed-1')]);
    const changes = [change('killed-1', 1, { itemsAdded: [{ position: 1, value: 1 }] }), born('killed-2')];
    const save = () => states.saveWith!(changes, work({ persisted: [cat('killed-1')], merged: [cat('killed-2')] }));
    const killed = besides("select from flow.state where key = 'killed-1' for update", save, () => database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`);
    await expect(killed).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE', operational: true });
    expect([await versionsOf('killed-1', 'killed-2'), await catsIn('killed')]).toEqual([[1, 0], []]);
    expect(await save()).toBe(true);
    expect([await versionsOf('killed-1', 'killed-2'), await catsIn('killed')]).toEqual([[2, 1], ['killed-1 1 1', 'killed-2 1 1']]);
    expect((await states.loadItems(['killed-1'])).get('killed-1')).toEqual([{ position: 0, value: 'killed-1' }, { position: 1, value: 1 }]);
  });
});

test('vaults in turn are served by one prepared statement, each by its own, and what is set for them ends with it', async () => {
  const settingsText = "select current_user as login, current_setting('role') as role, current_setting('search_path') as path";
  const settings = () => database.byKey(settingsText, []);
  const prepared = () =>
    database.byKey("select custom_plans::integer as custom, generic_plans::integer as generic from pg_prepared_statements where statement like '%joint (done)%' and statement not like '%updated as%' and statement not like '%put as%'", []);
  // Of connections that have saved nothing.
  const [untouched] = await database.sql.unsafe(settingsText);
  for (let i = 0; i < 12; i++) {
    const write = { shortHash: vaults[i % 2]!, merged: [cat('turn')] };
    // Several at once, so that each connection is met; the last in vain.
    const saves = ['a', 'b'].map((one) => states.saveWith!([change(`turn-${i}${one}`, 0)], work({ ...write, persisted: [cat(`turn-${i}${one}`)] })));
    const again = states.saveWith!([change(`turn-${i}c`, 0)], work({ ...write, persisted: [cat(`turn-${i % 2}c`)] }));
    expect(await Promise.all([...saves, again])).toEqual([true, true, i < 2]);
    for (const [row] of await Promise.all([settings(), settings()])) expect(row).toEqual(untouched);
  }
  for (const rows of await Promise.all([prepared(), prepared()])) expect(rows).toEqual([{ custom: 0, generic: expect.any(Number) }]);
  for (const [at, shortHash] of vaults.entries()) {
    const own = [0, 2, 4, 6, 8, 10].flatMap((i) => [`turn-${i + at}a 1 1`, `turn-${i + at}b 1 1`]);
    expect(new Set(await catsIn('turn', shortHash))).toEqual(new Set([...own, `turn-${at}c 1 1`, 'turn 1 13']));
  }
});

test('of many flows that write the same ids each is saved whose entity was written, and no other', async () => {
  const flows = Array.from({ length: 40 }, (_, i) => i);
  const saved = await Promise.all(flows.map((i) => states.saveWith!([born(`race-${i}`)], work({ persisted: [cat(`race-${i % 10}`, `${i}`)], merged: [cat('race')] }))));
  const winners = flows.filter((i) => saved[i]);
  expect(new Set(winners.map((i) => i % 10)).size).toBe(10);
  expect(await catsIn('race-')).toEqual(winners.map((i) => `race-${i % 10} ${i} 1`).toSorted());
  expect(await versionsOf(...flows.map((i) => `race-${i}`))).toEqual(saved.map(Number));
  expect((await catsIn('race')).at(0)).toBe('race 1 10');
  expect(await answersStored()).toBe(0);
});
