/** Signatures by the platform's WebCrypto: RSA, P-256, Ed25519. Private keys are imported as not extractable. */
import type { KeyScheme } from '../key-encoding.ts';
import { CipherError } from '../cipher-error.ts';
import { source } from './platform.ts';
import type { PrivateKey, PublicKey, SignatureEngine, SignatureSpec } from './signature-engine.ts';

type Algorithms = {
  readonly importing: RsaHashedImportParams | EcKeyImportParams | Algorithm;
  readonly signing: RsaPssParams | EcdsaParams | Algorithm;
};

const pkcs1 = (hash: string): Algorithms => ({ importing: { name: 'RSASSA-PKCS1-v1_5', hash }, signing: { name: 'RSASSA-PKCS1-v1_5' } });
const ecdsa = (hash: string): Algorithms => ({ importing: { name: 'ECDSA', namedCurve: 'P-256' }, signing: { name: 'ECDSA', hash } });
/** The salt is as long as the digest, as Java and TLS have it. */
const pssSaltLength = 32;
const pss = (hash: string): Algorithms => {
  const signing: RsaPssParams = { name: 'RSA-PSS', saltLength: pssSaltLength };
  return { importing: { name: 'RSA-PSS', hash }, signing };
};

const algorithmsOf: Record<SignatureSpec, Algorithms> = {
  SHA256withRSA: pkcs1('SHA-256'),
  SHA384withRSA: pkcs1('SHA-384'),
  SHA512withRSA: pkcs1('SHA-512'),
  'RSASSA-PSS-SHA256': pss('SHA-256'),
  SHA256withECDSA: ecdsa('SHA-256'),
  SHA384withECDSA: ecdsa('SHA-384'),
  SHA512withECDSA: ecdsa('SHA-512'),
  EdDSA: { importing: { name: 'Ed25519' }, signing: { name: 'Ed25519' } },
};

/** WebCrypto ties an RSA key to its digest when it is imported; keys of the other schemes serve all their specs. */
const importSpecsOf = (scheme: KeyScheme): readonly SignatureSpec[] => {
  switch (scheme) {
    case 'CORDA.RSA':
      return ['SHA256withRSA', 'SHA384withRSA', 'SHA512withRSA', 'RSASSA-PSS-SHA256'];
    case 'CORDA.ECDSA.SECP256R1':
      return ['SHA256withECDSA'];
    case 'CORDA.EDDSA.ED25519':
      return ['EdDSA'];
    case 'CORDA.ECDSA.SECP256K1':
    case 'CORDA.X25519':
      throw new CipherError('CIPHER_UNSUPPORTED', `WebCrypto has no signatures of ${scheme}`);
  }
};

type ImportedKeys = (spec: SignatureSpec) => CryptoKey;

const importFor = async (scheme: KeyScheme, importOne: (algorithm: Algorithms['importing']) => Promise<CryptoKey>): Promise<ImportedKeys> => {
  const specs = importSpecsOf(scheme);
  const keys = await Promise.all(specs.map((spec) => importOne(algorithmsOf[spec].importing)));
  // The specs fit the scheme (checked by the caller), so a missing one is served by the first key.
  return (spec) => keys[Math.max(specs.indexOf(spec), 0)]!;
};

export const webSignatures: SignatureEngine = {
  signer: async ({ scheme, pkcs8 }: PrivateKey) => {
    const keyFor = await importFor(scheme, (algorithm) => crypto.subtle.importKey('pkcs8', source(pkcs8), algorithm, false, ['sign']));
    return {
      sign: async (spec, data) => new Uint8Array(await crypto.subtle.sign(algorithmsOf[spec].signing, keyFor(spec), source(data))),
      // The platform holds the key; it goes when the signer does.
      wipe: () => {},
    };
  },
  verifier: async ({ scheme, spki }: PublicKey) => {
    const keyFor = await importFor(scheme, (algorithm) => crypto.subtle.importKey('spki', source(spki), algorithm, false, ['verify']));
    return (spec, data, signature) => crypto.subtle.verify(algorithmsOf[spec].signing, keyFor(spec), source(signature), source(data));
  },
};
