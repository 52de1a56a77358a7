/** `ctx.members`: the network as this virtual node sees it. */
import type { ContextHost, MemberInfo } from './operations.ts';
import { perform } from './perform.ts';

export type FlowMembers = {
  /** The member of this group with that X.500 name, in any attribute order; `undefined` where there is none. */
  find(x500Name: string): Promise<MemberInfo | undefined>;
  /** All active members of this group, in order of name. */
  all(): Promise<readonly MemberInfo[]>;
};

export const membersOf = (host: ContextHost): FlowMembers => ({
  find: async (x500Name) => (await perform(host, 'members.find', { x500Name })).member ?? undefined,
  all: async () => (await perform(host, 'members.all', {})).members,
});
