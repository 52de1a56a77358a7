/**
 * The outer form of a packet: one JSON object as text, binary as base64url. Nothing in it is trusted until a session's key
 * has opened it. Each packet travels under the tag of its pair, which the gateways key on.
 */
import * as z from 'zod';
import { base64url, groupId } from '../../../messages/grammar/shapes.ts';
import { packetCharsMax } from '../../../messages/link-manager-to-gateway.link-out.ts';
import { protocolVersion, suites } from './offer.ts';

/** Base64url of values of fixed length; the last digit leaves no stray bits, so that a value has one text. */
const sixteenBytes = z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/);
const thirtyTwoBytes = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** Of ML-KEM-768, 1,184 and 1,088 bytes; empty where that suite is not offered or not chosen. */
const encapsulationKey = z.string().regex(/^(?:[A-Za-z0-9_-]{1578}[AEIMQUYcgkosw048])?$/);
const encapsulated = z.string().regex(/^(?:[A-Za-z0-9_-]{1450}[AEIMQUYcgkosw048])?$/);
/** An empty text where there is none. */
const cookie = z.string().regex(/^(?:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])?$/);
/** Bound on a sealed handshake payload: names, hashes, one signature of any scheme, a certificate chain. */
const handshakeCharsMax = 40_000;
/** Versions and suites of one offer: those of today, and room for as many later ones. */
const offeredMax = 16;

const head = { v: z.literal(protocolVersion), sessionId: sixteenBytes };
const sender = z.enum(['initiator', 'responder']);
const offer = {
  versions: z.array(z.int().min(1).max(65_535)).min(1).max(offeredMax),
  suites: z.array(z.string().regex(/^[\x21-\x7e]{1,40}$/)).min(1).max(offeredMax),
};

const initiatorHello = z
  .strictObject({
    ...head,
    type: z.literal('initiator-hello'),
    groupId,
    /** SHA-256 of the SubjectPublicKeyInfo of each side's session key. */
    initiatorKeyHash: thirtyTwoBytes,
    responderKeyHash: thirtyTwoBytes,
    ...offer,
    /** Raw X25519. */
    ephemeralKey: thirtyTwoBytes,
    encapsulationKey,
    /** What a `hello-retry` asked for; no part of the transcript. */
    cookie,
  })
  .refine((hello) => hello.suites.includes('X25519MLKEM768') === (hello.encapsulationKey !== ''), 'an encapsulation key goes with its suite');
const helloRetry = z.strictObject({ ...head, type: z.literal('hello-retry'), cookie: thirtyTwoBytes });
const responderHello = z
  .strictObject({
    ...head,
    type: z.literal('responder-hello'),
    /** The responder's own offer, and its choice of both. */
    ...offer,
    version: z.literal(protocolVersion),
    suite: z.enum(suites),
    ephemeralKey: thirtyTwoBytes,
    encapsulated,
  })
  .refine((hello) => (hello.suite === 'X25519MLKEM768') === (hello.encapsulated !== ''), 'an encapsulated secret goes with its suite');
const initiatorHandshake = z.strictObject({ ...head, type: z.literal('initiator-handshake'), sealed: base64url.max(handshakeCharsMax) });
const responderHandshake = z.strictObject({ ...head, type: z.literal('responder-handshake'), sealed: base64url.max(handshakeCharsMax) });
const data = z.strictObject({
  ...head,
  type: z.literal('data'),
  /** Whose key sealed it. */
  sender,
  /** Counts from 1 in each direction; it is the nonce. */
  counter: z.int().positive(),
  /** AES-256-GCM ciphertext with its tag, or the body in clear followed by its MAC: the session knows which. */
  sealed: base64url.max(packetCharsMax),
});
/** "I know no such session": unauthenticated, so it may only suggest a fresh handshake. */
const sessionUnknown = z.strictObject({ ...head, type: z.literal('session-unknown') });

const packet = z.discriminatedUnion('type', [initiatorHello, helloRetry, responderHello, initiatorHandshake, responderHandshake, data, sessionUnknown]);

export type Packet = z.infer<typeof packet>;
export type PacketOf<Type extends Packet['type']> = Extract<Packet, { type: Type }>;
export type Sender = z.infer<typeof sender>;

export type ParsedPacket =
  | { readonly type: 'packet'; readonly packet: Packet }
  | { readonly type: 'malformed'; readonly reason: string };

/** Reads what a stranger sent; never throws. */
export const parsePacket = (text: string): ParsedPacket => {
  if (text.length > packetCharsMax) return { type: 'malformed', reason: `longer than ${packetCharsMax} characters` };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { type: 'malformed', reason: 'not JSON' };
  }
  const parsed = packet.safeParse(json);
  return parsed.success ? { type: 'packet', packet: parsed.data } : { type: 'malformed', reason: z.prettifyError(parsed.error).slice(0, 500) };
};

export const formatPacket = (value: Packet): string => JSON.stringify(value);
