/** Schemas of CPKs, read from the database and kept parsed: they are content addressed, so what was read once stays true. */
import { createBoundedCache } from '../../cipher/bounded-cache.ts';
import { parseSchema } from '../../packaging/schema.ts';
import { schemasCachedMax } from './config.ts';
import type { AppliedMigration, CpiRepository, CpkSchema } from './db-tx.ts';

const cache = createBoundedCache<CpkSchema>(schemasCachedMax);

const parse = ({ hash, cpkName, text }: { readonly hash: string; readonly cpkName: string; readonly text: string }): CpkSchema => {
  const parsed = parseSchema(text);
  // It was parsed before it was stored.
  if (parsed.type === 'invalid') throw new Error(`the stored schema of CPK ${hash} cannot be read: ${parsed.reason}`);
  const schema = { cpkName, schema: parsed.schema };
  cache.set(hash, schema);
  return schema;
};

/** What reads the texts. */
type Source = { readonly cpis: Pick<CpiRepository, 'findSchemas'> };

/** By CPK hash; a CPK without a schema is left out. */
export const findSchemas = async (tx: Source, hashes: readonly string[]): Promise<ReadonlyMap<string, CpkSchema>> => {
  const known = new Map(hashes.flatMap((hash) => {
    const schema = cache.get(hash);
    return schema === undefined ? [] : [[hash, schema] as const];
  }));
  const missing = hashes.filter((hash) => !known.has(hash));
  const read = missing.length === 0 ? [] : await tx.cpis.findSchemas(missing);
  for (const row of read) known.set(row.hash, parse(row));
  return known;
};

/** The first migration that the code units want and the vault has not, or has otherwise. */
export const firstMissing = (schemas: readonly CpkSchema[], applied: readonly AppliedMigration[]): string | undefined => {
  const has = new Set(applied.map(({ cpkName, name, digest }) => JSON.stringify([cpkName, name, digest])));
  for (const { cpkName, schema } of schemas) {
    const missing = schema.migrations.find(({ name, digest }) => !has.has(JSON.stringify([cpkName, name, digest])));
    if (missing !== undefined) return `${missing.name} of ${cpkName}`;
  }
  return undefined;
};
