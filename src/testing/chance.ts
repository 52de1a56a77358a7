/** Chance that is the same in every run: bytes of SHA-256 over a seed and a counter. Keys of test members are made of it. */
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, utf8, type Chance } from '../cipher/bytes.ts';

export const sha256Bytes = (seed: string): Chance => {
  let counter = 0;
  return (length) => {
    const blocks = Array.from({ length: Math.ceil(length / 32) }, () => sha256(utf8(`${seed}/${counter++}`)));
    return concat(...blocks).slice(0, length);
  };
};
