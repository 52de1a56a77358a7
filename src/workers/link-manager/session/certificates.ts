/** The chain that a peer shows in its handshake: of the very key that signed it, in a group whose session PKI is Standard. */
import { fromBase64url } from '../../../cipher/bytes.ts';
import { checkSessionCertificates } from '../../../cipher/session-certificates.ts';
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

/** Why the chain is not good; `undefined` when it is. */
export const checkCertificates = async ({ certificates, publicKey, x500Name, trustRoots, now }: CertificatesCheck): Promise<string | undefined> => {
  const name = parseX500(x500Name);
  if (name.type === 'invalid') return `${x500Name} is no name: ${name.reason}`;
  const fault = await checkSessionCertificates({ certificates: certificates.map(fromBase64url), publicKey, x500Name, attributes: name.attributes, trustRoots, at: now });
  return fault?.reason;
};
