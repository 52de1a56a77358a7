/** rest-to-member.mgm: an operator asks something of a network's manager. See mgm/commands.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToMemberMgm } from '../../messages/rest-to-member.mgm.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onMgm: Hearing<BodyOf<typeof restToMemberMgm>, MemberEvent> = {
  wire: restToMemberMgm,
  toEvent: (request) => ({ type: 'mgm', request }),
};
