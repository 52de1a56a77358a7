/** Signers and certificate authorities for tests, with whatever is wrong with them on purpose. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { encodePem } from '../../src/cipher/pem.ts';
import type { Signer } from '../../src/packaging/build/containers.ts';

export const now = Date.UTC(2026, 5, 1);
const dayMs = 24 * 60 * 60 * 1000;

const algorithms = {
  EdDSA: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
} as const;

export type Issued = {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
  readonly algorithm: Signer['algorithm'];
  /** This certificate alone. */
  readonly pem: string;
  /** Leaf first. */
  readonly chainPem: string;
};

export type IssueOptions = {
  readonly name: string;
  readonly algorithm?: Signer['algorithm'];
  /** Who signs; without it the certificate is self-signed. */
  readonly issuer?: Issued;
  /** A certificate authority, with as many authorities below it as `pathLength` allows. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: x509.KeyUsageFlags;
  readonly extendedKeyUsage?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly extensions?: x509.Extension[];
};

export const issue = async (options: IssueOptions): Promise<Issued> => {
  const { name, algorithm = 'EdDSA', issuer, ca, pathLength, keyUsage, extendedKeyUsage, notBefore = now - dayMs, notAfter = now + dayMs, extensions = [] } = options;
  // Both algorithms give a pair; the overloads cannot tell that of a union.
  const keys = (await crypto.subtle.generateKey(algorithms[algorithm], true, ['sign', 'verify'])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: name,
    issuer: issuer?.certificate.subject ?? name,
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: algorithms[issuer?.algorithm ?? algorithm],
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    extensions: [
      ...(ca === undefined ? [] : [new x509.BasicConstraintsExtension(ca, pathLength, true)]),
      ...(keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
      ...(extendedKeyUsage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([extendedKeyUsage])]),
      ...extensions,
    ],
  });
  const pem = encodePem('CERTIFICATE', new Uint8Array(certificate.rawData));
  return { certificate, keys, algorithm, pem, chainPem: pem + (issuer?.chainPem ?? '') };
};

export const signerOf = ({ keys, algorithm, chainPem }: Issued): Signer => ({ algorithm, privateKey: keys.privateKey, certificateChainPem: chainPem });
