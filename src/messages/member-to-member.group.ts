/**
 * A registration asks its group's own state, so that what all members of a group share (the group parameters, the members on
 * other clusters) has one writer on this cluster, whichever replicas hold the members' registrations.
 */
import * as z from 'zod';
import { groupId, shortHash, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** A notary that joins: the service it belongs to, the protocol that speaks it, and the key that signs. */
export const notaryDetails = z.object({
  serviceName: x500Name,
  protocolName: z.string().max(800),
  protocolVersions: z.array(z.int().positive()).max(100),
  backchainRequired: z.boolean(),
  /** SubjectPublicKeyInfo, PEM. */
  keyPem: z.string().max(10_000),
});
export type NotaryDetails = z.infer<typeof notaryDetails>;

export const memberToMemberGroup = wire({
  topic: 'member-to-member.group',
  from: ['member'],
  to: ['member'],
  key: 'group id',
  retention: 'log',
  version: 1,
  /** Refused with MEMBER_NOTARY_CONFLICT. Idempotent by name. */
  body: z.object({
    type: z.literal('join'),
    groupId,
    shortHash,
    x500Name,
    /** The CPI whose group policy describes the network. */
    cpiFullChecksum: z.string().regex(/^[0-9A-F]{64}$/),
    notary: notaryDetails.nullable(),
  }),
  reply: z.object({ epoch: z.int().positive() }),
});
