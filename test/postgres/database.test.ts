import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase, type Database, type TransactionSql } from '../../src/postgres/database.ts';
import { DatabaseError } from '../../src/postgres/database-error.ts';
import { isOperational } from '../../src/shell/operational.ts';
import { startTestServer, type TestServer } from './server.ts';

let server: TestServer;
let schema: string;
/** What is tested; `server.database` looks on from outside. */
let database: Database;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  schema = await server.makeSchema();
  await server.database.sql.unsafe(`create table ${schema}.pair (id integer, half integer, primary key (id, half))`);
  database = openDatabase({ url: server.url, connectionsMax: 8, log: silentLog });
});
afterEach(() => database.close());

const insert = (sql: TransactionSql, id: number, half: number) => sql.unsafe(`insert into ${schema}.pair values ($1, $2)`, [id, half]);
const written = async (): Promise<ReadonlyMap<number, number>> => {
  const rows = await server.database.sql.unsafe<{ id: number; count: string }[]>(`select id, count(*) from ${schema}.pair group by id`);
  return new Map(rows.map(({ id, count }) => [id, Number(count)]));
};
const backendOf = async (sql: TransactionSql): Promise<number> => (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid;
/** Resolves when that backend is gone, so that what follows happens on a lost connection. */
const terminate = async (pid: number): Promise<void> => {
  await server.database.sql`select pg_terminate_backend(${pid}, 5000)`;
};

describe('transactions', () => {
  test('what a transaction did is there when it resolves, seen from another connection', async () => {
    expect(await database.transact(async (sql) => (await insert(sql, 1, 0), 'result'))).toBe('result');
    expect(await written()).toEqual(new Map([[1, 1]]));
  });

  test('what the work throws is thrown again and nothing is written', async () => {
    const fault = new Error('no');
    await expect(database.transact(async (sql) => (await insert(sql, 1, 0), Promise.reject(fault)))).rejects.toBe(fault);
    expect(await written()).toEqual(new Map());
    await database.transact((sql) => insert(sql, 2, 0));
    expect(await written()).toEqual(new Map([[2, 1]]));
  });

  test('a statement that failed inside cannot be swallowed: the commit that was none is an error', async () => {
    const work = database.transact(async (sql) => {
      await insert(sql, 1, 0);
      await insert(sql, 1, 0).catch(() => {});
    });
    await expect(work).rejects.toThrow('everything was rolled back');
    expect(await written()).toEqual(new Map());
  });

  test('a lost connection fails the transaction as operational, and nothing of it remains', async () => {
    const work = database.transact(async (sql) => {
      await insert(sql, 1, 0);
      await terminate(await backendOf(sql));
      await insert(sql, 1, 1);
    });
    const error = await work.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DatabaseError);
    expect(error).toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(isOperational(error)).toBe(true);
    expect(await written()).toEqual(new Map());
  });

  test('after a lost connection no later statement of the same work takes effect, even if errors are swallowed', async () => {
    const work = database.transact(async (sql) => {
      await insert(sql, 1, 0);
      await terminate(await backendOf(sql));
      for (let half = 1; half < 6; half++) await insert(sql, 1, half).catch(() => {});
    });
    await expect(work).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(await written()).toEqual(new Map());
  });

  test('a commit that found its connection lost is no acknowledgement', async () => {
    const work = database.transact(async (sql) => {
      await insert(sql, 1, 0);
      await terminate(await backendOf(sql));
    });
    await expect(work).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(await written()).toEqual(new Map());
  });

  test('a client whose connection was lost serves the next transaction', async () => {
    await database.transact(async (sql) => void (await terminate(await backendOf(sql)))).catch(() => {});
    await database.transact((sql) => insert(sql, 3, 0));
    expect(await written()).toEqual(new Map([[3, 1]]));
  });

  test('more transactions than connections wait in line', async () => {
    await Promise.all(Array.from({ length: 60 }, (_, id) => database.transact(async (sql) => (await insert(sql, id, 0), insert(sql, id, 1)))));
    expect([...(await written()).values()]).toEqual(Array.from({ length: 60 }, () => 2));
  });

  test('no acknowledged write is lost and none is half done, while backends are killed and single statements crowd in', async () => {
    const acknowledged = new Set<number>();
    const failed = new Map<number, unknown>();
    let running = true;
    const crowd = (async () => {
      while (running) await Promise.allSettled(Array.from({ length: 50 }, (_, i) => database.sql`select ${i}::int + 1`));
    })();
    /** One connection in a transaction of the database under test; the onlooker has none. */
    const kill = () =>
      server.database.sql`select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity where state = 'idle in transaction' or query like '%pg_sleep%' and pid <> pg_backend_pid() order by random() limit 1) as victim`;
    const worker = async (first: number): Promise<void> => {
      for (let id = first; id < first + 100; id++) {
        try {
          await database.transact(async (sql) => {
            await insert(sql, id, 0);
            if (id % 7 === 0) await kill();
            await sql`select pg_sleep(0.002)`;
            await insert(sql, id, 1);
          });
          acknowledged.add(id);
        } catch (error) {
          failed.set(id, error);
        }
      }
    };
    await Promise.all([0, 1_000, 2_000, 3_000].map(worker));
    running = false;
    await crowd;
    const rows = await written();
    expect([...rows.values()].every((count) => count === 2)).toBe(true);
    expect([...acknowledged].filter((id) => !rows.has(id))).toEqual([]);
    expect([...failed.values()].every(isOperational)).toBe(true);
    // Otherwise the test has shown nothing.
    expect(failed.size).toBeGreaterThan(0);
    expect(acknowledged.size).toBeGreaterThan(0);
  });
});

describe('errors', () => {
  const closedPort = 'postgres://nobody:secret@127.0.0.1:9/none';

  test('a database that is not there is operational, and its message tells no password', async () => {
    const away = openDatabase({ url: closedPort, log: silentLog });
    const error = await away.transact(async () => {}).catch((thrown: unknown) => thrown);
    await away.close();
    expect(error).toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(String(error)).not.toContain('secret');
  });

  test('a wrong password is told apart from an absent server', async () => {
    const url = new URL(server.url);
    url.password = 'wrong';
    const refused = openDatabase({ url: String(url), log: silentLog });
    await expect(refused.transact(async () => {})).rejects.toMatchObject({ code: 'DATABASE_REFUSED' });
    await refused.close();
  });

  test('two transactions in each other’s way end in a conflict, not in a wait', async () => {
    await database.transact(async (sql) => void (await Promise.all([insert(sql, 1, 0), insert(sql, 2, 0)])));
    const both = Promise.withResolvers<void>();
    let arrived = 0;
    const cross = (first: number, second: number) =>
      database.transact(async (sql) => {
        const touch = (id: number) => sql.unsafe(`update ${schema}.pair set half = half + 1 where id = $1`, [id]);
        await touch(first);
        if (++arrived === 2) both.resolve();
        await both.promise;
        await touch(second);
      });
    const results = await Promise.allSettled([cross(1, 2), cross(2, 1)]);
    const rejected = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    expect(rejected).toHaveLength(1);
    expect(rejected[0]).toMatchObject({ code: 'DATABASE_CONFLICT', operational: true });
  });

  test('a broken constraint is not operational: it is thrown as it came', async () => {
    await database.transact((sql) => insert(sql, 1, 0));
    const error = await database.transact((sql) => insert(sql, 1, 0)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: '23505' });
    expect(isOperational(error)).toBe(false);
  });
});
