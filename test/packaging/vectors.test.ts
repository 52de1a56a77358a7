import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { textOf } from '../../src/cipher/bytes.ts';
import { openCpi } from '../../src/packaging/open-cpi.ts';

const read = (file: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(new URL(`./vectors/${file}`, import.meta.url)));

// Files of format version 1, made once. A later Cordage must open them as long as it says that it reads the format.
test.each(['v1-ed25519', 'v1-p256'])('the frozen CPI %s opens to what it held when it was made', async (name) => {
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
    cpks: cpks.map(({ bundle, ...cpk }) => ({ ...cpk, bundle: textOf(bundle) })),
  };
  expect(seen).toEqual(expected);
});
