import { expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/cipher/bytes.ts';
import { hkdfSha256, hmacSha256, sha256 } from '../../src/cipher/digest.ts';
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
