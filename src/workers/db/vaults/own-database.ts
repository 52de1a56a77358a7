/**
 * The schema of a vault in a database of its own, made and looked at. Beside the tables of any vault (`entity`, `cordage_migration`) it has
 *
 *     cordage_answer (request_id, outcome, effects, created_at)     what requests were answered, in the transaction of what they did
 *     cordage_vault (singleton, short_hash)                              whose vault it is: one row
 *
 * - **V1** the schema belongs to one virtual node alone: it is made where no tables are, and taken again only by the same;
 * - **V2** one transaction brings it to what the code wants, and what fails leaves it as it was;
 * - **V3** it outlives the virtual node: only its administrator drops it.
 */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { CpkSchema, AppliedMigration } from '../db-tx.ts';
import { firstMissing } from '../cpk-schemas.ts';
import { migrationMsMax } from '../config.ts';
import { applyInside, clearInside } from '../postgres/app-migrations.ts';
import { limitTime } from '../postgres/vault.ts';
import { VaultFault } from './vault-fault.ts';

export const ownTablesSql = `create table cordage_answer (
  request_id text collate "C" primary key,
  outcome text not null,
  effects text,
  digest text collate "C",
  created_at timestamptz not null default now()
);
alter table cordage_answer alter outcome set storage external, alter effects set storage external;
create index cordage_answer_oldest on cordage_answer (created_at);
create table cordage_vault (
  singleton boolean primary key default true check (singleton),
  short_hash text not null
);`;

export const answerTable = 'cordage_answer';
export const ownTables = [answerTable, 'cordage_vault'];
const platformTables = ['entity', 'cordage_migration', ...ownTables];

/** What a schema is made to be. */
export type Wanted = {
  readonly shortHash: string;
  readonly schema: string;
  /** Statements that make the tables of any vault. */
  readonly tablesSql: string;
  readonly schemas: readonly CpkSchema[];
  readonly now: number;
};

const unfit = (reason: string): VaultFault => new VaultFault('DB_VAULT_UNFIT', reason);

const enter = async (sql: Sql, schema: string): Promise<void> => {
  await sql`select set_config('search_path', ${schema}, true)`;
  await limitTime(sql, migrationMsMax);
};

/** As the administrator of the schema: whoever else makes it waits. */
const enterAlone = async (sql: Sql, schema: string): Promise<void> => {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`cordage vault ${schema}`}, 0))`;
  await enter(sql, schema);
};

const claim = async (sql: Sql, { shortHash, schema }: Wanted): Promise<void> => {
  await sql`insert into cordage_vault (short_hash) values (${shortHash}) on conflict do nothing`;
  const [row] = await sql<{ short_hash: string }[]>`select short_hash from cordage_vault`;
  if (row?.short_hash !== shortHash) throw unfit(`the schema ${schema} is the vault of virtual node ${row?.short_hash ?? 'nobody'}; name another by currentSchema, or drop it`);
};

// ── With the connection that may change tables ───────────────────────────────────────────────────────────────────────

const makeTables = async (sql: Sql, { schema, tablesSql }: Wanted): Promise<void> => {
  const [there] = await sql<{ schema: boolean }[]>`select to_regnamespace(${schema}) is not null as schema`;
  if (there?.schema !== true) await sql.unsafe(`create schema ${schema}`);
  const tables = await sql<{ name: string }[]>`select tablename as name from pg_catalog.pg_tables where schemaname = ${schema}`;
  if (tables.some(({ name }) => name === 'cordage_vault')) return;
  if (tables[0] !== undefined) throw unfit(`the schema ${schema} holds tables already (${tables[0].name}), and a vault has its schema to itself; name an empty one by currentSchema`);
  await sql.unsafe(tablesSql);
};

/** The login that reads and writes may do that, and nothing to what migrations were applied. */
const grant = async (sql: Sql, schema: string, login: string): Promise<void> => {
  const [row] = await sql<{ same: boolean; quoted: string }[]>`select current_user = ${login} as same, quote_ident(${login}) as quoted`;
  if (row!.same) return;
  const tables = await sql<{ name: string }[]>`
    select quote_ident(tablename) as name from pg_catalog.pg_tables where schemaname = ${schema} and tableowner = current_user and tablename <> 'cordage_migration'`;
  await sql.unsafe(`grant usage on schema ${schema} to ${row!.quoted}`);
  if (tables.length > 0) await sql.unsafe(`grant select, insert, update, delete on ${tables.map(({ name }) => name).join(', ')} to ${row!.quoted}`);
  await sql.unsafe(`grant select on cordage_migration to ${row!.quoted}`);
};

/** Makes what is not there, and applies what was not applied. */
export const bringUpToDate = async (sql: Sql, wanted: Wanted, login: string): Promise<void> => {
  await enterAlone(sql, wanted.schema);
  await makeTables(sql, wanted);
  await claim(sql, wanted);
  await applyInside(sql, wanted.schemas, wanted.now);
  await grant(sql, wanted.schema, login);
};

/** What migrations made goes and is made anew, empty. */
export const makeAnew = async (sql: Sql, wanted: Wanted, login: string): Promise<void> => {
  await enterAlone(sql, wanted.schema);
  await claim(sql, wanted);
  await clearInside(sql, wanted.schema, platformTables);
  await applyInside(sql, wanted.schemas, wanted.now);
  await grant(sql, wanted.schema, login);
};

// ── With the connection that reads and writes ────────────────────────────────────────────────────────────────────────

const remedy = 'an administrator makes its tables by the SQL of GET /virtualnode/create/db/vault/{cpi}, or give a vaultDdlConnection';

const checkRights = async (sql: Sql, schema: string): Promise<void> => {
  const rows = await sql<{ name: string; may: boolean | null }[]>`
    select name, case when to_regclass(name) is not null then
      has_table_privilege(name, 'select') and (name = 'cordage_migration' or
        has_table_privilege(name, 'insert') and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete')) end as may
    from unnest(${platformTables}::text[]) as wanted (name)`;
  const missing = rows.find(({ may }) => may === null);
  if (missing !== undefined) throw new VaultFault('DB_VAULT_OUT_OF_STEP', `the schema ${schema} has no table ${missing.name}, or its login may not see it; ${remedy}`);
  const closed = rows.find(({ may }) => may === false);
  if (closed !== undefined) throw unfit(`the login of vaultDmlConnection may not read and write ${schema}.${closed.name}; grant it select, insert, update and delete on the tables of the schema`);
};

export const readApplied = async (sql: Sql, schema: string): Promise<readonly AppliedMigration[]> => {
  await enter(sql, schema);
  return [...(await sql<AppliedMigration[]>`select cpk_name as "cpkName", name, digest from cordage_migration order by cpk_name, position`)];
};

/** Whether requests can be answered there. `isNew` forgets what an earlier virtual node of this identity was answered. */
export const checkSchema = async (sql: Sql, wanted: Wanted, isNew: boolean): Promise<void> => {
  await enter(sql, wanted.schema);
  await checkRights(sql, wanted.schema);
  await claim(sql, wanted);
  const missing = firstMissing(wanted.schemas, await readApplied(sql, wanted.schema));
  if (missing !== undefined) throw new VaultFault('DB_VAULT_OUT_OF_STEP', `the vault of ${wanted.shortHash} lacks migration ${missing}; an administrator applies what GET /virtualnode/${wanted.shortHash}/db/vault/{cpi} or, for a new one, GET /virtualnode/create/db/vault/{cpi} says`);
  if (isNew) await sql`delete from cordage_answer`;
};
