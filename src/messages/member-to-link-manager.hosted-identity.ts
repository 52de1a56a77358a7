/** Identities that live on this cluster and the session key each signs with. */
import * as z from 'zod';
import { keyId } from './all-to-crypto.key.ts';
import { base64url, holdingIdentity } from './grammar/shapes.ts';
import { certificateHolder } from './rest-to-db.certificate.ts';
import { wire } from './grammar/wire.ts';

/** The certificate that a gateway serves and shows for a virtual node. */
export const tlsChoice = z.object({
  holder: certificateHolder,
  alias: z.string().min(1).max(255),
  /** As `distinguishedName` spells it. */
  subject: z.string().max(1_000),
});
export type TlsChoice = z.infer<typeof tlsChoice>;

export const hostedIdentity = z.object({
  holdingIdentity,
  sessionKey: z.object({ id: keyId, publicKey: base64url, spec: z.string() }),
  /** PEM chain of the session key, leaf first: what a group with session PKI asks for. */
  sessionCertificates: z.string().max(50_000).optional(),
  /** Shown where its group asks for client certificates; none in a static network. */
  tlsCertificate: tlsChoice.optional(),
});
export type HostedIdentity = z.infer<typeof hostedIdentity>;

export const memberToLinkManagerHostedIdentity = wire({
  topic: 'member-to-link-manager.hosted-identity',
  from: ['member'],
  to: ['link-manager'],
  key: 'holding identity short hash',
  retention: 'compacted',
  version: 1,
  body: hostedIdentity,
});
