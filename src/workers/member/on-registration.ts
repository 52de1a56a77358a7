/** rest-to-member.registration: a virtual node asks to join its network, or how that fares. See registration.ts. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToMemberRegistration } from '../../messages/rest-to-member.registration.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { MemberEvent } from './event.ts';

export const onRegistration: Hearing<BodyOf<typeof restToMemberRegistration>, MemberEvent> = {
  wire: restToMemberRegistration,
  toEvent: (request) => ({ type: 'registration', request }),
};
