/** An authority outside the clusters that certifies session keys: an operator sends it the signing request and imports what comes back. */
import * as x509 from '@peculiar/x509';
import { expect } from 'vitest';
import { encodePem } from '../../../../src/cipher/pem.ts';
import { issue } from '../../../packaging/keys.ts';
import type { BlackBox } from './cluster.ts';

const hourMs = 3_600_000;

export type SessionAuthority = {
  readonly rootPem: string;
  /** The chain of a virtual node's session key under this alias: its request made, answered and imported, all over REST. */
  certify(box: BlackBox, hash: string, certified: { readonly keyId: string; readonly x500Name: string; readonly alias?: string }): Promise<string>;
};

export const openSessionAuthority = async (name: string): Promise<SessionAuthority> => {
  const dates = { notBefore: Date.now() - hourMs, notAfter: Date.now() + 24 * hourMs };
  const root = await issue({ name: `CN=${name} Root`, ca: true, algorithm: 'ES256', ...dates });
  const middle = await issue({ name: `CN=${name} Issuer`, ca: true, algorithm: 'ES256', issuer: root, ...dates });
  return {
    rootPem: root.pem,
    certify: async ({ call }, hash, { keyId, x500Name, alias = 'session' }) => {
      const request = await call('POST', `/certificate/${hash}/${keyId}`, { json: { x500Name } });
      expect(request.status, request.text).toBe(200);
      const csr = new x509.Pkcs10CertificateRequest(request.json);
      const leaf = await x509.X509CertificateGenerator.create({
        subject: csr.subject, issuer: middle.certificate.subject, publicKey: csr.publicKey, signingKey: middle.keys.privateKey,
        signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' }, notBefore: new Date(dates.notBefore), notAfter: new Date(dates.notAfter),
        extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
      });
      const chain = encodePem('CERTIFICATE', new Uint8Array(leaf.rawData)) + middle.pem;
      const imported = await call('PUT', `/certificate/vnode/${hash}/p2p-session`, { form: { alias, certificate: new Blob([chain]) } });
      expect(imported.status, imported.text).toBe(204);
      return alias;
    },
  };
};
