/**
 * Certificates of session keys, in groups whose session PKI is Standard: the chain must lead to one of the group's session trust
 * roots, and its leaf must name the member and hold its session key. Revocation is the gateway's to look up.
 */
import { toBase64url } from './bytes.ts';
import { checkChain, keyUsageNames, nameOf, publicKeyOf, readCertificate, readTrusted, subjectOf, type Certificate, type ChainVerdict } from './certificates.ts';

export type SessionCertificatesCheck = {
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array<ArrayBuffer>[];
  /** SubjectPublicKeyInfo of the session key, base64url. */
  readonly publicKey: string;
  /** The member: its name, and what the name says, by attribute. */
  readonly x500Name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** PEM. */
  readonly trustRoots: readonly string[];
  /** When the chain must hold; `ever` for any time at all, where somebody else has judged its dates. */
  readonly at: number | 'ever';
};

export type SessionCertificatesFault = {
  readonly type: 'missing' | 'unreadable' | 'other-key' | 'other-name' | 'not-for-signatures' | 'chain-broken' | 'untrusted';
  readonly reason: string;
};

/** Same attributes with same values; their order says nothing, as in our canonical names. */
const isNamed = (certificate: Certificate, expected: SessionCertificatesCheck['attributes']): boolean => {
  const subject = subjectOf(certificate);
  if (subject === undefined) return false;
  const attributes = new Map(Object.entries(expected));
  return subject.length === attributes.size && subject.every(({ type, value }) => attributes.get(type) === value) && new Set(subject.map(({ type }) => type)).size === subject.length;
};

const checkLeaf = (leaf: Certificate, { publicKey, x500Name, attributes }: SessionCertificatesCheck): SessionCertificatesFault | undefined => {
  if (toBase64url(publicKeyOf(leaf)) !== publicKey) return { type: 'other-key', reason: `the certificate ${nameOf(leaf)} is not of the session key` };
  if (!isNamed(leaf, attributes)) return { type: 'other-name', reason: `the certificate ${nameOf(leaf)} does not name ${x500Name}` };
  // Unlike a signer of code, a session key must be said to be one for signatures, as Corda asks.
  if (keyUsageNames(leaf, 'digitalSignature') !== true) return { type: 'not-for-signatures', reason: `the certificate ${nameOf(leaf)} is not for digital signatures (key usage)` };
  return undefined;
};

/** A chain that ever held did so when the last of its certificates, or its root, had come into force. */
const momentsOf = (certificates: readonly Certificate[]): readonly number[] =>
  [...new Set(certificates.map(({ notBefore }) => notBefore.getTime()))].sort((one, other) => other - one);

/** Why the chain is not good; `undefined` when it is. */
export const checkSessionCertificates = async (check: SessionCertificatesCheck): Promise<SessionCertificatesFault | undefined> => {
  const chain: Certificate[] = [];
  for (const der of check.certificates) {
    const certificate = readCertificate(der);
    if (certificate === undefined) return { type: 'unreadable', reason: 'one of the certificates cannot be read' };
    chain.push(certificate);
  }
  const [leaf] = chain;
  if (leaf === undefined) return { type: 'missing', reason: 'the group asks for a certificate of the session key, and none came' };
  const unfit = checkLeaf(leaf, check);
  if (unfit !== undefined) return unfit;
  const trusted = readTrusted(check.trustRoots);
  const verdicts: ChainVerdict[] = [];
  for (const now of check.at === 'ever' ? momentsOf([...chain, ...trusted]) : [check.at]) {
    const verdict = await checkChain({ chain, trusted, now });
    if (verdict.type === 'good') return undefined;
    verdicts.push(verdict);
  }
  const [verdict] = verdicts;
  if (verdict?.type === 'invalid') return { type: 'chain-broken', reason: verdict.reason };
  return { type: 'untrusted', reason: `none of the group's session trust roots vouches for ${nameOf(leaf)}` };
};
