import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate, waitForMigrations, type Migration } from '../../src/postgres/migrate.ts';
import { startTestServer, type TestServer } from './server.ts';

let server: TestServer;
let database: Database;
let count = 0;
const opened: Database[] = [];
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await server.stop();
});
/** Each test migrates a database of its own. */
beforeEach(async () => {
  const name = `migrated_${++count}`;
  await server.database.sql.unsafe(`create database ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  database = openDatabase({ url: String(url), connectionsMax: 8, log: silentLog });
  opened.push(database);
});

const one: Migration = { name: '0001-one', sql: 'create table one (id integer primary key); insert into one values (1);' };
const two: Migration = { name: '0002-two', sql: 'create table two (id integer);' };
const broken: Migration = { name: '0003-broken', sql: 'create table three (id integer); select * from nowhere;' };

const run = (...migrations: Migration[]) => migrate({ database, migrations, log: silentLog });
const tables = async () => (await database.sql<{ tablename: string }[]>`select tablename from pg_tables where schemaname = 'public' order by 1`).map(({ tablename }) => tablename);

describe('migrate', () => {
  test('applies what is missing, in order, once', async () => {
    await run(one);
    await run(one, two);
    await run(one, two);
    expect(await tables()).toEqual(['one', 'two']);
    expect(await database.sql`select id from one`).toHaveLength(1);
  });

  test('many processes at once apply each migration once', async () => {
    await Promise.all(Array.from({ length: 6 }, () => run(one, two)));
    expect(await database.sql`select id from one`).toHaveLength(1);
  });

  test('a migration that fails names itself and leaves everything as it was, the good ones before it too', async () => {
    await expect(run(one, two, broken)).rejects.toMatchObject({ code: 'MIGRATION_FAILED', message: expect.stringContaining('0003-broken') });
    expect(await tables()).toEqual([]);
    await run(one, two);
    expect(await tables()).toEqual(['one', 'two']);
  });

  test('an applied migration that was edited is refused by name', async () => {
    await run(one, two);
    await expect(run({ ...one, sql: `${one.sql} -- better` }, two)).rejects.toMatchObject({ code: 'MIGRATION_CHANGED', message: expect.stringContaining('0001-one') });
  });

  test('line ends of a checkout are no edit', async () => {
    const unix: Migration = { name: '0001-lines', sql: 'create table\n lines\n (id integer);' };
    await run(unix);
    await run({ ...unix, sql: unix.sql.replaceAll('\n', '\r\n') });
  });

  test('a new migration before an applied one is refused', async () => {
    await run(two);
    await expect(run(one, two)).rejects.toMatchObject({ code: 'MIGRATION_OUT_OF_ORDER' });
  });

  test('an older release runs beside a schema that is further on', async () => {
    await run(one, two);
    await run(one);
    await waitForMigrations({ database, migrations: [one], log: silentLog });
  });
});

describe('waitForMigrations', () => {
  test('resolves once the owner has applied what is needed', async () => {
    await run(one);
    const order: string[] = [];
    const waiting = waitForMigrations({ database, migrations: [one, two], log: silentLog }).then(() => order.push('waited'));
    const applying = run(one, two).then(() => order.push('applied'));
    await Promise.all([waiting, applying]);
    expect(order.toSorted()).toEqual(['applied', 'waited']);
    expect(await tables()).toEqual(['one', 'two']);
  });

  test('ends with a remedy when nobody comes', async () => {
    let now = 0;
    const clock = { now: () => now, after: (delayMs: number, callback: () => void) => ((now += delayMs), queueMicrotask(callback), () => {}) };
    const waiting = waitForMigrations({ database, migrations: [one], log: silentLog, clock, waitMsMax: 5_000 });
    await expect(waiting).rejects.toMatchObject({ code: 'MIGRATION_MISSING', message: expect.stringContaining('db room') });
  });

  test('an edited migration is refused here too, at once', async () => {
    await run(one);
    const waiting = waitForMigrations({ database, migrations: [{ ...one, sql: 'select 1' }], log: silentLog });
    await expect(waiting).rejects.toMatchObject({ code: 'MIGRATION_CHANGED' });
  });
});

describe('what is repeatable', () => {
  const noted: Migration = { name: 'repeatable-note', sql: `create table if not exists note (text text); insert into note values ('noted');`, repeatable: true };
  const edited: Migration = { ...noted, sql: noted.sql.replace("'noted'", "'edited'") };
  const notes = async () => (await database.sql<{ text: string }[]>`select text from note order by ctid`).map(({ text }) => text);

  test('is applied last, and again when it or another is new, and not otherwise', async () => {
    await run(noted, one);
    await run(one, noted);
    expect(await notes()).toEqual(['noted']);
    await run(one, two, noted);
    expect(await notes()).toEqual(['noted', 'noted']);
    await run(one, two, edited);
    await run(one, two, edited);
    expect(await notes()).toEqual(['noted', 'noted', 'edited']);
  });

  test('of an older program leaves a newer schema as it is, and the older program works with it', async () => {
    await run(one, two, edited);
    await run(one, noted);
    expect(await notes()).toEqual(['edited']);
    await waitForMigrations({ database, migrations: [one, noted], log: silentLog, waitMsMax: 0 });
  });

  test('which a login may not do says whose work it is', async () => {
    await server.database.sql.unsafe('create role weak login');
    const forbidden: Migration = { name: '0002-forbidden', sql: 'set local role weak; create role more;' };
    await expect(run(one, forbidden)).rejects.toThrow(/0002-forbidden: permission denied.*migrations are run by the owner/);
  });
});
