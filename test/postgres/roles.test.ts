/**
 * Who may touch what, asked of the server for every table there is, and tried with the rooms' own logins. That each room's rights are
 * enough is shown elsewhere: the tests of db and crypto, and every cluster of separate processes (test/clusters), run with these logins.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databaseRooms, makeLogins, parseLogins, type DatabaseRoom } from '../../containers/database-logins.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { allToCryptoKey } from '../../src/messages/all-to-crypto.key.ts';
import { allToCryptoSign } from '../../src/messages/all-to-crypto.sign.ts';
import { cryptoToCryptoRotate } from '../../src/messages/crypto-to-crypto.rotate.ts';
import { restToCryptoRotation } from '../../src/messages/rest-to-crypto.rotation.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { waitForMigrations } from '../../src/postgres/migrate.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import type { CryptoTx } from '../../src/workers/crypto/crypto-tx.ts';
import { createPostgresKeys } from '../../src/workers/crypto/postgres-keys.ts';
import { applyMigrations, readMigrations } from '../../src/workers/db/worker.ts';
import { openRoom, testRootKey } from '../workers/crypto/room.ts';
import { change } from '../shell/store-contract.ts';

const shortHash = 'A11CE0000001';
const directory = mkdtempSync(join(tmpdir(), 'cordage-roles-'));
const opened: Database[] = [];
let server: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let owner: Database;
let logins: Record<DatabaseRoom, Database>;

const open = (login?: { readonly user: string; readonly password: string }, name = 'cluster'): Database => {
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  if (login !== undefined) Object.assign(url, { username: login.user, password: login.password });
  const database = openDatabase({ url: url.href, connectionsMax: 4, log: silentLog });
  opened.push(database);
  return database;
};

const loginOf = (room: DatabaseRoom) => ({ user: `own-${room}`, password: `password:of:${room}`, room });

beforeAll(async () => {
  server = await startEmbeddedPostgres({ directory, log: silentLog });
  const admin = open(undefined, 'postgres');
  // Migrations are run by an owner who is no superuser, as managed databases have it.
  await admin.sql.unsafe(`create role keeper login createrole password 'keeper-password'`);
  for (const name of ['cluster', 'neighbour']) await admin.sql.unsafe(`create database ${name} owner keeper`);
  owner = open({ user: 'keeper', password: 'keeper-password' });
  await applyMigrations(owner, silentLog);
  await makeLogins(owner, parseLogins(databaseRooms.map((room) => { const { user, password } = loginOf(room); return `${user}:${password}:${room}`; }).join(', ')));
  logins = Object.fromEntries(databaseRooms.map((room) => [room, open(loginOf(room))])) as Record<DatabaseRoom, Database>;
  await logins.db.transact(async (sql) => {
    await sql`select config.create_virtual_node_schemas(${shortHash})`;
    await sql`select crypto.create_tenant(${shortHash})`;
  });
}, 60_000);
afterAll(async () => {
  await Promise.all(opened.map((database) => database.close()));
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Schemas whose tables a room reads and writes without taking on another role. */
const owned: Readonly<Record<DatabaseRoom, readonly string[]>> = { flow: ['flow'], db: ['db', 'config', 'rbac'], crypto: [], member: ['member'], 'link-manager': ['link_manager'] };
const alsoOwned: Readonly<Record<string, DatabaseRoom>> = { 'crypto.answer': 'crypto', 'crypto.parked': 'crypto', 'crypto.rotation': 'crypto', 'crypto.rotation_part': 'crypto' };

describe('roles', () => {
  test.each(databaseRooms)('%s may read and write the tables of its own schemas, and no other', async (room) => {
    const { user } = loginOf(room);
    const rows = await owner.sql<{ schema: string; name: string; reads: boolean; writes: boolean }[]>`
      select n.nspname as schema, c.relname as name, has_table_privilege(${user}, c.oid, 'select') as reads,
        has_table_privilege(${user}, c.oid, 'insert, update, delete') as writes
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^(pg_|information_schema)'`;
    expect(rows.length).toBeGreaterThan(25);
    for (const { schema, name, reads, writes } of rows) {
      const own = owned[room].includes(schema) || alsoOwned[`${schema}.${name}`] === room;
      const journal = schema === 'migrations';
      expect({ table: `${schema}.${name}`, reads, writes }).toEqual({ table: `${schema}.${name}`, reads: own || journal, writes: own });
    }
  });

  test('only crypto takes on a role that reads keys, only db one that reads a vault', async () => {
    const rows = await owner.sql<{ room: string; role: string }[]>`
      select l.rolname as room, r.rolname as role from pg_roles as l, pg_roles as r
      where l.rolname like 'own-%' and r.rolname ~ '^(vnode_|crypto_)' and pg_has_role(l.rolname, r.oid, 'member')`;
    const taken = (pattern: RegExp): Set<string> => new Set(rows.filter(({ role }) => pattern.test(role)).map(({ room }) => room));
    expect(taken(/^(vnode_crypto|crypto)_/)).toEqual(new Set(['own-crypto']));
    expect(taken(/^vnode_(vault|uniq)_/)).toEqual(new Set(['own-db']));
    expect(rows.some(({ role }) => role.startsWith('vnode_crypto_a11ce0000001_ddl'))).toBe(false);
  });

  test.each<[DatabaseRoom, string]>([
    ['flow', 'select * from crypto.signing_key'],
    ['flow', 'select * from config.cpi'],
    ['flow', `set role vnode_vault_a11ce0000001_dml_DIGEST`],
    ['db', 'select * from crypto.signing_key'],
    ['db', `select * from vnode_crypto_a11ce0000001.signing_key`],
    ['db', `select * from vnode_vault_a11ce0000001.entity`],
    ['db', `set role vnode_crypto_a11ce0000001_dml_DIGEST`],
    ['db', `select crypto.drop_wrapping_keys('${shortHash}', 'w', 2)`],
    ['flow', `select crypto.rewrap_signing_key('p2p', '00000000000A', 1, 2, '')`],
    ['db', 'create role more'],
    ['crypto', 'select * from crypto.wrapping_key'],
    ['crypto', 'select * from flow.state'],
    ['member', 'insert into rbac.account default values'],
    ['link-manager', 'create schema more'],
    ['flow', 'create table public.more (id integer)'],
    ['flow', 'create temporary table more (id integer)'],
    ['flow', `insert into migrations.applied (name, checksum) values ('9999', '')`],
    ['flow', `select migrations.grant_room('own-flow', 'crypto')`],
  ])('%s is refused: %s', async (room, statement) => {
    const [row] = await owner.sql<{ digest: string }[]>`select substr(md5(current_database()), 1, 8) as digest`;
    await expect(logins[room].transact((sql) => sql.unsafe(statement.replace('DIGEST', row!.digest)))).rejects.toThrow(/permission denied|must be owner|not permitted/);
  });

  test('crypto makes keys and rotates what seals them with its login', async () => {
    const keys = { transact: <Result>(work: (tx: CryptoTx) => Promise<Result>) => logins.crypto.transact((sql) => work(createPostgresKeys(sql))) };
    const room = await openRoom({ keys });
    for (const tenant of [shortHash, 'p2p']) {
      await room.value(allToCryptoKey, { type: 'assign-hsm', tenant, category: 'LEDGER' });
      const [key] = (await room.value(allToCryptoKey, { type: 'generate', tenant, alias: 'a', category: 'LEDGER', scheme: 'CORDA.EDDSA.ED25519' })).keys;
      const { requestId } = await room.value(restToCryptoRotation, { type: 'start', tenant });
      for (const step of [0, 1]) await room.value(cryptoToCryptoRotate, { tenant, requestId, step });
      expect(await room.value(restToCryptoRotation, { type: 'status', tenant })).toMatchObject({ isDone: true, parts: [{ total: 1, rotated: 1 }] });
      expect((await keys.transact((tx) => tx.wrappingKeys.find([tenant]))).map(({ generation }) => generation)).toEqual([2]);
      expect(await room.refusal(allToCryptoSign, { tenant, keyId: key!.id, data: 'AAAA' })).toBe('done');
    }
    await room.close();
    const [before, after] = [await testRootKey(), await testRootKey('another passphrase')];
    const renewed = await openRoom({ keys, rootKey: after, otherRootKeys: [before] });
    const { requestId, parts } = await renewed.value(restToCryptoRotation, { type: 'start', tenant: 'master' });
    expect(parts).toHaveLength(2);
    for (const step of [0, 1]) await renewed.value(cryptoToCryptoRotate, { tenant: 'master', requestId, step });
    expect(await renewed.value(restToCryptoRotation, { type: 'status', tenant: 'master' })).toMatchObject({ isDone: true });
    expect(new Set((await keys.transact((tx) => tx.wrappingKeys.find(['p2p', shortHash]))).map(({ parent }) => parent))).toEqual(new Set([after.alias]));
    await renewed.close();
  });

  test('a machine works with its login: it waits for the schema, saves, loads, sweeps', async () => {
    await waitForMigrations({ database: logins.flow, migrations: readMigrations(), log: silentLog, waitMsMax: 1_000 });
    const store = createPostgresStateStore({ database: logins.flow, schema: 'flow' });
    expect(await store.save([change('one', 0, { itemsAdded: [{ position: 0, value: 1 }] })])).toEqual(new Set(['one']));
    expect(await store.load(['one'])).toHaveLength(1);
    expect(await store.sweep(Date.now(), 10)).toBe(0);
  });

  test('a login is of one room: given to another, it loses the first; its password is set anew', async () => {
    const moved = { user: 'mover', password: 'first-password', room: 'flow' } as const;
    await makeLogins(owner, [moved]);
    await open(moved).transact((sql) => sql`select 1 from flow.state`);
    await makeLogins(owner, [{ ...moved, password: 'second-password', room: 'member' }]);
    const after = open({ user: 'mover', password: 'second-password' });
    await after.transact((sql) => sql`select 1 from member.state`);
    await expect(after.transact((sql) => sql`select 1 from flow.state`)).rejects.toThrow('permission denied');
    await expect(open(moved).transact((sql) => sql`select 1`)).rejects.toThrow('password authentication failed');
  });

  test('a superuser is not made a room’s login, and what is no login is refused by name', async () => {
    await expect(makeLogins(owner, [{ user: 'cordage', password: 'any-password', room: 'flow' }])).rejects.toThrow('cordage is a superuser');
    for (const text of ['flow:short:flow', 'flow:long-enough', 'flow:long-enough:rest', 'Flow:long-enough:flow', 'a"b:long-enough:flow']) {
      expect(() => parseLogins(text), text).toThrow('must be user:password:room');
    }
  });

  test('another cluster’s login on the same server does not come in', async () => {
    const neighbour = open({ user: 'keeper', password: 'keeper-password' }, 'neighbour');
    await applyMigrations(neighbour, silentLog);
    await makeLogins(neighbour, [{ user: 'of-neighbour', password: 'neighbour-password', room: 'flow' }]);
    const theirs = { user: 'of-neighbour', password: 'neighbour-password' };
    await open(theirs, 'neighbour').transact((sql) => sql`select 1 from flow.state`);
    await expect(open(theirs).transact((sql) => sql`select 1`)).rejects.toThrow(/permission denied for database/);
  });
});
