import { createPrivateKey, createPublicKey, sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../src/cipher/bytes.ts';
import { derOf } from '../../src/cipher/der.ts';
import { nobleSignatures } from '../../src/cipher/engines/noble-signature.ts';
import { webSignatures } from '../../src/cipher/engines/web-signature.ts';
import { readPkcs8, readSpki, writeSpki, type KeyScheme } from '../../src/cipher/key-encoding.ts';
import { derOfP1363, p1363OfDer } from '../../src/cipher/signature-encoding.ts';
import {
  defaultSpec,
  generateKeyPair,
  keyIdOf,
  keyPairOfSecret,
  prepareSigner,
  schemeOf,
  sign,
  specsOf,
  verify,
  type KeyPair,
} from '../../src/cipher/signature.ts';
import { rfc6979, rfc8032, secp256k1 } from './vectors/vectors.ts';

const schemes = ['CORDA.RSA', 'CORDA.ECDSA.SECP256K1', 'CORDA.ECDSA.SECP256R1', 'CORDA.EDDSA.ED25519', 'CORDA.X25519'] as const;
const signing = schemes.slice(0, 4);
const pairs = new Map<KeyScheme, KeyPair>();

beforeAll(async () => {
  for (const scheme of schemes) pairs.set(scheme, await generateKeyPair(scheme));
});

describe('vectors', () => {
  test.each(rfc8032)('Ed25519 of RFC 8032: message $message', async ({ secret, publicKey, message, signature }) => {
    const pair = await keyPairOfSecret('CORDA.EDDSA.ED25519', fromHex(secret));
    const data = fromHex(message);
    expect(toHex(readSpki(pair.publicKey).key)).toBe(publicKey);
    for (const engine of [webSignatures, nobleSignatures]) {
      const signer = await engine.signer({ scheme: 'CORDA.EDDSA.ED25519', secret: fromHex(secret), pkcs8: pair.privateKey });
      expect(toHex(await signer.sign('EdDSA', data))).toBe(signature);
      const verifyWith = await engine.verifier({ scheme: 'CORDA.EDDSA.ED25519', key: fromHex(publicKey), spki: pair.publicKey });
      expect(await verifyWith('EdDSA', data, fromHex(signature))).toBe(true);
    }
  });

  test.each(rfc6979.signatures)('P-256 of RFC 6979: $spec of $message', async ({ spec, message, r, s }) => {
    const pair = await keyPairOfSecret('CORDA.ECDSA.SECP256R1', fromHex(rfc6979.secret));
    expect(toHex(readSpki(pair.publicKey).key)).toBe(rfc6979.publicKey);
    const raw = fromHex(r + s);
    const signer = await nobleSignatures.signer({ scheme: 'CORDA.ECDSA.SECP256R1', secret: fromHex(rfc6979.secret), pkcs8: pair.privateKey });
    expect(toHex(await signer.sign(spec, utf8(message))).slice(0, 64)).toBe(r);
    const key = { scheme: 'CORDA.ECDSA.SECP256R1', key: fromHex(rfc6979.publicKey), spki: pair.publicKey } as const;
    for (const engine of [webSignatures, nobleSignatures]) {
      expect(await (await engine.verifier(key))(spec, utf8(message), raw)).toBe(true);
    }
    expect(await verify({ publicKey: pair.publicKey, spec, data: utf8(message), signature: derOfP1363(raw) })).toBe(true);
  });

  test.each(secp256k1)('secp256k1 with low S: $message', async ({ secret, message, r, s }) => {
    const { privateKey } = await keyPairOfSecret('CORDA.ECDSA.SECP256K1', fromHex(secret));
    const signature = await sign({ scheme: 'CORDA.ECDSA.SECP256K1', spec: 'SHA256withECDSA', privateKey, data: utf8(message) });
    expect(toHex(p1363OfDer(signature)!)).toBe(r + s);
  });
});

describe.each(signing.flatMap((scheme) => specsOf(scheme).map((spec) => ({ scheme, spec }))))('$scheme by $spec', ({ scheme, spec }) => {
  const nodeOptions = spec === 'RSASSA-PSS-SHA256' ? { padding: 6, saltLength: 32 } : {};
  const nodeDigest = spec === 'EdDSA' ? null : spec.includes('384') ? 'sha384' : spec.includes('512') ? 'sha512' : 'sha256';

  test('what it signs verifies; other data, keys, specs do not', async () => {
    const { publicKey, privateKey } = pairs.get(scheme)!;
    const data = utf8('the data');
    const signature = await sign({ scheme, spec, privateKey, data });
    expect(await verify({ publicKey, spec, data, signature })).toBe(true);
    expect(await verify({ publicKey, spec, data: utf8('the dota'), signature })).toBe(false);
    const other = await generateKeyPair(scheme === 'CORDA.RSA' ? 'CORDA.EDDSA.ED25519' : scheme);
    expect(await verify({ publicKey: other.publicKey, spec, data, signature })).toBe(false);
    for (const wrong of specsOf('CORDA.RSA').concat('SHA256withECDSA', 'EdDSA')) {
      if (wrong !== spec) expect(await verify({ publicKey, spec: wrong, data, signature })).toBe(false);
    }
  });

  test('OpenSSL reads our keys, verifies our signatures, and we verify its own', async () => {
    const { publicKey, privateKey } = pairs.get(scheme)!;
    const data = utf8('the data');
    const opensslPublic = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
    const opensslPrivate = createPrivateKey({ key: Buffer.from(privateKey), format: 'der', type: 'pkcs8' });
    const ours = await sign({ scheme, spec, privateKey, data });
    expect(nodeVerify(nodeDigest, data, { key: opensslPublic, ...nodeOptions }, ours)).toBe(true);
    // OpenSSL draws S high or low: both must pass, so several are tried.
    for (let i = 0; i < 8; i++) {
      const theirs = nodeSign(nodeDigest, data, { key: opensslPrivate, ...nodeOptions });
      expect(await verify({ publicKey, spec, data, signature: new Uint8Array(theirs) })).toBe(true);
    }
  });

  test('a prepared signer outlives the bytes it was made of', async () => {
    const { publicKey, privateKey } = pairs.get(scheme)!;
    const copy = privateKey.slice();
    const signer = await prepareSigner(copy);
    copy.fill(0);
    const data = utf8('later');
    expect(await verify({ publicKey, spec, data, signature: await signer.sign(spec, data) })).toBe(true);
  });
});

describe('engines agree', () => {
  test.each(['CORDA.ECDSA.SECP256R1', 'CORDA.EDDSA.ED25519'] as const)('%s: each verifies the other’s signatures', async (scheme) => {
    const { publicKey, privateKey } = pairs.get(scheme)!;
    const parts = readPkcs8(privateKey);
    if (parts.scheme === 'CORDA.RSA') throw new Error('not a curve');
    const key = { ...readSpki(publicKey), spki: publicKey };
    const spec = defaultSpec(scheme)!;
    for (const [signs, verifies] of [[webSignatures, nobleSignatures], [nobleSignatures, webSignatures]] as const) {
      const signer = await signs.signer({ ...parts, pkcs8: privateKey });
      const verifyWith = await verifies.verifier(key);
      const signature = await signer.sign(spec, utf8('both'));
      expect(await verifyWith(spec, utf8('both'), signature)).toBe(true);
      expect(await verifyWith(spec, utf8('neither'), signature)).toBe(false);
    }
  });

  test('a wiped secp256k1 signer signs no more', async () => {
    const signer = await prepareSigner(pairs.get('CORDA.ECDSA.SECP256K1')!.privateKey);
    signer.wipe();
    await expect(signer.sign('SHA256withECDSA', utf8('x'))).rejects.toThrow();
  });
});

describe('keys', () => {
  test.each(schemes)('%s: the scheme is read from the key, the id is 12 upper-case digits', (scheme) => {
    const { publicKey, privateKey } = pairs.get(scheme)!;
    expect(schemeOf(publicKey)).toBe(scheme);
    expect(readPkcs8(privateKey).scheme).toBe(scheme);
    expect(keyIdOf(publicKey)).toMatch(/^[0-9A-F]{12}$/);
  });

  test('RSA keys have 3,072 bits', () => {
    const key = createPublicKey({ key: Buffer.from(pairs.get('CORDA.RSA')!.publicKey), format: 'der', type: 'spki' });
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(3_072);
  });

  test('the same drawn bytes give the same key, and are wiped after', async () => {
    const drawn = new Uint8Array(32).fill(5);
    const one = await generateKeyPair('CORDA.EDDSA.ED25519', () => drawn);
    const other = await generateKeyPair('CORDA.EDDSA.ED25519', () => new Uint8Array(32).fill(5));
    expect(one).toEqual(other);
    expect(drawn).toEqual(new Uint8Array(32));
  });

  test('a secret past the curve’s order is refused', async () => {
    await expect(keyPairOfSecret('CORDA.ECDSA.SECP256K1', new Uint8Array(32).fill(255))).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
    await expect(keyPairOfSecret('CORDA.ECDSA.SECP256R1', new Uint8Array(32))).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
  });

  test('RSA keys that are too short or absurdly long are not keys', async () => {
    for (const modulusLength of [1_024, 16_384]) {
      const modulus = new Uint8Array(modulusLength / 8).fill(0xff);
      const key = derOf(0x30, derOf(2, Uint8Array.of(0), modulus), derOf(2, Uint8Array.of(1, 0, 1)));
      expect(schemeOf(writeSpki({ scheme: 'CORDA.RSA', key }))).toBeUndefined();
    }
  });

  // y = 0, 1, −1, the two of order 8, with either sign of x, and spellings of 0 and 1 past the prime.
  test.each([
    '01', '00', 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', 'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ])('the Ed25519 point %s is not a key: one signature would fit every message', async (hex) => {
    const key = concat(fromHex(hex), new Uint8Array(32)).slice(0, 32);
    for (const sign of [0, 0x80]) {
      key[31]! = (key[31]! & 0x7f) | sign;
      const publicKey = writeSpki({ scheme: 'CORDA.EDDSA.ED25519', key });
      expect(schemeOf(publicKey)).toBeUndefined();
      // R = the neutral point, S = 0: what OpenSSL accepts for a key of small order.
      const forged = concat(Uint8Array.of(1), new Uint8Array(63));
      expect(await verify({ publicKey, spec: 'EdDSA', data: utf8('anything'), signature: forged })).toBe(false);
    }
  });
});

describe('refusals', () => {
  test('an X25519 key neither signs nor verifies', async () => {
    const { publicKey, privateKey } = pairs.get('CORDA.X25519')!;
    expect(defaultSpec('CORDA.X25519')).toBeUndefined();
    await expect(sign({ scheme: 'CORDA.X25519', spec: 'EdDSA', privateKey, data: utf8('x') })).rejects.toMatchObject({ code: 'CIPHER_SPEC_UNFIT' });
    expect(await verify({ publicKey, spec: 'EdDSA', data: utf8('x'), signature: new Uint8Array(64) })).toBe(false);
  });

  test('a spec of another scheme is refused, and a key of another scheme too', async () => {
    const { privateKey } = pairs.get('CORDA.EDDSA.ED25519')!;
    const data = utf8('x');
    await expect(sign({ scheme: 'CORDA.EDDSA.ED25519', spec: 'SHA256withRSA', privateKey, data })).rejects.toMatchObject({ code: 'CIPHER_SPEC_UNFIT' });
    await expect(sign({ scheme: 'CORDA.RSA', spec: 'SHA256withRSA', privateKey, data })).rejects.toMatchObject({ code: 'CIPHER_SPEC_UNFIT' });
    await expect(prepareSigner(new Uint8Array(40))).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
  });

  test('any bytes as key or signature are false, never a throw', async () => {
    const { publicKey, privateKey } = pairs.get('CORDA.ECDSA.SECP256R1')!;
    const data = utf8('x');
    const signature = await sign({ scheme: 'CORDA.ECDSA.SECP256R1', spec: 'SHA256withECDSA', privateKey, data });
    const mangled = (of: Uint8Array) =>
      fc.oneof(
        fc.uint8Array({ maxLength: 120 }),
        fc.record({ at: fc.nat({ max: of.length - 1 }), bit: fc.nat({ max: 7 }) }).map(({ at, bit }) => of.map((byte, i) => (i === at ? byte ^ (1 << bit) : byte))),
        fc.nat({ max: of.length - 1 }).map((length) => of.slice(0, length)),
      );
    await fc.assert(
      fc.asyncProperty(mangled(publicKey), mangled(signature), async (badKey, badSignature) => {
        expect(await verify({ publicKey: badKey, spec: 'SHA256withECDSA', data, signature })).toBe(false);
        expect(await verify({ publicKey, spec: 'SHA256withECDSA', data, signature: badSignature })).toBe(false);
      }),
      { numRuns: 150 },
    );
    for (const scheme of signing) {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
          expect(await verify({ publicKey: pairs.get(scheme)!.publicKey, spec: defaultSpec(scheme)!, data, signature: bytes })).toBe(false);
        }),
        { numRuns: 30 },
      );
    }
  });

  test('a point off its curve is no key', async () => {
    for (const scheme of ['CORDA.ECDSA.SECP256R1', 'CORDA.ECDSA.SECP256K1'] as const) {
      const publicKey = pairs.get(scheme)!.publicKey.slice();
      publicKey[publicKey.length - 1]! ^= 1;
      expect(await verify({ publicKey, spec: 'SHA256withECDSA', data: utf8('x'), signature: fromHex('3006020101020101') })).toBe(false);
    }
  });
});

describe('DER signatures', () => {
  test('r and s come back padded to 32 bytes', () => {
    const scalar = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => bytes.some((byte) => byte > 0));
    fc.assert(fc.property(scalar, scalar, (r, s) => void expect(p1363OfDer(derOfP1363(concat(r, s)))).toEqual(concat(r, s))));
    const small = concat(new Uint8Array(31), Uint8Array.of(1));
    expect(p1363OfDer(derOfP1363(concat(small, small)))).toEqual(concat(small, small));
  });

  test('only one encoding of a signature is taken', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const raw = p1363OfDer(bytes);
        if (raw !== undefined) expect(derOfP1363(raw)).toEqual(bytes);
      }),
    );
  });

  // Zero, negative, padded, long-form length, trailing bytes.
  test.each(['3006020100020101', '3006020180020101', '300702020001020101', '308106020101020101', '30060201010201010000', '3009020101020101020101'])('refuses %s', (hex) => {
    expect(p1363OfDer(fromHex(hex))).toBeUndefined();
  });
});
