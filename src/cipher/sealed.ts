/**
 * Sealing to one reader: an ephemeral X25519 key agrees with the reader's, HKDF-SHA256 makes a key of the secret, AES-256-GCM
 * seals. Both public keys and the context are bound into key and additional data, so that a sealed text cannot be moved to
 * another reader or purpose. The sender is not authenticated: the wire it came by must be trusted for that.
 */
import { aeadKeyLength, aeadNonceLength, prepareAead, type Aead } from './aead.ts';
import { generateX25519, x25519, x25519PublicKey } from './agreement.ts';
import { concat, fromBase64url, randomBytes, toBase64url, utf8, type Bytes, type Chance } from './bytes.ts';
import { hkdfSha256 } from './digest.ts';

/** Base64url, as wires carry it. */
export type Sealed = { readonly ephemeralPublicKey: string; readonly nonce: string; readonly ciphertext: string };

type Parties = { readonly ephemeral: Uint8Array; readonly reader: Uint8Array; readonly context: string };

const keyAndAad = (shared: Uint8Array, { ephemeral, reader, context }: Parties): { key: Bytes; aad: Bytes } => {
  const publicKeys = concat(ephemeral, reader);
  const info = utf8(`cordage sealed 1: ${context}`);
  return { key: hkdfSha256({ ikm: shared, salt: publicKeys, info, length: aeadKeyLength }), aad: concat(publicKeys, info) };
};

/** Wipes the secrets whatever happens: the key serves once. */
const withAead = async <Result>(key: Uint8Array, secrets: readonly Uint8Array[], work: (aead: Aead) => Promise<Result>): Promise<Result> => {
  try {
    const aead = await prepareAead(key);
    return await work(aead).finally(() => aead.wipe());
  } finally {
    for (const secret of [key, ...secrets]) secret.fill(0);
  }
};

/** `publicKey`: raw X25519 key of the reader. `context`: what is sealed and why, the same words at both ends. */
export const sealTo = async (publicKey: Uint8Array, plaintext: Uint8Array, context: string, chance: Chance = randomBytes): Promise<Sealed> => {
  const own = await generateX25519(chance);
  const shared = await x25519({ privateKey: own.privateKey, publicKey });
  const { key, aad } = keyAndAad(shared, { ephemeral: own.publicKey, reader: publicKey, context });
  const nonce = chance(aeadNonceLength);
  const ciphertext = await withAead(key, [own.privateKey, shared], (aead) => aead.seal({ nonce, aad, plaintext }));
  return { ephemeralPublicKey: toBase64url(own.publicKey), nonce: toBase64url(nonce), ciphertext: toBase64url(ciphertext) };
};

/** `privateKey`: raw X25519 key of the reader. Throws CipherError where the text was not sealed to it in this context. */
export const openSealed = async (privateKey: Uint8Array, sealed: Sealed, context: string): Promise<Bytes> => {
  const ephemeral = fromBase64url(sealed.ephemeralPublicKey);
  const nonce = fromBase64url(sealed.nonce);
  const ciphertext = fromBase64url(sealed.ciphertext);
  const shared = await x25519({ privateKey, publicKey: ephemeral });
  const { key, aad } = keyAndAad(shared, { ephemeral, reader: await x25519PublicKey(privateKey), context });
  return withAead(key, [shared], (aead) => aead.open({ nonce, aad, ciphertext }));
};
