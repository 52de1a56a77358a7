/** What the machine is stepped with. */
import type { Delivery, Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { dbToMemberDeparture } from '../../messages/db-to-member.departure.ts';
import type { memberToMemberGroup } from '../../messages/member-to-member.group.ts';
import type { restToMemberRegistration } from '../../messages/rest-to-member.registration.ts';

export type RegistrationRequest = Delivery<BodyOf<typeof restToMemberRegistration>>;
export type DepartureRequest = Delivery<BodyOf<typeof dbToMemberDeparture>>;
export type JoinRequest = Delivery<BodyOf<typeof memberToMemberGroup>>;

export type MemberEvent =
  | { readonly type: 'departure'; readonly request: DepartureRequest }
  | { readonly type: 'registration'; readonly request: RegistrationRequest }
  | { readonly type: 'answer'; readonly requestId: string; readonly outcome: Outcome }
  | { readonly type: 'join'; readonly request: JoinRequest };
