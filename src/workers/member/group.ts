/**
 * What the members of one static group share on this cluster, stepped under the group's own key.
 *
 * - **G1** group parameters have one writer; their epoch rises by one with each change and never falls;
 * - **G2** a member of another cluster is published from the policy only until it joins here, so that what its own
 *   registration publishes is never overwritten by the little that the policy knows;
 * - **G3** joining twice is joining once; a refused join changes nothing.
 */
import { deriveId } from '../../identity/derive.ts';
import { holdingIdentityOf } from '../../identity/holding-identity.ts';
import { answerTo, type Outcome } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { NotaryDetails } from '../../messages/member-to-member.group.ts';
import type { StaticMember } from '../../packaging/group-policy.ts';
import type { JoinRequest } from './event.ts';
import { groupParametersOf } from './group-parameters.ts';
import { remoteMember } from './member-info.ts';
import type { Network, Networks, StaticPolicy } from './network.ts';
import { anyClientRecord, groupParametersRecord, memberRecord } from './publication.ts';
import type { GroupState } from './state.ts';

export type SteppedGroup =
  | { readonly type: 'stepped'; readonly state: GroupState | undefined; readonly effects: readonly OutRecord[] }
  | { readonly type: 'later'; readonly reason: string };

type Join = JoinRequest['body'];
type StaticNetwork = Network & { readonly policy: StaticPolicy };

const newGroup = ({ cpi, policy }: StaticNetwork, now: number): GroupState => ({
  type: 'group',
  v: 1,
  groupId: policy.groupId,
  epoch: 1,
  modifiedAt: now,
  policyChecksum: cpi.fullChecksum,
  policyTimestamp: cpi.timestamp,
  joined: [],
  notaries: {},
  remotes: {},
});

/** Notaries of one service must speak alike: who asks the service cannot know which of them answers. */
const conflictOf = (notaries: GroupState['notaries'], { x500Name, notary }: Join): string | undefined => {
  if (notary === null) return undefined;
  const others = Object.entries(notaries).filter(([name, other]) => name !== x500Name && other.serviceName === notary.serviceName);
  const differs = others.find(([, other]) => other.protocolName !== notary.protocolName || other.backchainRequired !== notary.backchainRequired);
  return differs === undefined
    ? undefined
    : `the notary service ${notary.serviceName} is served by ${differs[0]} with protocol ${differs[1].protocolName}, backchain required: ${differs[1].backchainRequired}`;
};

const withNotary = (notaries: GroupState['notaries'], name: string, notary: NotaryDetails | null): GroupState['notaries'] =>
  notary === null ? notaries : { ...notaries, [name]: notary };

const sameJson = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** The group after the join: a newer CPI's policy replaces an older one's. The epoch rises when the parameters change. */
const joinGroup = (state: GroupState, join: Join, network: StaticNetwork, current: StaticNetwork, now: number): { state: GroupState; policy: StaticPolicy } => {
  const newer = network.cpi.timestamp > state.policyTimestamp;
  const { cpi, policy } = newer ? network : current;
  const joined: GroupState = {
    ...state,
    policyChecksum: cpi.fullChecksum,
    policyTimestamp: cpi.timestamp,
    joined: state.joined.includes(join.x500Name) ? state.joined : [...state.joined, join.x500Name],
    notaries: withNotary(state.notaries, join.x500Name, join.notary),
  };
  const same = sameJson(groupParametersOf(policy, { ...joined, epoch: 0, modifiedAt: 0 }), groupParametersOf(current.policy, { ...state, epoch: 0, modifiedAt: 0 }));
  return { state: same ? joined : { ...joined, epoch: state.epoch + 1, modifiedAt: now }, policy };
};

type RemoteMember = StaticMember & { readonly sessionKey: NonNullable<StaticMember['sessionKey']> };

/** Members that other clusters host, as far as the policy lets us know them (G2). */
export const remotesOf = (policy: StaticPolicy, joined: readonly string[], networks: Networks): RemoteMember[] =>
  policy.members.flatMap((member) => {
    const { sessionKey, x500Name } = member;
    const hosted = networks.virtualNode(holdingIdentityOf(x500Name, policy.groupId).shortHash) !== undefined;
    return sessionKey === undefined || hosted || joined.includes(x500Name) ? [] : [{ ...member, sessionKey }];
  });

/** Those that are new or changed, each with its next serial. */
const publishRemotes = (state: GroupState, members: readonly RemoteMember[]): { remotes: GroupState['remotes']; effects: OutRecord[] } => {
  const effects: OutRecord[] = [];
  const remotes: Record<string, { fingerprint: string; serial: number }> = { ...state.remotes };
  for (const member of members) {
    const before = remotes[member.x500Name];
    const fingerprint = deriveId('remote', JSON.stringify(member));
    if (before?.fingerprint === fingerprint) continue;
    const serial = (before?.serial ?? 0) + 1;
    remotes[member.x500Name] = { fingerprint, serial };
    effects.push(memberRecord(remoteMember(state.groupId, member, serial, state.policyTimestamp)));
  }
  return { remotes, effects };
};

const staticNetworkOf = (networks: Networks, fullChecksum: string): StaticNetwork | undefined => {
  const network = networks.ofCpi(fullChecksum);
  return network?.policy.type === 'static' ? { cpi: network.cpi, policy: network.policy } : undefined;
};

const answered = (request: JoinRequest, outcome: Outcome): OutRecord[] => {
  const record = answerTo(request, outcome);
  return record === undefined ? [] : [record];
};

const stepOne = (before: GroupState | undefined, request: JoinRequest, networks: Networks, now: number): SteppedGroup => {
  const { body } = request;
  const network = staticNetworkOf(networks, body.cpiFullChecksum);
  if (network === undefined) return { type: 'later', reason: `the CPI ${body.cpiFullChecksum} is not in view yet` };
  const base = before ?? newGroup(network, now);
  const conflict = conflictOf(base.notaries, body);
  if (conflict !== undefined) {
    return { type: 'stepped', state: before, effects: answered(request, { type: 'refused', code: 'MEMBER_NOTARY_CONFLICT', message: conflict }) };
  }
  // A CPI that was replaced since has left the view; the joining one describes the same group.
  const current = staticNetworkOf(networks, base.policyChecksum) ?? network;
  const { state, policy } = joinGroup(base, body, network, current, now);
  // The first member of a group makes its parameters, whatever they hold.
  const first = before === undefined ? { ...state, epoch: 1 } : state;
  const clients = policy.p2p.tlsType === 'Mutual' ? [anyClientRecord(policy.groupId)] : [];
  const parameters = before === undefined || first.epoch !== before.epoch ? [groupParametersRecord(groupParametersOf(policy, first)), ...clients] : [];
  const { remotes, effects } = publishRemotes(first, remotesOf(policy, first.joined, networks));
  return {
    type: 'stepped',
    state: { ...first, remotes },
    effects: [...parameters, ...effects, ...answered(request, { type: 'done', value: { epoch: first.epoch } })],
  };
};

export const stepGroup = (before: GroupState | undefined, requests: readonly JoinRequest[], networks: Networks, now: number): SteppedGroup => {
  let state = before;
  const effects: OutRecord[] = [];
  for (const request of requests) {
    const stepped = stepOne(state, request, networks, now);
    if (stepped.type === 'later') return stepped;
    state = stepped.state;
    effects.push(...stepped.effects);
  }
  return { type: 'stepped', state, effects };
};
