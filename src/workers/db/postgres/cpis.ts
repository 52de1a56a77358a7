/** CPIs and their CPKs in PostgreSQL: `config.cpi`, `config.cpk`, `config.cpi_cpk`; see migrations/0003-config.sql. */
import type { CpiMetadata } from '../../../messages/db-to-all.cpi.ts';
import type { CpiId, CpiRepository, CpkCode, CpkContent } from '../db-tx.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

type CpkMetadata = CpiMetadata['cpks'][number];

type CpiRow = {
  name: string;
  version: string;
  signer_summary_hash: string;
  full_checksum: string;
  group_id: string;
  group_policy: string;
  stored_at: Date;
  cpks: (Omit<CpkMetadata, 'timestamp'> & { timestamp: string })[];
};

const cpiOf = (row: CpiRow): CpiMetadata => ({
  id: { name: row.name, version: row.version, signerSummaryHash: row.signer_summary_hash },
  fullChecksum: row.full_checksum,
  groupId: row.group_id,
  groupPolicy: row.group_policy,
  cpks: row.cpks.map((cpk) => ({ ...cpk, timestamp: Date.parse(cpk.timestamp) })),
  timestamp: row.stored_at.getTime(),
});

const selectCpis = (sql: Sql) => sql`
  select cpi.*, coalesce((
    select json_agg(json_build_object('hash', cpk.hash,
      'id', json_build_object('name', cpk.name, 'version', cpk.version, 'signerSummaryHash', cpk.signer_summary_hash),
      'flows', cpk.flows, 'timestamp', cpk.stored_at) order by part.position)
    from config.cpi_cpk as part join config.cpk on cpk.hash = part.cpk_hash
    where part.cpi_name = cpi.name and part.cpi_version = cpi.version and part.cpi_signer_summary_hash = cpi.signer_summary_hash
  ), '[]') as cpks
  from config.cpi`;

const putCpk = async (sql: Sql, { hash, id, flows, timestamp }: CpkMetadata, content: readonly CpkContent[]): Promise<void> => {
  const bundle = content.find((one) => one.hash === hash);
  if (bundle === undefined) throw new Error(`the code of CPK ${hash} was not handed in`);
  await sql`
    insert into config.cpk (hash, name, version, signer_summary_hash, flows, code, source_map, schema, stored_at)
    values (${hash}, ${id.name}, ${id.version}, ${id.signerSummaryHash}, ${JSON.stringify(flows)}::text::json, ${bundle.code}, ${bundle.sourceMap}, ${bundle.schema}::text::json, ${new Date(timestamp)})
    on conflict (hash) do nothing`;
};

const putCpi = async (sql: Sql, { id, fullChecksum, groupId, groupPolicy, cpks, timestamp }: CpiMetadata): Promise<void> => {
  const { name, version, signerSummaryHash } = id;
  await sql`
    insert into config.cpi (name, version, signer_summary_hash, full_checksum, group_id, group_policy, stored_at)
    values (${name}, ${version}, ${signerSummaryHash}, ${fullChecksum}, ${groupId}, ${groupPolicy}, ${new Date(timestamp)})
    on conflict (name, version, signer_summary_hash) do update set
      full_checksum = excluded.full_checksum, group_id = excluded.group_id, group_policy = excluded.group_policy, stored_at = excluded.stored_at`;
  await sql`delete from config.cpi_cpk where cpi_name = ${name} and cpi_version = ${version} and cpi_signer_summary_hash = ${signerSummaryHash}`;
  await sql`
    insert into config.cpi_cpk (cpi_name, cpi_version, cpi_signer_summary_hash, position, cpk_hash)
    select ${name}, ${version}, ${signerSummaryHash}, position, hash
    from unnest(${cpks.map(({ hash }) => hash)}::text[]) with ordinality as part (hash, position)`;
};

export const createPostgresCpis = (sql: Sql): CpiRepository => ({
  lock: async () => {
    await sql`lock table config.cpi in share row exclusive mode`;
  },
  findById: async ({ name, version, signerSummaryHash }: CpiId) => {
    const rows = await sql<CpiRow[]>`
      ${selectCpis(sql)} where name = ${name} and version = ${version} and signer_summary_hash = ${signerSummaryHash}`;
    return rows[0] === undefined ? undefined : cpiOf(rows[0]);
  },
  findByChecksum: async (prefix) => {
    const rows = await sql<CpiRow[]>`${selectCpis(sql)} where full_checksum like ${`${prefix.replace(/[%_\\]/g, '\\$&')}%`}`;
    return rows.map(cpiOf);
  },
  list: async () => {
    const rows = await sql<CpiRow[]>`${selectCpis(sql)} order by stored_at desc, full_checksum`;
    return rows.map(cpiOf);
  },
  put: async (cpi, content) => {
    for (const cpk of cpi.cpks) await putCpk(sql, cpk, content);
    await putCpi(sql, cpi);
  },
  findCode: async (hashes) => sql<CpkCode[]>`select hash, code, source_map as "sourceMap" from config.cpk where hash = any(${[...hashes]}::text[])`,
  findSchemas: async (hashes) => sql<{ hash: string; cpkName: string; text: string }[]>`
    select hash, name as "cpkName", schema::text as text from config.cpk where schema is not null and hash = any(${[...hashes]}::text[])`,
});
