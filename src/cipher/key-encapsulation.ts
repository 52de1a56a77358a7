/**
 * ML-KEM-768 (FIPS 203), the part of a key agreement that a quantum computer does not break.
 *
 * One engine on every runtime: WebCrypto draws the randomness of an encapsulation itself, so a machine's step could not be
 * repeated with it, and Node 24 calls its own experimental.
 */
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import type { Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';

export const mlKemSeedLength = 64;
export const mlKemCoinsLength = 32;
export const mlKemPublicKeyLength = 1_184;
export const mlKemCiphertextLength = 1_088;

const checkLength = (what: string, bytes: Uint8Array, length: number): void => {
  if (bytes.length !== length) throw new CipherError('CIPHER_KEY_MALFORMED', `an ML-KEM-768 ${what} has ${length} bytes, not ${bytes.length}`);
};

/** Runs the library, whose complaints about a stranger's key become ours. */
const guarded = <Result>(work: () => Result): Result => {
  try {
    return work();
  } catch (cause) {
    throw new CipherError('CIPHER_KEY_MALFORMED', 'the ML-KEM-768 key is none (FIPS 203, section 7.2)', { cause });
  }
};

/** The key that others encapsulate to. `seed`: d ‖ z of FIPS 203, algorithm 16; it is the private key. */
export const mlKemPublicKey = (seed: Uint8Array): Bytes => {
  checkLength('seed', seed, mlKemSeedLength);
  const { publicKey, secretKey } = ml_kem768.keygen(seed);
  secretKey.fill(0);
  return publicKey;
};

/** `coins`: 32 random bytes, m of FIPS 203, algorithm 17. Throws CIPHER_KEY_MALFORMED on what is no public key. */
export const mlKemEncapsulate = (publicKey: Uint8Array, coins: Uint8Array): { readonly ciphertext: Bytes; readonly secret: Bytes } => {
  checkLength('public key', publicKey, mlKemPublicKeyLength);
  checkLength('encapsulation’s randomness', coins, mlKemCoinsLength);
  const { cipherText, sharedSecret } = guarded(() => ml_kem768.encapsulate(publicKey, coins));
  return { ciphertext: cipherText, secret: sharedSecret };
};

/** A ciphertext that was made for another key gives a secret that nobody else has (implicit rejection), not an error. */
export const mlKemDecapsulate = (seed: Uint8Array, ciphertext: Uint8Array): Bytes => {
  checkLength('seed', seed, mlKemSeedLength);
  checkLength('ciphertext', ciphertext, mlKemCiphertextLength);
  const { secretKey } = ml_kem768.keygen(seed);
  const secret = ml_kem768.decapsulate(ciphertext, secretKey);
  secretKey.fill(0);
  return secret;
};
