/** all-to-member.answer: what crypto and the group's own state answered to a registration. See registration.ts. */
import { allToMemberAnswer } from '../../messages/all-to-member.answer.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onAnswer: Hearing<BodyOf<typeof allToMemberAnswer>, MemberEvent> = {
  wire: allToMemberAnswer,
  toEvent: ({ body: { requestId, outcome } }) => ({ type: 'answer', requestId, outcome }),
};
