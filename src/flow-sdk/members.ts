/** `ctx.members` and `ctx.group`: the network as this virtual node sees it. */
import type { ContextHost, GroupInfo, MemberAttributes, MemberInfo, MemberStatus, ParamsOf } from './operations.ts';
import { perform } from './perform.ts';

/**
 * Members of this flow's group.
 *
 * @example
 * ```ts
 * import { startableFlow } from '@cordage/flow-sdk';
 *
 * export const whoIsWho = startableFlow({
 *   name: 'com.example.WhoIsWho',
 *   run: async (ctx) => {
 *     const me = await ctx.members.me();
 *     const signer = await ctx.members.findByKey(me?.sessionKeys[0]?.publicKey ?? 'none at all');
 *     const french = await ctx.members.all({ attributes: { C: 'FR' }, statuses: ['ACTIVE'] });
 *     const group = await ctx.group.parameters();
 *     return { me: me?.status, signer: signer?.x500Name, french: french.length, epoch: group?.epoch };
 *   },
 * });
 * ```
 */
export type FlowMembers = {
  /** This virtual node as its network describes it; `undefined` before it is registered. */
  me(): Promise<MemberInfo | undefined>;
  /** The member of this group with that X.500 name, in any attribute order; `undefined` where there is none. */
  find(x500Name: string): Promise<MemberInfo | undefined>;
  /** The member that has published this ledger or session key: a public key in base64url, or its SHA-256 in hex, whole or its first twelve digits. */
  findByKey(key: string): Promise<MemberInfo | undefined>;
  /**
   * Members of this group, in order of name: those that are ACTIVE unless `statuses` says otherwise, and whose X.500 attributes equal all of
   * `attributes`. Errors: OPERATION_INVALID.
   */
  all(filter?: MemberFilter): Promise<readonly MemberInfo[]>;
};

export type MemberFilter = { readonly attributes?: MemberAttributes; readonly statuses?: readonly MemberStatus[] };

export type FlowGroup = {
  /** What this group has agreed on: parameters by name, and their epoch; `undefined` before the network has published them. */
  parameters(): Promise<GroupInfo | undefined>;
};

const paramsOf = ({ attributes, statuses }: MemberFilter): ParamsOf<'members.all'> => ({
  ...(attributes === undefined ? {} : { attributes }),
  ...(statuses === undefined ? {} : { statuses }),
});

export const membersOf = (host: ContextHost): FlowMembers => ({
  me: async () => (await perform(host, 'members.find', { x500Name: host.me.x500Name })).member ?? undefined,
  find: async (x500Name) => (await perform(host, 'members.find', { x500Name })).member ?? undefined,
  findByKey: async (key) => (await perform(host, 'members.findByKey', { key })).member ?? undefined,
  all: async (filter = {}) => (await perform(host, 'members.all', paramsOf(filter))).members,
});

export const groupOf = (host: ContextHost): FlowGroup => ({
  parameters: async () => (await perform(host, 'group.parameters', {})).group ?? undefined,
});
