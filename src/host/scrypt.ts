/** scrypt (RFC 7914) by the platform: off the main thread, and several times faster than the portable one. */
import { Buffer } from 'node:buffer';
import { scrypt, timingSafeEqual } from 'node:crypto';

export type ScryptCost = { readonly n: number; readonly r: number; readonly p: number };

/** Node refuses costs whose memory (128·N·r and a little) is above `maxmem`; the caller bounds ours. */
const memoryBytesMax = 512 * 1024 * 1024;

export const deriveScrypt = (password: string, salt: Uint8Array, { n, r, p }: ScryptCost, bytes: number): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    // NFC, so that one password is the same bytes from every keyboard.
    scrypt(password.normalize('NFC'), salt, bytes, { N: n, r, p, maxmem: memoryBytesMax }, (error, derived) => {
      if (error === null) resolve(new Uint8Array(derived));
      else reject(error);
    });
  });

/** Checks a password against a record whose salt and hash are base64url. */
export const verifyScrypt = async (password: string, record: ScryptCost & { readonly salt: string; readonly hash: string }): Promise<boolean> => {
  const expected = Buffer.from(record.hash, 'base64url');
  const derived = await deriveScrypt(password, Buffer.from(record.salt, 'base64url'), record, expected.length);
  return timingSafeEqual(derived, expected);
};
