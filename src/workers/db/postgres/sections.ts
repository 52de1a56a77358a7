/** The configuration in PostgreSQL: `config.section`; see migrations/0008-administration.sql. */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { StoredSection } from '../../../messages/db-to-all.config.ts';
import type { ConfigRepository } from '../administration.ts';

type Row = { name: string; version: number; schema_major: number; schema_minor: number; source: string; updated_at: Date };

const sectionOf = ({ name, version, schema_major, schema_minor, source, updated_at }: Row): StoredSection => ({
  section: name,
  version,
  schemaVersion: { major: schema_major, minor: schema_minor },
  source,
  updatedAt: updated_at.getTime(),
});

export const createPostgresSections = (sql: Sql): ConfigRepository => {
  const find = async (section: string): Promise<StoredSection | undefined> => {
    const [row] = await sql<Row[]>`select * from config.section where name = ${section}`;
    return row === undefined ? undefined : sectionOf(row);
  };
  return {
    find,
    findToChange: async (section) => {
      // A section that is not there cannot be locked as a row.
      await sql`select pg_advisory_xact_lock(hashtextextended(${`config.section/${section}`}, 0))`;
      return find(section);
    },
    list: async () => (await sql<Row[]>`select * from config.section order by name`).map(sectionOf),
    put: async ({ section, version, schemaVersion: { major, minor }, source, updatedAt }) => {
      await sql`
        insert into config.section (name, version, schema_major, schema_minor, source, updated_at)
        values (${section}, ${version}, ${major}, ${minor}, ${source}, ${new Date(updatedAt)})
        on conflict (name) do update set
          version = excluded.version, schema_major = excluded.schema_major, schema_minor = excluded.schema_minor, source = excluded.source, updated_at = excluded.updated_at`;
    },
  };
};
