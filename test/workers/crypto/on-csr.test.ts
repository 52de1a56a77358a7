import 'reflect-metadata';
import { spawnSync } from 'node:child_process';
import { Pkcs10CertificateRequest, type ExtendedKeyUsageExtension, type KeyUsagesExtension, type SubjectAlternativeNameExtension } from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { toBase64url } from '../../../src/cipher/bytes.ts';
import { allToCryptoKey, type KeyScheme, type PublicKeyInfo } from '../../../src/messages/all-to-crypto.key.ts';
import { signatureSpec, type SignatureSpec } from '../../../src/messages/all-to-crypto.sign.ts';
import { restToCryptoCsr } from '../../../src/messages/rest-to-crypto.csr.ts';
import { specsOf } from '../../../src/cipher/signature.ts';
import { createMemoryAnswerStore } from '../../../src/shell/memory-store.ts';
import { createMemoryKeys } from '../../../src/workers/crypto/memory-keys.ts';
import { openRoom } from './room.ts';

const tenant = 'A11CE0000001';
const x500Name = 'CN=Alice, O=Org, L=London, C=GB';

const open = async () => {
  const { makeTx, rollback } = createMemoryKeys();
  const room = await openRoom({ keys: createMemoryAnswerStore(makeTx, rollback) });
  const make = async (scheme: KeyScheme, category: PublicKeyInfo['category'] = 'TLS'): Promise<PublicKeyInfo> => {
    await room.ask(allToCryptoKey, [{ type: 'assign-hsm', tenant, category }]);
    return (await room.value(allToCryptoKey, { type: 'generate', tenant, alias: `${scheme}-${category}`, category, scheme })).keys[0]!;
  };
  const csr = async (key: PublicKeyInfo, more: { alternativeNames?: string[]; spec?: SignatureSpec; x500Name?: string } = {}): Promise<string> =>
    (await room.value(restToCryptoCsr, { tenant, keyId: key.id, x500Name, alternativeNames: [], ...more })).pem;
  return { room, make, csr };
};

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const openssl = (pem: string): string => {
  const { stdout, stderr } = spawnSync('openssl', ['req', '-verify', '-noout', '-text', '-subject', '-nameopt', 'RFC2253'], { input: pem, encoding: 'utf8' });
  return stdout + stderr;
};

describe('a certificate signing request', () => {
  const schemes = ['CORDA.RSA', 'CORDA.ECDSA.SECP256R1', 'CORDA.ECDSA.SECP256K1', 'CORDA.EDDSA.ED25519'] as const;

  test.each(schemes)('of a key of %s names it and is signed by it, in every spec of the scheme', async (scheme) => {
    const { room, make, csr } = await open();
    const key = await make(scheme);
    for (const spec of specsOf(scheme)) {
      const pem = await csr(key, { spec, alternativeNames: ['gateway.example.com', '*.example.org', '10.1.2.3', '2001:DB8::1'] });
      const read = new Pkcs10CertificateRequest(pem);
      expect(toBase64url(new Uint8Array(read.publicKey.rawData))).toBe(key.publicKey);
      expect((read.getExtension('2.5.29.17') as SubjectAlternativeNameExtension).names.toJSON()).toEqual([
        { type: 'dns', value: 'gateway.example.com' },
        { type: 'dns', value: '*.example.org' },
        { type: 'ip', value: '10.1.2.3' },
        { type: 'ip', value: '2001:db8::1' },
      ]);
      // WebCrypto has no secp256k1; OpenSSL checks that one.
      if (scheme !== 'CORDA.ECDSA.SECP256K1' && spec !== 'RSASSA-PSS-SHA256') expect(await read.verify()).toBe(true);
      if (!hasOpenssl) continue;
      const checked = openssl(pem);
      expect(checked).toMatch(/verify OK/);
      expect(checked).toContain('subject=CN=Alice,O=Org,L=London,C=GB');
      const damaged = pem.replace(/.(?=.{3}\n-----END)/, (char) => (char === 'A' ? 'B' : 'A'));
      expect(openssl(damaged)).not.toMatch(/verify OK/);
    }
    await room.close();
  });

  test('asks for the usage that the key’s category has', async () => {
    const { room, make, csr } = await open();
    const usages = async (category: PublicKeyInfo['category']) => {
      const read = new Pkcs10CertificateRequest(await csr(await make('CORDA.ECDSA.SECP256R1', category)));
      const extended = read.getExtension('2.5.29.37') as ExtendedKeyUsageExtension | null;
      return [(read.getExtension('2.5.29.15') as KeyUsagesExtension).usages, extended?.usages];
    };
    expect(await usages('TLS')).toEqual([1, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']]);
    expect(await usages('SESSION_INIT')).toEqual([1, undefined]);
    expect(await usages('LEDGER')).toEqual([1 | 2, undefined]);
    expect(await usages('PRE_AUTH')).toEqual([1 | 16, undefined]);
    await room.close();
  });

  test('is refused where there is nothing to sign with, or nothing sound to say', async () => {
    const { room, make } = await open();
    const tls = await make('CORDA.ECDSA.SECP256R1');
    const session = await make('CORDA.ECDSA.SECP256R1', 'SESSION_INIT');
    const agreeing = await make('CORDA.X25519', 'PRE_AUTH');
    const asked = { tenant, keyId: tls.id, x500Name, alternativeNames: [] };
    const refusal = (more: { tenant?: string; keyId?: string; x500Name?: string; alternativeNames?: string[]; spec?: SignatureSpec }) => room.refusal(restToCryptoCsr, { ...asked, ...more });
    expect(await refusal({})).toBe('done');
    expect(await refusal({ tenant: 'B0B000000002' })).toBe('CRYPTO_KEY_NOT_FOUND');
    expect(await refusal({ keyId: agreeing.id })).toBe('CRYPTO_SPEC_UNFIT');
    expect(await refusal({ spec: 'EdDSA' })).toBe('CRYPTO_SPEC_UNFIT');
    // A machine may have any name, a member its own.
    expect(await refusal({ x500Name: 'CN=gateway' })).toBe('done');
    expect(await refusal({ keyId: session.id, x500Name: 'CN=gateway' })).toBe('CRYPTO_X500_NAME');
    for (const name of ['nonsense', 'XX=y', 'CN=a, CN=b', 'CN=']) expect(await refusal({ x500Name: name })).toBe('CRYPTO_X500_NAME');
    for (const host of ['a b', '*', '*.*.com', '*.1.2.3', '1.2.3.400', 'user@host', 'https://host', '*.::1']) expect(await refusal({ alternativeNames: ['good.example', host] })).toBe('CRYPTO_HOST_NAME');
    await room.close();
  });

  test('every spec of the wire has its algorithm', () => {
    expect(new Set(schemes.flatMap((scheme) => specsOf(scheme)))).toEqual(new Set(signatureSpec.options));
  });
});
