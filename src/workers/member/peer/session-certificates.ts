/**
 * Certificates of session keys, where a network's session PKI is Standard: a member context carries the chain of each session key that it
 * names, so that the manager can judge it before there is a session, and every cluster what the list says.
 */
import { utf8 } from '../../../cipher/bytes.ts';
import { decodePem, encodePem } from '../../../cipher/pem.ts';
import { checkSessionCertificates, type SessionCertificatesCheck } from '../../../cipher/session-certificates.ts';
import { parseX500 } from '../../../identity/x500.ts';
import type { GroupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import { memberContextBytesMax, sessionCertificatesMax } from '../config.ts';
import { keysIn, type ContextMap } from './context-map.ts';

export type SessionTrust = { readonly sessionPki: GroupParameters['p2p']['sessionPki']; readonly sessionTrustRoots: readonly string[] };

export const trustOf = ({ sessionPki, sessionTrustRoots }: SessionTrust): SessionTrust => ({ sessionPki, sessionTrustRoots });

export const certificatesField = (n: number): string => `corda.session.keys.${n}.certificates`;

/** The certificates of a PEM text; none where it cannot be read. */
const certificatesOf = (pem: string): readonly Uint8Array<ArrayBuffer>[] => {
  try {
    return decodePem(pem).flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [der] : []));
  } catch {
    return [];
  }
};

/** One spelling of a chain, without what may stand around the certificates. */
export const plainChain = (pem: string): string => certificatesOf(pem).map((der) => encodePem('CERTIFICATE', der)).join('');

export type ChainCheck = { readonly pem: string; readonly publicKey: string; readonly x500Name: string; readonly trust: SessionTrust; readonly at: SessionCertificatesCheck['at'] };

/** Why the chain of one session key will not do; `undefined` where it does, and in a network that asks for none. */
export const chainFault = async ({ pem, publicKey, x500Name, trust, at }: ChainCheck): Promise<string | undefined> => {
  if (trust.sessionPki === 'NoPKI') return undefined;
  const name = parseX500(x500Name);
  const certificates = certificatesOf(pem);
  if (name.type === 'invalid') return name.reason;
  if (certificates.length > sessionCertificatesMax) return `session certificates (too-many): ${certificates.length} in the chain of a session key, and ${sessionCertificatesMax} are the most`;
  const fault = await checkSessionCertificates({ certificates, publicKey, x500Name, attributes: name.attributes, trustRoots: trust.sessionTrustRoots, at });
  return fault === undefined ? undefined : `session certificates (${fault.type}): ${fault.reason}`;
};

/** The same for all session keys of a context. */
export const certificatesFault = async (context: ContextMap, check: Omit<ChainCheck, 'pem' | 'publicKey'>): Promise<string | undefined> => {
  if (check.trust.sessionPki === 'NoPKI') return undefined;
  for (const [n, { publicKey }] of keysIn(context, 'session').entries()) {
    const fault = await chainFault({ ...check, publicKey, pem: context[certificatesField(n)] ?? '' });
    if (fault !== undefined) return fault;
  }
  return undefined;
};

/** The fields of a context for these session keys, in their order. */
export const certificatesMap = (publicKeys: readonly string[], certificates: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(publicKeys.flatMap((publicKey, n) => (certificates[publicKey] === undefined ? [] : [[certificatesField(n), certificates[publicKey]]])));

/** A context that is larger could not be sealed into one message. */
export const isTooLong = (context: ContextMap): boolean => utf8(JSON.stringify(context)).length > memberContextBytesMax;

/** What a setup says of certificates, by session key. */
export type SetupCertificates = {
  readonly sessionKey: { readonly publicKey: string };
  readonly sessionCertificates: string | null;
  readonly otherCertificates: readonly { readonly publicKey: string; readonly sessionCertificates: string }[];
};

export const certificatesOfSetup = ({ sessionKey, sessionCertificates, otherCertificates }: SetupCertificates): Record<string, string> =>
  Object.fromEntries([...(sessionCertificates === null ? [] : [{ publicKey: sessionKey.publicKey, sessionCertificates }]), ...otherCertificates].map((one) => [one.publicKey, plainChain(one.sessionCertificates)]));

/** Why what an operator sets up will not do in this network; the preferred key must have a chain where the network asks for one. */
export const setupFault = async ({ sessionKey, ...setup }: SetupCertificates, check: Omit<ChainCheck, 'pem' | 'publicKey'>): Promise<string | undefined> => {
  const chains: Record<string, string> = { [sessionKey.publicKey]: '', ...certificatesOfSetup({ sessionKey, ...setup }) };
  for (const [publicKey, pem] of Object.entries(chains)) {
    const fault = await chainFault({ ...check, publicKey, pem });
    if (fault !== undefined) return fault;
  }
  return undefined;
};
