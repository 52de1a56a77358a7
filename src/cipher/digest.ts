/** Digests, synchronous so that machines' steps and id derivations may use them in plain expressions. */
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import type { Bytes } from './bytes.ts';

export const sha256 = (bytes: Uint8Array): Bytes => nobleSha256(bytes);

export const hmacSha256 = (key: Uint8Array, data: Uint8Array): Bytes => hmac(nobleSha256, key, data);

export type HkdfInput = { readonly ikm: Uint8Array; readonly salt: Uint8Array; readonly info: Uint8Array; readonly length: number };

/** RFC 5869. */
export const hkdfSha256 = ({ ikm, salt, info, length }: HkdfInput): Bytes => hkdf(nobleSha256, ikm, salt, info, length);
