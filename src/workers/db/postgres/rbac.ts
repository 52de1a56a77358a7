/** Users, roles and permissions in PostgreSQL; see migrations/0004-rbac.sql. There are few of them, and they seldom change. */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { Permission } from '../../../messages/db-to-rest.permission.ts';
import type { Role } from '../../../messages/db-to-rest.role.ts';
import type { PasswordRecord, User } from '../../../messages/db-to-rest.user.ts';
import type { RbacRepository } from '../administration.ts';

type UserRow = {
  id: string;
  login: string;
  full_name: string;
  enabled: boolean;
  password: PasswordRecord | null;
  password_expiry: Date | null;
  parent_group: string | null;
  version: number;
  updated_at: Date;
  roles: { id: string; since: number }[];
};

const userOf = (row: UserRow): User => ({
  id: row.id,
  login: row.login,
  fullName: row.full_name,
  enabled: row.enabled,
  password: row.password,
  passwordExpiry: row.password_expiry?.getTime() ?? null,
  parentGroup: row.parent_group,
  roles: row.roles,
  version: row.version,
  updatedAt: row.updated_at.getTime(),
});

type PermissionRow = { id: string; type: Permission['type']; text: string; virtual_node: string | null; group_visibility: string | null; version: number; updated_at: Date };

const permissionOf = ({ id, type, text, virtual_node, group_visibility, version, updated_at }: PermissionRow): Permission => ({
  id,
  type,
  text,
  virtualNode: virtual_node,
  groupVisibility: group_visibility,
  version,
  updatedAt: updated_at.getTime(),
});

type RoleRow = { id: string; name: string; group_visibility: string | null; version: number; updated_at: Date };
type AssociationRow = PermissionRow & { role_id: string; since: Date };

const dateOf = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

/** PostgreSQL refuses what is no UUID; nothing has such an id. */
const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

const createUsers = (sql: Sql): Pick<RbacRepository, 'findUser' | 'listUsers' | 'putUser' | 'removeUser'> => {
  const read = async (login: string | undefined): Promise<User[]> => {
    const rows = await sql<UserRow[]>`
      select account.*, coalesce((
        select json_agg(json_build_object('id', role_id, 'since', floor(extract(epoch from since) * 1000)) order by since, role_id)
        from rbac.account_role where account_id = account.id
      ), '[]') as roles
      from rbac.account ${login === undefined ? sql`` : sql`where login = ${login}`} order by login`;
    return rows.map(userOf);
  };
  return {
    findUser: async (login) => (await read(login))[0],
    listUsers: () => read(undefined),
    putUser: async ({ id, login, fullName, enabled, password, passwordExpiry, parentGroup, roles, version, updatedAt }) => {
      await sql`
        insert into rbac.account (id, login, full_name, enabled, password, password_expiry, parent_group, version, updated_at)
        values (${id}, ${login}, ${fullName}, ${enabled}, ${password === null ? null : JSON.stringify(password)}::text::json, ${dateOf(passwordExpiry)}, ${parentGroup}, ${version}, ${new Date(updatedAt)})
        on conflict (login) do update set
          full_name = excluded.full_name, enabled = excluded.enabled, password = excluded.password, password_expiry = excluded.password_expiry,
          parent_group = excluded.parent_group, version = excluded.version, updated_at = excluded.updated_at`;
      await sql`delete from rbac.account_role where account_id = ${id} and role_id <> all(${roles.map((role) => role.id)}::uuid[])`;
      for (const role of roles) {
        await sql`insert into rbac.account_role (account_id, role_id, since) values (${id}, ${role.id}, ${new Date(role.since)}) on conflict do nothing`;
      }
    },
    removeUser: async (login) => {
      await sql`delete from rbac.account where login = ${login}`;
    },
  };
};

const createRoles = (sql: Sql): Pick<RbacRepository, 'findRole' | 'findRoleByName' | 'listRoles' | 'putRole'> => {
  const complete = async (rows: readonly RoleRow[]): Promise<Role[]> => {
    const associations = await sql<AssociationRow[]>`
      select role_id, since, permission.* from rbac.role_permission join rbac.permission on permission.id = permission_id
      where role_id = any(${rows.map(({ id }) => id)}::uuid[]) order by since, permission_id`;
    const ofRole = Map.groupBy(associations, ({ role_id }) => role_id);
    return rows.map(({ id, name, group_visibility, version, updated_at }) => ({
      id,
      name,
      groupVisibility: group_visibility,
      permissions: (ofRole.get(id) ?? []).map((row) => ({ permission: permissionOf(row), since: row.since.getTime() })),
      version,
      updatedAt: updated_at.getTime(),
    }));
  };
  return {
    findRole: async (id) => (isUuid(id) ? (await complete(await sql<RoleRow[]>`select * from rbac.role where id = ${id}`))[0] : undefined),
    findRoleByName: async (name, groupVisibility) =>
      (await complete(await sql<RoleRow[]>`select * from rbac.role where name = ${name} and group_visibility is not distinct from ${groupVisibility}::uuid`))[0],
    listRoles: async () => complete(await sql<RoleRow[]>`select * from rbac.role order by id`),
    putRole: async ({ id, name, groupVisibility, permissions, version, updatedAt }) => {
      await sql`
        insert into rbac.role (id, name, group_visibility, version, updated_at) values (${id}, ${name}, ${groupVisibility}, ${version}, ${new Date(updatedAt)})
        on conflict (id) do update set version = excluded.version, updated_at = excluded.updated_at`;
      await sql`delete from rbac.role_permission where role_id = ${id} and permission_id <> all(${permissions.map(({ permission }) => permission.id)}::uuid[])`;
      for (const { permission, since } of permissions) {
        await sql`insert into rbac.role_permission (role_id, permission_id, since) values (${id}, ${permission.id}, ${new Date(since)}) on conflict do nothing`;
      }
    },
  };
};

export const createPostgresRbac = (sql: Sql): RbacRepository => ({
  lock: async () => {
    await sql`select pg_advisory_xact_lock(hashtextextended('rbac', 0))`;
  },
  ...createUsers(sql),
  ...createRoles(sql),
  findPermission: async (id) => {
    if (!isUuid(id)) return undefined;
    const [row] = await sql<PermissionRow[]>`select * from rbac.permission where id = ${id}`;
    return row === undefined ? undefined : permissionOf(row);
  },
  listPermissions: async () => (await sql<PermissionRow[]>`select * from rbac.permission order by id`).map(permissionOf),
  addPermissions: async (permissions) => {
    for (const { id, type, text, virtualNode, groupVisibility, version, updatedAt } of permissions) {
      await sql`
        insert into rbac.permission (id, type, text, virtual_node, group_visibility, version, updated_at)
        values (${id}, ${type}, ${text}, ${virtualNode}, ${groupVisibility}, ${version}, ${new Date(updatedAt)})`;
    }
  },
  findBootstrapPassword: async (login) => {
    const [row] = await sql<{ password: PasswordRecord }[]>`select password from rbac.bootstrap_password where login = ${login}`;
    return row?.password;
  },
  putBootstrapPassword: async (login, password) => {
    await sql`
      insert into rbac.bootstrap_password (login, password) values (${login}, ${JSON.stringify(password)}::text::json)
      on conflict (login) do update set password = excluded.password`;
  },
});
