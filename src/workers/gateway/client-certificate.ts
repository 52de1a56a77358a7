/**
 * Mutual TLS: whose gateway may send us packets. A client's certificate must chain to a root that some group of this cluster trusts,
 * must be for TLS clients where it says what it is for, must name an allowed subject where the operator lists subjects, and
 * must not have been revoked. Who a member is never rests on it: sessions are end to end.
 *
 * It stands apart from worker.ts because edge platforms end TLS before the worker, which has no use for it.
 */
import { checkChain, extendedKeyUsages, nameOf, readCertificate, readTrusted, type Certificate } from '../../cipher/certificates.ts';
import type { Revocation } from '../../cipher/revocation/revocation.ts';
import type { Clock } from '../../host/clock.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { View } from '../../shell/view.ts';
import type { Admission } from './inbound.ts';

export type ClientCheckOptions = {
  readonly groupParameters: View<GroupParameters>;
  readonly revocation: Revocation;
  /** Distinguished names as certificates spell them; without any, every subject that chains to a root is allowed. */
  readonly subjects: readonly string[];
  readonly clock: Clock;
};

/** Of TLS clients (RFC 5280 section 4.2.1.12). */
const clientAuth = '1.3.6.1.5.5.7.3.2';

/** Attributes in any order, spaces around them left out: libraries do not agree on either. */
const normalSubject = (subject: string): string => subject.split(',').map((part) => part.trim()).sort().join(',');

const refused = (reason: string): Admission => ({ type: 'refused', reason });

/** A chain need not hold its root, which whoever looks for revocation needs as the last issuer. */
const upToRoot = (chain: readonly Certificate[], trusted: readonly Certificate[]): readonly Certificate[] => {
  const last = chain.at(-1)!;
  const root = last.issuer === last.subject ? undefined : trusted.find(({ subject }) => subject === last.issuer);
  return root === undefined ? chain : [...chain, root];
};

export const createClientCheck = ({ groupParameters, revocation, subjects, clock }: ClientCheckOptions) => {
  const allowed = new Set(subjects.map(normalSubject));
  /** @param chainDer the leaf first. */
  return async (chainDer: readonly Uint8Array<ArrayBuffer>[]): Promise<Admission> => {
    const chain = chainDer.map(readCertificate).filter((certificate) => certificate !== undefined);
    const leaf = chain[0];
    if (leaf === undefined || chain.length < chainDer.length) return refused('the client sent no certificate that can be read');
    const trusted = readTrusted([...groupParameters.entries()].flatMap(([, { p2p }]) => p2p.tlsTrustRoots));
    const verdict = await checkChain({ chain, trusted, now: clock.now() });
    if (verdict.type === 'invalid') return refused(verdict.reason);
    if (verdict.type === 'untrusted') return refused(`${nameOf(leaf)} does not chain to a trust root of any group`);
    if (extendedKeyUsages(leaf)?.includes(clientAuth) === false) return refused(`${nameOf(leaf)} is not for TLS clients`);
    if (allowed.size > 0 && !allowed.has(normalSubject(leaf.subject))) return refused(`${nameOf(leaf)} is not among the allowed client subjects`);
    const revoked = await revocation.check(upToRoot(chain, trusted).map(({ rawData }) => new Uint8Array(rawData)));
    return revoked.type === 'accepted' ? { type: 'admitted' } : refused(revoked.reason);
  };
};
