/**
 * The outer form of a packet: one JSON object as text, binary as base64url. Nothing in it is trusted until a session's key
 * has opened it. Each packet travels under the tag of its pair, which the gateways key on.
 */
import * as z from 'zod';
import { base64url, groupId } from '../../../messages/grammar/shapes.ts';
import { packetCharsMax } from '../../../messages/link-manager-to-gateway.link-out.ts';

/** Version of the whole session protocol; it is bound into every transcript and key. */
export const protocolVersion = 1;

/** Base64url of 16 and 32 bytes; the last digit leaves no stray bits, so that a value has one text. */
const sixteenBytes = z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/);
const thirtyTwoBytes = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** Bound on a sealed handshake payload: names, hashes, one signature of any scheme. */
const handshakeCharsMax = 8_192;

const head = { v: z.literal(protocolVersion), sessionId: sixteenBytes };
const sender = z.enum(['initiator', 'responder']);

const initiatorHello = z.strictObject({
  ...head,
  type: z.literal('initiator-hello'),
  groupId,
  /** SHA-256 of the SubjectPublicKeyInfo of each side's session key. */
  initiatorKeyHash: thirtyTwoBytes,
  responderKeyHash: thirtyTwoBytes,
  /** Raw X25519. */
  ephemeralKey: thirtyTwoBytes,
});
const responderHello = z.strictObject({ ...head, type: z.literal('responder-hello'), ephemeralKey: thirtyTwoBytes });
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

const packet = z.discriminatedUnion('type', [initiatorHello, responderHello, initiatorHandshake, responderHandshake, data, sessionUnknown]);

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
