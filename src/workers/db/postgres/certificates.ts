/** Certificate chains in PostgreSQL: `config.certificate (usage, alias, pem)`; see migrations/0003-config.sql. */
import type { CertificateRepository } from '../db-tx.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

export const createPostgresCertificates = (sql: Sql): CertificateRepository => ({
  put: async ({ usage, alias, pem }, now) => {
    await sql`
      insert into config.certificate (usage, alias, pem, updated_at) values (${usage}, ${alias}, ${pem}, ${new Date(now)})
      on conflict (usage, alias) do update set pem = excluded.pem, updated_at = excluded.updated_at`;
  },
  find: async (usage, alias) => {
    const rows = await sql<{ pem: string }[]>`select pem from config.certificate where usage = ${usage} and alias = ${alias}`;
    return rows[0]?.pem;
  },
  list: async (usage) => sql<{ alias: string; pem: string }[]>`select alias, pem from config.certificate where usage = ${usage} order by alias`,
});
