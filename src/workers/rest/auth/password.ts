/** Password checks with scrypt (RFC 7914). */
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { equalConstantTime, fromBase64url, randomBytes, toBase64url, utf8 } from '../../../cipher/bytes.ts';
import type { User } from '../../../messages/db-to-rest.user.ts';

export type PasswordRecord = User['password'];
export type VerifyPassword = (password: string, record: PasswordRecord) => Promise<boolean>;

/** Longest time in ms that the portable check keeps other work waiting. */
const sliceMs = 5;

/** Runs everywhere; a runtime with scrypt of its own hands that in, since it is faster and off this thread. */
export const verifyPasswordPortably: VerifyPassword = async (password, { n, r, p, salt, hash }) => {
  const expected = fromBase64url(hash);
  const derived = await scryptAsync(utf8(password.normalize('NFC')), fromBase64url(salt), { N: n, r, p, dkLen: expected.length, asyncTick: sliceMs });
  return equalConstantTime(derived, expected);
};

/** A record that no password fits, as dear to check as that one: for logins that do not exist. */
export const decoyLike = ({ n, r, p }: Pick<PasswordRecord, 'n' | 'r' | 'p'>): PasswordRecord => ({
  n,
  r,
  p,
  salt: toBase64url(randomBytes(16)),
  hash: toBase64url(randomBytes(32)),
});

/** Parameters that scrypt takes, within the memory that a check may use. */
export const isCheckable = ({ n, r, p, hash }: PasswordRecord, memoryBytesMax: number): boolean =>
  n >= 2 && (n & (n - 1)) === 0 && r >= 1 && p >= 1 && p <= 16 && 128 * n * r <= memoryBytesMax && hash.length >= 22;
