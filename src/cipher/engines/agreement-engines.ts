/** X25519 twice: the platform's and noble's. `agree` gives `undefined` where the result would be all zero. */
import { x25519 as nobleX25519 } from '@noble/curves/ed25519.js';
import { concat, type Bytes } from '../bytes.ts';
import { x25519Pkcs8Prefix } from '../key-encoding.ts';
import { source } from './platform.ts';

export type AgreementEngine = { agree(privateKey: Uint8Array, publicKey: Uint8Array): Promise<Bytes | undefined> };

const isZero = (bytes: Uint8Array): boolean => bytes.reduce((bits, byte) => bits | byte, 0) === 0;

export const webAgreement: AgreementEngine = {
  agree: async (privateKey, publicKey) => {
    const own = await crypto.subtle.importKey('pkcs8', concat(x25519Pkcs8Prefix, privateKey), { name: 'X25519' }, false, ['deriveBits']);
    const theirs = await crypto.subtle.importKey('raw', source(publicKey), { name: 'X25519' }, false, []);
    try {
      const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: theirs }, own, 256));
      // The specification lets the platform throw here; not every one did (RFC 7748 section 6.1 asks for the check).
      return isZero(shared) ? undefined : shared;
    } catch {
      return undefined;
    }
  },
};

export const nobleAgreement: AgreementEngine = {
  agree: async (privateKey, publicKey) => {
    try {
      return nobleX25519.getSharedSecret(privateKey, publicKey);
    } catch {
      return undefined;
    }
  },
};
