/**
 * What all members of a group share on this cluster (the member list, the group parameters) has one writer, whichever replicas hold the
 * members' registrations: they ask it here.
 */
import * as z from 'zod';
import { base64url, groupId, shortHash, x500Name } from './grammar/shapes.ts';
import { payloadCharsMax } from './all-to-link-manager.send.ts';
import { groupParameters } from './member-to-all.group-parameters.ts';
import { member } from './member-to-all.member.ts';
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

const manager = z.object({ x500Name, sessionKeys: z.array(z.object({ publicKey: base64url, spec: z.string() })).min(1).max(10) });

export const memberToMemberGroup = wire({
  topic: 'member-to-member.group',
  from: ['member'],
  to: ['member'],
  key: 'group id',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** A static network's. Refused with MEMBER_NOTARY_CONFLICT. Idempotent by name. */
    z.object({
      type: z.literal('join'),
      groupId,
      shortHash,
      x500Name,
      /** The CPI whose group policy describes the network. */
      cpiFullChecksum: z.string().regex(/^[0-9A-F]{64}$/),
      notary: notaryDetails.nullable(),
    }),
    /**
     * A dynamic network's: somebody who is joining is to be known on this cluster, so that a session with the manager is possible. `first`
     * is what the group policy tells a cluster that knows nothing of the group yet. Idempotent.
     */
    z.object({
      type: z.literal('pending'),
      groupId,
      pending: member,
      first: z.object({ manager: member, parameters: groupParameters, /** With mutual TLS: of the manager's gateway. */ clientSubject: z.string().max(1_000).nullable() }).nullable(),
    }),
    /** The joining came to nothing: the name is unknown again, where it is not a member's. */
    z.object({ type: z.literal('forget'), groupId, x500Name, registrationId: z.string().max(100) }),
    /** A member's virtual node is gone from this cluster: nobody asks the manager in its name any more. */
    z.object({ type: z.literal('left'), groupId, x500Name }),
    /** The manager's own cluster is told of a new version of the list as the others are, without a session. */
    z.object({ type: z.literal('published'), groupId, manager, payload: z.string().max(payloadCharsMax) }),
  ]),
  reply: z.object({ epoch: z.int().nonnegative() }),
});
