/** AES-256-GCM twice: the platform's and noble's. Both take checked input; `open` gives `undefined` where the tag is wrong. */
import { gcm } from '@noble/ciphers/aes.js';
import { createBoundedCache } from '../bounded-cache.ts';
import { toHex, type Bytes } from '../bytes.ts';
import { sha256 } from '../digest.ts';
import { source } from './platform.ts';

export type AeadInput = { readonly key: Uint8Array; readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly text: Uint8Array };
export type AeadEngine = {
  seal(input: AeadInput): Promise<Bytes>;
  open(input: AeadInput): Promise<Bytes | undefined>;
};

/** Imported keys kept; the key of this map is a hash, so that the map itself tells nothing. */
const importedKeysMax = 1_024;
const imported = createBoundedCache<CryptoKey>(importedKeysMax);

const importKey = async (key: Uint8Array): Promise<CryptoKey> => {
  const name = toHex(sha256(key));
  const known = imported.get(name);
  if (known !== undefined) return known;
  const made = await crypto.subtle.importKey('raw', source(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  imported.set(name, made);
  return made;
};

const parameters = ({ nonce, aad }: AeadInput): AesGcmParams => ({ name: 'AES-GCM', iv: source(nonce), additionalData: source(aad), tagLength: 128 });

export const webAead: AeadEngine = {
  seal: async (input) => new Uint8Array(await crypto.subtle.encrypt(parameters(input), await importKey(input.key), source(input.text))),
  open: async (input) => {
    const key = await importKey(input.key);
    try {
      return new Uint8Array(await crypto.subtle.decrypt(parameters(input), key, source(input.text)));
    } catch {
      // WebCrypto says OperationError for a wrong tag and nothing more.
      return undefined;
    }
  },
};

export const nobleAead: AeadEngine = {
  seal: async ({ key, nonce, aad, text }) => gcm(key, nonce, aad).encrypt(text),
  open: async ({ key, nonce, aad, text }) => {
    try {
      return gcm(key, nonce, aad).decrypt(text);
    } catch {
      return undefined;
    }
  },
};
