import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { textOf } from '../../src/cipher/bytes.ts';
import { openCpi } from '../../src/packaging/open-cpi.ts';
import type { PackageSchema } from '../../src/packaging/schema.ts';

const read = (file: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(new URL(`./vectors/${file}`, import.meta.url)));

/** What a schema means: its tables, and the digests by which vaults know its migrations again. */
const readable = ({ entities, migrations, catalog }: PackageSchema) => ({
  entities,
  migrations: migrations.map(({ name, digest, steps }) => ({ name, digest, steps: steps.map(({ kind }) => kind) })),
  tables: Object.fromEntries([...catalog].map(([table, columns]) => [table, [...columns]])),
});

// Files of format version 1, made once. A later Cordage must open them as long as it says that it reads the format.
test.each(['v1-ed25519', 'v1-p256', 'v1-tables'])('the frozen CPI %s opens to what it held when it was made', async (name) => {
  const expected = JSON.parse(textOf(read(`${name}.json`)));
  const opened = await openCpi(read(`${name}.cpi`), { trustedSigners: [textOf(read(`${name}.pem`))], now: expected.now });
  if (opened.type === 'invalid') expect.fail(`${opened.code}: ${opened.reason}`);
  const { id, fullChecksum, groupPolicy, cpks } = opened;
  if (groupPolicy.type !== 'static') expect.fail(groupPolicy.type);
  const seen = {
    now: expected.now,
    id,
    fullChecksum,
    groupId: groupPolicy.groupId,
    members: groupPolicy.members.map(({ x500Name }) => x500Name),
    cpks: cpks.map(({ bundle, sourceMap, schema, ...cpk }) => ({
      ...cpk,
      bundle: textOf(bundle),
      ...(sourceMap === undefined ? {} : { sourceMap: textOf(sourceMap) }),
      ...(schema === undefined ? {} : { schema: readable(schema) }),
    })),
  };
  expect(seen).toEqual(expected);
});
