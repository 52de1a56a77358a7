/** AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag behind the ciphertext. */
import { createBoundedCache } from './bounded-cache.ts';
import { toHex, type Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { sha256 } from './digest.ts';
import { nodeCrypto } from '../host/node-crypto.ts';
import { nobleAead, nodeAead, webAead, type AeadEngine } from './engines/aead-engines.ts';
import { platformHas } from './engines/platform.ts';

export const aeadKeyLength = 32;
export const aeadNonceLength = 12;
export const aeadTagLength = 16;

export type SealInput = { readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly plaintext: Uint8Array };
export type OpenInput = { readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly ciphertext: Uint8Array };

/** One key, ready for use. */
export type Aead = {
  /** Ciphertext followed by its tag. A nonce must never meet the same key twice: the caller counts or draws it. */
  seal(input: SealInput): Promise<Bytes>;
  /** Throws CIPHER_OPEN_FAILED when key, nonce, additional data or ciphertext is not what was sealed. */
  open(input: OpenInput): Promise<Bytes>;
  /** Overwrites what this process can overwrite of the key; the object is then of no use. */
  wipe(): void;
};

const checkNonce = (nonce: Uint8Array): void => {
  if (nonce.length !== aeadNonceLength) throw new CipherError('CIPHER_ENCODING', `a nonce has ${aeadNonceLength} bytes, not ${nonce.length}`);
};

const engineHere = async (): Promise<AeadEngine> => {
  if (nodeCrypto !== undefined) return nodeAead(nodeCrypto);
  return (await platformHas('AES-GCM')) ? webAead : nobleAead;
};

/** Prepares a key that its holder keeps, and so decides for how long. The caller may wipe `key` once this resolves. */
export const prepareAead = async (key: Uint8Array): Promise<Aead> => {
  if (key.length !== aeadKeyLength) throw new CipherError('CIPHER_KEY_MALFORMED', `an AES-256 key has ${aeadKeyLength} bytes, not ${key.length}`);
  const keyed = await (await engineHere())(key);
  return {
    seal: async ({ nonce, aad, plaintext }) => {
      checkNonce(nonce);
      return keyed.seal({ nonce, aad, text: plaintext });
    },
    open: async ({ nonce, aad, ciphertext }) => {
      checkNonce(nonce);
      const opened = ciphertext.length < aeadTagLength ? undefined : await keyed.open({ nonce, aad, text: ciphertext });
      if (opened === undefined) throw new CipherError('CIPHER_OPEN_FAILED', 'the ciphertext was not sealed with this key, nonce and additional data');
      return opened;
    },
    wipe: keyed.wipe,
  };
};

/** Keys of sessions kept prepared, so that a hot one is not imported for each message. */
const preparedMax = 1_024;
const prepared = createBoundedCache<Aead>(preparedMax);

/** The key of the cache is a hash, so that the cache itself tells nothing. */
const preparedFor = async (key: Uint8Array): Promise<Aead> => {
  const name = toHex(sha256(key));
  const known = prepared.get(name);
  if (known !== undefined) return known;
  const made = await prepareAead(key);
  prepared.set(name, made);
  return made;
};

export const sealAesGcm = async ({ key, ...input }: SealInput & { readonly key: Uint8Array }): Promise<Bytes> => (await preparedFor(key)).seal(input);

export const openAesGcm = async ({ key, ...input }: OpenInput & { readonly key: Uint8Array }): Promise<Bytes> => (await preparedFor(key)).open(input);
