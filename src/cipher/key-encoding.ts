/**
 * Keys as Java, OpenSSL and WebCrypto write them: public ones as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), private
 * ones as PKCS#8 (RFC 5208). Curves per RFC 5480 and RFC 8410; points uncompressed, so that one key has one id.
 */
import { concat, fromHex, toHex, type Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';
import { derOf, expectTag, readElements, readOne, tags, unsignedOf, wholeBits } from './der.ts';

export type KeyScheme = 'CORDA.RSA' | 'CORDA.ECDSA.SECP256K1' | 'CORDA.ECDSA.SECP256R1' | 'CORDA.EDDSA.ED25519' | 'CORDA.X25519';
export type CurveScheme = Exclude<KeyScheme, 'CORDA.RSA'>;

const oid = (hex: string): Bytes => derOf(tags.oid, fromHex(hex));
const ecPublicKey = oid('2a8648ce3d0201');
/** The content of AlgorithmIdentifier for each scheme. */
const algorithms: Record<KeyScheme, Bytes> = {
  'CORDA.RSA': concat(oid('2a864886f70d010101'), derOf(tags.null)),
  'CORDA.ECDSA.SECP256R1': concat(ecPublicKey, oid('2a8648ce3d030107')),
  'CORDA.ECDSA.SECP256K1': concat(ecPublicKey, oid('2b8104000a')),
  'CORDA.EDDSA.ED25519': oid('2b6570'),
  'CORDA.X25519': oid('2b656e'),
};
const schemeByAlgorithm = new Map(
  // Object.entries forgets the type of the keys of a record.
  (Object.entries(algorithms) as [KeyScheme, Bytes][]).map(([scheme, algorithm]) => [toHex(algorithm), scheme]),
);

const malformed = (reason: string): never => {
  throw new CipherError('CIPHER_KEY_MALFORMED', reason);
};

const schemeOfAlgorithm = (algorithm: Uint8Array): KeyScheme =>
  schemeByAlgorithm.get(toHex(algorithm)) ?? malformed('the key is of no algorithm or curve that is known here');

/** Bounds on an RSA modulus in bytes: below 2,048 bits is broken, above 8,192 costs the verifier too much. */
const rsaModulusBytesMin = 256;
const rsaModulusBytesMax = 1_024;
/** An exponent longer than this only makes verifying slow. */
const rsaExponentBytesMax = 4;

const checkRsaKey = (key: Uint8Array): void => {
  const [modulus, exponent, ...more] = readElements(readOne(key, tags.sequence));
  const modulusBytes = unsignedOf(expectTag(modulus, tags.integer)).length;
  const exponentBytes = unsignedOf(expectTag(exponent, tags.integer)).length;
  if (more.length > 0) malformed('an RSA key has two numbers');
  if (modulusBytes < rsaModulusBytesMin || modulusBytes > rsaModulusBytesMax) malformed(`an RSA modulus of ${modulusBytes * 8} bits is out of bounds`);
  if (exponentBytes > rsaExponentBytesMax) malformed('an RSA exponent out of bounds');
};

const uncompressedLength = 65;
const rawLength = 32;

/** y of the points of small order, little-endian (RFC 8032 section 5.1.3 gives the encoding): 0, 1, −1 and two of order 8. */
const smallOrderYs = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
]);

/**
 * With a key of small order one signature fits every message, and some platforms accept it; y at or past the field's prime
 * (2^255 − 19) is a second spelling of another key. Neither is a key here.
 */
const checkEd25519Key = (key: Uint8Array): void => {
  if (key.length !== rawLength) malformed('the key is not 32 bytes');
  const y = key.slice();
  y[31]! &= 0x7f;
  if (smallOrderYs.has(toHex(y))) malformed('the key is a point of small order');
  if (y[0]! >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff)) malformed('the key is not in its one spelling');
};

const checkPublicKey = (scheme: KeyScheme, key: Uint8Array): void => {
  switch (scheme) {
    case 'CORDA.RSA':
      return checkRsaKey(key);
    case 'CORDA.ECDSA.SECP256K1':
    case 'CORDA.ECDSA.SECP256R1':
      if (key.length !== uncompressedLength || key[0] !== 4) malformed('the point is not an uncompressed one of 65 bytes');
      return;
    case 'CORDA.EDDSA.ED25519':
      return checkEd25519Key(key);
    case 'CORDA.X25519':
      if (key.length !== rawLength) malformed('the key is not 32 bytes');
  }
};

/** What a SubjectPublicKeyInfo holds; `key` is the point, the raw key, or RSA's own sequence. */
export type PublicKeyParts = { readonly scheme: KeyScheme; readonly key: Uint8Array };

/** Throws CIPHER_KEY_MALFORMED. That a point lies on its curve is found by whoever imports it. */
export const readSpki = (spki: Uint8Array): PublicKeyParts => {
  const [algorithm, bits, ...more] = readElements(readOne(spki, tags.sequence));
  if (more.length > 0) malformed('a SubjectPublicKeyInfo has two elements');
  const scheme = schemeOfAlgorithm(expectTag(algorithm, tags.sequence));
  const key = wholeBits(expectTag(bits, tags.bitString));
  checkPublicKey(scheme, key);
  return { scheme, key };
};

export const writeSpki = ({ scheme, key }: PublicKeyParts): Bytes =>
  derOf(tags.sequence, derOf(tags.sequence, algorithms[scheme]), derOf(tags.bitString, Uint8Array.of(0), key));

export type PrivateKeyParts = { readonly scheme: CurveScheme; /** 32 bytes. */ readonly secret: Uint8Array } | { readonly scheme: 'CORDA.RSA' };

const readSecret = (scheme: CurveScheme, key: Uint8Array): Uint8Array => {
  const isEc = scheme === 'CORDA.ECDSA.SECP256K1' || scheme === 'CORDA.ECDSA.SECP256R1';
  // RFC 5915 section 3 for curves of ECDSA, RFC 8410 section 7 for the others.
  const secret = isEc ? expectTag(readElements(readOne(key, tags.sequence))[1], tags.octetString) : readOne(key, tags.octetString);
  return secret.length === rawLength ? secret : malformed(`a private key of ${scheme} has ${rawLength} bytes`);
};

/** Throws CIPHER_KEY_MALFORMED. */
export const readPkcs8 = (pkcs8: Uint8Array): PrivateKeyParts => {
  const [version, algorithm, key] = readElements(readOne(pkcs8, tags.sequence));
  expectTag(version, tags.integer);
  const scheme = schemeOfAlgorithm(expectTag(algorithm, tags.sequence));
  const content = expectTag(key, tags.octetString);
  return scheme === 'CORDA.RSA' ? { scheme } : { scheme, secret: readSecret(scheme, content) };
};

const pkcs8Of = (scheme: CurveScheme, key: Uint8Array): Bytes =>
  derOf(tags.sequence, derOf(tags.integer, Uint8Array.of(0)), derOf(tags.sequence, algorithms[scheme]), derOf(tags.octetString, key));

/** `publicKey` is the point; RFC 5915 puts it beside the secret of an ECDSA key, and WebCrypto wants it there. */
export const writePkcs8 = (scheme: CurveScheme, secret: Uint8Array, publicKey: Uint8Array): Bytes => {
  const octets = derOf(tags.octetString, secret);
  if (scheme === 'CORDA.EDDSA.ED25519' || scheme === 'CORDA.X25519') return pkcs8Of(scheme, octets);
  const point = derOf(tags.context1, derOf(tags.bitString, Uint8Array.of(0), publicKey));
  return pkcs8Of(scheme, derOf(tags.sequence, derOf(tags.integer, Uint8Array.of(1)), octets, point));
};

/** What stands before the 32 bytes of an X25519 secret in PKCS#8. */
export const x25519Pkcs8Prefix: Bytes = pkcs8Of('CORDA.X25519', derOf(tags.octetString, new Uint8Array(rawLength))).slice(0, -rawLength);
