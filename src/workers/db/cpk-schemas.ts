/** Schemas of CPKs, read from the database and kept parsed: they are content addressed, so what was read once stays true. */
import { createBoundedCache } from '../../cipher/bounded-cache.ts';
import { parseSchema } from '../../packaging/schema.ts';
import { schemasCachedMax } from './config.ts';
import type { CpkSchema, DbTx } from './db-tx.ts';

const cache = createBoundedCache<CpkSchema>(schemasCachedMax);

const parse = ({ hash, cpkName, text }: { readonly hash: string; readonly cpkName: string; readonly text: string }): CpkSchema => {
  const parsed = parseSchema(text);
  // It was parsed before it was stored.
  if (parsed.type === 'invalid') throw new Error(`the stored schema of CPK ${hash} cannot be read: ${parsed.reason}`);
  const schema = { cpkName, schema: parsed.schema };
  cache.set(hash, schema);
  return schema;
};

/** By CPK hash; a CPK without a schema is left out. */
export const findSchemas = async (tx: DbTx, hashes: readonly string[]): Promise<ReadonlyMap<string, CpkSchema>> => {
  const known = new Map(hashes.flatMap((hash) => {
    const schema = cache.get(hash);
    return schema === undefined ? [] : [[hash, schema] as const];
  }));
  const missing = hashes.filter((hash) => !known.has(hash));
  const read = missing.length === 0 ? [] : await tx.cpis.findSchemas(missing);
  for (const row of read) known.set(row.hash, parse(row));
  return known;
};
