/**
 * Wrapping: who seals whom. The root key is derived from a passphrase and lives in this process alone; it seals the wrapping keys of
 * tenants, and those seal private keys. Sealed material is a 12-byte random nonce, ciphertext and tag (AES-256-GCM); what the
 * material is stands in the additional data, so that no row's material opens in another row's place.
 */
import { aeadNonceLength, prepareAead, type Aead } from '../../cipher/aead.ts';
import { concat, utf8, type Bytes, type Chance } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { keyOfPassphrase } from '../../cipher/passphrase.ts';
import { Secret } from '../../cipher/secret.ts';
import { rootKeyIterations, wrappingKeyBytes } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';

export type RootKey = { /** Names it in the rows it sealed. */ readonly alias: string; readonly aead: Aead };

export type RootKeyInput = {
  readonly passphrase: string;
  readonly salt: string;
  readonly alias?: string;
  /** Fewer only in tests and simulation, which have nothing to hide. */
  readonly iterations?: number;
};

export const deriveRootKey = async ({ passphrase, salt, alias = 'root1', iterations = rootKeyIterations }: RootKeyInput): Promise<RootKey> => {
  const key = await keyOfPassphrase({ passphrase, salt, iterations, length: wrappingKeyBytes });
  const aead = await prepareAead(key);
  key.fill(0);
  return { alias, aead };
};

const seal = async (aead: Aead, aad: Bytes, plaintext: Uint8Array, chance: Chance): Promise<Bytes> => {
  const nonce = chance(aeadNonceLength);
  return concat(nonce, await aead.seal({ nonce, aad, plaintext }));
};

const open = (aead: Aead, aad: Bytes, material: Uint8Array): Promise<Bytes> =>
  aead.open({ nonce: material.subarray(0, aeadNonceLength), aad, ciphertext: material.subarray(aeadNonceLength) });

/** JSON of a list has one reading, so two different places never share additional data. The number is the encoding's version. */
const placeOf = (...parts: readonly (string | number)[]): Bytes => utf8(JSON.stringify(['cordage', 1, ...parts]));

type WrappingKeyPlace = Pick<WrappedWrappingKey, 'tenant' | 'alias' | 'generation'>;
const wrappingKeyAad = ({ tenant, alias, generation }: WrappingKeyPlace): Bytes => placeOf('wrapping-key', tenant, alias, generation);

type SigningKeyPlace = Pick<WrappedSigningKey, 'tenant' | 'id'>;
const signingKeyAad = ({ tenant, id }: SigningKeyPlace): Bytes => placeOf('signing-key', tenant, id);

/** A fresh wrapping key, sealed. */
export const makeWrappingKey = async (root: RootKey, place: WrappingKeyPlace, chance: Chance, now: number): Promise<WrappedWrappingKey> => {
  const key = chance(wrappingKeyBytes);
  const material = await seal(root.aead, wrappingKeyAad(place), key, chance);
  key.fill(0);
  return { ...place, parent: root.alias, material, createdAt: now };
};

export const openWrappingKey = async (root: RootKey, wrapped: WrappedWrappingKey): Promise<Aead> => {
  if (wrapped.parent !== root.alias) {
    throw new CryptoError('CRYPTO_ROOT_KEY_WRONG', `a wrapping key of ${wrapped.tenant} was sealed by root key "${wrapped.parent}", this worker has "${root.alias}"`);
  }
  const key = await open(root.aead, wrappingKeyAad(wrapped), wrapped.material).catch((cause: unknown) => {
    if (!(cause instanceof CipherError)) throw cause;
    const remedy = 'start the crypto worker with the passphrase and salt that this database was set up with';
    throw new CryptoError('CRYPTO_ROOT_KEY_WRONG', `the root key does not open the wrapping key of ${wrapped.tenant}: ${remedy}`, { cause });
  });
  const aead = await prepareAead(key);
  key.fill(0);
  return aead;
};

export const sealPrivateKey = (wrapping: Aead, place: SigningKeyPlace, pkcs8: Secret, chance: Chance): Promise<Bytes> =>
  seal(wrapping, signingKeyAad(place), pkcs8.reveal(), chance);

/** PKCS#8; the caller wipes it. */
export const openPrivateKey = async (wrapping: Aead, wrapped: WrappedSigningKey): Promise<Secret> => {
  try {
    return new Secret(await open(wrapping, signingKeyAad(wrapped), wrapped.material));
  } catch (cause) {
    if (!(cause instanceof CipherError)) throw cause;
    throw new CryptoError('CRYPTO_KEY_DAMAGED', `key ${wrapped.id} of ${wrapped.tenant} does not open: its row is not the one that was written`, { cause });
  }
};
