/**
 * Sealing to the holder of a long-lived key of any scheme that agrees (X25519, P-256, secp256k1): what joins a network seals its
 * registration to the MGM's public key, and only the MGM's crypto worker opens it.
 *
 *     secret     = ECDH(ephemeral, reader): X25519's output, or the x-coordinate
 *     key        = HKDF-SHA256(ikm = secret, salt = the 32 random bytes of the sealed text, info = "cordage sealed to key 1: " ‖ info)
 *     ciphertext = AES-256-GCM(key, nonce, ephemeral SPKI ‖ reader SPKI ‖ aad, plaintext), the tag behind
 *
 * An SPKI tells its own length, so the additional data have one reading. The ephemeral key is of the reader's scheme. The sender is
 * not authenticated: what is sealed must be signed where that matters. Version 1; vectors in test/cipher/sealed-to-key.test.ts.
 */
import { aeadKeyLength, aeadNonceLength, prepareAead } from './aead.ts';
import { x25519 } from './agreement.ts';
import { concat, fromBase64url, randomBytes, toBase64url, utf8, type Bytes, type Chance } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { hkdfSha256 } from './digest.ts';
import { agreeOnCurve } from './engines/curve-agreement.ts';
import { readPkcs8, readSpki, type CurveScheme } from './key-encoding.ts';
import { generateKeyPair } from './signature.ts';

/** Base64url, as wires carry it. */
export type SealedToKey = {
  /** SubjectPublicKeyInfo. */
  readonly ephemeralPublicKey: string;
  readonly salt: string;
  readonly nonce: string;
  readonly ciphertext: string;
};

/** What both ends know without being told: `info` says what is sealed and why, `aad` what it belongs to. */
export type SealedContext = { readonly info: string; readonly aad: Uint8Array };

const saltLength = 32;
const infoPrefix = 'cordage sealed to key 1: ';

export const agreeingSchemes = ['CORDA.X25519', 'CORDA.ECDSA.SECP256R1', 'CORDA.ECDSA.SECP256K1'] as const;
export type AgreeingScheme = (typeof agreeingSchemes)[number];

const agreeingSchemeOf = (scheme: CurveScheme | 'CORDA.RSA'): AgreeingScheme => {
  const agreeing = agreeingSchemes.find((one) => one === scheme);
  if (agreeing === undefined) throw new CipherError('CIPHER_UNSUPPORTED', `keys of ${scheme} do not agree; take one of ${agreeingSchemes.join(', ')}`);
  return agreeing;
};

/** ECDH of a PKCS#8 and a SubjectPublicKeyInfo of one scheme. The caller wipes the secret. */
const agree = async (pkcs8: Uint8Array, spki: Uint8Array): Promise<Bytes> => {
  const theirs = readSpki(spki);
  const own = readPkcs8(pkcs8);
  const scheme = agreeingSchemeOf(own.scheme);
  if (theirs.scheme !== scheme || !('secret' in own)) throw new CipherError('CIPHER_KEY_MALFORMED', `a key of ${scheme} does not agree with one of ${theirs.scheme}`);
  if (scheme === 'CORDA.X25519') return x25519({ privateKey: own.secret, publicKey: theirs.key });
  const secret = agreeOnCurve(scheme, own.secret, theirs.key);
  if (secret === undefined) throw new CipherError('CIPHER_KEY_MALFORMED', `the public key is no point of the curve of ${scheme}`);
  return secret;
};

const keyOf = (secret: Uint8Array, salt: Uint8Array, info: string): Bytes => {
  const key = hkdfSha256({ ikm: secret, salt, info: utf8(`${infoPrefix}${info}`), length: aeadKeyLength });
  secret.fill(0);
  return key;
};

/** Draws, in this order: the ephemeral secret, the salt, the nonce. Throws CipherError where the reader's key is no key that agrees. */
export const sealToKey = async (reader: Uint8Array, plaintext: Uint8Array, { info, aad }: SealedContext, chance: Chance = randomBytes): Promise<SealedToKey> => {
  const { publicKey: ephemeral, privateKey } = await generateKeyPair(agreeingSchemeOf(readSpki(reader).scheme), chance);
  const salt = chance(saltLength);
  const nonce = chance(aeadNonceLength);
  const key = keyOf(await agree(privateKey, reader).finally(() => privateKey.fill(0)), salt, info);
  const aead = await prepareAead(key).finally(() => key.fill(0));
  const ciphertext = await aead.seal({ nonce, aad: concat(ephemeral, reader, aad), plaintext }).finally(() => aead.wipe());
  return { ephemeralPublicKey: toBase64url(ephemeral), salt: toBase64url(salt), nonce: toBase64url(nonce), ciphertext: toBase64url(ciphertext) };
};

export type KeyHolder = { /** SubjectPublicKeyInfo. */ readonly publicKey: Uint8Array; /** PKCS#8; the caller wipes it. */ readonly privateKey: Uint8Array };

/** Throws CipherError where the text was not sealed to this key in this context. */
export const openWithKey = async ({ publicKey, privateKey }: KeyHolder, sealed: SealedToKey, { info, aad }: SealedContext): Promise<Bytes> => {
  const ephemeral = fromBase64url(sealed.ephemeralPublicKey);
  const salt = fromBase64url(sealed.salt);
  if (salt.length !== saltLength) throw new CipherError('CIPHER_ENCODING', `a salt has ${saltLength} bytes, not ${salt.length}`);
  const nonce = fromBase64url(sealed.nonce);
  const ciphertext = fromBase64url(sealed.ciphertext);
  const key = keyOf(await agree(privateKey, ephemeral), salt, info);
  const aead = await prepareAead(key).finally(() => key.fill(0));
  return aead.open({ nonce, aad: concat(ephemeral, publicKey, aad), ciphertext }).finally(() => aead.wipe());
};
