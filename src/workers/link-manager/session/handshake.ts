/**
 * The cryptography of the four handshake messages, one function per step. Each takes what the state keeps and gives what it is
 * to keep next; chance comes in as bytes. See docs/protocol.md, section 4.
 *
 *     initiator                                   responder
 *     ── initiator-hello (hashes, ephemeral) ──────────────▶
 *     ◀────────────────────── responder-hello (ephemeral) ──
 *     [crypto signs]
 *     ── initiator-handshake {claims, signature, MAC} ─────▶
 *                                            [crypto signs]
 *     ◀───── responder-handshake {claims, signature, MAC} ──
 */
import { x25519, x25519PublicKey } from '../../../cipher/agreement.ts';
import { concat, equalConstantTime, fromBase64url, toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { hmacSha256 } from '../../../cipher/digest.ts';
import { verify, type SignatureSpec } from '../../../cipher/signature.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { bytesField, CanonicalError, createCanonicalReader } from '../canonical.ts';
import { handshakeKeys, sessionKeys, type HandshakeKeys } from './key-schedule.ts';
import type { PacketOf, Sender } from './packet.ts';
import { openHandshake, sealHandshake } from './sealing.ts';
import { refused, type Incoming, type Outgoing, type Peering, type Refused, type Session } from './state.ts';
import {
  finishedInput, hellosBytes, initiatorClaimsBytes, modeOfCode, provenClaimsBytes, readProvenClaims, responderClaimsBytes, signingInput,
  type InitiatorClaims, type ProtocolMode, type ProvenClaims, type ResponderClaims, type Terms,
} from './transcript.ts';
import { emptyWindow } from './window.ts';

type Secrets = { readonly hellos: Bytes; readonly secret: Bytes };

/** Throws CipherError on an ephemeral key of low order. */
const agree = async (terms: Terms, own: string, responderEphemeralKey: string, peerEphemeralKey: string): Promise<Secrets> => ({
  hellos: hellosBytes(terms, responderEphemeralKey),
  secret: await x25519({ privateKey: fromBase64url(own), publicKey: fromBase64url(peerEphemeralKey) }),
});

const keysOf = (terms: Terms, { hellos, secret }: Secrets, sender: Sender): HandshakeKeys => handshakeKeys({ secret, hellos, terms, sender });

const prove = (saidBefore: Uint8Array, claims: Uint8Array, signature: Uint8Array, keys: HandshakeKeys): Bytes =>
  provenClaimsBytes({ claims, signature, finished: hmacSha256(keys.macKey, finishedInput(saidBefore, claims, signature)) });

/** Checks MAC and signature of a payload that was just opened. */
const checkProof = async (proof: {
  sender: Sender;
  saidBefore: Uint8Array;
  proven: ProvenClaims;
  keys: HandshakeKeys;
  signer: { publicKey: string; spec: string };
}): Promise<Refused | undefined> => {
  const { sender, saidBefore, proven, keys, signer } = proof;
  const finished = hmacSha256(keys.macKey, finishedInput(saidBefore, proven.claims, proven.signature));
  if (!equalConstantTime(finished, proven.finished)) return refused('bad-mac', 'the finished MAC');
  const spec = signatureSpec.safeParse(signer.spec);
  if (!spec.success) return refused('bad-signature', `the member's signature spec ${signer.spec} is unknown`);
  const data = signingInput(sender, saidBefore, proven.claims);
  const good = await verify({ publicKey: fromBase64url(signer.publicKey), spec: spec.data satisfies SignatureSpec, data, signature: proven.signature });
  return good ? undefined : refused('bad-signature');
};

/** Runs a step over a stranger's bytes: what the ciphers and readers refuse becomes a refusal. */
const guarded = async <Result>(work: () => Promise<Result | Refused>): Promise<Result | Refused> => {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CipherError) return refused('bad-key', error.message);
    if (error instanceof CanonicalError) return refused('malformed-packet', error.message);
    throw error;
  }
};

// ── Initiator ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Begin = { readonly peering: Peering; readonly stream: string; readonly sessionId: Uint8Array; readonly seed: Uint8Array };

export const beginHandshake = async (begin: Begin, now: number, resendAt: number): Promise<Outgoing> => {
  const { peering, stream, sessionId, seed } = begin;
  const peerKey = peering.peerKeys[0]!;
  const terms: Terms = {
    sessionId: toBase64url(sessionId),
    groupId: peering.groupId,
    initiatorKeyHash: peering.ownKeyHash,
    responderKeyHash: peerKey.hash,
    initiatorEphemeralKey: toBase64url(await x25519PublicKey(seed)),
  };
  const claims: InitiatorClaims = {
    groupId: terms.groupId,
    initiatorKeyHash: terms.initiatorKeyHash,
    responderKeyHash: terms.responderKeyHash,
    initiatorSerial: peering.ownSerial,
    responderSerial: peering.peerSerial,
    mode: peering.mode,
    stream,
  };
  return { terms, claims, ephemeralPrivateKey: toBase64url(seed), startedAt: now, sentAt: now, resends: 0, resendAt, phase: { type: 'hello-sent' } };
};

/** What the initiator's session key must sign once the responder's hello is known. */
export const initiatorSigningInput = (outgoing: Outgoing, responderEphemeralKey: string): Bytes =>
  signingInput('initiator', hellosBytes(outgoing.terms, responderEphemeralKey), initiatorClaimsBytes(outgoing.claims));

/** The signature came: the third message. */
export const completeInitiator = (outgoing: Outgoing, responderEphemeralKey: string, signature: Uint8Array): Promise<Outgoing | Refused> =>
  guarded(async () => {
    const { terms } = outgoing;
    const secrets = await agree(terms, outgoing.ephemeralPrivateKey, responderEphemeralKey, responderEphemeralKey);
    const keys = keysOf(terms, secrets, 'initiator');
    const payload = prove(secrets.hellos, initiatorClaimsBytes(outgoing.claims), signature, keys);
    const sealed = await sealHandshake('initiator-handshake', terms.sessionId, keys, payload);
    return { ...outgoing, phase: { type: 'handshake-sent', responderEphemeralKey, payload: toBase64url(payload), sealed } };
  });

const readResponderClaims = (bytes: Uint8Array): ResponderClaims => {
  const reader = createCanonicalReader(bytes);
  const claims: ResponderClaims = {
    responderKeyHash: toBase64url(reader.bytes(32)),
    mode: modeOfCode(reader.u8()),
    stream: toBase64url(reader.bytes(16)),
  };
  reader.end();
  return claims;
};

/** The fourth message: the session, or why not. */
export const finishInitiator = (
  outgoing: Outgoing & { readonly phase: { readonly type: 'handshake-sent' } },
  packet: PacketOf<'responder-handshake'>,
  peering: Peering,
  now: number,
): Promise<Session | Refused> =>
  guarded(async () => {
    const { terms, claims, phase } = outgoing;
    const peerKey = peering.peerKeys.find((key) => key.hash === terms.responderKeyHash);
    if (peerKey === undefined) return refused('unknown-peer', 'its session key has changed since');
    const secrets = await agree(terms, outgoing.ephemeralPrivateKey, phase.responderEphemeralKey, phase.responderEphemeralKey);
    const keys = keysOf(terms, secrets, 'responder');
    const payload = await openHandshake(packet, keys);
    if (payload === undefined) return refused('bad-mac', 'the fourth message');
    const proven = readProvenClaims(payload);
    const saidBefore = concat(secrets.hellos, bytesField(fromBase64url(phase.payload)));
    const fault = await checkProof({ sender: 'responder', saidBefore, proven, keys, signer: peerKey });
    if (fault !== undefined) return fault;
    const answered = readResponderClaims(proven.claims);
    if (answered.responderKeyHash !== terms.responderKeyHash) return refused('unknown-peer', 'it answered with another key');
    if (answered.mode !== claims.mode) return refused('mode-mismatch', `it chose ${answered.mode}`);
    return agreedSession({
      terms, secret: secrets.secret, transcript: concat(saidBefore, bytesField(payload)), mode: answered.mode, role: 'initiator', now,
      serials: [claims.initiatorSerial, claims.responderSerial], ownStream: claims.stream, peerStream: answered.stream, answer: null,
    });
  });

// ── Responder ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const answerHello = async (hello: PacketOf<'initiator-hello'>, seed: Uint8Array, now: number): Promise<Incoming> => ({
  terms: {
    sessionId: hello.sessionId,
    groupId: hello.groupId,
    initiatorKeyHash: hello.initiatorKeyHash,
    responderKeyHash: hello.responderKeyHash,
    initiatorEphemeralKey: hello.ephemeralKey,
  },
  responderEphemeralKey: toBase64url(await x25519PublicKey(seed)),
  ephemeralPrivateKey: toBase64url(seed),
  startedAt: now,
  phase: { type: 'hello-answered' },
});

const readInitiatorClaims = (bytes: Uint8Array): InitiatorClaims => {
  const reader = createCanonicalReader(bytes);
  const claims: InitiatorClaims = {
    groupId: reader.text(400),
    initiatorKeyHash: toBase64url(reader.bytes(32)),
    responderKeyHash: toBase64url(reader.bytes(32)),
    initiatorSerial: reader.u64(),
    responderSerial: reader.u64(),
    mode: modeOfCode(reader.u8()),
    stream: toBase64url(reader.bytes(16)),
  };
  reader.end();
  return claims;
};

const checkClaims = (claims: InitiatorClaims, terms: Terms, peering: Peering): Refused | undefined => {
  if (claims.groupId !== terms.groupId) return refused('wrong-group', 'hello and handshake name different groups');
  if (claims.initiatorKeyHash !== terms.initiatorKeyHash || claims.responderKeyHash !== terms.responderKeyHash) {
    return refused('unknown-peer', 'hello and handshake name different keys');
  }
  if (claims.initiatorSerial !== peering.peerSerial || claims.responderSerial !== peering.ownSerial) {
    const ours = `${peering.peerSerial} and ${peering.ownSerial}`;
    return refused('serial-mismatch', `it says ${claims.initiatorSerial} and ${claims.responderSerial}, the member list here says ${ours}`);
  }
  if (claims.mode !== peering.mode) return refused('mode-mismatch', `it asks for ${claims.mode}, the group is set to ${peering.mode}`);
  return undefined;
};

/** The third message: the handshake that waits for our signature, or why not. */
export const hearInitiator = (
  incoming: Incoming,
  packet: PacketOf<'initiator-handshake'>,
  context: { readonly peering: Peering; readonly ownStream: string; readonly now: number },
): Promise<Incoming | Refused> =>
  guarded(async () => {
    const { terms } = incoming;
    const peerKey = context.peering.peerKeys.find((key) => key.hash === terms.initiatorKeyHash);
    if (peerKey === undefined) return refused('unknown-peer', 'its session key has changed since');
    const secrets = await agree(terms, incoming.ephemeralPrivateKey, incoming.responderEphemeralKey, terms.initiatorEphemeralKey);
    const keys = keysOf(terms, secrets, 'initiator');
    const payload = await openHandshake(packet, keys);
    if (payload === undefined) return refused('bad-mac', 'the third message');
    const proven = readProvenClaims(payload);
    const fault = await checkProof({ sender: 'initiator', saidBefore: secrets.hellos, proven, keys, signer: peerKey });
    if (fault !== undefined) return fault;
    const claims = readInitiatorClaims(proven.claims);
    const unfit = checkClaims(claims, terms, context.peering);
    if (unfit !== undefined) return unfit;
    return {
      ...incoming,
      phase: {
        type: 'signing', payload: toBase64url(payload), serials: [claims.initiatorSerial, claims.responderSerial], mode: claims.mode,
        ownStream: context.ownStream, peerStream: claims.stream, askedAt: context.now,
      },
    };
  });

type Signing = Incoming & { readonly phase: { readonly type: 'signing' } };

const responderClaimsOf = ({ terms, phase }: Signing): Bytes =>
  responderClaimsBytes({ responderKeyHash: terms.responderKeyHash, mode: phase.mode, stream: phase.ownStream });

const saidBeforeAnswer = (incoming: Signing): Bytes =>
  concat(hellosBytes(incoming.terms, incoming.responderEphemeralKey), bytesField(fromBase64url(incoming.phase.payload)));

export const responderSigningInput = (incoming: Signing): Bytes =>
  signingInput('responder', saidBeforeAnswer(incoming), responderClaimsOf(incoming));

/** The signature came: the fourth message and the session in one. */
export const completeResponder = (incoming: Signing, signature: Uint8Array, now: number): Promise<Session | Refused> =>
  guarded(async () => {
    const { terms, phase } = incoming;
    const secrets = await agree(terms, incoming.ephemeralPrivateKey, incoming.responderEphemeralKey, terms.initiatorEphemeralKey);
    const keys = keysOf(terms, secrets, 'responder');
    const saidBefore = saidBeforeAnswer(incoming);
    const payload = prove(saidBefore, responderClaimsOf(incoming), signature, keys);
    return agreedSession({
      terms, secret: secrets.secret, transcript: concat(saidBefore, bytesField(payload)), mode: phase.mode, role: 'responder', now,
      serials: phase.serials, ownStream: phase.ownStream, peerStream: phase.peerStream,
      answer: await sealHandshake('responder-handshake', terms.sessionId, keys, payload),
    });
  });

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const agreedSession = (agreed: {
  terms: Terms;
  secret: Uint8Array;
  transcript: Uint8Array;
  serials: readonly [number, number];
  mode: ProtocolMode;
  role: Sender;
  now: number;
  ownStream: string;
  peerStream: string;
  answer: string | null;
}): Session => {
  const { terms, secret, transcript, serials, role } = agreed;
  const own = sessionKeys({ secret, transcript, terms, serials, sender: role });
  const peer = sessionKeys({ secret, transcript, terms, serials, sender: role === 'initiator' ? 'responder' : 'initiator' });
  return {
    id: terms.sessionId,
    role,
    mode: agreed.mode,
    send: { key: toBase64url(own.key), iv: toBase64url(own.iv), counter: 0 },
    receive: { key: toBase64url(peer.key), iv: toBase64url(peer.iv), window: emptyWindow },
    serials,
    readyAt: agreed.now,
    // The initiator has seen the responder's proof of the keys; the responder has yet to see a packet sealed with them.
    confirmed: role === 'initiator',
    readableUntil: null,
    ownStream: agreed.ownStream,
    peerStream: agreed.peerStream,
    answer: agreed.answer,
  };
};
