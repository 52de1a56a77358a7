/**
 * The tables of a virtual node's schemas as SQL for a database administrator. They are made under a name that no virtual node has, read
 * from the catalogue, and rolled back: so the text says what the platform does, whatever its migrations come to be.
 */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

/** Twelve hex digits, as a short hash has; that a holding identity hashes to zeros is as likely as any collision of theirs. */
const templateHash = '000000000000';
const prefixes = { vault: 'vnode_vault_', crypto: 'vnode_crypto_', uniqueness: 'vnode_uniq_' } as const;

const tableText = `
  select format(E'create table %I (\\n  %s\\n);', class.relname, string_agg(line.text, E',\\n  ' order by line.place)) as text
  from pg_catalog.pg_class as class
  cross join lateral (
    select attribute.attnum::integer as place,
      format('%I %s', attribute.attname, pg_catalog.format_type(attribute.atttypid, attribute.atttypmod))
      || case when attribute.attcollation <> type.typcollation then format(' collate %I', found.collname) else '' end
      || case when attribute.attnotnull then ' not null' else '' end
      || coalesce(' default ' || pg_catalog.pg_get_expr(value.adbin, value.adrelid), '') as text
    from pg_catalog.pg_attribute as attribute
    join pg_catalog.pg_type as type on type.oid = attribute.atttypid
    left join pg_catalog.pg_collation as found on found.oid = attribute.attcollation
    left join pg_catalog.pg_attrdef as value on value.adrelid = attribute.attrelid and value.adnum = attribute.attnum
    where attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
    union all
    select 10000 + row_number() over (order by conname)::integer, format('constraint %I %s', conname, pg_catalog.pg_get_constraintdef(oid))
    from pg_catalog.pg_constraint where conrelid = class.oid and contype in ('p', 'u', 'c')
  ) as line
  where class.relnamespace = $1::regnamespace and class.relkind = 'r'
  group by class.oid, class.relname order by class.relname`;

/** Keys to other tables come when all tables are there. */
const keyText = `
  select format('alter table %I add constraint %I %s;', class.relname, key.conname, pg_catalog.pg_get_constraintdef(key.oid)) as text
  from pg_catalog.pg_constraint as key join pg_catalog.pg_class as class on class.oid = key.conrelid
  where class.relnamespace = $1::regnamespace and key.contype = 'f' order by class.relname, key.conname`;

const indexText = `
  select pg_catalog.pg_get_indexdef(index.indexrelid) || ';' as text
  from pg_catalog.pg_index as index join pg_catalog.pg_class as class on class.oid = index.indrelid
  where class.relnamespace = $1::regnamespace
    and not exists (select from pg_catalog.pg_constraint where conindid = index.indexrelid)
  order by index.indexrelid::regclass::text`;

const readSchema = async (sql: Sql, schema: string): Promise<string> => {
  // With the schema on the path, names come without it; those of indexes' tables come with it all the same.
  await sql`select set_config('search_path', ${schema}, true)`;
  const lines: string[] = [];
  for (const text of [tableText, keyText, indexText]) lines.push(...(await sql.unsafe<{ text: string }[]>(text, [schema])).map((row) => row.text));
  await sql`set local search_path to default`;
  return lines.map((line) => line.replaceAll(`${schema}.`, '')).join('\n');
};

export const tablesSql = async (sql: Sql, schema: keyof typeof prefixes): Promise<string> => {
  await sql`savepoint template`;
  try {
    if (schema === 'crypto') await sql`select crypto.create_tenant(${templateHash})`;
    else {
      await sql`select config.create_virtual_node_schemas(${templateHash})`;
      await sql`select config.open_app_migrations(${templateHash})`;
    }
    return await readSchema(sql, `${prefixes[schema]}${templateHash}`);
  } finally {
    await sql`rollback to savepoint template`;
  }
};
