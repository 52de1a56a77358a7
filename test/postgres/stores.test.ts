import { afterAll, beforeAll } from 'vitest';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import type { TransactionSql } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import { answerStoreContract, parkingLotContract, stateStoreContract, type Counter } from '../shell/store-contract.ts';
import { startTestServer, type TestServer } from './server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const own = async () => ({ database: server.database, schema: await server.makeSchema() });

stateStoreContract('postgres', async () => createPostgresStateStore(await own()));
parkingLotContract('postgres', async () => createPostgresParkingLot(await own()));

answerStoreContract('postgres', async () => {
  const { database, schema } = await own();
  await database.sql.unsafe(`create table ${schema}.counter (name text primary key, count integer not null)`);
  const makeTx = (sql: TransactionSql): Counter => ({
    add: async (name) => {
      await sql.unsafe(`insert into ${schema}.counter values ($1, 1) on conflict (name) do update set count = counter.count + 1`, [name]);
    },
    read: async (name) => (await sql.unsafe<{ count: number }[]>(`select count from ${schema}.counter where name = $1`, [name]))[0]?.count ?? 0,
  });
  return createPostgresAnswerStore({ database, schema, makeTx });
});
