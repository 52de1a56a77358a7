/** member-to-member.group: a registration asks its group's state. See group.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { memberToMemberGroup } from '../../messages/member-to-member.group.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onGroup: Hearing<BodyOf<typeof memberToMemberGroup>, MemberEvent> = {
  wire: memberToMemberGroup,
  toEvent: (request) => ({ type: 'join', request }),
};
