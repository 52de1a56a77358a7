/** X25519 (RFC 7748) on raw 32-byte keys. */
import { randomBytes, type Bytes, type Chance } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { nobleAgreement, webAgreement, type AgreementEngine } from './engines/agreement-engines.ts';
import { platformHas } from './engines/platform.ts';

export const x25519KeyLength = 32;
export type X25519KeyPair = { readonly publicKey: Bytes; readonly privateKey: Bytes };

const engine = async (): Promise<AgreementEngine> => ((await platformHas('X25519')) ? webAgreement : nobleAgreement);

/** The u-coordinate of the base point (RFC 7748 section 4.1): agreeing with it gives one's own public key. */
const basePoint = Uint8Array.from({ length: x25519KeyLength }, (_, i) => (i === 0 ? 9 : 0));

const agree = async (privateKey: Uint8Array, publicKey: Uint8Array): Promise<Bytes> => {
  if (privateKey.length !== x25519KeyLength || publicKey.length !== x25519KeyLength) {
    throw new CipherError('CIPHER_KEY_MALFORMED', `an X25519 key has ${x25519KeyLength} bytes`);
  }
  const shared = await (await engine()).agree(privateKey, publicKey);
  if (shared === undefined) throw new CipherError('CIPHER_LOW_ORDER', 'the public key is a point of low order: the secret would be known to all');
  return shared;
};

export const x25519PublicKey = (privateKey: Uint8Array): Promise<Bytes> => agree(privateKey, basePoint);

/** Any 32 bytes are a private key: the function itself clamps them (RFC 7748 section 5). */
export const generateX25519 = async (chance: Chance = randomBytes): Promise<X25519KeyPair> => {
  const privateKey = chance(x25519KeyLength);
  return { privateKey, publicKey: await x25519PublicKey(privateKey) };
};

/** The shared secret. Throws CIPHER_LOW_ORDER on points of low order, CIPHER_KEY_MALFORMED on wrong lengths. */
export const x25519 = ({ privateKey, publicKey }: { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array }): Promise<Bytes> =>
  agree(privateKey, publicKey);
