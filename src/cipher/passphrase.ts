/** Keys from passphrases: PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2), the platform's, since it is slow by intent. */
import { utf8, type Bytes } from './bytes.ts';

export type PassphraseInput = { readonly passphrase: string; readonly salt: string; readonly iterations: number; readonly length: number };

export const keyOfPassphrase = async ({ passphrase, salt, iterations, length }: PassphraseInput): Promise<Bytes> => {
  const secret = utf8(passphrase);
  const key = await crypto.subtle.importKey('raw', secret, 'PBKDF2', false, ['deriveBits']);
  secret.fill(0);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: utf8(salt), iterations }, key, length * 8));
};
