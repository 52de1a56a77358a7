import { describe, expect, test } from 'vitest';
import { generateX25519, x25519, x25519PublicKey } from '../../src/cipher/agreement.ts';
import { fromHex, toHex } from '../../src/cipher/bytes.ts';
import { nobleAgreement, webAgreement } from '../../src/cipher/engines/agreement-engines.ts';
import { lowOrderUs, rfc7748, rfc7748Exchange, rfc7748Loop } from './vectors/vectors.ts';

const engines = [
  ['platform', webAgreement],
  ['noble', nobleAgreement],
] as const;

describe.each(engines)('X25519 by %s', (_name, engine) => {
  test.each(rfc7748)('gives the standard’s $result', async ({ scalar, u, result }) => {
    expect(toHex((await engine.agree(fromHex(scalar), fromHex(u)))!)).toBe(result);
  });

  test('passes the standard’s loop', async () => {
    let scalar = fromHex(rfc7748Loop.start);
    let u = scalar;
    for (let round = 1; round <= 1_000; round++) {
      const result = (await engine.agree(scalar, u))!;
      u = scalar;
      scalar = result;
      if (round === 1) expect(toHex(scalar)).toBe(rfc7748Loop.after1);
    }
    expect(toHex(scalar)).toBe(rfc7748Loop.after1000);
  });

  test.each(lowOrderUs)('refuses the point %s of low order', async (u) => {
    expect(await engine.agree(fromHex(rfc7748Exchange.alicePrivate), fromHex(u))).toBeUndefined();
  });
});

test('Alice and Bob of the standard agree', async () => {
  const v = rfc7748Exchange;
  expect(toHex(await x25519PublicKey(fromHex(v.alicePrivate)))).toBe(v.alicePublic);
  expect(toHex(await x25519PublicKey(fromHex(v.bobPrivate)))).toBe(v.bobPublic);
  expect(toHex(await x25519({ privateKey: fromHex(v.alicePrivate), publicKey: fromHex(v.bobPublic) }))).toBe(v.shared);
  expect(toHex(await x25519({ privateKey: fromHex(v.bobPrivate), publicKey: fromHex(v.alicePublic) }))).toBe(v.shared);
});

test('fresh keys agree, and both engines agree on them', async () => {
  const [a, b] = await Promise.all([generateX25519(), generateX25519()]);
  const shared = await x25519({ privateKey: a.privateKey, publicKey: b.publicKey });
  expect(await x25519({ privateKey: b.privateKey, publicKey: a.publicKey })).toEqual(shared);
  expect(await nobleAgreement.agree(a.privateKey, b.publicKey)).toEqual(await webAgreement.agree(a.privateKey, b.publicKey));
  expect(a.privateKey).not.toEqual(b.privateKey);
});

test('low order and wrong lengths are refused by name', async () => {
  const { privateKey } = await generateX25519();
  await expect(x25519({ privateKey, publicKey: new Uint8Array(32) })).rejects.toMatchObject({ code: 'CIPHER_LOW_ORDER' });
  await expect(x25519({ privateKey, publicKey: new Uint8Array(31) })).rejects.toMatchObject({ code: 'CIPHER_KEY_MALFORMED' });
});
