import { createPrivateKey, createPublicKey, decapsulate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fromHex, randomBytes, toHex } from '../../src/cipher/bytes.ts';
import { mlKemDecapsulate, mlKemEncapsulate, mlKemPublicKey } from '../../src/cipher/key-encapsulation.ts';
import { sha256 } from '../../src/cipher/digest.ts';

/** RFC 9935: a private key as its seed. */
const opensslKey = (seed: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('3054020100300b060960864801650304040204428040', 'hex'), seed]), format: 'der', type: 'pkcs8' });

describe('ML-KEM-768', () => {
  test('both ends come to one secret, and OpenSSL comes to the same', () => {
    for (let round = 0; round < 5; round++) {
      const seed = randomBytes(64);
      const { ciphertext, secret } = mlKemEncapsulate(mlKemPublicKey(seed), randomBytes(32));
      expect(mlKemDecapsulate(seed, ciphertext)).toEqual(secret);
      expect(new Uint8Array(decapsulate(opensslKey(seed), ciphertext))).toEqual(secret);
    }
  });

  test('the public key of a seed is the one that OpenSSL makes of it', () => {
    const seed = Uint8Array.from({ length: 64 }, (_, i) => i);
    const spki = createPublicKey(opensslKey(seed)).export({ format: 'der', type: 'spki' });
    expect(toHex(spki.subarray(-1_184))).toBe(toHex(mlKemPublicKey(seed)));
  });

  test('the same seed and randomness make the same bytes each time, as frozen', () => {
    const publicKey = mlKemPublicKey(Uint8Array.from({ length: 64 }, (_, i) => i));
    const { ciphertext, secret } = mlKemEncapsulate(publicKey, Uint8Array.from({ length: 32 }, (_, i) => 100 + i));
    expect([toHex(sha256(publicKey)), toHex(sha256(ciphertext)), toHex(secret)]).toEqual([
      '0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9',
      '57fe559432dbb3c5547c73f155820622f7efdd532e4330360a36ebf7d2ddec55',
      'c5a74110c158acbaf9c01deb86fa6cc10c14533feda54bec1fdd000d61f07e4e',
    ]);
  });

  test('a changed ciphertext gives another secret and no error', () => {
    const seed = randomBytes(64);
    const { ciphertext, secret } = mlKemEncapsulate(mlKemPublicKey(seed), randomBytes(32));
    ciphertext[700]! ^= 1;
    expect(mlKemDecapsulate(seed, ciphertext)).not.toEqual(secret);
  });

  test('what is no public key is refused: a coefficient beyond the modulus, a wrong length', () => {
    expect(() => mlKemEncapsulate(new Uint8Array(1_184).fill(0xff), randomBytes(32))).toThrow(expect.objectContaining({ code: 'CIPHER_KEY_MALFORMED' }));
    expect(() => mlKemEncapsulate(fromHex('00'), randomBytes(32))).toThrow(expect.objectContaining({ code: 'CIPHER_KEY_MALFORMED' }));
    expect(() => mlKemDecapsulate(randomBytes(64), new Uint8Array(1_087))).toThrow(expect.objectContaining({ code: 'CIPHER_KEY_MALFORMED' }));
  });
});
