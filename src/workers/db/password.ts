/** Password records: scrypt (RFC 7914) with a salt of its own. */
import { randomBytes, toBase64url } from '../../cipher/bytes.ts';
import { deriveScrypt, verifyScrypt } from '../../host/scrypt.ts';
import { passwordCost as scryptCost, type PasswordRecord } from '../../messages/db-to-rest.user.ts';
import { scryptHashBytes, scryptSaltBytes } from './config.ts';

export const hashPassword = async (password: string): Promise<PasswordRecord> => {
  const salt = randomBytes(scryptSaltBytes);
  return { ...scryptCost, salt: toBase64url(salt), hash: toBase64url(await deriveScrypt(password, salt, scryptCost, scryptHashBytes)) };
};

/** True when the record is of this password and was made with today's costs. */
export const isCurrentRecordOf = async (password: string, record: PasswordRecord): Promise<boolean> =>
  record.n === scryptCost.n && record.r === scryptCost.r && record.p === scryptCost.p && verifyScrypt(password, record);
