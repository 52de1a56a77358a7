/** The registrations of one virtual node, as REST reads them, in networks of all kinds. */
import { deriveId } from '../../identity/derive.ts';
import { answerTo, type Outcome, type Refusal } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { Registration } from '../../messages/rest-to-member.registration.ts';
import { reasonCharsMax, registrationsMax } from './config.ts';
import type { RegistrationRequest } from './event.ts';
import type { StoredRegistration } from './state.ts';

export const refused = (code: string, message: string): Refusal => ({ type: 'refused', code, message });

export const answered = (request: Parameters<typeof answerTo>[0], outcome: Outcome): OutRecord[] => {
  const record = answerTo(request, outcome);
  return record === undefined ? [] : [record];
};

/** What REST may see of it. */
const shown = (stored: StoredRegistration): Registration => {
  const { registrationId, registrationStatus, registrationSent, registrationUpdated, memberInfoSubmitted, reason, serial } = stored;
  return { registrationId, registrationStatus, registrationSent, registrationUpdated, memberInfoSubmitted, reason, serial };
};

export const reply = (registrations: readonly StoredRegistration[]): Outcome => ({ type: 'done', value: { registrations: registrations.map(shown) } });

export type Register = RegistrationRequest & { readonly body: { readonly type: 'register' } };
export const isRegister = (request: RegistrationRequest): request is Register => request.body.type === 'register';

export const newRegistration = ({ body, id: messageId }: Register, now: number): StoredRegistration => ({
  registrationId: deriveId('registration', body.shortHash, messageId),
  registrationStatus: 'NEW',
  registrationSent: now,
  registrationUpdated: now,
  memberInfoSubmitted: body.context,
  reason: null,
  serial: null,
  messageId,
});

export const update = (registrations: readonly StoredRegistration[], id: string, change: Partial<StoredRegistration>): readonly StoredRegistration[] =>
  registrations.map((one) => (one.registrationId === id ? { ...one, ...change } : one));

export const ended = (registrations: readonly StoredRegistration[], id: string, end: { readonly status: 'INVALID' | 'DECLINED' | 'FAILED'; readonly reason: string; readonly now: number }) =>
  update(registrations, id, { registrationStatus: end.status, reason: end.reason.slice(0, reasonCharsMax), registrationUpdated: end.now });

/** Forgets the oldest that ended without approval, else the oldest, so that the list stays bounded. */
export const remember = (registrations: readonly StoredRegistration[], added: StoredRegistration): readonly StoredRegistration[] => {
  const all = [...registrations, added];
  if (all.length <= registrationsMax) return all;
  return all.toSpliced(Math.max(0, all.findIndex(({ registrationStatus }) => registrationStatus !== 'APPROVED')), 1);
};

type StatusRequest = Extract<RegistrationRequest['body'], { type: 'status' }>;

export const statusOf = (registrations: readonly StoredRegistration[], exists: boolean, { shortHash, registrationId }: StatusRequest): Outcome => {
  if (!exists && registrations.length === 0) return refused('MEMBER_VIRTUAL_NODE_NOT_FOUND', `there is no virtual node ${shortHash} on this cluster`);
  if (registrationId === undefined) return reply(registrations);
  const registration = registrations.find((one) => one.registrationId === registrationId);
  if (registration === undefined) return refused('MEMBER_REGISTRATION_NOT_FOUND', `${shortHash} has no registration ${registrationId}`);
  return reply([registration]);
};
