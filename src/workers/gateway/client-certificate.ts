/**
 * Mutual TLS: whose gateway may send us packets. A client's certificate must chain to a root that some group of this cluster trusts, must be
 * for TLS clients where it says what it is for, must not have been revoked, and its subject must be let in by that group: as that of one of
 * its members that this cluster knows, as one that a manager here allows, or as one that the operator lists. Who a member is never rests on
 * it: sessions are end to end.
 *
 * A connection is examined once, and again where the groups have changed; whether its subject is let in is asked with each request, so that
 * who is suspended is shut out although its connection is open. It stands apart from worker.ts because edge platforms end TLS before the
 * worker, which has no use for it.
 */
import { checkChain, extendedKeyUsages, nameOf, readCertificate, readTrusted, type Certificate } from '../../cipher/certificates.ts';
import type { Revocation } from '../../cipher/revocation/revocation.ts';
import type { Clock } from '../../host/clock.ts';
import { distinguishedName } from '../../identity/x500.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import type { ClientSubject } from '../../messages/member-to-gateway.client-subject.ts';
import type { ChangingView, View } from '../../shell/view.ts';
import type { Admission } from './inbound.ts';

export type ClientCheckOptions = {
  readonly groupParameters: View<GroupParameters>;
  readonly clientSubjects: ChangingView<ClientSubject>;
  readonly revocation: Revocation;
  /** Distinguished names in any order and spelling, let in beside those that groups let in. */
  readonly subjects: readonly string[];
  readonly clock: Clock;
};

/** What a connection's certificate showed. */
type Examined =
  | { readonly type: 'refused'; readonly reason: string }
  | { readonly type: 'trusted'; readonly subject: string; /** Whose roots it chains to. */ readonly groupIds: readonly string[] };

export type ClientCheck = {
  /** @param chainDer the leaf first. */
  examine(chainDer: readonly Uint8Array<ArrayBuffer>[]): Promise<Examined>;
  admission(examined: Examined): Admission;
  /** Changes when what was examined must be examined anew. */
  groups(): readonly GroupParameters[];
};

/** Of TLS clients (RFC 5280 section 4.2.1.12). */
const clientAuth = '1.3.6.1.5.5.7.3.2';

const refused = (reason: string): { readonly type: 'refused'; readonly reason: string } => ({ type: 'refused', reason });

/** A chain need not hold its root, which whoever looks for revocation needs as the last issuer. */
const upToRoot = (chain: readonly Certificate[], trusted: readonly Certificate[]): readonly Certificate[] => {
  const last = chain.at(-1)!;
  const root = last.issuer === last.subject ? undefined : trusted.find(({ subject }) => subject === last.issuer);
  return root === undefined ? chain : [...chain, root];
};

// ── Whose subject is let in ──────────────────────────────────────────────────────────────────────────────────────────

const nameIn = (text: string): string => distinguishedName(text) ?? text;

type Admitted = { readonly subjects: ReadonlySet<string>; readonly any: boolean };

/** By group; read again only after something has changed. */
const createSubjects = (view: ChangingView<ClientSubject>): ((groupId: string) => Admitted | undefined) => {
  let known: Map<string, { subjects: Set<string>; any: boolean }> | undefined;
  view.onChange(() => {
    known = undefined;
  });
  const read = () => {
    const byGroup = new Map<string, { subjects: Set<string>; any: boolean }>();
    for (const [, { groupId, subject }] of view.entries()) {
      const group = byGroup.get(groupId) ?? { subjects: new Set<string>(), any: false };
      byGroup.set(groupId, group);
      if (subject === null) group.any = true;
      else group.subjects.add(subject);
    }
    return byGroup;
  };
  return (groupId) => (known ??= read()).get(groupId);
};

// ── The check ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Judged = { readonly groupIds: readonly string[]; readonly trusted: readonly Certificate[] };

/** The groups that the chain leads to; a rule that it breaks is broken for all. */
const judge = async (chain: readonly Certificate[], groups: readonly GroupParameters[], now: number): Promise<Judged | string> => {
  const groupIds: string[] = [];
  const all: Certificate[] = [];
  for (const { groupId, p2p } of groups) {
    const trusted = readTrusted(p2p.tlsTrustRoots);
    all.push(...trusted);
    const verdict = await checkChain({ chain, trusted, now });
    if (verdict.type === 'invalid') return verdict.reason;
    if (verdict.type === 'good') groupIds.push(groupId);
  }
  return groupIds.length === 0 ? `${nameOf(chain[0]!)} does not chain to a trust root of any group` : { groupIds, trusted: all };
};

export const createClientCheck = ({ groupParameters, clientSubjects, revocation, subjects, clock }: ClientCheckOptions): ClientCheck => {
  const own = new Set(subjects.map(nameIn));
  const admittedIn = createSubjects(clientSubjects);
  const groups = (): readonly GroupParameters[] => [...groupParameters.entries()].map(([, group]) => group);
  /** In a network that nobody manages the operator's list, where there is one, says who of those that chain is let in. */
  const isLetIn = (groupId: string, subject: string): boolean => {
    const admitted = admittedIn(groupId);
    return own.has(subject) || admitted?.subjects.has(subject) === true || (admitted?.any === true && own.size === 0);
  };
  return {
    groups,
    examine: async (chainDer) => {
      const chain = chainDer.map(readCertificate).filter((certificate) => certificate !== undefined);
      const leaf = chain[0];
      if (leaf === undefined || chain.length < chainDer.length) return refused('the client sent no certificate that can be read');
      const judged = await judge(chain, groups(), clock.now());
      if (typeof judged === 'string') return refused(judged);
      if (extendedKeyUsages(leaf)?.includes(clientAuth) === false) return refused(`${nameOf(leaf)} is not for TLS clients`);
      const revoked = await revocation.check(upToRoot(chain, judged.trusted).map(({ rawData }) => new Uint8Array(rawData)));
      return revoked.type === 'accepted' ? { type: 'trusted', subject: nameIn(leaf.subject), groupIds: judged.groupIds } : refused(revoked.reason);
    },
    admission: (examined) => {
      if (examined.type === 'refused') return examined;
      const { subject, groupIds } = examined;
      return groupIds.some((groupId) => isLetIn(groupId, subject))
        ? { type: 'admitted' }
        : refused(`${JSON.stringify(subject)} is neither the client certificate of a member that is known here nor one that is allowed`);
    },
  };
};
