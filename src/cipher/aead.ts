/** AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag behind the ciphertext. */
import type { Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { nobleAead, webAead, type AeadEngine, type AeadInput } from './engines/aead-engines.ts';
import { platformHas } from './engines/platform.ts';

export const aeadKeyLength = 32;
export const aeadNonceLength = 12;
export const aeadTagLength = 16;

const checkLengths = ({ key, nonce }: { readonly key: Uint8Array; readonly nonce: Uint8Array }): void => {
  if (key.length !== aeadKeyLength) throw new CipherError('CIPHER_KEY_MALFORMED', `an AES-256 key has ${aeadKeyLength} bytes, not ${key.length}`);
  if (nonce.length !== aeadNonceLength) throw new CipherError('CIPHER_ENCODING', `a nonce has ${aeadNonceLength} bytes, not ${nonce.length}`);
};

const engine = async (): Promise<AeadEngine> => ((await platformHas('AES-GCM')) ? webAead : nobleAead);

export type SealInput = { readonly key: Uint8Array; readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly plaintext: Uint8Array };

/** Ciphertext followed by its tag. A nonce must never meet the same key twice: the caller counts or draws it. */
export const sealAesGcm = async ({ key, nonce, aad, plaintext }: SealInput): Promise<Bytes> => {
  checkLengths({ key, nonce });
  return (await engine()).seal({ key, nonce, aad, text: plaintext });
};

export type OpenInput = { readonly key: Uint8Array; readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly ciphertext: Uint8Array };

/** Throws CIPHER_OPEN_FAILED when key, nonce, additional data or ciphertext is not what was sealed. */
export const openAesGcm = async ({ key, nonce, aad, ciphertext }: OpenInput): Promise<Bytes> => {
  checkLengths({ key, nonce });
  const input: AeadInput = { key, nonce, aad, text: ciphertext };
  const opened = ciphertext.length < aeadTagLength ? undefined : await (await engine()).open(input);
  if (opened === undefined) throw new CipherError('CIPHER_OPEN_FAILED', 'the ciphertext was not sealed with this key, nonce and additional data');
  return opened;
};
