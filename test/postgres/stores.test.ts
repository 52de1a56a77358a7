import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import type { TransactionSql } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import { jointSaveContract } from '../shell/joint-contract.ts';
import { answerStoreContract, change, parkingLotContract, stateStoreContract, type Counter } from '../shell/store-contract.ts';
import { openJointWorld } from './joint-world.ts';
import { startTestServer, type TestServer } from './server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const own = async () => ({ database: server.database, schema: await server.makeSchema() });

stateStoreContract('postgres', async () => createPostgresStateStore(await own()));
test('two replicas that save one key in turn lose none of its items, whatever each remembers of it', async () => {
  const options = await own();
  const replicas = [createPostgresStateStore(options), createPostgresStateStore(options)];
  const item = (position: number) => ({ position, value: { position, text: 'x'.repeat(300) } });
  // Twelve of them are longer than a row holds: some are in the table by then.
  for (let version = 0; version < 12; version++) {
    const removed = version % 5 === 4 ? [version - 3] : [];
    const saving = change('one', version, { itemsAdded: [item(version)], itemsRemoved: removed });
    expect(await replicas[version % 2]!.save([saving])).toEqual(new Set(['one']));
    // The other remembers the version before; what it saves on that is refused, items and all.
    if (version > 0) expect(await replicas[(version + 1) % 2]!.save([change('one', version, { itemsAdded: [item(99)], itemsRemoved: [0] })])).toEqual(new Set());
  }
  const left = Array.from({ length: 12 }, (_, position) => position).filter((position) => position !== 1 && position !== 6);
  for (const replica of replicas) expect((await replica.loadItems(['one'])).get('one')).toEqual(left.map(item));
});

jointSaveContract('postgres', async () => openJointWorld({ ...(await own()), owner: server.database }));

parkingLotContract('postgres', async () => createPostgresParkingLot(await own()));

const openAnswers = async () => {
  const { database, schema } = await own();
  await database.sql.unsafe(`create table ${schema}.counter (name text primary key, count integer not null)`);
  const makeTx = (sql: TransactionSql): Counter => ({
    add: async (name) => {
      await sql.unsafe(`insert into ${schema}.counter values ($1, 1) on conflict (name) do update set count = counter.count + 1`, [name]);
    },
    read: async (name) => (await sql.unsafe<{ count: number }[]>(`select count from ${schema}.counter where name = $1`, [name]))[0]?.count ?? 0,
  });
  return createPostgresAnswerStore({ database, schema, makeTx });
};

answerStoreContract('postgres', openAnswers);

test('of two replicas that answer one request at once, one undoes its work and finds the answer of the other', async () => {
  const store = await openAnswers();
  let looked = 0;
  const bothLooked = Promise.withResolvers<void>();
  const answerAs = (replica: string): Promise<'answered' | 'found'> =>
    store.transact(async (tx, answers) => {
      if ((await answers.find(['request'])).length > 0) return 'found';
      if (++looked === 2) bothLooked.resolve();
      await bothLooked.promise;
      await tx.add(replica);
      await answers.add([{ requestId: 'request', outcome: { type: 'done', value: replica }, effects: [] }]);
      return 'answered';
    });
  const ends = await Promise.all(['a', 'b'].map(answerAs));
  expect(ends.toSorted()).toEqual(['answered', 'found']);
  const counts = await store.transact(async (tx) => [await tx.read('a'), await tx.read('b')]);
  expect(counts.toSorted()).toEqual([0, 1]);
});

test('why an answer could not be stored is told, not only that the commit failed', async () => {
  const store = await openAnswers();
  const unstorable = { requestId: 'nul \u0000', outcome: { type: 'done', value: 1 }, effects: [] } as const;
  await expect(store.transact((_tx, answers) => answers.add([unstorable]))).rejects.toThrow(/invalid byte sequence/);
});
