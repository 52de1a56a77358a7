/** Reads a PEM certificate chain (RFC 7468, RFC 5280) that an operator imports: one certificate, or each signed by the next. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { toBase64url } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';
import { decodePem, type PemBlock } from '../../cipher/pem.ts';
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
