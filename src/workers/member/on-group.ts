/** member-to-member.group: what all members of a group share is asked to change. See group.ts and list/list.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { memberToMemberGroup } from '../../messages/member-to-member.group.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onGroup: Hearing<BodyOf<typeof memberToMemberGroup>, MemberEvent> = {
  wire: memberToMemberGroup,
  toEvent: (request) => ({ type: 'group', request }),
};
