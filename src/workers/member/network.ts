/** What the views say of a virtual node's network: its CPI and the group policy in it. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { Member } from '../../messages/member-to-all.member.ts';
import { parseGroupPolicy, type GroupPolicy, type P2pParameters } from '../../packaging/group-policy.ts';
import type { View } from '../../shell/view.ts';
import { fixedConfig, type Config } from '../../shell/live-config.ts';
import { policiesCachedMax, type MemberTimes } from './config.ts';
import { memberKey } from './publication.ts';

export type TlsType = P2pParameters['tlsType'];

export type StaticPolicy = Extract<GroupPolicy, { type: 'static' }>;

/** A CPI and its policy, parsed. */
export type Network = { readonly cpi: CpiMetadata; readonly policy: GroupPolicy };

export type Networks = {
  /** The network of a CPI, while the view has it. */
  ofCpi(fullChecksum: string): Network | undefined;
  virtualNode(shortHash: string): VirtualNode | undefined;
  /** As this cluster's list has the member. */
  member(groupId: string, x500Name: string): Member | undefined;
  /** How this cluster's gateway speaks TLS now. */
  tlsType(): TlsType;
  /** As operators have set them now. */
  times(): MemberTimes;
  refresh(): Promise<void>;
};

export type NetworkViews = { readonly virtualNodes: View<VirtualNode>; readonly cpis: View<CpiMetadata>; readonly members: View<Member>; /** Default one way. */ readonly tlsType?: () => TlsType; /** Default: as the section begins. */ readonly times?: () => MemberTimes };

/** A policy that db stored was checked by the parser that reads it here. */
const read = (cpi: CpiMetadata): Network => {
  const parsed = parseGroupPolicy(cpi.groupPolicy);
  if (parsed.type === 'invalid') throw new Error(`the stored group policy of CPI ${cpi.fullChecksum} cannot be read: ${parsed.reasons.join('; ')}`);
  return { cpi, policy: parsed.policy };
};

/** Gateways of a group must all ask for client certificates, or none: the others would be refused, or would refuse nobody. */
export const tlsTypeFault = (asked: TlsType, here: TlsType): string | undefined => {
  if (asked === here) return undefined;
  const [wanted, has] = asked === 'Mutual' ? ['MUTUAL', 'ONE_WAY'] : ['ONE_WAY', 'MUTUAL'];
  return `the network's TLS type is ${asked} and this cluster's gateway speaks ${has}: set sslConfig.tlsType of corda.p2p.gateway to ${wanted} (or start the cluster with CORDAGE_GATEWAY_TLS), or join with another cluster`;
};

const minute = 60_000;

export const timesOf = (config: Pick<Config, 'get'>): MemberTimes => {
  const { maxDurationBetweenSyncRequestsMinutes, TTLs } = config.get('corda.membership');
  return { syncMs: maxDurationBetweenSyncRequestsMinutes * minute, giveUpMs: TTLs.waitForMgmSession * minute, verificationMs: TTLs.verifyMemberRequest * minute };
};
const timesDefault = timesOf(fixedConfig());

export const createNetworks = ({ virtualNodes, cpis, members, tlsType = () => 'OneWay', times = () => timesDefault }: NetworkViews): Networks => {
  const parsed = new Map<CpiMetadata, Network>();
  return {
    ofCpi: (fullChecksum) => {
      const cpi = cpis.get(fullChecksum);
      if (cpi === undefined) return undefined;
      const network = parsed.get(cpi) ?? read(cpi);
      parsed.delete(cpi);
      parsed.set(cpi, network);
      for (const oldest of parsed.keys()) {
        if (parsed.size <= policiesCachedMax) break;
        parsed.delete(oldest);
      }
      return network;
    },
    virtualNode: (shortHash) => virtualNodes.get(shortHash),
    member: (groupId, x500Name) => members.get(memberKey(groupId, x500Name)),
    tlsType,
    times,
    refresh: async () => {
      await Promise.all([virtualNodes.refresh(), cpis.refresh(), members.refresh()]);
    },
  };
};
