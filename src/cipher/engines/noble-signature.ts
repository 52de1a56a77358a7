/** Signatures by noble: secp256k1, which WebCrypto lacks, and P-256 and Ed25519 where a platform lacks those. */
import { ecdsa, type ECDSA } from '@noble/curves/abstract/weierstrass.js';
import { p256 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import * as ed25519 from '@noble/ed25519';
import { sha384, sha512 } from '@noble/hashes/sha2.js';
import type { Bytes } from '../bytes.ts';
import { CipherError } from '../cipher-error.ts';
import type { CurveScheme } from '../key-encoding.ts';
import type { PrivateKey, PublicKey, SignatureEngine, SignatureSpec, SignWith, VerifyWith } from './signature-engine.ts';

// RFC 8032 section 5.1: the digest of Ed25519, which that library leaves to its caller where the answer must be synchronous.
ed25519.hashes.sha512 = sha512;

type EcdsaScheme = 'CORDA.ECDSA.SECP256K1' | 'CORDA.ECDSA.SECP256R1';

/** RFC 6979 section 3.6: the digest of the data is that of the nonce too, so each spec has its own ECDSA of a curve. */
const ecdsaBySpec = (curve: ECDSA): Partial<Record<SignatureSpec, ECDSA>> => ({
  SHA256withECDSA: curve,
  SHA384withECDSA: ecdsa(curve.Point, sha384),
  SHA512withECDSA: ecdsa(curve.Point, sha512),
});
const curves: Record<EcdsaScheme, ECDSA> = { 'CORDA.ECDSA.SECP256K1': secp256k1, 'CORDA.ECDSA.SECP256R1': p256 };
const suites: Record<EcdsaScheme, Partial<Record<SignatureSpec, ECDSA>>> = {
  'CORDA.ECDSA.SECP256K1': ecdsaBySpec(secp256k1),
  'CORDA.ECDSA.SECP256R1': ecdsaBySpec(p256),
};

const suiteOf = (scheme: EcdsaScheme, spec: SignatureSpec): ECDSA => {
  const suite = suites[scheme][spec];
  if (suite === undefined) throw new CipherError('CIPHER_SPEC_UNFIT', `${spec} is no ECDSA spec`);
  return suite;
};

const unsupported = (scheme: string): never => {
  throw new CipherError('CIPHER_UNSUPPORTED', `noble has no signatures of ${scheme}`);
};

const signWith = (scheme: CurveScheme, secret: Uint8Array): SignWith => {
  switch (scheme) {
    case 'CORDA.ECDSA.SECP256K1':
    case 'CORDA.ECDSA.SECP256R1':
      // RFC 6979 makes it deterministic; low S keeps third parties from making a second signature out of the first.
      return async (spec, data) => suiteOf(scheme, spec).sign(data, secret, { lowS: true });
    case 'CORDA.EDDSA.ED25519':
      return async (_spec, data) => ed25519.sign(data, secret);
    case 'CORDA.X25519':
      return unsupported(scheme);
  }
};

/** The public key of a secret, as SubjectPublicKeyInfo holds it. */
export const publicKeyOfSecret = (scheme: Exclude<CurveScheme, 'CORDA.X25519'>, secret: Uint8Array): Bytes =>
  scheme === 'CORDA.EDDSA.ED25519' ? ed25519.getPublicKey(secret) : curves[scheme].getPublicKey(secret, false);

const verifyWith = ({ scheme, key }: PublicKey): VerifyWith => {
  switch (scheme) {
    case 'CORDA.ECDSA.SECP256K1':
    case 'CORDA.ECDSA.SECP256R1':
      curves[scheme].Point.fromBytes(key).assertValidity();
      // High S is taken, as WebCrypto takes it: Java and OpenSSL make such signatures every other time.
      return async (spec, data, signature) => suiteOf(scheme, spec).verify(signature, data, key, { lowS: false });
    case 'CORDA.EDDSA.ED25519':
      // RFC 8032 rather than ZIP 215, which is what the platforms follow.
      return async (_spec, data, signature) => ed25519.verify(signature, data, key, { zip215: false });
    case 'CORDA.RSA':
    case 'CORDA.X25519':
      return unsupported(scheme);
  }
};

export const nobleSignatures: SignatureEngine = {
  signer: async (key: PrivateKey) => {
    if (key.scheme === 'CORDA.RSA') return unsupported(key.scheme);
    const secret = key.secret.slice();
    return { sign: signWith(key.scheme, secret), wipe: () => void secret.fill(0) };
  },
  verifier: async (key) => verifyWith(key),
};
