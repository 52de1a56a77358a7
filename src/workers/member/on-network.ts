/** rest-to-member.network: how a virtual node is reached. See joining/joining.ts and mgm/mgm.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToMemberNetwork } from '../../messages/rest-to-member.network.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onNetwork: Hearing<BodyOf<typeof restToMemberNetwork>, MemberEvent> = {
  wire: restToMemberNetwork,
  toEvent: (request) => ({ type: 'set-up', request }),
};
