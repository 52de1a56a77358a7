/** Who may read keys in PostgreSQL: the tenants' roles, tried with users that are not superusers. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, transactOn, type Sql, type TestServer } from './database.ts';
import { association, signing, wrapping } from './keys-contract.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const alice = 'A11CE0000001';
const bob = 'B0B000000002';
const migration = new URL('../../../src/workers/db/migrations/0002-crypto.sql', import.meta.url);
let users = 0;

const workerRoleOf = async (sql: Sql): Promise<string> => (await sql<{ role: string }[]>`select crypto.role_of('crypto', 'worker') as role`)[0]!.role;

/** A user who may do nothing but come in, and what is granted here. */
const addUser = async (sql: Sql, ...grants: string[]): Promise<string> => {
  const name = `user_${++users}_${Date.now()}`;
  await sql.unsafe(`create role ${name} login password 'secret'`);
  const [row] = await sql<{ database: string }[]>`select current_database() as database`;
  await sql.unsafe(`grant connect on database ${row!.database} to ${name}`);
  for (const role of grants) await sql.unsafe(`grant "${role}" to ${name}`);
  return name;
};

const addKeys = (sql: Sql, tenants: string[]): Promise<void> =>
  transactOn(sql, async (tx) => {
    await tx.wrappingKeys.add(tenants.map((tenant) => wrapping(tenant)));
    await tx.associations.add(tenants.map((tenant) => association(tenant, 'LEDGER')));
    await tx.signingKeys.add(tenants.map((tenant) => signing(tenant, tenant === 'p2p' ? '00000000000A' : tenant)));
  });

/** Asks until so many connections wait for a lock: the server's own sign that they are under way. */
const waitForLock = async (sql: Sql, count: number): Promise<void> => {
  for (;;) {
    const [row] = await sql<{ waiting: number }[]>`select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
    if (row!.waiting >= count) return;
  }
};

test('the worker’s role is enough to make tenants and keep their keys', async () => {
  const { sql, connect } = await server.database();
  const user = connect(await addUser(sql, await workerRoleOf(sql)), 'secret');
  await addKeys(user, [alice, bob]);
  const found = await transactOn(user, (tx) => tx.signingKeys.findByIds([{ tenant: alice, id: alice }, { tenant: bob, id: bob }]));
  expect(found).toHaveLength(2);
});

test('a user without the worker’s role reads no key and makes no tenant', async () => {
  const { sql, connect } = await server.database();
  await addKeys(sql, [alice]);
  const name = await addUser(sql);
  const user = connect(name, 'secret');
  await expect(user`select * from crypto.signing_key`).rejects.toThrow('permission denied');
  await expect(user.unsafe(`select * from vnode_crypto_${alice}.signing_key`)).rejects.toThrow('permission denied');
  await expect(user`select crypto.create_tenant(${bob})`).rejects.toThrow('permission denied for schema');
  await sql.unsafe(`grant usage on schema crypto to ${name}`);
  await expect(user`select crypto.create_tenant(${bob})`).rejects.toThrow('permission denied for function');
});

test('not even the worker reads keys outside a tenant’s role', async () => {
  const { sql, connect } = await server.database();
  await addKeys(sql, [alice, 'p2p']);
  const user = connect(await addUser(sql, await workerRoleOf(sql)), 'secret');
  await expect(user.unsafe(`select * from vnode_crypto_${alice}.signing_key`)).rejects.toThrow('permission denied');
  await expect(user`select * from crypto.signing_key`).rejects.toThrow('permission denied');
});

test('as one tenant’s role another’s keys are out of reach, and one’s own can be neither changed nor removed', async () => {
  const { sql } = await server.database();
  await addKeys(sql, [alice, bob]);
  const [row] = await sql<{ role: string }[]>`select crypto.role_of(${`vnode_crypto_${alice.toLowerCase()}`}, 'dml') as role`;
  const as = async (statement: string): Promise<string> => {
    const reserved = await sql.reserve();
    try {
      await reserved.unsafe(`begin; set local role "${row!.role}"`);
      await reserved.unsafe(statement);
      return 'done';
    } catch (error) {
      return String(error);
    } finally {
      await reserved`rollback`;
      reserved.release();
    }
  };
  expect(await as(`select * from vnode_crypto_${alice}.signing_key`)).toBe('done');
  expect(await as(`select * from vnode_crypto_${bob}.signing_key`)).toContain('permission denied');
  expect(await as('select * from crypto.signing_key')).toContain('permission denied');
  expect(await as(`update vnode_crypto_${alice}.signing_key set material = ''`)).toContain('permission denied');
  expect(await as(`delete from vnode_crypto_${alice}.signing_key`)).toContain('permission denied');
});

test('the connection is nobody’s after each verb, so that the shell’s own statements find their rights again', async () => {
  const { sql } = await server.database();
  await transactOn(sql, async (tx, reserved) => {
    await tx.wrappingKeys.add([wrapping(alice)]);
    await tx.signingKeys.findByIds([{ tenant: alice, id: alice }]);
    expect(await reserved`select current_user = session_user as same`).toEqual([{ same: true }]);
  });
});

test('making a tenant twice is making it once', async () => {
  const { sql } = await server.database();
  for (const id of [alice, alice.toLowerCase(), 'p2p']) await sql`select crypto.create_tenant(${id})`;
  expect(await sql`select count(*)::int as count from pg_tables where tablename = 'signing_key'`).toEqual([{ count: 2 }]);
});

test('two that make a tenant at once wait for each other, and both have it', async () => {
  // A database of its own: the tenant's roles are not there yet either.
  const { sql } = await server.create();
  const [one, other] = await Promise.all([sql.reserve(), sql.reserve()]);
  await one`begin`;
  await one`select crypto.create_tenant(${alice})`;
  const second = other`select crypto.create_tenant(${alice})`.execute();
  const third = sql`select crypto.create_tenant(${bob})`.execute();
  await waitForLock(sql, 2);
  await one`commit`;
  await Promise.all([second, third]);
  one.release();
  other.release();
  expect(await sql`select count(*)::int as count from pg_tables where tablename = 'signing_key'`).toEqual([{ count: 3 }]);
});

test('what is neither p2p nor a short hash is no tenant', async () => {
  const { sql } = await server.database();
  for (const id of ['', 'P2P', 'A11CE000000', 'A11CE00000011', 'x"; drop schema crypto cascade; --', 'p2p\n']) {
    await expect(sql`select crypto.create_tenant(${id})`, id).rejects.toThrow('a tenant is p2p or 12 hex digits');
  }
});

test('an owner who is no superuser, as managed databases give one, can apply the migration and make tenants', async () => {
  const { sql, connect } = await server.create();
  await sql.unsafe('drop schema crypto cascade');
  const owner = await addUser(sql);
  await sql.unsafe(`alter role ${owner} createrole`);
  const [{ name }] = (await sql`select current_database() as name`) as unknown as [{ name: string }];
  await sql.unsafe(`grant create on database ${name} to ${owner}`);
  // The roles of the first application belong to the superuser.
  const worker = `crypto_worker_${(await sql<{ digest: string }[]>`select substr(md5(current_database()), 1, 8) as digest`)[0]!.digest}`;
  for (const role of [worker, worker.replace('worker', 'dml')]) await sql.unsafe(`drop owned by "${role}"; drop role "${role}"`);
  const user = connect(owner, 'secret');
  await user.unsafe(await readFile(migration, 'utf8'));
  await addKeys(user, [alice, 'p2p']);
  expect(await transactOn(user, (tx) => tx.signingKeys.list({ tenant: alice, countMax: 10 }))).toHaveLength(1);
});
