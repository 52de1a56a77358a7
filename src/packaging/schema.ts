/**
 * `schema.json` of a code unit: which entities it indexes, and the migrations that make its tables in a vault. The builder makes it
 * from what the application exports; a cluster reads it as a stranger's word.
 */
import * as z from 'zod';
import { canonicalJson } from '../cipher/canonical-json.ts';
import { toHex, utf8 } from '../cipher/bytes.ts';
import { sha256 } from '../cipher/digest.ts';
import { packageLimits } from './config.ts';
import { checkDefinition, checkQuery, type Catalog, type DefinitionStatement, type QueryStatement } from './schema/statement.ts';

export { checkQuery } from './schema/statement.ts';
export type { Catalog, Checked, DefinitionStatement, QueryStatement } from './schema/statement.ts';

export const schemaVersion = 1;

/** As the vault takes entity names (`flow-to-db.entity`); an index's field stands in the text of a statement. */
const entity = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_.]{0,99}$/),
  indexes: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, 'an indexed field is a top-level name of letters, digits and "_"')).max(packageLimits.entityIndexesMax),
});
const migration = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'a migration has a name such as 0001-accounts'),
  operations: z.array(z.unknown()).min(1).max(packageLimits.migrationStepsMax),
});
const document = z.strictObject({
  version: z.literal(schemaVersion),
  entities: z.array(entity).max(packageLimits.entitiesMax),
  migrations: z.array(migration).max(packageLimits.migrationsMax),
});

export type MigrationStep = QueryStatement | DefinitionStatement;

export type PackageMigration = {
  readonly name: string;
  /** SHA-256 of its operations in canonical JSON, lower-case hex: by it an applied migration is known again. */
  readonly digest: string;
  readonly steps: readonly MigrationStep[];
};

export type PackageSchema = {
  /** As it stands in the file. */
  readonly text: string;
  readonly entities: readonly z.infer<typeof entity>[];
  /** In the order in which they are applied. */
  readonly migrations: readonly PackageMigration[];
  /** The tables as they are after all of them. */
  readonly catalog: Catalog;
};

export type ParsedSchema = { readonly type: 'schema'; readonly schema: PackageSchema } | { readonly type: 'invalid'; readonly reason: string };

const invalid = (reason: string): Extract<ParsedSchema, { type: 'invalid' }> => ({ type: 'invalid', reason });

const definitions: ReadonlySet<unknown> = new Set(['CreateTableNode', 'AlterTableNode', 'CreateIndexNode']);

const isDefinition = (operation: unknown): boolean => typeof operation === 'object' && operation !== null && 'kind' in operation && definitions.has(operation.kind);

type Step = { readonly type: 'statement'; readonly statement: MigrationStep; readonly catalog: Catalog } | { readonly type: 'invalid'; readonly reason: string };

const readStep = (operation: unknown, catalog: Catalog): Step => {
  if (isDefinition(operation)) return checkDefinition(operation, catalog);
  const checked = checkQuery(operation, catalog);
  if (checked.type === 'invalid') return checked;
  if (checked.statement.kind === 'SelectQueryNode') return { type: 'invalid', reason: 'a migration changes something; a select does not' };
  return { ...checked, catalog };
};

const readMigrations = (written: readonly z.infer<typeof migration>[]): { readonly type: 'migrations'; readonly migrations: PackageMigration[]; readonly catalog: Catalog } | Extract<ParsedSchema, { type: 'invalid' }> => {
  let catalog: Catalog = new Map();
  const migrations: PackageMigration[] = [];
  for (const { name, operations } of written) {
    if (migrations.some((one) => one.name === name)) return invalid(`two migrations are called ${name}`);
    const steps: MigrationStep[] = [];
    for (const [at, operation] of operations.entries()) {
      const step = readStep(operation, catalog);
      if (step.type === 'invalid') return invalid(`migration ${name}, step ${at + 1}: ${step.reason}`);
      steps.push(step.statement);
      catalog = step.catalog;
    }
    migrations.push({ name, digest: toHex(sha256(utf8(canonicalJson(operations)))), steps });
  }
  return { type: 'migrations', migrations, catalog };
};

/** Reads the text of a `schema.json`, or says what is wrong with it. */
export const parseSchema = (text: string): ParsedSchema => {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return invalid('it is not JSON');
  }
  const parsed = document.safeParse(json);
  if (!parsed.success) return invalid(z.prettifyError(parsed.error).slice(0, 1_000));
  const { entities, migrations: written } = parsed.data;
  const twice = entities.find(({ name }, at) => entities.findIndex((one) => one.name === name) !== at);
  if (twice !== undefined) return invalid(`the entity ${twice.name} is declared twice`);
  const read = readMigrations(written);
  if (read.type === 'invalid') return read;
  return { type: 'schema', schema: { text, entities, migrations: read.migrations, catalog: read.catalog } };
};
