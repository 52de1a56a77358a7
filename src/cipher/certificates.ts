/**
 * Certificate chains (RFC 5280), checked against certificates that somebody trusts.
 *
 * A chain is good when each certificate is in its dates at `now` and signed by the next, each issuer is a CA that may sign
 * certificates, the leaf may do what the caller asks of it, and one of them is a trusted certificate or signed by one. Trusted
 * certificates are held to the same rules. Revocation is not looked up here.
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { readOne, tags } from './der.ts';
import { decodePem } from './pem.ts';

export type Certificate = x509.X509Certificate;

const oids = { basicConstraints: '2.5.29.19', keyUsage: '2.5.29.15', extendedKeyUsage: '2.5.29.37' };
/** Critical extensions that this file understands; any other refuses the certificate (RFC 5280, 4.2). */
const understood = new Set(Object.values(oids));

const sameBytes = (one: ArrayBuffer, other: ArrayBuffer): boolean => {
  const [left, right] = [new Uint8Array(one), new Uint8Array(other)];
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
};

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A certificate of its DER bytes; `undefined` where they are none, or more than one certificate. */
export const readCertificate = (der: Uint8Array<ArrayBuffer>): Certificate | undefined => {
  try {
    // The library takes a certificate with bytes behind it; one certificate must have one spelling.
    readOne(der, tags.sequence);
    return new x509.X509Certificate(der);
  } catch {
    return undefined;
  }
};

/** Every certificate of these PEM texts. One that cannot be read trusts nobody, so it is left out. */
export const readTrusted = (texts: readonly string[]): Certificate[] =>
  texts.flatMap((text) => {
    try {
      return decodePem(text).flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [readCertificate(der)] : []));
    } catch {
      return [];
    }
  }).filter((certificate) => certificate !== undefined);

/** One attribute of a distinguished name, by its short name (`CN`, `O`, …) or its OID. */
export type SubjectAttribute = { readonly type: string; readonly value: string };

/** The subject's attributes in encoded order; `undefined` when a part of the name holds several values at once. */
export const subjectOf = (certificate: Certificate): SubjectAttribute[] | undefined => {
  const parts = certificate.subjectName.toJSON();
  const single = parts.map((part) => Object.entries(part).flatMap(([type, values]) => values.map((value) => ({ type, value }))));
  return single.every(({ length }) => length === 1) ? single.flat() : undefined;
};

/** SubjectPublicKeyInfo. */
export const publicKeyOf = (certificate: Certificate): Uint8Array<ArrayBuffer> => new Uint8Array(certificate.publicKey.rawData);

/** For messages to people. */
export const nameOf = ({ subject }: Certificate): string => JSON.stringify(subject.slice(0, 200));

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const checkDatesAndExtensions = (certificate: Certificate, now: number): string | undefined => {
  const { notBefore, notAfter } = certificate;
  if (now < notBefore.getTime()) return `the certificate ${nameOf(certificate)} is not valid before ${notBefore.toISOString()}`;
  if (now > notAfter.getTime()) return `the certificate ${nameOf(certificate)} expired on ${notAfter.toISOString()}`;
  const foreign = certificate.extensions.find(({ critical, type }) => critical && !understood.has(type));
  if (foreign !== undefined) return `the certificate ${nameOf(certificate)} has a critical extension ${foreign.type} that is not understood`;
  const { hash } = certificate.signatureAlgorithm;
  if (hash !== undefined && /^(SHA-1|MD\d)$/i.test(hash.name)) return `the certificate ${nameOf(certificate)} is signed with ${hash.name}`;
  return undefined;
};

/** Whether the key usage names this; `undefined` where the certificate has no key usage, which forbids nothing. */
export const keyUsageNames = (certificate: Certificate, usage: keyof typeof x509.KeyUsageFlags): boolean | undefined => {
  const extension = certificate.getExtension<x509.KeyUsagesExtension>(oids.keyUsage);
  return extension === null ? undefined : (extension.usages & x509.KeyUsageFlags[usage]) !== 0;
};

/** OIDs; `undefined` where the certificate does not say. */
export const extendedKeyUsages = (certificate: Certificate): readonly string[] | undefined =>
  certificate.getExtension<x509.ExtendedKeyUsageExtension>(oids.extendedKeyUsage)?.usages.map(String);

/** `below` is how many CA certificates stand between this issuer and the leaf. */
const mayIssue = (issuer: Certificate, below: number): boolean => {
  const constraints = issuer.getExtension<x509.BasicConstraintsExtension>(oids.basicConstraints);
  if (constraints === null || !constraints.ca) return false;
  if (constraints.pathLength !== undefined && constraints.pathLength < below) return false;
  return keyUsageNames(issuer, 'keyCertSign') !== false;
};

const isSignedBy = async (certificate: Certificate, issuer: Certificate): Promise<boolean> => {
  if (!sameBytes(certificate.issuerName.toArrayBuffer(), issuer.subjectName.toArrayBuffer())) return false;
  try {
    return await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true });
  } catch {
    // An algorithm that this runtime does not have.
    return false;
  }
};

// ── The chain ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type ChainCheck = { readonly chain: readonly Certificate[]; readonly trusted: readonly Certificate[]; readonly now: number };

export type ChainVerdict =
  | { readonly type: 'good' }
  /** A rule is broken, by whomever it was issued. */
  | { readonly type: 'invalid'; readonly reason: string }
  | { readonly type: 'untrusted'; readonly leaf: Certificate };

const isTrusted = async (certificate: Certificate, depth: number, { trusted, now }: ChainCheck): Promise<boolean> => {
  for (const anchor of trusted) {
    if (sameBytes(anchor.rawData, certificate.rawData)) return true;
    if (checkDatesAndExtensions(anchor, now) !== undefined || !mayIssue(anchor, depth)) continue;
    if (await isSignedBy(certificate, anchor)) return true;
  }
  return false;
};

/** Leaf first. What the leaf may be used for is the caller's to check. Certificates after the trusted one are not looked at. */
export const checkChain = async (check: ChainCheck): Promise<ChainVerdict> => {
  const { chain, now } = check;
  const leaf = chain[0];
  if (leaf === undefined) return { type: 'invalid', reason: 'the chain is empty' };
  for (const [depth, certificate] of chain.entries()) {
    const own = checkDatesAndExtensions(certificate, now);
    if (own !== undefined) return { type: 'invalid', reason: own };
    if (depth > 0 && !mayIssue(certificate, depth - 1)) {
      return { type: 'invalid', reason: `the certificate ${nameOf(certificate)} may not sign certificates here (basic constraints, path length or key usage)` };
    }
    if (await isTrusted(certificate, depth, check)) return { type: 'good' };
    const issuer = chain[depth + 1];
    if (issuer !== undefined && !(await isSignedBy(certificate, issuer))) {
      return { type: 'invalid', reason: `the certificate ${nameOf(certificate)} is not signed by the next in its chain` };
    }
  }
  return { type: 'untrusted', leaf };
};
