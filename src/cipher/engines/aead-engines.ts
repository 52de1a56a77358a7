/** AES-256-GCM three times: WebCrypto's, Node's and noble's. Both take checked input; `open` gives `undefined` where the tag is wrong. */
import { gcm } from '@noble/ciphers/aes.js';
import type { nodeCrypto } from '../../host/node-crypto.ts';
import type { Bytes } from '../bytes.ts';
import { source } from './platform.ts';

export type AeadInput = { readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly text: Uint8Array };
export type KeyedAead = {
  seal(input: AeadInput): Promise<Bytes>;
  open(input: AeadInput): Promise<Bytes | undefined>;
  /** Overwrites what this process can overwrite of the key. */
  wipe(): void;
};
/** Keeps what it needs of the key: the caller may wipe its bytes once this resolves. */
export type AeadEngine = (key: Uint8Array) => Promise<KeyedAead>;

const parameters = ({ nonce, aad }: AeadInput): AesGcmParams => ({ name: 'AES-GCM', iv: source(nonce), additionalData: source(aad), tagLength: 128 });

export const webAead: AeadEngine = async (key) => {
  const imported = await crypto.subtle.importKey('raw', source(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  return {
    seal: async (input) => new Uint8Array(await crypto.subtle.encrypt(parameters(input), imported, source(input.text))),
    open: async (input) => {
      try {
        return new Uint8Array(await crypto.subtle.decrypt(parameters(input), imported, source(input.text)));
      } catch {
        // WebCrypto says OperationError for a wrong tag and nothing more.
        return undefined;
      }
    },
    // The platform holds the key; it goes when this object does.
    wipe: () => {},
  };
};

const tagLength = 16;

/** Without a promise for each: a short text costs a quarter of what WebCrypto takes. */
export const nodeAead = ({ createSecretKey, createCipheriv, createDecipheriv }: NonNullable<typeof nodeCrypto>): AeadEngine => async (key) => {
  const own = createSecretKey(key);
  return {
    seal: async ({ nonce, aad, text }) => {
      const cipher = createCipheriv('aes-256-gcm', own, nonce, { authTagLength: tagLength });
      cipher.setAAD(aad);
      const sealed = new Uint8Array(text.length + tagLength);
      sealed.set(cipher.update(text));
      cipher.final();
      sealed.set(cipher.getAuthTag(), text.length);
      return sealed;
    },
    open: async ({ nonce, aad, text }) => {
      const length = text.length - tagLength;
      const decipher = createDecipheriv('aes-256-gcm', own, nonce, { authTagLength: tagLength });
      decipher.setAAD(aad);
      decipher.setAuthTag(text.subarray(length));
      const opened = Uint8Array.from(decipher.update(text.subarray(0, length)));
      try {
        decipher.final();
      } catch {
        // It says that the tag is wrong and nothing more.
        return undefined;
      }
      return opened;
    },
    // The platform holds the key; it goes when this object does.
    wipe: () => {},
  };
};

export const nobleAead: AeadEngine = async (key) => {
  const own = key.slice();
  return {
    seal: async ({ nonce, aad, text }) => gcm(own, nonce, aad).encrypt(text),
    open: async ({ nonce, aad, text }) => {
      try {
        return gcm(own, nonce, aad).decrypt(text);
      } catch {
        return undefined;
      }
    },
    wipe: () => void own.fill(0),
  };
};
