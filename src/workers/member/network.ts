/** What the views say of a virtual node's network: its CPI and the group policy in it. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import type { Member } from '../../messages/member-to-all.member.ts';
import { parseGroupPolicy, type GroupPolicy } from '../../packaging/group-policy.ts';
import type { View } from '../../shell/view.ts';
import { policiesCachedMax } from './config.ts';
import { memberKey } from './publication.ts';

export type StaticPolicy = Extract<GroupPolicy, { type: 'static' }>;

/** A CPI and its policy, parsed. */
export type Network = { readonly cpi: CpiMetadata; readonly policy: GroupPolicy };

export type Networks = {
  /** The network of a CPI, while the view has it. */
  ofCpi(fullChecksum: string): Network | undefined;
  virtualNode(shortHash: string): VirtualNode | undefined;
  /** As this cluster's list has the member. */
  member(groupId: string, x500Name: string): Member | undefined;
  refresh(): Promise<void>;
};

export type NetworkViews = { readonly virtualNodes: View<VirtualNode>; readonly cpis: View<CpiMetadata>; readonly members: View<Member> };

/** A policy that db stored was checked by the parser that reads it here. */
const read = (cpi: CpiMetadata): Network => {
  const parsed = parseGroupPolicy(cpi.groupPolicy);
  if (parsed.type === 'invalid') throw new Error(`the stored group policy of CPI ${cpi.fullChecksum} cannot be read: ${parsed.reasons.join('; ')}`);
  return { cpi, policy: parsed.policy };
};

export const createNetworks = ({ virtualNodes, cpis, members }: NetworkViews): Networks => {
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
    refresh: async () => {
      await Promise.all([virtualNodes.refresh(), cpis.refresh(), members.refresh()]);
    },
  };
};
