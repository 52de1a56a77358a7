import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkChain, readTrusted } from '../../src/packaging/certificates.ts';
import { issue, now, type Issued, type IssueOptions } from './keys.ts';

const dayMs = 24 * 60 * 60 * 1000;
const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;

let root: Issued;
let middle: Issued;
beforeAll(async () => {
  root = await issue({ name: 'CN=Root, O=Acme, C=GB', ca: true, keyUsage: keyCertSign });
  middle = await issue({ name: 'CN=Middle, O=Acme, C=GB', issuer: root, ca: true, keyUsage: keyCertSign | cRLSign, algorithm: 'ES256' });
});

const leafOf = (options: Partial<IssueOptions> = {}) => issue({ name: 'CN=Leaf, O=Acme, C=GB', issuer: middle, ...options });

/** `good`, or the code and reason of the refusal. */
const verdict = async ({ chainPem }: Issued, trusted: readonly Issued[], at = now): Promise<string> => {
  const fault = await checkChain({ chain: readTrusted([chainPem]), trusted: readTrusted(trusted.map(({ pem }) => pem)), now: at });
  return fault === undefined ? 'good' : `${fault.code}: ${fault.reason}`;
};

describe('a chain', () => {
  test('is good when its leaf, a CA in it, or the CA that signed its last is trusted', async () => {
    const leaf = await leafOf();
    for (const anchor of [leaf, middle, root]) expect(await verdict(leaf, [anchor])).toBe('good');
    expect(await verdict({ ...leaf, chainPem: leaf.pem + middle.pem }, [root])).toBe('good');
    expect(await verdict({ ...leaf, chainPem: leaf.pem }, [middle])).toBe('good');
  });

  test('is not good when nobody in it is trusted, or a link is missing', async () => {
    const leaf = await leafOf();
    const other = await issue({ name: 'CN=Root, O=Acme, C=GB', ca: true });
    expect(await verdict(leaf, [])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
    expect(await verdict(leaf, [other])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
    expect(await verdict({ ...leaf, chainPem: leaf.pem }, [root])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
    expect(await verdict({ ...leaf, chainPem: '' }, [root])).toMatch(/^PACKAGE_CERTIFICATE_INVALID: the chain is empty/);
  });

  test('is not good when a certificate does not sign the one before it', async () => {
    const leaf = await leafOf();
    const impostor = await issue({ name: 'CN=Middle, O=Acme, C=GB', issuer: root, ca: true });
    expect(await verdict({ ...leaf, chainPem: leaf.pem + impostor.chainPem }, [root])).toMatch(/not signed by the next/);
    expect(await verdict({ ...leaf, chainPem: leaf.pem + root.pem }, [root])).toMatch(/not signed by the next/);
  });

  test.each<[string, Partial<IssueOptions>, RegExp]>([
    ['has expired', { notAfter: now - 1_000 }, /expired/],
    ['is not valid yet', { notBefore: now + 1_000 }, /not valid before/],
    ['may not sign data', { keyUsage: keyCertSign }, /key usage/],
    ['is for something else than code', { extendedKeyUsage: x509.ExtendedKeyUsage.serverAuth }, /extended key usage/],
    ['has a critical extension that nobody here knows', { extensions: [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))] }, /critical extension 1.2.3.4/],
  ])('is not good when its leaf %s', async (_, options, reason) => {
    const leaf = await leafOf(options);
    expect(await verdict(leaf, [root])).toMatch(reason);
    expect(await verdict(leaf, [leaf])).toMatch(reason);
  });

  test('may say what its leaf is for, and more that is not critical', async () => {
    const leaf = await leafOf({ keyUsage: digitalSignature, extendedKeyUsage: x509.ExtendedKeyUsage.codeSigning, extensions: [new x509.Extension('1.2.3.4', false, new Uint8Array([5, 0]))] });
    expect(await verdict(leaf, [root])).toBe('good');
  });

  test.each<[string, Partial<IssueOptions>]>([
    ['is no CA', { ca: false }],
    ['does not say that it is a CA', {}],
    ['may not sign certificates', { ca: true, keyUsage: digitalSignature }],
  ])('is not good when an issuer in it %s', async (_, options) => {
    const issuer = await issue({ name: 'CN=Odd, O=Acme, C=GB', issuer: root, ...options });
    const leaf = await leafOf({ issuer });
    expect(await verdict(leaf, [root])).toMatch(/may not sign certificates/);
    expect(await verdict({ ...leaf, chainPem: leaf.pem }, [issuer])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
  });

  test('is not good when an issuer in it, or a trusted one above it, is out of its dates', async () => {
    const old = await issue({ name: 'CN=Old, O=Acme, C=GB', issuer: root, ca: true, notAfter: now - dayMs / 2 });
    const leaf = await leafOf({ issuer: old });
    expect(await verdict(leaf, [root])).toMatch(/CN=Old.*expired/);
    expect(await verdict({ ...leaf, chainPem: leaf.pem }, [old])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
  });

  test('respects how many authorities may stand below one', async () => {
    const narrow = await issue({ name: 'CN=Narrow, O=Acme, C=GB', ca: true, pathLength: 0 });
    const direct = await leafOf({ issuer: narrow });
    const below = await issue({ name: 'CN=Below, O=Acme, C=GB', issuer: narrow, ca: true });
    const indirect = await leafOf({ issuer: below });
    expect(await verdict(direct, [narrow])).toBe('good');
    expect(await verdict(indirect, [narrow])).toMatch(/^PACKAGE_(SIGNER_UNTRUSTED|CERTIFICATE_INVALID)/);
    expect(await verdict({ ...indirect, chainPem: indirect.pem + below.pem }, [narrow])).toMatch(/^PACKAGE_SIGNER_UNTRUSTED/);
    expect(await verdict(indirect, [below])).toBe('good');
  });
});
