/**
 * The member room: joining a network, and finding its members.
 *
 * | hears | `rest-to-member.registration`, `rest-to-member.lookup`, `rest-to-member.mgm`, `rest-to-member.network`, `link-manager-to-member.receive`, `member-to-member.group`, `member-to-member.listed`, `member-to-member.wake`, `db-to-member.departure`, `all-to-member.answer`; views of `db-to-all.config`, `db-to-all.virtual-node`, `db-to-all.cpi`, `member-to-all.member`, `member-to-all.group-parameters` |
 * | says  | `all-to-crypto.key`, `all-to-crypto.sign`, `member-to-crypto.seal`, `all-to-link-manager.send`, `member-to-link-manager.unauthenticated`, `member-to-member.group`, `member-to-member.listed`, `member-to-all.member`, `member-to-all.group-parameters`, `member-to-link-manager.hosted-identity`, `member-to-gateway.client-subject`, and answers |
 * | owns  | registrations, what a network's manager decides, and what the members of a group share |
 * | never | holds a private key, or believes of another cluster's member more than the group policy or the network's manager says |
 *
 * A machine of two kinds of key: a virtual node's short hash and a group id (machine.ts). docs/membership.md tells of dynamic networks.
 */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { Log } from '../../observability/log.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { fixedConfig, type Config } from '../../shell/live-config.ts';
import type { View } from '../../shell/view.ts';
import type { Worker } from '../../shell/worker.ts';
import { createMemberMachine } from './machine.ts';
import { createNetworks, timesOf, type TlsType } from './network.ts';
import { onLookup, type LookupViews } from './on-lookup.ts';

const tlsTypeOf = (config: Config): TlsType => (config.get('corda.p2p.gateway').sslConfig.tlsType === 'MUTUAL' ? 'Mutual' : 'OneWay');

export type MemberWorkerOptions = LookupViews & { readonly cpis: View<CpiMetadata>; readonly log: Log; /** Default: as its sections begin. */ readonly config?: Config; readonly metrics?: Metrics };

export const createMemberWorker = ({ virtualNodes, cpis, members, groupParameters, log, config = fixedConfig(), metrics }: MemberWorkerOptions): Worker => {
  const refused = metrics?.counter('cordage_member_messages_refused_total', 'Messages of other clusters refused');
  return {
    room: 'member',
    machine: createMemberMachine({ networks: createNetworks({ virtualNodes, cpis, members, tlsType: () => tlsTypeOf(config), times: () => timesOf(config) }), log, onRefused: () => refused?.add(1) }),
    answers: [onLookup({ virtualNodes, members, groupParameters })],
  };
};
