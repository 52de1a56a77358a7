/**
 * Secrets inside the configuration: AES-256-GCM under a key that a passphrase and a salt of the secret's own make. The text is
 * `1.<salt>.<nonce>.<ciphertext>`, each base64url; the passphrase never leaves the processes that open secrets.
 */
import { aeadNonceLength, prepareAead, type Aead } from './aead.ts';
import { fromBase64url, randomBytes, textOf, toBase64url, utf8, type Chance } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { keyOfPassphrase } from './passphrase.ts';

/** PBKDF2-HMAC-SHA256 rounds: what OWASP asks for since 2023. Part of what the key is. */
const iterations = 600_000;
const saltLength = 16;
const aad = utf8('cordage config secret 1');

const aeadOf = async (passphrase: string, salt: string): Promise<Aead> => {
  const key = await keyOfPassphrase({ passphrase, salt, iterations, length: 32 });
  return prepareAead(key).finally(() => key.fill(0));
};

export const sealConfigSecret = async (passphrase: string, secret: string, chance: Chance = randomBytes): Promise<string> => {
  const salt = toBase64url(chance(saltLength));
  const nonce = chance(aeadNonceLength);
  const aead = await aeadOf(passphrase, salt);
  const ciphertext = await aead.seal({ nonce, aad, plaintext: utf8(secret) }).finally(() => aead.wipe());
  return ['1', salt, toBase64url(nonce), toBase64url(ciphertext)].join('.');
};

/** Throws CipherError where the text was not made with this passphrase, or is none. */
export const openConfigSecret = async (passphrase: string, text: string): Promise<string> => {
  const [, salt, nonce, ciphertext] = /^1\.([\w-]{22})\.([\w-]{16})\.([\w-]{22,})$/.exec(text) ?? [];
  if (salt === undefined || nonce === undefined || ciphertext === undefined) throw new CipherError('CIPHER_ENCODING', 'this is no secret of a configuration: make one with `cordage config encrypt`');
  const aead = await aeadOf(passphrase, salt);
  return textOf(await aead.open({ nonce: fromBase64url(nonce), aad, ciphertext: fromBase64url(ciphertext) }).finally(() => aead.wipe()));
};
