/**
 * What the two sides sign and authenticate: the canonical bytes of the four handshake messages, each hash covering all that
 * was said before it (docs/protocol.md, section 4).
 */
import { concat, fromBase64url, utf8, type Bytes } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';
import { bytesField, CanonicalError, createCanonicalReader, textField, u16, u64, u8 } from '../canonical.ts';
import { protocolVersion, type Sender } from './packet.ts';

/** What both sides must agree on for their keys to agree. Hashes and ids in base64url. */
export type Terms = {
  readonly sessionId: string;
  readonly groupId: string;
  readonly initiatorKeyHash: string;
  readonly responderKeyHash: string;
  readonly initiatorEphemeralKey: string;
};

export const protocolModes = ['Authenticated_Encryption', 'Authentication'] as const;
export type ProtocolMode = (typeof protocolModes)[number];
const modeCodes: Record<ProtocolMode, number> = { Authenticated_Encryption: 1, Authentication: 2 };

export const initiatorHelloBytes = (terms: Terms): Bytes =>
  concat(
    textField('Cordage session, initiator hello'),
    u16(protocolVersion),
    bytesField(fromBase64url(terms.sessionId)),
    textField(terms.groupId),
    bytesField(fromBase64url(terms.initiatorKeyHash)),
    bytesField(fromBase64url(terms.responderKeyHash)),
    bytesField(fromBase64url(terms.initiatorEphemeralKey)),
  );

export const responderHelloBytes = (sessionId: string, responderEphemeralKey: string): Bytes =>
  concat(
    textField('Cordage session, responder hello'),
    u16(protocolVersion),
    bytesField(fromBase64url(sessionId)),
    bytesField(fromBase64url(responderEphemeralKey)),
  );

export const hellosBytes = (terms: Terms, responderEphemeralKey: string): Bytes =>
  concat(initiatorHelloBytes(terms), responderHelloBytes(terms.sessionId, responderEphemeralKey));

/** What a side says of itself inside its sealed handshake message, before it proves it. */
export type InitiatorClaims = {
  readonly groupId: string;
  readonly initiatorKeyHash: string;
  readonly responderKeyHash: string;
  /** Serials of both members, as the initiator knows them. */
  readonly initiatorSerial: number;
  readonly responderSerial: number;
  readonly mode: ProtocolMode;
  /** Names the initiator's numbering of messages; another one means that its state was lost. */
  readonly stream: string;
};

export type ResponderClaims = { readonly responderKeyHash: string; readonly mode: ProtocolMode; readonly stream: string };

export const initiatorClaimsBytes = (claims: InitiatorClaims): Bytes =>
  concat(
    textField(claims.groupId),
    bytesField(fromBase64url(claims.initiatorKeyHash)),
    bytesField(fromBase64url(claims.responderKeyHash)),
    u64(claims.initiatorSerial),
    u64(claims.responderSerial),
    u8(modeCodes[claims.mode]),
    bytesField(fromBase64url(claims.stream)),
  );

export const responderClaimsBytes = (claims: ResponderClaims): Bytes =>
  concat(bytesField(fromBase64url(claims.responderKeyHash)), u8(modeCodes[claims.mode]), bytesField(fromBase64url(claims.stream)));

/** Reads a mode's code; throws CanonicalError on an unknown one. */
export const modeOfCode = (code: number): ProtocolMode => {
  const mode = protocolModes.find((known) => modeCodes[known] === code);
  if (mode === undefined) throw new CanonicalError(`mode ${code} is unknown`);
  return mode;
};

/** A handshake payload: claims, signature over all before and the claims, MAC over all before, the claims and the signature. */
export type ProvenClaims = { readonly claims: Uint8Array; readonly signature: Uint8Array; readonly finished: Uint8Array };

export const provenClaimsBytes = ({ claims, signature, finished }: ProvenClaims): Bytes =>
  concat(bytesField(claims), bytesField(signature), bytesField(finished));

const claimsBytesMax = 2_000;
const signatureBytesMax = 2_000;
const finishedBytes = 32;

/** Throws CanonicalError. */
export const readProvenClaims = (payload: Uint8Array): ProvenClaims => {
  const reader = createCanonicalReader(payload);
  const read = { claims: reader.bytes(claimsBytesMax), signature: reader.bytes(signatureBytesMax), finished: reader.bytes(finishedBytes) };
  reader.end();
  return read;
};

const signatureContexts: Record<Sender, string> = {
  initiator: 'Cordage session, initiator signature',
  responder: 'Cordage session, responder signature',
};

/** As TLS 1.3 (RFC 8446 section 4.4.3): 64 spaces, the context, a zero byte, the hash; so that it fits no other protocol. */
export const signingInput = (sender: Sender, saidBefore: Uint8Array, claims: Uint8Array): Bytes =>
  concat(utf8(' '.repeat(64)), utf8(signatureContexts[sender]), u8(0), sha256(concat(saidBefore, bytesField(claims))));

/** What the finished MAC covers. */
export const finishedInput = (saidBefore: Uint8Array, claims: Uint8Array, signature: Uint8Array): Bytes =>
  sha256(concat(saidBefore, bytesField(claims), bytesField(signature)));
