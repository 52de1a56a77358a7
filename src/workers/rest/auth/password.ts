/** Password checks with scrypt (RFC 7914). */
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { equalConstantTime, fromBase64url, randomBytes, toBase64url, utf8 } from '../../../cipher/bytes.ts';
import { passwordCost, type PasswordRecord } from '../../../messages/db-to-rest.user.ts';
import type { RestLimits } from '../config.ts';
import { createGate } from '../gate.ts';
import type { Passwords } from '../room.ts';

export type { PasswordRecord } from '../../../messages/db-to-rest.user.ts';
export type VerifyPassword = (password: string, record: PasswordRecord) => Promise<boolean>;

/** Longest time in ms that the portable check keeps other work waiting. */
const sliceMs = 5;

/** scrypt itself: of a password, with a salt and costs, so many bytes. */
export type DeriveKey = (password: string, salt: Uint8Array, cost: Pick<PasswordRecord, 'n' | 'r' | 'p'>, bytes: number) => Promise<Uint8Array>;

/** Runs everywhere. */
export const deriveKeyPortably: DeriveKey = (password, salt, { n, r, p }, bytes) =>
  scryptAsync(utf8(password.normalize('NFC')), salt, { N: n, r, p, dkLen: bytes, asyncTick: sliceMs });

const saltBytes = 16;
const hashBytes = 32;

/** A password as it is kept: the text itself goes no further than this worker. */
export const hashPassword = async (password: string, derive: DeriveKey): Promise<PasswordRecord> => {
  const salt = randomBytes(saltBytes);
  return { ...passwordCost, salt: toBase64url(salt), hash: toBase64url(await derive(password, salt, passwordCost, hashBytes)) };
};

/** Runs everywhere; a runtime with scrypt of its own hands that in, since it is faster and off this thread. */
export const verifyPasswordPortably: VerifyPassword = async (password, { n, r, p, salt, hash }) => {
  const expected = fromBase64url(hash);
  const derived = await deriveKeyPortably(password, fromBase64url(salt), { n, r, p }, expected.length);
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

/** Setting passwords costs what checking them costs, so it has a gate of its own. */
export const createPasswords = ({ derive, verify, limits }: { readonly derive: DeriveKey; readonly verify: VerifyPassword; readonly limits: RestLimits }): Passwords => {
  const gate = createGate({ atOnceMax: limits.passwordChecksAtOnceMax, waitingMax: limits.passwordChecksWaitingMax });
  const pass = async <Value>(work: () => Promise<Value>): Promise<Value | 'busy'> => {
    const passed = await gate.pass(work);
    return passed === 'full' ? 'busy' : passed.value;
  };
  return {
    hash: (password) => pass(() => hashPassword(password, derive)),
    fits: (password, record) => pass(async () => isCheckable(record, limits.passwordMemoryBytesMax) && verify(password, record)),
  };
};
