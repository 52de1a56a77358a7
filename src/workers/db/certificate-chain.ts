/** Reads a PEM certificate chain (RFC 7468, RFC 5280) that an operator imports: one certificate, or each signed by the next. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { toBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { decodePem, type PemBlock } from '../../cipher/pem.ts';
import { extendedKeyUsages, keyUsageNames, nameOf } from '../../cipher/certificates.ts';
import type { CertificateUsage } from '../../messages/rest-to-db.certificate.ts';
import { certificateChainMax } from './config.ts';

export type CertificateChain = { readonly type: 'chain'; readonly certificates: readonly x509.X509Certificate[]; /** SubjectPublicKeyInfo of the leaf, base64url. */ readonly publicKey: string } | { readonly type: 'invalid'; readonly reason: string };

const invalid = (reason: string): CertificateChain => ({ type: 'invalid', reason });

const readBlocks = (pem: string): readonly PemBlock[] | string => {
  try {
    return decodePem(pem);
  } catch (error) {
    if (error instanceof CipherError) return error.message;
    throw error;
  }
};

const readCertificate = (der: Uint8Array<ArrayBuffer>): x509.X509Certificate | undefined => {
  try {
    const certificate = new x509.X509Certificate(der);
    // The name and the key are decoded when first asked for: what cannot be decoded is no certificate.
    void certificate.subjectName.toJSON();
    void certificate.publicKey.rawData;
    return certificate;
  } catch {
    return undefined;
  }
};

/** `false` also where this runtime does not know the algorithm. */
const isSignedBy = async (certificate: x509.X509Certificate, issuer: x509.X509Certificate): Promise<boolean> => {
  try {
    return certificate.issuer === issuer.subject && (await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true }));
  } catch {
    return false;
  }
};

export const readCertificateChain = async (pem: string): Promise<CertificateChain> => {
  const blocks = readBlocks(pem);
  if (typeof blocks === 'string') return invalid(blocks);
  if (blocks.length === 0) return invalid('there is no PEM block; a certificate begins with -----BEGIN CERTIFICATE-----');
  if (blocks.length > certificateChainMax) return invalid(`more than ${certificateChainMax} certificates`);
  const certificates: x509.X509Certificate[] = [];
  for (const [at, { label, der }] of blocks.entries()) {
    if (label !== 'CERTIFICATE') return invalid(`block ${at + 1} is a ${label}, not a CERTIFICATE`);
    const certificate = readCertificate(der);
    if (certificate === undefined) return invalid(`block ${at + 1} is not an X.509 certificate`);
    const last = certificates.at(-1);
    if (last !== undefined && !(await isSignedBy(last, certificate))) {
      return invalid(`certificate ${at} is not signed by certificate ${at + 1}; put the chain in order, the leaf first`);
    }
    certificates.push(certificate);
  }
  // There is a block, and so a certificate.
  return { type: 'chain', certificates, publicKey: toBase64url(new Uint8Array(certificates[0]!.publicKey.rawData)) };
};

// ── Fitness ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const serverAuth = '1.3.6.1.5.5.7.3.1';

/** Why the leaf may not be used so (RFC 5280, 4.2.1.3 and 4.2.1.12: what a certificate does not restrict is allowed). */
const checkLeaf = (leaf: x509.X509Certificate, usage: CertificateUsage): string | undefined => {
  switch (usage) {
    case 'code-signer':
      // Imported is whom packages' signers must chain to: an authority, or a signer itself.
      return undefined;
    case 'p2p-session':
      // Counterparties demand that it be said.
      return keyUsageNames(leaf, 'digitalSignature') === true ? undefined : `${nameOf(leaf)} is not for digital signatures (key usage)`;
    case 'p2p-tls':
    case 'rest-tls':
      if (keyUsageNames(leaf, 'digitalSignature') === false) return `${nameOf(leaf)} is not for digital signatures (key usage)`;
      return extendedKeyUsages(leaf)?.includes(serverAuth) === false ? `${nameOf(leaf)} is not for TLS servers (extended key usage)` : undefined;
  }
};

/** Why a chain that could be read is not good for this usage now. One that begins later may be imported ahead. */
export const checkFitness = (certificates: readonly x509.X509Certificate[], usage: CertificateUsage, now: number): string | undefined => {
  const expired = certificates.find(({ notAfter }) => now > notAfter.getTime());
  if (expired !== undefined) return `${nameOf(expired)} expired on ${expired.notAfter.toISOString()}`;
  const [leaf] = certificates;
  return leaf === undefined ? 'it is empty' : checkLeaf(leaf, usage);
};
