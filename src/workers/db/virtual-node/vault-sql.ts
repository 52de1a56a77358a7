/** The SQL that a database administrator runs by hand: what the platform would make for a virtual node, and what a vault lacks for another CPI. */
import type { Outcome } from '../../../messages/grammar/envelope.ts';
import type { PackageSchema } from '../../../packaging/schema.ts';
import type { AppliedMigration, CpkSchema, DbTx } from '../db-tx.ts';
import { entityIndexStatements } from '../postgres/app-migrations.ts';
import { writeStatement } from '../postgres/compile.ts';
import { boundedReply } from '../reply.ts';
import { ownTablesSql } from '../vaults/own-database.ts';
import { findCpi, findNode, isRefused, refused, schemasOf, type Reply, type Request } from './operation.ts';

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const rememberStatement = (cpkName: string, position: number, { name, digest }: PackageSchema['migrations'][number]): string =>
  `insert into cordage_migration (cpk_name, name, position, digest, applied_at) values (${quoted(cpkName)}, ${quoted(name)}, ${position}, ${quoted(digest)}, now());`;

/** The migrations of one code unit that are not applied, each followed by the row by which the vault knows it. */
const migrationLines = ({ cpkName, schema }: CpkSchema, applied: ReadonlyMap<string, string>): string[] | { readonly changed: string } => {
  const lines: string[] = [];
  for (const [position, migration] of schema.migrations.entries()) {
    const before = applied.get(JSON.stringify([cpkName, migration.name]));
    if (before === migration.digest) continue;
    if (before !== undefined) return { changed: migration.name };
    lines.push(`-- ${migration.name} of ${cpkName}`, ...migration.steps.map((step) => `${writeStatement(step)};`), rememberStatement(cpkName, position, migration));
  }
  return [...lines, ...entityIndexStatements(schema).map((text) => `${text};`)];
};

const writeMigrations = (schemas: readonly CpkSchema[], applied: readonly AppliedMigration[]): Outcome<string[]> => {
  const known = new Map(applied.map(({ cpkName, name, digest }) => [JSON.stringify([cpkName, name]), digest]));
  const lines: string[] = [];
  for (const schema of schemas) {
    const written = migrationLines(schema, known);
    if ('changed' in written) return refused('DB_UPGRADE_INVALID', `migration ${written.changed} of ${schema.cpkName} was applied in another form; leave it as it was and append another`);
    lines.push(...written);
  }
  return { type: 'done', value: lines };
};

const script = (title: string, lines: readonly string[]): string => [`-- Cordage: ${title}.`, ...lines, ''].join('\n');

/** The tables of a new schema, for the schema that is the current one where it is run. */
export const schemaSql = async (tx: DbTx, { body: { schema } }: Request<'sql'>): Promise<Outcome<Reply>> => {
  const tables = await tx.virtualNodes.tablesSql(schema);
  return boundedReply({ sql: script(`the tables of a virtual node's ${schema} schema${tables === '' ? '; there are none yet' : ''}`, tables === '' ? [] : [tables]) });
};

export const vaultSql = async (tx: DbTx, { body: { cpiFileChecksum, shortHash } }: Request<'vault-sql'>): Promise<Outcome<Reply>> => {
  const node = shortHash === undefined ? undefined : await findNode(tx, shortHash);
  if (node !== undefined && isRefused(node)) return node;
  const cpi = await findCpi(tx, cpiFileChecksum);
  if (isRefused(cpi)) return cpi;
  const written = writeMigrations(await schemasOf(tx, cpi.cpks.map(({ hash }) => hash)), shortHash === undefined ? [] : await tx.virtualNodes.migrations(shortHash));
  if (isRefused(written)) return written;
  const name = `${cpi.id.name} ${cpi.id.version}`;
  if (node !== undefined) return boundedReply({ sql: script(`what the vault of ${node.holdingIdentity.shortHash} lacks for ${name}${written.value.length === 0 ? '; nothing' : ''}`, written.value) });
  return boundedReply({ sql: script(`the tables of a vault for ${name}`, [await tx.virtualNodes.tablesSql('vault'), ownTablesSql, ...written.value]) });
};
