/**
 * The member room: joining a network, and finding its members.
 *
 * | hears | `rest-to-member.registration`, `rest-to-member.lookup`, `member-to-member.group`, `db-to-member.departure`, `all-to-member.answer`; views of `db-to-all.virtual-node`, `db-to-all.cpi`, `member-to-all.member`, `member-to-all.group-parameters` |
 * | says  | `all-to-crypto.key`, `member-to-member.group`, `member-to-all.member`, `member-to-all.group-parameters`, `member-to-link-manager.hosted-identity`, and answers |
 * | owns  | registrations, and what the members of a group share |
 * | never | holds a private key, or believes of another cluster's member more than the group policy says |
 *
 * A machine of two kinds of key: a virtual node's short hash (registration.ts) and a group id (group.ts).
 */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { View } from '../../shell/view.ts';
import type { Worker } from '../../shell/worker.ts';
import { createMemberMachine } from './machine.ts';
import { createNetworks } from './network.ts';
import { onLookup, type LookupViews } from './on-lookup.ts';

export type MemberWorkerOptions = LookupViews & { readonly cpis: View<CpiMetadata> };

export const createMemberWorker = ({ virtualNodes, cpis, members, groupParameters }: MemberWorkerOptions): Worker => ({
  room: 'member',
  machine: createMemberMachine(createNetworks({ virtualNodes, cpis })),
  answers: [onLookup({ virtualNodes, members, groupParameters })],
});
