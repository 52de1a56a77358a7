import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64url, fromHex, toBase64url, toHex, utf8, type Bytes } from '../../src/cipher/bytes.ts';
import { CipherError } from '../../src/cipher/cipher-error.ts';
import { agreeingSchemes, openWithKey, sealToKey, type AgreeingScheme, type SealedToKey } from '../../src/cipher/sealed-to-key.ts';
import { generateKeyPair, keyPairOfSecret } from '../../src/cipher/signature.ts';

const context = { info: 'a registration', aad: utf8('of a group') };

/** Every byte the next number, from one call to the next. */
const counting = (): ((length: number) => Bytes) => {
  let next = 1;
  return (length) => Uint8Array.from({ length }, () => next++ & 0xff);
};

/** The format once more, by Node's own cryptography. */
const openByNode = (privateKey: Uint8Array, publicKey: Uint8Array, sealed: SealedToKey): string => {
  const ephemeral = fromBase64url(sealed.ephemeralPublicKey);
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: Buffer.from(privateKey), format: 'der', type: 'pkcs8' }),
    publicKey: createPublicKey({ key: Buffer.from(ephemeral), format: 'der', type: 'spki' }),
  });
  const key = Buffer.from(hkdfSync('sha256', secret, fromBase64url(sealed.salt), `cordage sealed to key 1: ${context.info}`, 32));
  const bytes = fromBase64url(sealed.ciphertext);
  const decipher = createDecipheriv('aes-256-gcm', key, fromBase64url(sealed.nonce));
  decipher.setAAD(Buffer.concat([ephemeral, publicKey, context.aad]));
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString();
};

const drawn = { salt: 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-P0A', nonce: 'QUJDREVGR0hJSktM' };
/** Never edited: what was sealed by version 1 opens for ever. Reader's secret: 32 times 0x42. */
const vectors: Record<AgreeingScheme, SealedToKey> = {
  'CORDA.X25519': {
    ephemeralPublicKey: 'MCowBQYDK2VuAyEAB6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHw',
    ...drawn,
    ciphertext: 'EsZ3dq855cFr6DfSaLQosuXZ_zwtq8kx',
  },
  'CORDA.ECDSA.SECP256R1': {
    ephemeralPublicKey: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUVw9brnjlrkE0_7Kf1T9zQzB6Ze_N13KUVrQpsO0A19FNr46UPMY-_mlR1kCoiFQK-8NV-CMU7LMClbxfZ-TVA',
    ...drawn,
    ciphertext: 'mUtsAg27KVrj6Yv2_GQ24JPfdm6xQa4D',
  },
  'CORDA.ECDSA.SECP256K1': {
    ephemeralPublicKey: 'MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEhL91YiYrvWlACFdI875q-lKuMXFVGB7OMbZjUcz_pLCMxD1jsoWdRp_uFfMcnttTJCZub9BAfoc4LWD8RRGs2A',
    ...drawn,
    ciphertext: 'w2-0SsLczOrIun_M4kwKk51M_WN5_AIu',
  },
};

describe.each(agreeingSchemes)('sealing to a key of %s', (scheme) => {
  test('its holder opens what was sealed, by this code and by another that keeps to the page', async () => {
    const { publicKey, privateKey } = await generateKeyPair(scheme);
    const sealed = await sealToKey(publicKey, utf8('the payload'), context);
    expect(await openWithKey({ publicKey, privateKey }, sealed, context)).toEqual(utf8('the payload'));
    expect(openByNode(privateKey, publicKey, sealed)).toBe('the payload');
  });

  test('nobody else opens it, and not in another context', async () => {
    const [reader, stranger] = await Promise.all([generateKeyPair(scheme), generateKeyPair(scheme)]);
    const sealed = await sealToKey(reader.publicKey, utf8('the payload'), context);
    const opened = [
      openWithKey(stranger, sealed, context),
      openWithKey({ ...reader, publicKey: stranger.publicKey }, sealed, context),
      openWithKey(reader, sealed, { ...context, info: 'another purpose' }),
      openWithKey(reader, sealed, { ...context, aad: utf8('of another group') }),
    ];
    // All at once: one that is refused while another is waited for would be nobody's.
    await Promise.all(opened.map((one) => expect(one).rejects.toMatchObject({ code: 'CIPHER_OPEN_FAILED' })));
  });

  test('the frozen vector is made and opened', async () => {
    const reader = await keyPairOfSecret(scheme, fromHex('42'.repeat(32)));
    expect(await sealToKey(reader.publicKey, utf8('vector 1'), context, counting())).toEqual(vectors[scheme]);
    expect(await openWithKey(reader, vectors[scheme], context)).toEqual(utf8('vector 1'));
    expect(openByNode(reader.privateKey, reader.publicKey, vectors[scheme])).toBe('vector 1');
  });

  test('whatever part is changed, it is refused with a CipherError', async () => {
    const reader = await generateKeyPair(scheme);
    const sealed = await sealToKey(reader.publicKey, utf8('the payload'), context);
    const parts = ['ephemeralPublicKey', 'salt', 'nonce', 'ciphertext'] as const;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...parts), fc.nat(), fc.oneof(fc.constant(undefined), fc.string()), async (part, at, text) => {
        const bytes = fromBase64url(sealed[part]);
        bytes[at % bytes.length]! ^= 1 << (at % 8);
        const changed = { ...sealed, [part]: text ?? toBase64url(bytes) };
        if (changed[part] === sealed[part]) return;
        await expect(openWithKey(reader, changed, context)).rejects.toBeInstanceOf(CipherError);
      }),
      { numRuns: 60 },
    );
  });
});

test('keys that sign only, and keys of another scheme, are refused before anything is sealed or opened', async () => {
  const [ed25519, p256, x25519] = await Promise.all([generateKeyPair('CORDA.EDDSA.ED25519'), generateKeyPair('CORDA.ECDSA.SECP256R1'), generateKeyPair('CORDA.X25519')]);
  await expect(sealToKey(ed25519.publicKey, utf8('x'), context)).rejects.toMatchObject({ code: 'CIPHER_UNSUPPORTED' });
  const sealed = await sealToKey(p256.publicKey, utf8('x'), context);
  await expect(openWithKey(x25519, sealed, context)).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
  await expect(openWithKey(ed25519, sealed, context)).rejects.toMatchObject({ code: 'CIPHER_UNSUPPORTED' });
});

test('a point that is not on the curve is refused, of low order too', async () => {
  const p256 = await generateKeyPair('CORDA.ECDSA.SECP256R1');
  const off = p256.publicKey.slice();
  off[off.length - 1]! ^= 1;
  await expect(sealToKey(off, utf8('x'), context)).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
  const x25519 = await generateKeyPair('CORDA.X25519');
  const low = x25519.publicKey.slice().fill(0, -32);
  expect(toHex(low.slice(-32))).toBe('00'.repeat(32));
  await expect(sealToKey(low, utf8('x'), context)).rejects.toMatchObject({ code: 'CIPHER_LOW_ORDER' });
});
