/**
 * A holding identity is an X.500 name in a group; its hashes are Corda's:
 * SHA-256(UTF-8(name ‖ group id)) in upper-case hex, short form its first 12 digits.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { X500Name } from './x500.ts';

export type HoldingIdentity = {
  readonly x500Name: string;
  readonly groupId: string;
  readonly shortHash: string;
  readonly fullHash: string;
};

export const shortHashLength = 12;

export const holdingIdentityOf = (x500Name: X500Name, groupId: string): HoldingIdentity => {
  const fullHash = bytesToHex(sha256(utf8ToBytes(x500Name + groupId))).toUpperCase();
  return { x500Name, groupId, fullHash, shortHash: fullHash.slice(0, shortHashLength) };
};
