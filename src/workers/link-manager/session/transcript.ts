/**
 * What the two sides sign and authenticate: the canonical bytes of the four handshake messages, each hash covering all that
 * was said before it (docs/protocol.md, section 4). The transcript is kept as a hash, so that a half-open handshake stays small:
 *
 *     said(hellos) = SHA-256(H1 ‖ H2)      said(next payload) = SHA-256(said before ‖ bytes(payload))
 */
import { concat, fromBase64url, utf8, type Bytes } from '../../../cipher/bytes.ts';
import { sha256 } from '../../../cipher/digest.ts';
import { bytesField, CanonicalError, createCanonicalReader, textField, u16, u64, u8, type CanonicalReader } from '../canonical.ts';
import { offerBytes, protocolVersion } from './offer.ts';
import type { PacketOf, Sender } from './packet.ts';

/** What a session is between. Hashes and ids in base64url. */
export type Terms = {
  readonly sessionId: string;
  readonly groupId: string;
  readonly initiatorKeyHash: string;
  readonly responderKeyHash: string;
};

export const protocolModes = ['Authenticated_Encryption', 'Authentication'] as const;
export type ProtocolMode = (typeof protocolModes)[number];
const modeCodes: Record<ProtocolMode, number> = { Authenticated_Encryption: 1, Authentication: 2 };

/** Without its cookie: a hello that is repeated with one is the same hello. */
export type Hello = Omit<PacketOf<'initiator-hello'>, 'cookie'>;

export const initiatorHelloBytes = (hello: Hello): Bytes =>
  concat(
    textField('Cordage session, initiator hello'),
    u16(protocolVersion),
    bytesField(fromBase64url(hello.sessionId)),
    textField(hello.groupId),
    bytesField(fromBase64url(hello.initiatorKeyHash)),
    bytesField(fromBase64url(hello.responderKeyHash)),
    offerBytes(hello),
    bytesField(fromBase64url(hello.ephemeralKey)),
    bytesField(fromBase64url(hello.encapsulationKey)),
  );

export const responderHelloBytes = (hello: PacketOf<'responder-hello'>): Bytes =>
  concat(
    textField('Cordage session, responder hello'),
    u16(hello.version),
    bytesField(fromBase64url(hello.sessionId)),
    offerBytes(hello),
    textField(hello.suite),
    bytesField(fromBase64url(hello.ephemeralKey)),
    bytesField(fromBase64url(hello.encapsulated)),
  );

export const saidInHellos = (hello: Hello, answer: PacketOf<'responder-hello'>): Bytes =>
  sha256(concat(initiatorHelloBytes(hello), responderHelloBytes(answer)));

export const saidWith = (saidBefore: Uint8Array, payload: Uint8Array): Bytes => sha256(concat(saidBefore, bytesField(payload)));

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
  /** Certificates of the session key, leaf first, DER in base64url; none in a group without session PKI. */
  readonly certificates: readonly string[];
};

export type ResponderClaims = Pick<InitiatorClaims, 'responderKeyHash' | 'mode' | 'stream' | 'certificates'>;

/** Of one chain: leaf, root, and up to three between them; an RSA-4096 certificate has some 2 KiB. */
export const certificatesMax = 5;
export const certificateBytesMax = 5_000;

const certificatesBytes = (certificates: readonly string[]): Bytes =>
  concat(u8(certificates.length), ...certificates.map((certificate) => bytesField(fromBase64url(certificate))));

export const initiatorClaimsBytes = (claims: InitiatorClaims): Bytes =>
  concat(
    textField(claims.groupId),
    bytesField(fromBase64url(claims.initiatorKeyHash)),
    bytesField(fromBase64url(claims.responderKeyHash)),
    u64(claims.initiatorSerial),
    u64(claims.responderSerial),
    u8(modeCodes[claims.mode]),
    bytesField(fromBase64url(claims.stream)),
    certificatesBytes(claims.certificates),
  );

export const responderClaimsBytes = (claims: ResponderClaims): Bytes =>
  concat(
    bytesField(fromBase64url(claims.responderKeyHash)),
    u8(modeCodes[claims.mode]),
    bytesField(fromBase64url(claims.stream)),
    certificatesBytes(claims.certificates),
  );

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const readMode = (reader: CanonicalReader): ProtocolMode => {
  const code = reader.u8();
  const mode = protocolModes.find((known) => modeCodes[known] === code);
  if (mode === undefined) throw new CanonicalError(`mode ${code} is unknown`);
  return mode;
};

const readCertificates = (reader: CanonicalReader): string[] => {
  const count = reader.u8();
  if (count > certificatesMax) throw new CanonicalError(`${count} certificates where ${certificatesMax} are allowed`);
  return Array.from({ length: count }, () => reader.base64url(certificateBytesMax));
};

/** Throws CanonicalError. */
export const readInitiatorClaims = (bytes: Uint8Array): InitiatorClaims => {
  const reader = createCanonicalReader(bytes);
  const claims: InitiatorClaims = {
    groupId: reader.text(400),
    initiatorKeyHash: reader.base64url(32),
    responderKeyHash: reader.base64url(32),
    initiatorSerial: reader.u64(),
    responderSerial: reader.u64(),
    mode: readMode(reader),
    stream: reader.base64url(16),
    certificates: readCertificates(reader),
  };
  reader.end();
  return claims;
};

/** Throws CanonicalError. */
export const readResponderClaims = (bytes: Uint8Array): ResponderClaims => {
  const reader = createCanonicalReader(bytes);
  const claims: ResponderClaims = {
    responderKeyHash: reader.base64url(32),
    mode: readMode(reader),
    stream: reader.base64url(16),
    certificates: readCertificates(reader),
  };
  reader.end();
  return claims;
};

// ── Proof ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A handshake payload: claims, signature over all before and the claims, MAC over all before, the claims and the signature. */
export type ProvenClaims = { readonly claims: Uint8Array; readonly signature: Uint8Array; readonly finished: Uint8Array };

export const provenClaimsBytes = ({ claims, signature, finished }: ProvenClaims): Bytes =>
  concat(bytesField(claims), bytesField(signature), bytesField(finished));

const claimsBytesMax = 1_000 + certificatesMax * (certificateBytesMax + 4);
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
export const contextualised = (context: string, hash: Uint8Array): Bytes => concat(utf8(' '.repeat(64)), utf8(context), u8(0), hash);

export const signingInput = (sender: Sender, saidBefore: Uint8Array, claims: Uint8Array): Bytes =>
  contextualised(signatureContexts[sender], sha256(concat(saidBefore, bytesField(claims))));

/** What the finished MAC covers. */
export const finishedInput = (saidBefore: Uint8Array, claims: Uint8Array, signature: Uint8Array): Bytes =>
  sha256(concat(saidBefore, bytesField(claims), bytesField(signature)));
