import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openAesGcm, prepareAead, sealAesGcm } from '../../src/cipher/aead.ts';
import { fromHex, toHex } from '../../src/cipher/bytes.ts';
import { nobleAead, nodeAead, webAead } from '../../src/cipher/engines/aead-engines.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { gcm } from './vectors/vectors.ts';

const engines = [
  ['WebCrypto', webAead],
  // The tests run on Node.
  ['Node', nodeAead(nodeCrypto!)],
  ['noble', nobleAead],
] as const;

describe.each(engines)('AES-256-GCM by %s', (_name, engine) => {
  test.each(gcm)('gives the standard’s ciphertext $ciphertext', async (vector) => {
    const input = { nonce: fromHex(vector.nonce), aad: fromHex(vector.aad) };
    const aead = await engine(fromHex(vector.key));
    expect(toHex(await aead.seal({ ...input, text: fromHex(vector.plaintext) }))).toBe(vector.ciphertext);
    expect(toHex((await aead.open({ ...input, text: fromHex(vector.ciphertext) }))!)).toBe(vector.plaintext);
  });
});

const input = fc.record({
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  nonce: fc.uint8Array({ minLength: 12, maxLength: 12 }),
  aad: fc.uint8Array({ maxLength: 60 }),
  plaintext: fc.uint8Array({ maxLength: 200 }),
});

test('all engines seal alike and open each other’s', async () => {
  await fc.assert(
    fc.asyncProperty(input, async ({ key, plaintext, ...rest }) => {
      const keyed = await Promise.all(engines.map(([, engine]) => engine(key)));
      const sealed = await Promise.all(keyed.map((aead) => aead.seal({ ...rest, text: plaintext })));
      for (const one of sealed) expect(one).toEqual(sealed[0]);
      for (const aead of keyed) expect(await aead.open({ ...rest, text: sealed[0]! })).toEqual(plaintext);
    }),
    { numRuns: 50 },
  );
});

test('one flipped bit anywhere keeps it shut, with all engines', async () => {
  await fc.assert(
    fc.asyncProperty(input, fc.nat(), async ({ plaintext, ...rest }, at) => {
      const sealed = await sealAesGcm({ ...rest, plaintext });
      const broken = { ...rest, ciphertext: sealed.slice() };
      const fields = [broken.ciphertext, (broken.key = rest.key.slice()), (broken.nonce = rest.nonce.slice()), (broken.aad = rest.aad.slice())];
      const field = fields[at % 4]!;
      if (field.length === 0) return;
      field[at % field.length]! ^= 1 << (at % 8);
      await expect(openAesGcm(broken)).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' });
      for (const [, engine] of engines) expect(await (await engine(broken.key)).open({ ...broken, text: broken.ciphertext })).toBeUndefined();
    }),
    { numRuns: 100 },
  );
});

test('a text shorter than a tag is shut, not a crash', async () => {
  const lengths = { key: new Uint8Array(32), nonce: new Uint8Array(12), aad: new Uint8Array(0) };
  await expect(openAesGcm({ ...lengths, ciphertext: new Uint8Array(15) })).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' });
});

test('keys and nonces of other lengths are refused', async () => {
  const rest = { aad: new Uint8Array(0), plaintext: new Uint8Array(1) };
  await expect(sealAesGcm({ ...rest, key: new Uint8Array(16), nonce: new Uint8Array(12) })).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
  await expect(sealAesGcm({ ...rest, key: new Uint8Array(32), nonce: new Uint8Array(16) })).rejects.toMatchObject({ code: 'CIPHER_ENCODING' });
});

test('more keys than the cache holds still open what they sealed', async () => {
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(0);
  const keys = Array.from({ length: 1_100 }, (_, i) => Uint8Array.from({ length: 32 }, (_byte, at) => (at === 0 ? i & 255 : at === 1 ? i >> 8 : 7)));
  const sealed = await Promise.all(keys.map((key) => sealAesGcm({ key, nonce, aad, plaintext: Uint8Array.of(1) })));
  const opened = await Promise.all(keys.map((key, i) => openAesGcm({ key, nonce, aad, ciphertext: sealed[i]! })));
  expect(opened.every((text) => text.length === 1 && text[0] === 1)).toBe(true);
});

test('a prepared key outlives the bytes it was made of, and both engines let go of it when wiped', async () => {
  const key = new Uint8Array(32).fill(9);
  const aead = await prepareAead(key);
  const noble = await nobleAead(key);
  key.fill(0);
  const input = { nonce: new Uint8Array(12), aad: new Uint8Array(0) };
  const ciphertext = await aead.seal({ ...input, plaintext: Uint8Array.of(7) });
  expect(await noble.open({ ...input, text: ciphertext })).toEqual(Uint8Array.of(7));
  noble.wipe();
  expect(await noble.open({ ...input, text: ciphertext })).toBeUndefined();
});
