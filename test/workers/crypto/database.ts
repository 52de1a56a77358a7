/** A real PostgreSQL for these tests: one server a file, migrations applied. Transactions are those of the crypto room's own login; `sql` looks on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { makeLogins } from '../../../containers/database-logins.ts';
import { startEmbeddedPostgres } from '../../../src/host/embedded-postgres.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import { createPostgresKeys } from '../../../src/workers/crypto/postgres-keys.ts';
import type { CryptoTx } from '../../../src/workers/crypto/crypto-tx.ts';
import { applyMigrations } from '../../../src/workers/db/worker.ts';

export type Sql = postgres.Sql;
export type TestDatabase = {
  readonly sql: Sql;
  /** Another user's connections to the same database. */
  connect(user: string, password: string): Sql;
  /** As the shell's stores use it. */
  readonly database: Database;
  transact<Result>(work: (tx: CryptoTx) => Promise<Result>): Promise<Result>;
};
export type TestServer = {
  /** An empty one; the same each time, so that asking costs little. */
  database(): Promise<TestDatabase>;
  /** One of its own. */
  create(): Promise<TestDatabase>;
  stop(): Promise<void>;
};

/** As after the migration; only roles stay. */
const empty = async (sql: Sql): Promise<void> => {
  const schemas = await sql<{ name: string }[]>`select nspname as name from pg_namespace where nspname like 'vnode\\_crypto\\_%'`;
  for (const { name } of schemas) await sql.unsafe(`drop schema ${name} cascade`);
  await sql`truncate crypto.wrapping_key, crypto.hsm_association, crypto.signing_key, crypto.certificate, crypto.rotation, crypto.rotation_part`;
};

/** BEGIN and COMMIT on a reserved connection of any user. */
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
  const server = await startEmbeddedPostgres({ directory, log: silentLog });
  const open: Sql[] = [];
  const opened: Database[] = [];
  const connect = (database: string, login?: { user: string; password: string }): Sql => {
    const sql = postgres(server.url, { database, max: 8, onnotice: () => {}, ...login });
    open.push(sql);
    return sql;
  };
  const cluster = connect('postgres');
  // These databases are thrown away; durability is tested elsewhere.
  await cluster`alter system set fsync = off`;
  await cluster`select pg_reload_conf()`;
  let count = 0;
  const create = async (): Promise<TestDatabase> => {
    const name = `test_${++count}`;
    await cluster.unsafe(`create database ${name}`);
    const sql = connect(name);
    const url = new URL(server.url);
    url.pathname = name;
    const owner = openDatabase({ url: url.href, connectionsMax: 4, log: silentLog });
    await applyMigrations(owner, silentLog);
    const login = { user: `crypto_of_${name}`, password: 'crypto-password', room: 'crypto' } as const;
    await makeLogins(owner, [login]);
    await owner.close();
    const database = openDatabase({ url: Object.assign(url, { username: login.user, password: login.password }).href, log: silentLog });
    opened.push(database);
    return { sql, database, connect: (user, password) => connect(name, { user, password }), transact: (work) => database.transact((tx) => work(createPostgresKeys(tx))) };
  };
  let shared: Promise<TestDatabase> | undefined;
  return {
    create,
    database: async () => {
      const database = await (shared ??= create());
      await empty(database.sql);
      return database;
    },
    stop: async () => {
      await Promise.all([...open.map((sql) => sql.end()), ...opened.map((database) => database.close())]);
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
};
