/** REST sets up how a virtual node is reached: the session keys it signs with, found in crypto, and their certificates, found in db. */
import * as z from 'zod';
import { keyId } from './all-to-crypto.key.ts';
import { base64url, shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { tlsChoice } from './member-to-link-manager.hosted-identity.ts';

/** Session keys of one setup: the member list shows as many. */
export const sessionKeysMax = 10;

export const restToMemberNetwork = wire({
  topic: 'rest-to-member.network',
  from: ['rest'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  /** Refused with MEMBER_VIRTUAL_NODE_NOT_FOUND, MEMBER_STATIC_NETWORK, MEMBER_TLS_SUBJECT, MEMBER_CERTIFICATES_INVALID. Idempotent. */
  body: z.object({
    shortHash,
    sessionKey: z.object({ id: keyId, publicKey: base64url, spec: z.string() }),
    /** PEM chain, leaf first. */
    sessionCertificates: z.string().max(50_000).nullable(),
    /** Of its gateway; without it the gateway's first is shown. */
    tls: tlsChoice.omit({ subject: true }).extend({ /** PEM chain, leaf first. */ certificates: z.string().max(100_000) }).optional(),
    /** Of session keys that are not preferred: a member that changes its key registers with both. */
    otherCertificates: z.array(z.object({ publicKey: base64url, sessionCertificates: z.string().max(50_000) })).max(sessionKeysMax),
  }),
  reply: z.object({}),
});
