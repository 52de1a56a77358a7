/**
 * Signatures by the schemes and specs of Corda. Public keys are SubjectPublicKeyInfo, private keys PKCS#8, ECDSA
 * signatures DER. RSA, P-256 and Ed25519 are the platform's where it has them; secp256k1 is noble's.
 */
import { createBoundedCache } from './bounded-cache.ts';
import { randomBytes, toHex, type Bytes, type Chance } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { sha256 } from './digest.ts';
import { nobleSignatures, publicKeyOfSecret } from './engines/noble-signature.ts';
import { platformHas } from './engines/platform.ts';
import type { SignatureEngine, SignatureSpec, VerifyWith } from './engines/signature-engine.ts';
import { webSignatures } from './engines/web-signature.ts';
import { x25519PublicKey } from './agreement.ts';
import { readPkcs8, readSpki, writePkcs8, writeSpki, type CurveScheme, type KeyScheme } from './key-encoding.ts';
import { derOfP1363, p1363Length, p1363OfDer } from './signature-encoding.ts';

export type { KeyScheme } from './key-encoding.ts';
export type { SignatureSpec } from './engines/signature-engine.ts';

const ecdsaSpecs = ['SHA256withECDSA', 'SHA384withECDSA', 'SHA512withECDSA'] as const;
const specs: Record<KeyScheme, readonly SignatureSpec[]> = {
  'CORDA.RSA': ['SHA256withRSA', 'SHA384withRSA', 'SHA512withRSA', 'RSASSA-PSS-SHA256'],
  'CORDA.ECDSA.SECP256R1': ecdsaSpecs,
  'CORDA.ECDSA.SECP256K1': ecdsaSpecs,
  'CORDA.EDDSA.ED25519': ['EdDSA'],
  'CORDA.X25519': [],
};

/** The specs a scheme signs with, its default first; none for X25519, which only agrees. */
export const specsOf = (scheme: KeyScheme): readonly SignatureSpec[] => specs[scheme];
export const defaultSpec = (scheme: KeyScheme): SignatureSpec | undefined => specs[scheme][0];

const isEcdsa = (scheme: KeyScheme): boolean => scheme === 'CORDA.ECDSA.SECP256R1' || scheme === 'CORDA.ECDSA.SECP256K1';

const engineOf = async (scheme: KeyScheme): Promise<SignatureEngine> => {
  switch (scheme) {
    case 'CORDA.RSA':
      return webSignatures;
    case 'CORDA.ECDSA.SECP256R1':
      return (await platformHas('ECDSA')) ? webSignatures : nobleSignatures;
    case 'CORDA.EDDSA.ED25519':
      return (await platformHas('Ed25519')) ? webSignatures : nobleSignatures;
    case 'CORDA.ECDSA.SECP256K1':
      return nobleSignatures;
    case 'CORDA.X25519':
      throw new CipherError('CIPHER_SPEC_UNFIT', 'CORDA.X25519 keys agree; they do not sign');
  }
};

// ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type KeyPair = { /** SubjectPublicKeyInfo. */ readonly publicKey: Bytes; /** PKCS#8. */ readonly privateKey: Bytes };

const rsaModulusBits = 3_072;

const generateRsa = async (): Promise<KeyPair> => {
  const parameters = { name: 'RSASSA-PKCS1-v1_5', modulusLength: rsaModulusBits, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' };
  const pair = await crypto.subtle.generateKey(parameters, true, ['sign', 'verify']);
  return {
    publicKey: new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey)),
    privateKey: new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)),
  };
};

/** The pair whose secret is these 32 bytes; throws CIPHER_KEY_MALFORMED where they are none (zero, or past the order). */
export const keyPairOfSecret = async (scheme: CurveScheme, secret: Uint8Array): Promise<KeyPair> => {
  try {
    const key = scheme === 'CORDA.X25519' ? await x25519PublicKey(secret) : publicKeyOfSecret(scheme, secret);
    return { publicKey: writeSpki({ scheme, key }), privateKey: writePkcs8(scheme, secret, key) };
  } catch (cause) {
    if (cause instanceof CipherError) throw cause;
    throw new CipherError('CIPHER_KEY_MALFORMED', `the bytes are no private key of ${scheme}`);
  }
};

const secretLength = 32;

/** `chance` draws the secret of a curve; the default is the platform's. RSA's primes are always drawn by the platform. */
export const generateKeyPair = async (scheme: KeyScheme, chance: Chance = randomBytes): Promise<KeyPair> => {
  if (scheme === 'CORDA.RSA') return generateRsa();
  const secret = chance(secretLength);
  try {
    // 32 random bytes miss the range of an ECDSA secret once in 2^32 draws for P-256, and then this throws.
    return await keyPairOfSecret(scheme, secret);
  } finally {
    secret.fill(0);
  }
};

const shortIdLength = 12;

/** First 12 upper-case hex digits of SHA-256 over the SubjectPublicKeyInfo. */
export const keyIdOf = (spki: Uint8Array): string => toHex(sha256(spki)).slice(0, shortIdLength).toUpperCase();

/** `undefined` where the bytes are no key of a scheme known here. That a point lies on its curve shows in `verify`. */
export const schemeOf = (spki: Uint8Array): KeyScheme | undefined => {
  try {
    return readSpki(spki).scheme;
  } catch {
    return undefined;
  }
};

// ── Signing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Signer = {
  readonly scheme: KeyScheme;
  /** Throws CIPHER_SPEC_UNFIT where the scheme does not sign by the spec. */
  sign(spec: SignatureSpec, data: Uint8Array): Promise<Bytes>;
  /** Overwrites what this process can overwrite of the key; the signer is then of no use. */
  wipe(): void;
};

const checkFit = (scheme: KeyScheme, spec: SignatureSpec): void => {
  if (!specs[scheme].includes(spec)) throw new CipherError('CIPHER_SPEC_UNFIT', `${scheme} does not sign by ${spec}`);
};

/** Prepares a private key for many signatures. The caller may wipe `privateKey` once this resolves. */
export const prepareSigner = async (privateKey: Uint8Array): Promise<Signer> => {
  const parts = readPkcs8(privateKey);
  const { scheme } = parts;
  const engine = await engineOf(scheme);
  const { sign: signRaw, wipe } = await engine.signer({ ...parts, pkcs8: privateKey }).catch((cause: unknown) => {
    throw cause instanceof CipherError ? cause : new CipherError('CIPHER_KEY_MALFORMED', `not a private key of ${scheme}`);
  });
  const sign = async (spec: SignatureSpec, data: Uint8Array): Promise<Bytes> => {
    checkFit(scheme, spec);
    const signature = await signRaw(spec, data);
    return isEcdsa(scheme) ? derOfP1363(signature) : signature;
  };
  return { scheme, sign, wipe };
};

export type SignInput = {
  readonly scheme: KeyScheme;
  readonly spec: SignatureSpec;
  /** PKCS#8. */
  readonly privateKey: Uint8Array;
  readonly data: Uint8Array;
};

/** One signature. Private keys are never cached here: whoever signs often keeps a `Signer`, and so decides how long. */
export const sign = async ({ scheme, spec, privateKey, data }: SignInput): Promise<Bytes> => {
  checkFit(scheme, spec);
  const signer = await prepareSigner(privateKey);
  try {
    if (signer.scheme !== scheme) throw new CipherError('CIPHER_SPEC_UNFIT', `the private key is of ${signer.scheme}, not ${scheme}`);
    return await signer.sign(spec, data);
  } finally {
    signer.wipe();
  }
};

// ── Verifying ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Verifier = { readonly scheme: KeyScheme; readonly verify: VerifyWith };

/** Public keys kept imported: a cluster hears from about as many counterparties at a time. */
const verifiersMax = 2_048;
const verifiers = createBoundedCache<Verifier>(verifiersMax);

/** `undefined` where the bytes are no public key that can verify. */
const verifierFor = async (spki: Uint8Array): Promise<Verifier | undefined> => {
  const name = toHex(spki);
  const known = verifiers.get(name);
  if (known !== undefined) return known;
  try {
    const parts = readSpki(spki);
    const engine = await engineOf(parts.scheme);
    const made = { scheme: parts.scheme, verify: await engine.verifier({ ...parts, spki }) };
    verifiers.set(name, made);
    return made;
  } catch {
    return undefined;
  }
};

export type VerifyInput = {
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly spec: SignatureSpec;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
};

/** False for whatever is not a signature of these data by this key and spec, malformed input included. */
export const verify = async ({ publicKey, spec, data, signature }: VerifyInput): Promise<boolean> => {
  const verifier = await verifierFor(publicKey);
  if (verifier === undefined || !specs[verifier.scheme].includes(spec)) return false;
  const raw = isEcdsa(verifier.scheme) ? p1363OfDer(signature) : signature;
  if (raw === undefined || (isEcdsa(verifier.scheme) && raw.length !== p1363Length)) return false;
  try {
    return await verifier.verify(spec, data, raw);
  } catch {
    // A signature of a wrong length makes some platforms throw.
    return false;
  }
};
