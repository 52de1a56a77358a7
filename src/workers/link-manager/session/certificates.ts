/**
 * Certificates of session keys, in groups whose session PKI is Standard: the chain must lead to one of the group's session trust
 * roots, and its leaf must name the member and hold the very key that signed the handshake. Revocation is the gateway's to look up.
 */
import { toBase64url, fromBase64url } from '../../../cipher/bytes.ts';
import { checkChain, keyUsageNames, nameOf, publicKeyOf, readCertificate, readTrusted, subjectOf, type Certificate } from '../../../cipher/certificates.ts';
import { parseX500 } from '../../../identity/x500.ts';

export type CertificatesCheck = {
  /** Leaf first, DER in base64url. */
  readonly certificates: readonly string[];
  /** SubjectPublicKeyInfo of the session key, base64url. */
  readonly publicKey: string;
  readonly x500Name: string;
  /** PEM. */
  readonly trustRoots: readonly string[];
  readonly now: number;
};

/** Same attributes with same values; their order says nothing, as in our canonical names. */
const isNamed = (certificate: Certificate, x500Name: string): boolean => {
  const expected = parseX500(x500Name);
  const subject = subjectOf(certificate);
  if (expected.type !== 'name' || subject === undefined) return false;
  const attributes = new Map(Object.entries(expected.attributes));
  return subject.length === attributes.size && subject.every(({ type, value }) => attributes.get(type) === value) && new Set(subject.map(({ type }) => type)).size === subject.length;
};

const checkLeaf = (leaf: Certificate, { publicKey, x500Name }: CertificatesCheck): string | undefined => {
  if (toBase64url(publicKeyOf(leaf)) !== publicKey) return `the certificate ${nameOf(leaf)} is not of the session key`;
  if (!isNamed(leaf, x500Name)) return `the certificate ${nameOf(leaf)} does not name ${x500Name}`;
  // Unlike a signer of code, a session key must be said to be one for signatures, as Corda asks.
  if (keyUsageNames(leaf, 'digitalSignature') !== true) return `the certificate ${nameOf(leaf)} is not for digital signatures (key usage)`;
  return undefined;
};

/** Why the chain is not good; `undefined` when it is. */
export const checkCertificates = async (check: CertificatesCheck): Promise<string | undefined> => {
  const chain: Certificate[] = [];
  for (const der of check.certificates) {
    const certificate = readCertificate(fromBase64url(der));
    if (certificate === undefined) return 'one of the certificates cannot be read';
    chain.push(certificate);
  }
  const [leaf] = chain;
  if (leaf === undefined) return 'the group asks for a certificate of the session key, and none came';
  const unfit = checkLeaf(leaf, check);
  if (unfit !== undefined) return unfit;
  const verdict = await checkChain({ chain, trusted: readTrusted(check.trustRoots), now: check.now });
  switch (verdict.type) {
    case 'good':
      return undefined;
    case 'invalid':
      return verdict.reason;
    case 'untrusted':
      return `none of the group's session trust roots vouches for ${nameOf(leaf)}`;
  }
};
