/**
 * From the shared secret to keys, by HKDF-SHA256 (RFC 5869). The salt is the hash of all that was said, so keys agree only
 * where transcripts do; each key's info names its purpose, the protocol version, the group and both key hashes.
 */
import { concat, fromBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { hkdfSha256 } from '../../../cipher/digest.ts';
import { bytesField, textField, u16, u64 } from '../canonical.ts';
import { protocolVersion } from './offer.ts';
import type { Sender } from './packet.ts';
import type { Terms } from './transcript.ts';

export type HandshakeKeys = { readonly key: Bytes; readonly iv: Bytes; readonly macKey: Bytes };
export type DirectionKeys = { readonly key: Bytes; readonly iv: Bytes };

const keyLength = 32;
const ivLength = 12;

const info = (label: string, sender: Sender, terms: Terms, serials: readonly number[]): Bytes =>
  concat(
    textField(`Cordage session, ${sender} ${label}`),
    u16(protocolVersion),
    textField(terms.groupId),
    bytesField(fromBase64url(terms.initiatorKeyHash)),
    bytesField(fromBase64url(terms.responderKeyHash)),
    ...serials.map(u64),
  );

/** Keys that seal the third (initiator) or fourth (responder) message; each seals one message, so the nonce is fixed. */
export const handshakeKeys = (input: { secret: Uint8Array; said: Uint8Array; terms: Terms; sender: Sender }): HandshakeKeys => {
  const { secret, said, terms, sender } = input;
  const derive = (label: string, length: number): Bytes => hkdfSha256({ ikm: secret, salt: said, info: info(label, sender, terms, []), length });
  return { key: derive('handshake key', keyLength), iv: derive('handshake iv', ivLength), macKey: derive('handshake mac key', keyLength) };
};

/** Keys of one direction of the session. `said`: the hellos and both payloads. */
export const sessionKeys = (input: {
  secret: Uint8Array;
  said: Uint8Array;
  terms: Terms;
  serials: readonly [initiator: number, responder: number];
  sender: Sender;
}): DirectionKeys => {
  const { secret, said, terms, serials, sender } = input;
  const derive = (label: string, length: number): Bytes => hkdfSha256({ ikm: secret, salt: said, info: info(label, sender, terms, serials), length });
  return { key: derive('session key', keyLength), iv: derive('session iv', ivLength) };
};
