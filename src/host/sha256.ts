/** SHA-256 at once: Node's where there is one, else noble's. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { nodeCrypto } from './node-crypto.ts';

const platformHash = nodeCrypto?.hash;

const encoder = new TextEncoder();

/** Of a text's UTF-8, as lower-case hex: for names and keys, which need no bytes on the way. */
export const sha256Hex = (text: string): string => (platformHash === undefined ? bytesToHex(nobleSha256(encoder.encode(text))) : platformHash('sha256', text, 'hex'));

/** The bytes stand in a buffer of their own. */
export const sha256 = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  platformHash === undefined ? nobleSha256(bytes) : Uint8Array.from(platformHash('sha256', bytes, 'buffer'));
