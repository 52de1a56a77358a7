/** Users in PostgreSQL: `rbac.account`; see migrations/0004-rbac.sql. */
import type { User } from '../../../messages/db-to-rest.user.ts';
import type { UserRepository } from '../db-tx.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

type UserRow = { login: string; full_name: string; enabled: boolean; password: User['password'] };

const userOf = ({ login, full_name, enabled, password }: UserRow): User => ({ login, fullName: full_name, enabled, password });

export const createPostgresUsers = (sql: Sql): UserRepository => ({
  find: async (login) => {
    const rows = await sql<UserRow[]>`select login, full_name, enabled, password from rbac.account where login = ${login}`;
    return rows[0] === undefined ? undefined : userOf(rows[0]);
  },
  list: async () => {
    const rows = await sql<UserRow[]>`select login, full_name, enabled, password from rbac.account order by login`;
    return rows.map(userOf);
  },
  put: async ({ login, fullName, enabled, password }, now) => {
    await sql`
      insert into rbac.account (login, full_name, enabled, password, updated_at)
      values (${login}, ${fullName}, ${enabled}, ${JSON.stringify(password)}::text::json, ${new Date(now)})
      on conflict (login) do update set
        full_name = excluded.full_name, enabled = excluded.enabled, password = excluded.password, updated_at = excluded.updated_at`;
  },
});
