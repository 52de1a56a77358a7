/**
 * rest-to-db.rbac: users, roles and permissions. Each change, done or refused, leaves a row in the audit trail in the transaction that it is
 * made in; whoever has its answer can see it on the compacted wires.
 */
import { deriveId } from '../../identity/derive.ts';
import { readSection } from '../../messages/configuration/sections.ts';
import type { Permission } from '../../messages/db-to-rest.permission.ts';
import { permissionsPerRoleMax, type Role } from '../../messages/db-to-rest.role.ts';
import { rolesPerUserMax, type User } from '../../messages/db-to-rest.user.ts';
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf, ReplyOf } from '../../messages/grammar/wire.ts';
import { restToDbRbac, type RbacChange } from '../../messages/rest-to-db.rbac.ts';
import type { Answered, Answering } from '../../shell/worker.ts';
import type { DbTx } from './db-tx.ts';
import { systemAdminFullName, systemAdminRole, systemAdminRoleId } from './default-roles.ts';
import { permissionRecord, roleRecord, userRecord, userRemoval } from './publication.ts';

type Body = BodyOf<typeof restToDbRbac>;
type Reply = ReplyOf<typeof restToDbRbac>;
type Change<Type extends RbacChange['type']> = Extract<RbacChange, { type: Type }>;

/** One change on its way. `messageId` is what ids of new things are derived from. */
type Context = { readonly tx: DbTx; readonly now: number; readonly messageId: string };
type Changed = { readonly type: 'done'; readonly value: Reply; readonly effects: readonly OutRecord[] } | Refusal;

const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });
const isRefused = (value: object): value is Refusal => 'code' in value;

const dayMs = 24 * 60 * 60_000;

// ── Users ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const userOf = async ({ tx }: Context, login: string): Promise<User | Refusal> =>
  (await tx.rbac.findUser(login.toLowerCase())) ?? refused('DB_USER_UNKNOWN', `User '${login}' does not exist.`);

const roleOf = async ({ tx }: Context, id: string): Promise<Role | Refusal> => (await tx.rbac.findRole(id)) ?? refused('DB_ROLE_UNKNOWN', `Role '${id}' does not exist.`);

const permissionOf = async ({ tx }: Context, id: string): Promise<Permission | Refusal> =>
  (await tx.rbac.findPermission(id)) ?? refused('DB_PERMISSION_UNKNOWN', `Permission '${id}' does not exist.`);

/** The bootstrap administrator, without whom a mistake could lock everybody out. */
const isProtected = async ({ tx }: Context, { login }: User): Promise<boolean> => (await tx.rbac.findBootstrapPassword(login)) !== undefined;

const saveUser = async ({ tx, now }: Context, user: User): Promise<Changed> => {
  const next: User = { ...user, version: user.version + 1, updatedAt: now };
  await tx.rbac.putUser(next);
  return { type: 'done', value: { user: next }, effects: [userRecord(next)] };
};

const createUser = async (context: Context, { type: _type, login, ...given }: Change<'create-user'>): Promise<Changed> => {
  const { tx, now, messageId } = context;
  const name = login.toLowerCase();
  if ((await tx.rbac.findUser(name)) !== undefined) return refused('DB_USER_EXISTS', `User '${name}' already exists.`);
  return saveUser(context, { ...given, id: deriveId('user', messageId), login: name, roles: [], version: 0, updatedAt: now });
};

/** Days that a password lasts, by who chose it: `corda.rbac`. */
const expiryDays = async ({ tx }: Context, by: 'self' | 'other'): Promise<number> => {
  const stored = await tx.config.find('corda.rbac');
  const read = readSection('corda.rbac', stored === undefined ? {} : JSON.parse(stored.source));
  // It was read when it was set.
  if (read.type === 'invalid') throw new Error(`the configuration of corda.rbac cannot be read: ${JSON.stringify(read.details)}`);
  const { password } = read.value;
  return by === 'self' ? password.userPasswordChangeExpiry : password.adminPasswordChangeExpiry;
};

const setPassword = async (context: Context, { login, password, by }: Change<'set-password'>): Promise<Changed> => {
  const user = await userOf(context, login);
  if (isRefused(user)) return user;
  return saveUser(context, { ...user, password, passwordExpiry: context.now + (await expiryDays(context, by)) * dayMs });
};

const updateUser = async (context: Context, { login, fullName, enabled, passwordExpiry }: Change<'update-user'>): Promise<Changed> => {
  const user = await userOf(context, login);
  if (isRefused(user)) return user;
  if (enabled === false && (await isProtected(context, user))) return refused('DB_USER_PROTECTED', `${user.fullName} cannot be disabled`);
  return saveUser(context, {
    ...user,
    fullName: fullName ?? user.fullName,
    enabled: enabled ?? user.enabled,
    passwordExpiry: passwordExpiry === undefined ? user.passwordExpiry : passwordExpiry,
  });
};

const deleteUser = async (context: Context, { login }: Change<'delete-user'>): Promise<Changed> => {
  const user = await userOf(context, login);
  if (isRefused(user)) return user;
  if (await isProtected(context, user)) return refused('DB_USER_PROTECTED', `${user.fullName} cannot be deleted`);
  await context.tx.rbac.removeUser(user.login);
  return { type: 'done', value: { user }, effects: [userRemoval(user)] };
};

const addRole = async (context: Context, { login, roleId }: Change<'add-role'>): Promise<Changed> => {
  const user = await userOf(context, login);
  if (isRefused(user)) return user;
  const role = await roleOf(context, roleId);
  if (isRefused(role)) return role;
  if (user.roles.some(({ id }) => id === role.id)) return refused('DB_ROLE_ASSIGNED', `Role '${role.id}' is already associated with User '${user.login}'.`);
  if (user.roles.length >= rolesPerUserMax) return refused('DB_RBAC_LIMIT', `a user has at most ${rolesPerUserMax} roles`);
  return saveUser(context, { ...user, roles: [...user.roles, { id: role.id, since: context.now }] });
};

const removeRole = async (context: Context, { login, roleId }: Change<'remove-role'>): Promise<Changed> => {
  const user = await userOf(context, login);
  if (isRefused(user)) return user;
  const role = await roleOf(context, roleId);
  if (isRefused(role)) return role;
  if (!user.roles.some(({ id }) => id === role.id)) return refused('DB_ROLE_NOT_ASSIGNED', `Role '${role.id}' is not associated with User '${user.login}'.`);
  if (role.id === systemAdminRoleId && (await isProtected(context, user))) return refused('DB_USER_PROTECTED', `${systemAdminRole} cannot be removed from ${systemAdminFullName}`);
  return saveUser(context, { ...user, roles: user.roles.filter(({ id }) => id !== role.id) });
};

// ── Roles and permissions ────────────────────────────────────────────────────────────────────────────────────────────

const saveRole = async ({ tx, now }: Context, role: Role): Promise<Extract<Changed, { type: 'done' }>> => {
  const next: Role = { ...role, version: role.version + 1, updatedAt: now };
  await tx.rbac.putRole(next);
  return { type: 'done', value: { role: next }, effects: [roleRecord(next)] };
};

const createRole = async (context: Context, { name, groupVisibility }: Change<'create-role'>): Promise<Changed> => {
  const { tx, now, messageId } = context;
  if ((await tx.rbac.findRoleByName(name, groupVisibility)) !== undefined) return refused('DB_ROLE_EXISTS', `Role '${name}' already exists.`);
  return saveRole(context, { id: deriveId('role', messageId), name, groupVisibility, permissions: [], version: 0, updatedAt: now });
};

/** A role that may be given so many permissions more. */
const roleToChange = async (context: Context, id: string, more: number): Promise<Role | Refusal> => {
  const role = await roleOf(context, id);
  if (isRefused(role)) return role;
  if (role.id === systemAdminRoleId) return refused('DB_ROLE_PROTECTED', `${systemAdminRole} cannot be changed`);
  return role.permissions.length + more > permissionsPerRoleMax ? refused('DB_RBAC_LIMIT', `a role has at most ${permissionsPerRoleMax} permissions`) : role;
};

const addPermission = async (context: Context, { roleId, permissionId }: Change<'add-permission'>): Promise<Changed> => {
  const role = await roleToChange(context, roleId, 1);
  if (isRefused(role)) return role;
  const permission = await permissionOf(context, permissionId);
  if (isRefused(permission)) return permission;
  if (role.permissions.some((one) => one.permission.id === permission.id)) {
    return refused('DB_PERMISSION_ASSIGNED', `Permission '${permission.id}' is already associated with Role '${role.id}'.`);
  }
  return saveRole(context, { ...role, permissions: [...role.permissions, { permission, since: context.now }] });
};

const removePermission = async (context: Context, { roleId, permissionId }: Change<'remove-permission'>): Promise<Changed> => {
  const role = await roleToChange(context, roleId, 0);
  if (isRefused(role)) return role;
  const permission = await permissionOf(context, permissionId);
  if (isRefused(permission)) return permission;
  const permissions = role.permissions.filter((one) => one.permission.id !== permission.id);
  if (permissions.length === role.permissions.length) return refused('DB_PERMISSION_NOT_ASSIGNED', `Permission '${permission.id}' is not associated with Role '${role.id}'.`);
  return saveRole(context, { ...role, permissions });
};

const createPermissions = async (context: Context, { permissions: drafts, roleIds }: Change<'create-permissions'>): Promise<Changed> => {
  const { tx, now, messageId } = context;
  const roles: Role[] = [];
  for (const id of new Set(roleIds)) {
    const role = await roleToChange(context, id, drafts.length);
    if (isRefused(role)) return role;
    roles.push(role);
  }
  const permissions = drafts.map((draft, i): Permission => ({ ...draft, id: deriveId('permission', messageId, String(i)), version: 1, updatedAt: now }));
  await tx.rbac.addPermissions(permissions);
  const added = permissions.map((permission) => ({ permission, since: now }));
  const effects = permissions.map(permissionRecord);
  for (const role of roles) effects.push(...(await saveRole(context, { ...role, permissions: [...role.permissions, ...added] })).effects);
  return { type: 'done', value: { permissions }, effects };
};

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const perform = (context: Context, change: RbacChange): Promise<Changed> => {
  switch (change.type) {
    case 'create-user':
      return createUser(context, change);
    case 'set-password':
      return setPassword(context, change);
    case 'update-user':
      return updateUser(context, change);
    case 'delete-user':
      return deleteUser(context, change);
    case 'add-role':
      return addRole(context, change);
    case 'remove-role':
      return removeRole(context, change);
    case 'create-role':
      return createRole(context, change);
    case 'add-permission':
      return addPermission(context, change);
    case 'remove-permission':
      return removePermission(context, change);
    case 'create-permissions':
      return createPermissions(context, change);
  }
};

/** Whom or what the change was to be done to, and what of it is worth telling. Never a password. */
const toldOf = (change: RbacChange): { readonly target: string; readonly details: string } => {
  switch (change.type) {
    case 'create-role':
      return { target: change.name, details: '' };
    case 'add-permission':
    case 'remove-permission':
      return { target: change.roleId, details: `permission ${change.permissionId}` };
    case 'create-permissions':
      return { target: change.roleIds.join(',').slice(0, 300), details: change.permissions.map(({ type, text, virtualNode }) => `${type} ${text}${virtualNode === null ? '' : ` at ${virtualNode}`}`).join('\n').slice(0, 5_000) };
    case 'add-role':
    case 'remove-role':
      return { target: change.login, details: `role ${change.roleId}` };
    case 'set-password':
      return { target: change.login, details: `by ${change.by}` };
    case 'create-user':
    case 'update-user':
      return { target: change.login, details: change.enabled === undefined ? '' : change.enabled ? 'enabled' : 'disabled' };
    case 'delete-user':
      return { target: change.login, details: '' };
  }
};

const answerOne = async (tx: DbTx, body: Body, messageId: string, now: number): Promise<Answered<Reply>> => {
  if (body.type === 'audit') return { outcome: { type: 'done', value: { entries: [...(await tx.audit.page(body))] } } };
  await tx.rbac.lock();
  const changed = await perform({ tx, now, messageId }, body.change);
  const isDone = changed.type === 'done';
  const { target, details } = toldOf(body.change);
  await tx.audit.add({ at: now, actor: body.actor, action: body.change.type, target, outcome: isDone ? 'done' : changed.code, details });
  return isDone ? { outcome: { type: 'done', value: changed.value }, effects: changed.effects } : { outcome: changed };
};

export const onRbac: Answering<Body, Reply, DbTx> = {
  wire: restToDbRbac,
  answer: async (requests, tx, now) => {
    const answered: Answered<Reply>[] = [];
    for (const { body, id } of requests) answered.push(await answerOne(tx, body, id, now));
    return answered;
  },
};
