/**
 * What the member rooms of two clusters say to each other, as payloads of the link manager: parsed once, here.
 *
 *     member ── register (sealed, of no session; or on a session by a member) ──▶ manager
 *     member ◀── status · verify ── manager          member ── verified ──▶ manager
 *     cluster ◀── list ── manager                    cluster ── sync ──▶ manager
 */
import * as z from 'zod';
import { base64url, groupId, stringMap, timestampMs, x500Name } from '../../../messages/grammar/shapes.ts';
import { groupParameters } from '../../../messages/member-to-all.group-parameters.ts';
import { sealedToKey } from '../../../messages/member-to-crypto.seal.ts';
import { registrationStatus } from '../../../messages/rest-to-member.registration.ts';
import { contextSignature, entry, statement } from './entry.ts';

const registrationId = z.uuid();

/** What a member asks for; the first session key of its context signs it, or, of a member, also a session key that the list shows. */
export const registrationRequest = z.strictObject({
  v: z.literal(1),
  registrationId,
  groupId,
  x500Name,
  /** The manager it is for: nobody else can be made to hear it. */
  manager: x500Name,
  memberContext: stringMap,
  /** The member's serial as it knows it: 0 for one that is no member yet. */
  serial: z.int().nonnegative(),
  /** `corda.auth.token`; no part of the context that the network sees. */
  token: z.uuid().nullable(),
  sentAt: timestampMs,
});
export type RegistrationRequest = z.infer<typeof registrationRequest>;

export const signedRequest = z.strictObject({
  request: registrationRequest,
  /** Over the request, by the first session key of its context. */
  signature: base64url.max(2_000),
  /** Over the member context, by each of its session keys. */
  signatures: z.array(contextSignature).min(1).max(10),
});
export type SignedRequest = z.infer<typeof signedRequest>;

/** A member's virtual node is deleted; one of the session keys that the list shows signs it. */
export const leave = z.strictObject({
  v: z.literal(1),
  type: z.literal('leave'),
  groupId,
  x500Name,
  manager: x500Name,
  /** The member's serial as it knows it: what was said before the member changed says nothing any more. */
  serial: z.int().positive(),
  sentAt: timestampMs,
});
export type Leave = z.infer<typeof leave>;

export const signedLeave = z.strictObject({ leave, signature: base64url.max(2_000) });
export type SignedLeave = z.infer<typeof signedLeave>;

/** Of an unauthenticated message. */
export const sealedRequest = z.strictObject({ v: z.literal(1), sealed: sealedToKey });

/** What is sealed, and to which manager: the same at both ends. */
export const sealInfo = 'cordage registration';

export const listPayload = z.strictObject({
  type: z.literal('list'),
  v: z.literal(1),
  statement,
  signature: base64url.max(2_000),
  /** Entries that have changed since `since`, sorted by name; between `after` and `next` where they are more than one message carries. */
  entries: z.array(entry).max(2_000),
  since: z.int().nonnegative(),
  after: x500Name.nullable(),
  next: x500Name.nullable(),
  /** Where they have changed since. */
  parameters: groupParameters.nullable(),
});
export type ListPayload = z.infer<typeof listPayload>;

export const peerMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('register'), v: z.literal(1), signed: signedRequest }),
  z.strictObject({ type: z.literal('verify'), v: z.literal(1), registrationId }),
  z.strictObject({ type: z.literal('verified'), v: z.literal(1), registrationId }),
  z.strictObject({ type: z.literal('status'), v: z.literal(1), registrationId, status: registrationStatus, reason: z.string().max(2_000).nullable() }),
  listPayload,
  z.strictObject({ type: z.literal('sync'), v: z.literal(1), /** What the asker has. */ version: z.int().nonnegative(), epoch: z.int().nonnegative(), after: x500Name.nullable() }),
]);
export type PeerMessage = z.infer<typeof peerMessage>;

/** Reads what another cluster's member room sent; never throws. */
export const readPeer = <Value>(schema: z.ZodType<Value>, payload: string): Value | undefined => {
  try {
    return schema.safeParse(JSON.parse(payload)).data;
  } catch {
    return undefined;
  }
};
