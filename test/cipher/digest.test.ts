import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/cipher/bytes.ts';
import { digestBy, digestNames, hkdfSha256, hmacSha256, sha256, type DigestName } from '../../src/cipher/digest.ts';
import { fips180, rfc4231, rfc5869 } from './vectors/vectors.ts';

test.each(fips180)('SHA-256 of $data', ({ data, digest }) => {
  expect(toHex(sha256(fromHex(data)))).toBe(digest);
});

test.each(rfc4231)('HMAC-SHA256 $mac', ({ key, data, mac }) => {
  expect(toHex(hmacSha256(fromHex(key), fromHex(data)))).toBe(mac);
});

test.each(rfc5869)('HKDF-SHA256 $okm', ({ ikm, salt, info, okm }) => {
  expect(toHex(hkdfSha256({ ikm: fromHex(ikm), salt: fromHex(salt), info: fromHex(info), length: okm.length / 2 }))).toBe(okm);
});

test.each(rfc5869)('WebCrypto derives the same $okm', async ({ ikm, salt, info, okm }) => {
  const key = await crypto.subtle.importKey('raw', fromHex(ikm), 'HKDF', false, ['deriveBits']);
  const bits = await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: fromHex(salt), info: fromHex(info) }, key, okm.length * 4);
  expect(toHex(new Uint8Array(bits))).toBe(okm);
});

/** Node's names of the same algorithms. */
const nodeNames: Partial<Record<DigestName, string>> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512', 'SHA3-256': 'sha3-256', 'SHA3-384': 'sha3-384', 'SHA3-512': 'sha3-512', 'BLAKE2B-512': 'blake2b512' };

test.each(Object.entries(nodeNames))('%s is what OpenSSL computes', (name, nodeName) => {
  for (const data of ['', 'abc', 'é'.repeat(500)]) expect(toHex(digestBy(name as DigestName, utf8(data)))).toBe(createHash(nodeName).update(data).digest('hex'));
});

test('SHA-256D is SHA-256 twice, and BLAKE2B-256 of "abc" is the known one', () => {
  expect(toHex(digestBy('SHA-256D', utf8('hello')))).toBe('9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50');
  expect(toHex(digestBy('BLAKE2B-256', utf8('abc')))).toBe('bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319');
  expect(digestNames).toHaveLength(9);
});
