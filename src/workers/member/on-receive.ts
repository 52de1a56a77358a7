/** link-manager-to-member.receive: the member room of another cluster speaks, or a stranger. See peer/peer-message.ts. */
import { linkManagerToMemberReceive } from '../../messages/link-manager-to-member.receive.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onReceive: Hearing<BodyOf<typeof linkManagerToMemberReceive>, MemberEvent> = {
  wire: linkManagerToMemberReceive,
  toEvent: ({ body }) => ({ type: 'received', message: body }),
};
