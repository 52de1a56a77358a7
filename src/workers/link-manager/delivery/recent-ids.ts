/** Message ids of the last sends of a pair, as one text of fixed-width prints: small in the state, quick to search. */
import { toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';

/** 72 bits of SHA-256: ids are our own rooms', so nobody searches for collisions, and chance needs longer than that. */
const printBytes = 9;
const printChars = 12;

export const printOf = (messageId: string): string => toBase64url(sha256(utf8(messageId)).subarray(0, printBytes));

export const isRecent = (recent: string, print: string): boolean => {
  for (let at = recent.indexOf(print); at >= 0; at = recent.indexOf(print, at + 1)) {
    if (at % printChars === 0) return true;
  }
  return false;
};

export const remember = (recent: string, print: string, countMax: number): string => {
  const all = recent + print;
  return all.length > countMax * printChars ? all.slice(all.length - countMax * printChars) : all;
};
