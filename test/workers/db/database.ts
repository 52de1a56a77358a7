/** A real PostgreSQL for these tests: one server a file, the migrations applied, a fresh database for whoever asks. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeLogins } from '../../../containers/database-logins.ts';
import { startEmbeddedPostgres } from '../../../src/host/embedded-postgres.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import { applyMigrations, createPostgresDbTx, type DbTx } from '../../../src/workers/db/worker.ts';

export type TestServer = {
  /**
   * A database of its own with the cluster's schema. Transactions are those of the db room's own login, so that what these tests do, the room
   * may do; `sql` looks on from outside. Or all is done by its owner, a superuser, or with `plain` a role that is none but may make roles.
   */
  database(as?: 'room' | 'superuser' | 'plain'): Promise<Database>;
  /** An empty database of a virtual node, with two logins: `owner`, whose it is, and `reader`, who may come in; the password is `secret`. */
  ownDatabase(): Promise<{ readonly url: URL; readonly owner: string; readonly reader: string; readonly sql: Database['sql'] }>;
  stop(): Promise<void>;
};

export const startTestServer = async (): Promise<TestServer> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-db-'));
  const server = await startEmbeddedPostgres({ directory, log: silentLog });
  const cluster = openDatabase({ url: server.url, connectionsMax: 4, log: silentLog });
  // These databases are thrown away; durability is tested elsewhere.
  await cluster.sql`alter system set fsync = off`;
  await cluster.sql`select pg_reload_conf()`;
  const open: Database[] = [cluster];
  return {
    database: async (as = 'room') => {
      const name = `test_${open.length}`;
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      if (as !== 'plain') await cluster.sql.unsafe(`create database ${name}`);
      else {
        await cluster.sql.unsafe(`create role owner_of_${name} login createrole password 'secret'`);
        await cluster.sql.unsafe(`create database ${name} owner owner_of_${name}`);
        Object.assign(url, { username: `owner_of_${name}`, password: 'secret' });
      }
      const database = openDatabase({ url: url.href, connectionsMax: 8, log: silentLog });
      open.push(database);
      await applyMigrations(database, silentLog);
      if (as !== 'room') return database;
      const login = { user: `db_of_${name}`, password: 'db-password', room: 'db' } as const;
      await makeLogins(database, [login]);
      const room = openDatabase({ url: Object.assign(url, { username: login.user, password: login.password }).href, connectionsMax: 8, log: silentLog });
      open.push(room);
      return { ...database, transact: room.transact, byKey: room.byKey };
    },
    ownDatabase: async () => {
      const name = `own_${open.length}`;
      const [owner, reader] = [`${name}_owner`, `${name}_reader`];
      for (const login of [owner, reader]) await cluster.sql.unsafe(`create role ${login} login password 'secret'`);
      await cluster.sql.unsafe(`create database ${name} owner ${owner}`);
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      const database = openDatabase({ url: url.href, connectionsMax: 4, log: silentLog });
      open.push(database);
      return { url, owner, reader, sql: database.sql };
    },
    stop: async () => {
      await Promise.all(open.map((database) => database.close()));
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
};

export const transactOn = <Result>(database: Database, work: (tx: DbTx) => Promise<Result>): Promise<Result> =>
  database.transact((sql) => work(createPostgresDbTx(sql)));

/** Resolves when so many transactions of this database wait for another's. */
export const waitForLocks = async (database: Database, count: number): Promise<void> => {
  for (;;) {
    const [row] = await database.sql<{ waiting: number }[]>`select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    if (row!.waiting >= count) return;
  }
};
