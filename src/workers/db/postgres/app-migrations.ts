/**
 * Migrations of applications in a vault: `cordage_migration (cpk_name, name, position, digest, applied_at)`, which only the platform
 * reads and writes; see migrations/0007-app-migrations.sql. And the indexes of entities that a code unit declares.
 *
 * - **G1** a migration is applied once in a vault, whole or not at all, after those before it in its list;
 * - **G2** one that was applied and has another digest now refuses the whole;
 * - **G3** two that apply to one vault at once wait for each other, and the second finds the work done.
 */
import { sha256 } from '../../../cipher/digest.ts';
import { toHex, utf8 } from '../../../cipher/bytes.ts';
import type { PackageMigration, PackageSchema } from '../../../packaging/schema.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { migrationMsMax } from '../config.ts';
import type { CpkSchema } from '../db-tx.ts';
import { compile, typedParameters } from './compile.ts';
import { enterVault, leaveVaults, liftTimeLimit, limitTime } from './vault.ts';

/** Why a vault cannot be as the code unit wants it. */
export class MigrationRefused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'MigrationRefused';
  }
}

type Applied = { readonly name: string; readonly digest: string };

const applyOne = async (sql: Sql, cpkName: string, { name, steps }: PackageMigration): Promise<void> => {
  for (const [at, step] of steps.entries()) {
    try {
      const { text, parameters } = compile(step);
      await sql.unsafe(text, typedParameters(sql, parameters));
    } catch (cause) {
      // What went wrong keeps its code, so that the caller can tell a lost connection from a wrong step.
      if (cause instanceof Error) cause.message = `migration ${name} of ${cpkName}, step ${at + 1}: ${cause.message}`;
      throw cause;
    }
  }
};

/** Fields and names are letters, digits, `_` and `.` (schema.ts), so they may stand in a statement. */
const entityIndexText = (entity: string, field: string): string => {
  const name = `entity_${toHex(sha256(utf8(`${entity}/${field}`))).slice(0, 24)}`;
  return `create index if not exists ${name} on entity ((value::jsonb -> '${field}'), id) where entity = '${entity}'`;
};

export const entityIndexStatements = ({ entities }: PackageSchema): string[] =>
  entities.flatMap(({ name, indexes }) => indexes.map((field) => entityIndexText(name, field)));

const applySchema = async (sql: Sql, { cpkName, schema }: CpkSchema, now: number): Promise<void> => {
  const applied = new Map((await sql<Applied[]>`select name, digest from cordage_migration where cpk_name = ${cpkName}`).map(({ name, digest }) => [name, digest]));
  for (const [position, migration] of schema.migrations.entries()) {
    const { name, digest } = migration;
    const before = applied.get(name);
    if (before === digest) continue;
    if (before !== undefined) {
      throw new MigrationRefused(`migration ${name} of ${cpkName} was applied as ${before} and is ${digest} now; leave it as it was and append another`);
    }
    await applyOne(sql, cpkName, migration);
    await sql`insert into cordage_migration (cpk_name, name, position, digest, applied_at) values (${cpkName}, ${name}, ${position}, ${digest}, ${new Date(now)})`;
  }
  for (const statement of entityIndexStatements(schema)) await sql.unsafe(statement);
};

/** In the vault that was entered as the owner of its tables. */
export const applyInside = async (sql: Sql, schemas: readonly CpkSchema[], now: number): Promise<void> => {
  for (const schema of schemas) await applySchema(sql, schema, now);
};

/** What else is in such a vault than the platform's tables came from migrations, or was declared by a code unit (indexes of entities). */
export const clearInside = async (sql: Sql, schema: string, platformTables: readonly string[]): Promise<void> => {
  const tables = await sql<{ name: string }[]>`
    select quote_ident(tablename) as name from pg_catalog.pg_tables where schemaname = ${schema} and tableowner = current_user and tablename <> all(${[...platformTables]}::text[])`;
  const indexes = await sql<{ name: string }[]>`
    select quote_ident(indexname) as name from pg_catalog.pg_indexes
    where schemaname = ${schema} and tablename = 'entity' and indexname not in ('entity_pkey', 'entity_fields')`;
  if (tables.length > 0) await sql.unsafe(`drop table ${tables.map(({ name }) => name).join(', ')} cascade`);
  if (indexes.length > 0) await sql.unsafe(`drop index ${indexes.map(({ name }) => name).join(', ')}`);
  await sql`delete from cordage_migration`;
};

/** Brings one vault up to date; throws what refuses it, and then the caller rolls back. */
export const applySchemas = async (sql: Sql, shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<void> => {
  if (schemas.length === 0) return;
  await sql`select config.open_app_migrations(${shortHash})`;
  await enterVault(sql, shortHash, 'ddl');
  await limitTime(sql, migrationMsMax);
  await applyInside(sql, schemas, now);
  await liftTimeLimit(sql);
  await leaveVaults(sql);
};
