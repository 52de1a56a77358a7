/** member-to-member.listed: a virtual node here stands in its network's list. See joining/joining.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { memberToMemberListed } from '../../messages/member-to-member.listed.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onListed: Hearing<BodyOf<typeof memberToMemberListed>, MemberEvent> = {
  wire: memberToMemberListed,
  toEvent: ({ body }) => ({ type: 'listed', notice: body }),
};
