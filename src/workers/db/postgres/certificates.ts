/** Certificate chains in PostgreSQL: `config.certificate (usage, holder, alias, pem)`; see migrations/0003-config.sql and 0012-certificates.sql. */
import type { CertificateHolder, CertificateUsage } from '../../../messages/rest-to-db.certificate.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { CertificateRepository } from '../db-tx.ts';

const cluster = 'cluster';

export const createPostgresCertificates = (sql: Sql): CertificateRepository => ({
  put: async ({ usage, holder = cluster, alias, pem }, now) => {
    await sql`
      insert into config.certificate (usage, holder, alias, pem, updated_at) values (${usage}, ${holder}, ${alias}, ${pem}, ${new Date(now)})
      on conflict (usage, holder, alias) do update set pem = excluded.pem, updated_at = excluded.updated_at`;
  },
  find: async ({ usage, holder = cluster, alias }) => {
    const rows = await sql<{ pem: string }[]>`select pem from config.certificate where usage = ${usage} and holder = ${holder} and alias = ${alias}`;
    return rows[0]?.pem;
  },
  list: async ({ usage, holder = cluster }) =>
    sql<{ alias: string; pem: string }[]>`select alias, pem from config.certificate where usage = ${usage} and holder = ${holder} order by alias`,
  listOfAll: async (usage) =>
    sql<{ holder: CertificateHolder; alias: string; pem: string }[]>`select holder, alias, pem from config.certificate where usage = ${usage} order by holder, alias`,
  removeOf: async (shortHash) =>
    sql<{ usage: CertificateUsage; alias: string }[]>`delete from config.certificate where holder = ${shortHash} returning usage, alias`,
});
