/**
 * Wrapping: who seals whom. The root key is derived from a passphrase and lives in this process alone; it seals the wrapping keys of
 * tenants, and those seal private keys. Sealed material is a 12-byte random nonce, ciphertext and tag (AES-256-GCM); what the
 * material is stands in the additional data, so that no row's material opens in another row's place.
 */
import { aeadNonceLength, prepareAead, type Aead } from '../../cipher/aead.ts';
import { concat, toHex, utf8, type Bytes, type Chance } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { hmacSha256 } from '../../cipher/digest.ts';
import { keyOfPassphrase } from '../../cipher/passphrase.ts';
import { Secret } from '../../cipher/secret.ts';
import { rootKeyIterations, wrappingKeyBytes } from './config.ts';
import { CryptoError } from './crypto-error.ts';
import type { WrappedSigningKey, WrappedWrappingKey } from './crypto-tx.ts';

export type RootKey = { /** Names it in the rows it sealed. */ readonly alias: string; readonly aead: Aead };
/** The root key of today, which seals, and those of before or to come, which only open. */
export type RootKeys = readonly [RootKey, ...RootKey[]];

export type RootKeyInput = {
  readonly passphrase: string;
  readonly salt: string;
  /** Default: follows from the key itself, so that another passphrase is another name. */
  readonly alias?: string;
  /** Fewer only in tests and simulation, which have nothing to hide. */
  readonly iterations?: number;
};

const nameOf = (key: Uint8Array): string => `root-${toHex(hmacSha256(key, utf8('cordage root key name'))).slice(0, 12)}`;

export const deriveRootKey = async ({ passphrase, salt, alias, iterations = rootKeyIterations }: RootKeyInput): Promise<RootKey> => {
  const key = await keyOfPassphrase({ passphrase, salt, iterations, length: wrappingKeyBytes });
  const aead = await prepareAead(key);
  const name = alias ?? nameOf(key);
  key.fill(0);
  return { alias: name, aead };
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

/** A fresh wrapping key, sealed by the root key of today. */
export const makeWrappingKey = async ([root]: RootKeys, place: WrappingKeyPlace, chance: Chance, now: number): Promise<WrappedWrappingKey> => {
  const key = chance(wrappingKeyBytes);
  const material = await seal(root.aead, wrappingKeyAad(place), key, chance);
  key.fill(0);
  return { ...place, parent: root.alias, material, createdAt: now };
};

/** Its bytes; the caller wipes them. */
const unwrap = async (roots: RootKeys, wrapped: WrappedWrappingKey): Promise<Bytes> => {
  const root = roots.find(({ alias }) => alias === wrapped.parent);
  const remedy = 'start the crypto worker with the passphrase and salt that this database was set up with, or name them as those of before';
  if (root === undefined) {
    const known = roots.map(({ alias }) => `"${alias}"`).join(', ');
    throw new CryptoError('CRYPTO_ROOT_KEY_WRONG', `a wrapping key of ${wrapped.tenant} was sealed by root key "${wrapped.parent}", this worker has ${known}: ${remedy}`);
  }
  return open(root.aead, wrappingKeyAad(wrapped), wrapped.material).catch((cause: unknown) => {
    if (!(cause instanceof CipherError)) throw cause;
    throw new CryptoError('CRYPTO_ROOT_KEY_WRONG', `the root key does not open the wrapping key of ${wrapped.tenant}: ${remedy}`, { cause });
  });
};

export const openWrappingKey = async (roots: RootKeys, wrapped: WrappedWrappingKey): Promise<Aead> => {
  const key = await unwrap(roots, wrapped);
  const aead = await prepareAead(key);
  key.fill(0);
  return aead;
};

/** The same wrapping key, sealed by another root key. */
export const resealWrappingKey = async (roots: RootKeys, target: RootKey, wrapped: WrappedWrappingKey, chance: Chance): Promise<WrappedWrappingKey> => {
  const key = await unwrap(roots, wrapped);
  const material = await seal(target.aead, wrappingKeyAad(wrapped), key, chance).finally(() => key.fill(0));
  return { ...wrapped, parent: target.alias, material };
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
