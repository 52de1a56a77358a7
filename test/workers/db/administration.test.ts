/** What administrators change, in a real database: users, roles, permissions, configuration, and the trail of all that. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sealConfigSecret } from '../../../src/cipher/config-secret.ts';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { verifyScrypt } from '../../../src/host/scrypt.ts';
import { dbToAllConfig } from '../../../src/messages/db-to-all.config.ts';
import { dbToRestRole } from '../../../src/messages/db-to-rest.role.ts';
import { dbToRestUser } from '../../../src/messages/db-to-rest.user.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import { wires } from '../../../src/messages/messages.ts';
import { restToDbConfig } from '../../../src/messages/rest-to-db.config.ts';
import { restToDbRbac, type RbacChange } from '../../../src/messages/rest-to-db.rbac.ts';
import { silentLog } from '../../../src/observability/log.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { systemAdminRoleId } from '../../../src/workers/db/default-roles.ts';
import { onConfig } from '../../../src/workers/db/on-config.ts';
import { onRbac } from '../../../src/workers/db/on-rbac.ts';
import { ensureBootstrapAdmin, publishSnapshot } from '../../../src/workers/db/worker.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, request } from './requests.ts';

let server: TestServer;
let database: Database;
let broker: EmbeddedBroker;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires, 2), clock: systemClock, log: silentLog });
});
afterAll(() => server.stop());

const transact = <Result>(work: Parameters<typeof transactOn<Result>>[1]): Promise<Result> => transactOn(database, work);
const password = { n: 2, r: 1, p: 1, salt: 'AA', hash: 'BB' };
const change = async (...changes: readonly RbacChange[]) =>
  await answerBatch(onRbac, { transact }, ...changes.map((one) => request(restToDbRbac, { type: 'change', actor: 'admin', change: one })));
const userNamed = (login: string): RbacChange => ({ type: 'create-user', login, fullName: 'Some Body', enabled: true, password, passwordExpiry: null, parentGroup: null });
const bootstrap = (given: string) => ensureBootstrapAdmin({ database, bus: broker.connect(), clock: systemClock, log: silentLog, login: 'admin', password: given });
const passwordOf = async (login: string) => (await transact((tx) => tx.rbac.findUser(login)))!.password!;

describe('the bootstrap administrator', () => {
  test('keeps a password that it chose, until the environment names another than before', async () => {
    await bootstrap('from the environment');
    await change({ type: 'set-password', login: 'admin', password, by: 'self' });
    await bootstrap('from the environment');
    expect(await passwordOf('admin')).toEqual(password);
    await bootstrap('another environment');
    expect(await verifyScrypt('another environment', await passwordOf('admin'))).toBe(true);
    expect((await transact((tx) => tx.rbac.findUser('admin')))!.passwordExpiry).toBeNull();
  });

  test('cannot be disabled, deleted, or stripped of its role, and its role cannot be changed', async () => {
    await bootstrap('another environment');
    const answers = await change(
      { type: 'update-user', login: 'admin', enabled: false },
      { type: 'delete-user', login: 'ADMIN'.toLowerCase() },
      { type: 'remove-role', login: 'admin', roleId: systemAdminRoleId },
      { type: 'create-permissions', permissions: [{ type: 'DENY', text: '.*', virtualNode: null, groupVisibility: null }], roleIds: [systemAdminRoleId] },
    );
    expect(answers.map(({ outcome }) => codeOf(outcome))).toEqual(['DB_USER_PROTECTED', 'DB_USER_PROTECTED', 'DB_USER_PROTECTED', 'DB_ROLE_PROTECTED']);
  });

  test('is restored at a start, whatever befell its row', async () => {
    await database.sql`update rbac.account set enabled = false where login = 'admin'`;
    await database.sql`delete from rbac.account_role`;
    await bootstrap('another environment');
    expect(await transact((tx) => tx.rbac.findUser('admin'))).toMatchObject({ enabled: true, roles: [{ id: systemAdminRoleId }] });
  });

  test('does not bring back what was taken from the roles that every cluster begins with', async () => {
    const role = (await transact((tx) => tx.rbac.listRoles())).find(({ name }) => name === 'CordaDeveloperRole')!;
    await change({ type: 'remove-permission', roleId: role.id, permissionId: role.permissions[0]!.permission.id });
    await bootstrap('another environment');
    expect((await transact((tx) => tx.rbac.findRole(role.id)))!.permissions).toHaveLength(role.permissions.length - 1);
  });
});

describe('a change', () => {
  test('and its trail are one: what fails leaves neither', async () => {
    const count = async (): Promise<number> => (await transact((tx) => tx.audit.page({ countMax: 200 }))).length;
    const before = await count();
    const failing = transact(async (tx) => {
      await onRbac.answer([request(restToDbRbac, { type: 'change', actor: 'admin', change: userNamed('ghost') })], tx, 0);
      throw new Error('the database went away');
    });
    await expect(failing).rejects.toThrow();
    expect([await count(), await transact((tx) => tx.rbac.findUser('ghost'))]).toEqual([before, undefined]);
    await change(userNamed('real-one'), userNamed('real-one'));
    expect((await transact((tx) => tx.audit.page({ countMax: 2 }))).map(({ action, target, outcome }) => [action, target, outcome])).toEqual([
      ['create-user', 'real-one', 'DB_USER_EXISTS'],
      ['create-user', 'real-one', 'done'],
    ]);
  });

  test('publishes what rest decides by, and what it removes', async () => {
    const [created] = await change(userNamed('published'));
    expect(created!.effects!.map(({ topic, key }) => `${topic} ${key}`)).toEqual([`${dbToRestUser.topic} published`]);
    const [deleted] = await change({ type: 'delete-user', login: 'published' });
    const record = deleted!.effects![0]!;
    expect(decode(dbToRestUser, { partition: 0, ...record, offset: 0, timestamp: 0 })).toEqual({ type: 'removed', key: 'published' });
  });

  test('of many at once loses none: a role has the permissions of all', async () => {
    const [made] = await change({ type: 'create-role', name: 'busy', groupVisibility: null });
    const { role } = (made!.outcome as { value: { role: { id: string } } }).value;
    const one = (i: number): RbacChange => ({ type: 'create-permissions', permissions: [{ type: 'ALLOW', text: `/${i}`, virtualNode: null, groupVisibility: null }], roleIds: [role.id] });
    await Promise.all(Array.from({ length: 8 }, (_, i) => change(one(i))));
    const after = (await transact((tx) => tx.rbac.findRole(role.id)))!;
    expect([after.permissions.length, after.version]).toEqual([8, 9]);
  });
});

describe('the configuration', () => {
  const set = async (section: string, source: unknown, version: number, passphrase?: string) =>
    (await answerBatch(onConfig({ log: silentLog, passphrase }), { transact }, request(restToDbConfig, { section, version, schemaVersion: { major: 1, minor: 0 }, source: JSON.stringify(source), actor: 'admin' })))[0]!;

  test('of those who replace one version at the same time, one does', async () => {
    const outcomes = await Promise.all(Array.from({ length: 5 }, (_, i) => set('corda.flow', { session: { timeout: 1_000 + i } }, 0)));
    expect(outcomes.map(({ outcome }) => codeOf(outcome)).toSorted()).toEqual([...Array.from({ length: 4 }, () => 'DB_CONFIG_VERSION'), 'done']);
    expect(await set('corda.flow', {}, 1)).toMatchObject({ outcome: { type: 'done', value: { version: 2, source: '{}' } }, effects: [{ topic: dbToAllConfig.topic, key: 'corda.flow' }] });
  });

  test('takes a secret that its passphrase opens, keeps it encrypted, and refuses another', async () => {
    const hsm = (encryptedSecret: string) => ({ hsm: { wrappingKeys: [{ alias: 'next', salt: 'salt of it', passphrase: { configSecret: { encryptedSecret } } }] } });
    const refused = await set('corda.crypto', hsm(await sealConfigSecret('another passphrase', 'geheim')), 0, 'passphrase');
    expect(codeOf(refused.outcome)).toBe('DB_CONFIG_INVALID');
    const taken = await set('corda.crypto', hsm(await sealConfigSecret('passphrase', 'geheim')), 0, 'passphrase');
    expect(codeOf(taken.outcome)).toBe('done');
    expect(JSON.stringify([taken, await database.sql`select * from config.section`, await transact((tx) => tx.audit.page({ countMax: 5 }))])).not.toContain('geheim');
  });

  test('and who may do what are published again to a broker that has lost them', async () => {
    const bus = broker.connect();
    await publishSnapshot({ database, bus, log: silentLog });
    const follower = bus.follow({ topics: [dbToAllConfig.topic, dbToRestRole.topic, dbToRestUser.topic], from: 'earliest' });
    await follower.ready;
    const keys = new Set((await follower.drain()).map(({ topic, key }) => `${topic} ${key}`));
    await follower.close();
    expect([...keys]).toEqual(expect.arrayContaining([`${dbToAllConfig.topic} corda.flow`, `${dbToRestUser.topic} admin`, `${dbToRestRole.topic} ${systemAdminRoleId}`]));
  });
});
