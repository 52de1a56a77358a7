/** What the views say about the two sides of a pair: who lives here, who is a member, where the peer's gateway is. */
import { fromBase64url, toBase64url } from '../../cipher/bytes.ts';
import { sha256 } from '../../cipher/digest.ts';
import { decodePem } from '../../cipher/pem.ts';
import type { Clock } from '../../host/clock.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import type { X500Name } from '../../identity/x500.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { GroupParameters } from '../../messages/member-to-all.group-parameters.ts';
import { isManager, type Member } from '../../messages/member-to-all.member.ts';
import type { HostedIdentity } from '../../messages/member-to-link-manager.hosted-identity.ts';
import type { ChangingView, View } from '../../shell/view.ts';
import type { LinkManagerLimits } from './config.ts';
import { offerOf, type KeyAgreement, type Offer, type Peering } from './session/session.ts';
import { createStrangers } from './strangers.ts';

export type LinkManagerViews = {
  readonly members: ChangingView<Member>;
  readonly groupParameters: View<GroupParameters>;
  readonly hostedIdentities: ChangingView<HostedIdentity>;
  readonly virtualNodes: View<VirtualNode>;
};

/** Two identities of one group. */
export type Pair = { readonly groupId: string; readonly ours: string; readonly theirs: string };

export type Route =
  | { readonly type: 'remote'; readonly peering: Peering; readonly addresses: readonly string[]; readonly signer: Signer }
  | { readonly type: 'local' }
  /** Not now; looked at again after a while. */
  | { readonly type: 'hold'; readonly reason: string; readonly paused: boolean; /** One of the two is suspended: its flows hear so at once. */ readonly suspended?: boolean }
  | { readonly type: 'not-hosted' };

/** The session key of ours, as crypto knows it. */
export type Signer = { readonly tenant: string; readonly keyId: string; readonly spec: string };

export type Directory = {
  isHosted(groupId: string, x500Name: string): boolean;
  /** What its gateway shows for an identity here, with mutual TLS: `<holder>/<alias>`. */
  certificateOf(groupId: string, x500Name: string): { readonly certificate?: string };
  route(pair: Pair): Route;
  /** An identity here that manages this network. */
  managerHere(groupId: string, x500Name: string): { readonly shortHash: string } | undefined;
  /** The pair that a hello names by its key hashes; it may still be under the wrong tag. */
  pairOfHello(hello: { groupId: string; initiatorKeyHash: string; responderKeyHash: string }): Pair | undefined;
  /** The pair of a tag, as far as it is a pair of one identity here and one member elsewhere. */
  pairOfTag(tag: string): Pair | undefined;
  /** Brings the views up to date where these names are not in them. */
  lookUp(missing: { readonly sources: readonly Pair[]; readonly others: boolean }): Promise<void>;
};

/** Remembers what was computed of a text; forgets all when full, which costs less than keeping order. */
const memoised = <Value>(countMax: number, compute: (text: string) => Value): ((text: string) => Value) => {
  const known = new Map<string, Value>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size >= countMax) known.clear();
    const value = compute(text);
    known.set(text, value);
    return value;
  };
};
const memoisedMax = 20_000;

/** SHA-256 of a session key's SubjectPublicKeyInfo: how hellos name it. */
const keyHash = memoised(memoisedMax, (spki) => toBase64url(sha256(fromBase64url(spki))));

const memberKey = (groupId: string, x500Name: string): string => `${groupId}/${x500Name}`;

export type DirectoryOptions = {
  readonly views: LinkManagerViews;
  readonly clock: Clock;
  readonly limits: LinkManagerLimits;
  /** Of sessions that begin now. */
  readonly keyAgreement: () => KeyAgreement;
};

/** The certificates of a PEM text in base64url, as handshakes carry them. What cannot be read is none. */
const certificatesOf = memoised(memoisedMax, (pem): readonly string[] => {
  try {
    return decodePem(pem).flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [toBase64url(der)] : []));
  } catch {
    return [];
  }
});

const hold = (reason: string, paused = false): Route => ({ type: 'hold', reason, paused });

/** Why the two may not speak. A network's manager speaks to whoever is joining or suspended. */
const standing = (own: Member, peer: Member): Route | undefined => {
  if (isManager(own) || isManager(peer)) return undefined;
  const held = [own, peer].find(({ status }) => status !== 'ACTIVE');
  return held === undefined ? undefined : { type: 'hold', reason: `${held.x500Name} is ${held.status} in its group`, paused: false, suspended: held.status === 'SUSPENDED' };
};

/**
 * Sessions are bound to the serials of both sides, so that they end when a member changes. With the manager they are not: it is the
 * manager that tells a member of its new serial.
 */
const serialsOf = (own: Member, peer: Member): Pick<Peering, 'ownSerial' | 'peerSerial'> =>
  isManager(own) || isManager(peer) ? { ownSerial: 0, peerSerial: 0 } : { ownSerial: own.serial, peerSerial: peer.serial };

/** One-way TLS shows none, so nothing is said of it. */
const certificateOf = ({ tlsCertificate }: HostedIdentity, group: GroupParameters | undefined): { readonly certificate?: string } =>
  group?.p2p.tlsType === 'Mutual' && tlsCertificate !== undefined ? { certificate: `${tlsCertificate.holder}/${tlsCertificate.alias}` } : {};

type Known = { readonly hosted: HostedIdentity; readonly own: Member; readonly peer: Member; readonly group: GroupParameters; readonly offer: Offer };

/** The way to a peer elsewhere: both sides, the group and what it asks for are known. */
const routeOut = ({ hosted, own, peer, group, offer }: Known): Route => {
  if (peer.sessionKeys.length === 0) return hold(`the member list has no session key of ${peer.x500Name}`);
  if (peer.endpoints.length === 0) return hold(`the member list has no endpoint of ${peer.x500Name}`);
  const { protocolMode, sessionPki, sessionTrustRoots } = group.p2p;
  const ownCertificates = sessionPki === 'NoPKI' ? [] : certificatesOf(hosted.sessionCertificates ?? '');
  if (sessionPki === 'Standard' && ownCertificates.length === 0) return hold(`its group asks for certificates of session keys, and ${hosted.holdingIdentity.x500Name} has none`);
  const spoken = peer.endpoints.filter(({ protocolVersion }) => protocolVersion === 1);
  return {
    type: 'remote',
    addresses: (spoken.length > 0 ? spoken : peer.endpoints).map(({ url }) => url),
    signer: { tenant: hosted.holdingIdentity.shortHash, keyId: hosted.sessionKey.id, spec: hosted.sessionKey.spec },
    peering: {
      groupId: group.groupId,
      mode: protocolMode,
      ownKeyHash: keyHash(hosted.sessionKey.publicKey),
      ownCertificates,
      ...serialsOf(own, peer),
      peerName: peer.x500Name,
      peerKeys: peer.sessionKeys.map(({ publicKey, spec }) => ({ hash: keyHash(publicKey), publicKey, spec })),
      sessionTrustRoots: sessionPki === 'NoPKI' ? null : sessionTrustRoots,
      offer,
    },
  };
};

export const createDirectory = ({ views, clock, limits, keyAgreement }: DirectoryOptions): Directory => {
  const { members, groupParameters, hostedIdentities, virtualNodes } = views;
  const strangers = createStrangers({ views, limits, keyHash });
  // Names come from our own rooms or from the member list, canonical both; another spelling finds nobody.
  const shortHashOf = memoised(memoisedMax, (named: string) => {
    const slash = named.indexOf('/');
    return holdingIdentityOf(named.slice(slash + 1) as X500Name, named.slice(0, slash)).shortHash;
  });
  const hostedOf = (groupId: string, name: string): HostedIdentity | undefined => {
    // A group id holds no slash where a name could follow: ids come from group policies and are UUIDs there.
    const hosted = hostedIdentities.get(shortHashOf(memberKey(groupId, name)));
    return hosted?.holdingIdentity.x500Name === name && hosted.holdingIdentity.groupId === groupId ? hosted : undefined;
  };
  const isPaused = (hosted: HostedIdentity): boolean =>
    virtualNodes.get(hosted.holdingIdentity.shortHash)?.flowP2pOperationalStatus === 'INACTIVE';

  const owns = (member: Member, hosted: HostedIdentity): boolean =>
    member.sessionKeys.some(({ publicKey }) => publicKey === hosted.sessionKey.publicKey);

  const route = (pair: Pair): Route => {
    const { groupId, ours, theirs } = pair;
    const hosted = hostedOf(groupId, ours);
    if (hosted === undefined) return { type: 'not-hosted' };
    const group = groupParameters.get(groupId);
    if (group === undefined) return hold(`the parameters of group ${groupId} are not known here`);
    const own = members.get(memberKey(groupId, ours));
    if (own === undefined || !owns(own, hosted)) return hold(`${ours} is not in the member list with the session key it has here`);
    if (isPaused(hosted)) return hold(`the virtual node of ${ours} is paused`, true);
    const peer = members.get(memberKey(groupId, theirs));
    if (peer === undefined) return hold(`${theirs} is not a member of group ${groupId}`);
    const barred = standing(own, peer);
    if (barred !== undefined) return barred;
    const peerHosted = hostedOf(groupId, theirs);
    if (peerHosted !== undefined && owns(peer, peerHosted)) {
      return isPaused(peerHosted) ? hold(`the virtual node of ${theirs} is paused`, true) : { type: 'local' };
    }
    return routeOut({ hosted, own, peer, group, offer: offerOf(keyAgreement()) });
  };

  let lookedUpAt = Number.NEGATIVE_INFINITY;
  return {
    managerHere: (groupId, name) => {
      const known = members.get(memberKey(groupId, name));
      return known !== undefined && isManager(known) ? hostedOf(groupId, name)?.holdingIdentity : undefined;
    },
    isHosted: (groupId, name) => hostedOf(groupId, name) !== undefined,
    certificateOf: (groupId, name) => {
      const hosted = hostedOf(groupId, name);
      return hosted === undefined ? {} : certificateOf(hosted, groupParameters.get(groupId));
    },
    route,
    pairOfHello: strangers.pairOfHello,
    pairOfTag: strangers.pairOfTag,
    lookUp: async ({ sources, others }) => {
      // Our own rooms ask in earnest: an identity registered a moment ago must be found. Strangers may not make us read at will.
      const now = clock.now();
      if (sources.length === 0 && (!others || now < lookedUpAt + limits.directoryRefreshMs)) return;
      lookedUpAt = now;
      await Promise.all([members.refresh(), groupParameters.refresh(), hostedIdentities.refresh(), virtualNodes.refresh()]);
    },
  };
};
