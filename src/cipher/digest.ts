/** Digests, synchronous so that machines' steps and id derivations may use them in plain expressions. */
import { blake2b } from '@noble/hashes/blake2.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { sha3_256, sha3_384, sha3_512 } from '@noble/hashes/sha3.js';
import { nodeCrypto } from '../host/node-crypto.ts';
import { sha256, sha256Hex } from '../host/sha256.ts';
import type { Bytes } from './bytes.ts';

export { sha256, sha256Hex };

export const hmacSha256 = (key: Uint8Array, data: Uint8Array): Bytes =>
  nodeCrypto === undefined ? hmac(nobleSha256, key, data) : Uint8Array.from(nodeCrypto.createHmac('sha256', key).update(data).digest());

export type HkdfInput = { readonly ikm: Uint8Array; readonly salt: Uint8Array; readonly info: Uint8Array; readonly length: number };

/** RFC 5869. */
export const hkdfSha256 = ({ ikm, salt, info, length }: HkdfInput): Bytes => hkdf(nobleSha256, ikm, salt, info, length);

/** By the names that Corda gives them; `SHA-256D` is SHA-256 of SHA-256 (FIPS 180-4, FIPS 202, RFC 7693). */
const digests = {
  'SHA-256': sha256,
  'SHA-256D': (bytes: Uint8Array): Bytes => sha256(sha256(bytes)),
  'SHA-384': (bytes: Uint8Array): Bytes => sha384(bytes),
  'SHA-512': (bytes: Uint8Array): Bytes => sha512(bytes),
  'SHA3-256': (bytes: Uint8Array): Bytes => sha3_256(bytes),
  'SHA3-384': (bytes: Uint8Array): Bytes => sha3_384(bytes),
  'SHA3-512': (bytes: Uint8Array): Bytes => sha3_512(bytes),
  'BLAKE2B-256': (bytes: Uint8Array): Bytes => blake2b(bytes, { dkLen: 32 }),
  'BLAKE2B-512': (bytes: Uint8Array): Bytes => blake2b(bytes, { dkLen: 64 }),
} as const;

export type DigestName = keyof typeof digests;
export const digestNames = Object.keys(digests) as readonly DigestName[];

export const digestBy = (name: DigestName, bytes: Uint8Array): Bytes => digests[name](bytes);
