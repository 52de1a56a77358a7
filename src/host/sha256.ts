/** SHA-256 at once: Node's where there is one, else noble's. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { nodeCrypto } from './node-crypto.ts';

const platformHash = nodeCrypto?.hash;

/** The bytes stand in a buffer of their own. */
export const sha256 = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  platformHash === undefined ? nobleSha256(bytes) : Uint8Array.from(platformHash('sha256', bytes, 'buffer'));
