import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateX25519 } from '../../src/cipher/agreement.ts';
import { fromBase64url, toBase64url, utf8 } from '../../src/cipher/bytes.ts';
import { CipherError } from '../../src/cipher/cipher-error.ts';
import { openSealed, sealTo } from '../../src/cipher/sealed.ts';

test('the reader opens what was sealed to it, and nobody else', async () => {
  const reader = await generateX25519();
  const stranger = await generateX25519();
  const sealed = await sealTo(reader.publicKey, utf8('a key'), 'tls key');
  expect(await openSealed(reader.privateKey, sealed, 'tls key')).toEqual(utf8('a key'));
  await expect(openSealed(stranger.privateKey, sealed, 'tls key')).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' });
  await expect(openSealed(reader.privateKey, sealed, 'another purpose')).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' });
});

test('sealing twice gives different texts', async () => {
  const { publicKey } = await generateX25519();
  const [one, other] = await Promise.all([sealTo(publicKey, utf8('same'), 'c'), sealTo(publicKey, utf8('same'), 'c')]);
  expect(one.ciphertext).not.toBe(other.ciphertext);
  expect(one.ephemeralPublicKey).not.toBe(other.ephemeralPublicKey);
});

test('a changed part is refused with a CipherError, whatever the change', async () => {
  const reader = await generateX25519();
  const sealed = await sealTo(reader.publicKey, utf8('a key'), 'c');
  const parts = ['ephemeralPublicKey', 'nonce', 'ciphertext'] as const;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...parts), fc.nat(), fc.oneof(fc.constant(undefined), fc.string()), async (part, at, text) => {
      const bytes = fromBase64url(sealed[part]);
      bytes[at % bytes.length]! ^= 1 << (at % 8);
      // The top bit of an X25519 public key is ignored (RFC 7748 section 5), yet it is bound into the key.
      const changed = { ...sealed, [part]: text ?? toBase64url(bytes) };
      if (changed[part] === sealed[part]) return;
      await expect(openSealed(reader.privateKey, changed, 'c')).rejects.toBeInstanceOf(CipherError);
    }),
    { numRuns: 100 },
  );
});

test('an all-zero public key is refused before anything is sealed to it', async () => {
  await expect(sealTo(new Uint8Array(32), utf8('a key'), 'c')).rejects.toMatchObject({ code: 'CIPHER_LOW_ORDER' });
});
