/** REST sets up how a virtual node is reached: the session keys it signs with, found in crypto, and their certificates, found in db. */
import * as z from 'zod';
import { keyId } from './all-to-crypto.key.ts';
import { base64url, shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { tlsChoice } from './member-to-link-manager.hosted-identity.ts';

export const restToMemberNetwork = wire({
  topic: 'rest-to-member.network',
  from: ['rest'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  /** Refused with MEMBER_VIRTUAL_NODE_NOT_FOUND, MEMBER_STATIC_NETWORK, MEMBER_TLS_SUBJECT. Idempotent. */
  body: z.object({
    shortHash,
    sessionKey: z.object({ id: keyId, publicKey: base64url, spec: z.string() }),
    /** PEM chain, leaf first. */
    sessionCertificates: z.string().max(50_000).nullable(),
    /** Of its gateway; without it the gateway's first is shown. */
    tls: tlsChoice.optional(),
  }),
  reply: z.object({}),
});
