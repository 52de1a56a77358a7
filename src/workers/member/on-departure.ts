/** db-to-member.departure: a virtual node is being deleted, so its registrations go, and nobody here is told of it as a member any more. */
import { dbToMemberDeparture } from '../../messages/db-to-member.departure.ts';
import { answerTo } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { DepartureRequest, MemberEvent } from './event.ts';
import { hostedIdentityRemoval, memberRemoval } from './publication.ts';

export const onDeparture: Hearing<BodyOf<typeof dbToMemberDeparture>, MemberEvent> = {
  wire: dbToMemberDeparture,
  toEvent: (request) => ({ type: 'departure', request }),
};

/** What the cluster is told. The answer comes after it, so that db removes nothing that somebody may still look for. */
export const departureRecords = (request: Pick<DepartureRequest, 'key' | 'id' | 'body' | 'replyTo'>, listed: boolean): OutRecord[] => {
  const answer = answerTo(request, { type: 'done', value: {} });
  return [hostedIdentityRemoval(request.body.shortHash), ...(listed ? [] : [memberRemoval(request.body)]), ...(answer === undefined ? [] : [answer])];
};
