/** Who changed what, in PostgreSQL: `rbac.audit`; see migrations/0008-administration.sql. */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { AuditEntry, AuditRepository } from '../administration.ts';

type Row = Omit<AuditEntry, 'at'> & { id: string; at: Date };

export const createPostgresAudit = (sql: Sql): AuditRepository => ({
  add: async ({ at, actor, action, target, outcome, details }) => {
    await sql`insert into rbac.audit (at, actor, action, target, outcome, details) values (${new Date(at)}, ${actor}, ${action}, ${target}, ${outcome}, ${details})`;
  },
  page: async ({ before, actor, target, countMax }) => {
    const rows = await sql<Row[]>`
      select id, at, actor, action, target, outcome, details from rbac.audit
      where true
        ${before === undefined ? sql`` : sql`and id < ${before}`}
        ${actor === undefined ? sql`` : sql`and actor = ${actor}`}
        ${target === undefined ? sql`` : sql`and target = ${target}`}
      order by id desc limit ${countMax}`;
    return rows.map((row) => ({ ...row, id: Number(row.id), at: row.at.getTime() }));
  },
});
