/** The first administrator, without whom nobody could make another, and the roles that every cluster begins with. */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../host/clock.ts';
import { deriveId } from '../../identity/derive.ts';
import { user as userShape, type PasswordRecord, type User } from '../../messages/db-to-rest.user.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Log } from '../../observability/log.ts';
import type { Database } from '../../postgres/database.ts';
import type { DbTx } from './db-tx.ts';
import { defaultRoles, systemAdminFullName, systemAdminRoleId } from './default-roles.ts';
import { hashPassword, isCurrentRecordOf } from './password.ts';
import { createPostgresDbTx } from './postgres/db-tx.ts';
import { permissionRecord, roleRecord, userRecord } from './publication.ts';

export type BootstrapAdminOptions = {
  readonly database: Database;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly login: string;
  readonly password: string;
};

/** Roles that were made once stay as their administrators left them. */
const ensureRoles = async (tx: DbTx, now: number): Promise<OutRecord[]> => {
  const records: OutRecord[] = [];
  for (const role of defaultRoles(now)) {
    if ((await tx.rbac.findRole(role.id)) !== undefined) continue;
    const permissions = role.permissions.map(({ permission }) => permission);
    await tx.rbac.addPermissions(permissions);
    await tx.rbac.putRole(role);
    records.push(...permissions.map(permissionRecord), roleRecord(role));
  }
  return records;
};

type Wanted = { readonly login: string; /** Given where the environment names another password than before. */ readonly password: PasswordRecord | undefined };

/** Enabled, with the role that may do everything; the password only where the environment has a new one. */
const ensureUser = async (tx: DbTx, { login, password }: Wanted, now: number): Promise<OutRecord[]> => {
  const before = await tx.rbac.findUser(login);
  const hasRole = before?.roles.some(({ id }) => id === systemAdminRoleId) === true;
  if (password !== undefined) await tx.rbac.putBootstrapPassword(login, password);
  if (before !== undefined && password === undefined && hasRole && before.enabled) return [userRecord(before)];
  const after: User = {
    id: before?.id ?? deriveId('bootstrap administrator', login),
    login,
    fullName: before?.fullName ?? systemAdminFullName,
    enabled: true,
    password: password ?? before?.password ?? null,
    passwordExpiry: password === undefined ? (before?.passwordExpiry ?? null) : null,
    parentGroup: before?.parentGroup ?? null,
    roles: hasRole ? before.roles : [...(before?.roles ?? []), { id: systemAdminRoleId, since: now }],
    version: (before?.version ?? 0) + 1,
    updatedAt: now,
  };
  await tx.rbac.putUser(after);
  const outcome = before === undefined ? 'created' : password === undefined ? 'restored' : 'password set';
  await tx.audit.add({ at: now, actor: 'environment', action: 'bootstrap', target: login, outcome: 'done', details: outcome });
  return [userRecord(after)];
};

/**
 * Makes the roles and the administrator, or gives it this password when the environment names another than the last time, and tells
 * rest. A password that the administrator chose by REST stays. Run again it changes nothing.
 */
export const ensureBootstrapAdmin = async ({ database, bus, clock, log, login: given, password }: BootstrapAdminOptions): Promise<void> => {
  if (!userShape.shape.login.safeParse(given).success) throw new Error(`the administrator's login ${JSON.stringify(given)} must be 3 to 255 of the characters -._@a-zA-Z0-9`);
  if (password === '') throw new Error("the administrator's password is empty; give one or let the CLI make it");
  const login = given.toLowerCase();
  const before = await database.transact((sql) => createPostgresDbTx(sql).rbac.findBootstrapPassword(login));
  const isSame = before !== undefined && (await isCurrentRecordOf(password, before));
  // Hashed outside the transaction: it takes a tenth of a second and a connection should not wait for it.
  const record = isSame ? undefined : await hashPassword(password);
  const records = await database.transact(async (sql) => {
    const tx = createPostgresDbTx(sql);
    await tx.rbac.lock();
    return [...(await ensureRoles(tx, clock.now())), ...(await ensureUser(tx, { login, password: record }, clock.now()))];
  });
  await bus.publish(records);
  if (!isSame) log.info(before === undefined ? 'db.admin.created' : 'db.admin.password-changed', { login });
};
