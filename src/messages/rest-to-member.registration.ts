/** A virtual node asks to join its network; REST reads how that fares. */
import * as z from 'zod';
import { shortHash, stringMap, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const registrationStatus = z.enum([
  'NEW', 'SENT_TO_MGM', 'RECEIVED_BY_MGM', 'STARTED_PROCESSING_BY_MGM', 'PENDING_MEMBER_VERIFICATION',
  'PENDING_MANUAL_APPROVAL', 'PENDING_AUTO_APPROVAL', 'DECLINED', 'INVALID', 'FAILED', 'APPROVED',
]);

export const registration = z.object({
  registrationId: z.uuid(),
  registrationStatus,
  registrationSent: timestampMs,
  registrationUpdated: timestampMs,
  memberInfoSubmitted: stringMap,
  reason: z.string().nullable(),
  serial: z.int().nullable(),
});
export type Registration = z.infer<typeof registration>;

/** Bound on a registration's context, in entries. */
export const registrationContextMax = 500;

export const restToMemberRegistration = wire({
  topic: 'rest-to-member.registration',
  from: ['rest'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  /** Refused with MEMBER_VIRTUAL_NODE_NOT_FOUND, MEMBER_CONTEXT_INVALID, MEMBER_ALREADY_REGISTERED, MEMBER_REGISTRATION_NOT_FOUND. */
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('register'), shortHash, context: stringMap }),
    z.object({ type: z.literal('status'), shortHash, registrationId: z.uuid().optional() }),
  ]),
  reply: z.object({ registrations: z.array(registration) }),
});
