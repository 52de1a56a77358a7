/** What the machine is stepped with. */
import type { Delivery, Outcome } from '../../messages/grammar/envelope.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { dbToMemberDeparture } from '../../messages/db-to-member.departure.ts';
import type { linkManagerToMemberReceive } from '../../messages/link-manager-to-member.receive.ts';
import type { memberToMemberGroup } from '../../messages/member-to-member.group.ts';
import type { memberToMemberListed } from '../../messages/member-to-member.listed.ts';
import type { restToMemberMgm } from '../../messages/rest-to-member.mgm.ts';
import type { restToMemberNetwork } from '../../messages/rest-to-member.network.ts';
import type { restToMemberRegistration } from '../../messages/rest-to-member.registration.ts';

export type RegistrationRequest = Delivery<BodyOf<typeof restToMemberRegistration>>;
export type DepartureRequest = Delivery<BodyOf<typeof dbToMemberDeparture>>;
export type MgmRequest = Delivery<BodyOf<typeof restToMemberMgm>>;
export type NetworkSetup = Delivery<BodyOf<typeof restToMemberNetwork>>;
export type GroupRequest = Delivery<BodyOf<typeof memberToMemberGroup>>;
export type JoinRequest = GroupRequest & { readonly body: { readonly type: 'join' } };
export type Received = BodyOf<typeof linkManagerToMemberReceive>;
export type ListedNotice = BodyOf<typeof memberToMemberListed>;

export type MemberEvent =
  | { readonly type: 'departure'; readonly request: DepartureRequest }
  | { readonly type: 'registration'; readonly request: RegistrationRequest }
  | { readonly type: 'answer'; readonly requestId: string; readonly outcome: Outcome }
  | { readonly type: 'group'; readonly request: GroupRequest }
  | { readonly type: 'mgm'; readonly request: MgmRequest }
  | { readonly type: 'set-up'; readonly request: NetworkSetup }
  | { readonly type: 'received'; readonly message: Received }
  | { readonly type: 'listed'; readonly notice: ListedNotice }
  | { readonly type: 'wake'; readonly dueAt: number };

export type AnswerEvent = Extract<MemberEvent, { type: 'answer' }>;
