/**
 * The cryptography of the four handshake messages, one function per step. Each takes what the state keeps and gives what it is
 * to keep next; chance comes in as bytes, and secrets go out sealed. See docs/protocol.md, section 4.
 *
 *     initiator                                          responder
 *     ── initiator-hello (hashes, offer, share) ──────────────▶
 *     ◀───────────── responder-hello (offer, choice, share) ──
 *     [crypto signs]
 *     ── initiator-handshake {claims, signature, MAC} ────────▶
 *                                               [crypto signs]
 *     ◀──────── responder-handshake {claims, signature, MAC} ──
 */
import { equalConstantTime, fromBase64url, toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';
import { hmacSha256, sha256 } from '../../../cipher/digest.ts';
import { verify, type SignatureSpec } from '../../../cipher/signature.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { CanonicalError } from '../canonical.ts';
import type { PairVault } from '../vault.ts';
import { agree, initiatorShare, respond } from './agreement.ts';
import { checkCertificates } from './certificates.ts';
import { handshakeKeys, sessionKeys, type HandshakeKeys } from './key-schedule.ts';
import { choose, protocolVersion, type Suite } from './offer.ts';
import type { PacketOf, Sender } from './packet.ts';
import { openHandshake, sealHandshake, sealSessionKeys } from './sealing.ts';
import { refused, type Incoming, type Outgoing, type Peering, type Refused, type Session } from './state.ts';
import {
  finishedInput, initiatorClaimsBytes, initiatorHelloBytes, provenClaimsBytes, readInitiatorClaims, readProvenClaims, readResponderClaims,
  responderClaimsBytes, saidInHellos, saidWith, signingInput, type Hello, type InitiatorClaims, type ProtocolMode, type ProvenClaims, type Terms,
} from './transcript.ts';
import { emptyWindow } from './window.ts';

const termsOf = ({ sessionId, groupId, initiatorKeyHash, responderKeyHash }: Hello): Terms => ({ sessionId, groupId, initiatorKeyHash, responderKeyHash });

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

const checkChain = async (certificates: readonly string[], publicKey: string, peering: Peering, now: number): Promise<Refused | undefined> => {
  const { sessionTrustRoots, peerName } = peering;
  if (sessionTrustRoots === null) return undefined;
  const reason = await checkCertificates({ certificates, publicKey, x500Name: peerName, trustRoots: sessionTrustRoots, now });
  return reason === undefined ? undefined : refused('bad-certificate', reason);
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

export type Begin = { readonly peering: Peering; readonly stream: string; readonly sessionId: Uint8Array; readonly seed: Uint8Array; readonly vault: PairVault };

export const beginHandshake = async ({ peering, stream, sessionId: id, seed, vault }: Begin, now: number, resendAt: number): Promise<Outgoing> => {
  const sessionId = toBase64url(id);
  const hello: Hello = {
    v: protocolVersion,
    type: 'initiator-hello',
    sessionId,
    groupId: peering.groupId,
    initiatorKeyHash: peering.ownKeyHash,
    responderKeyHash: peering.peerKeys[0]!.hash,
    versions: [...peering.offer.versions],
    suites: [...peering.offer.suites],
    ...(await initiatorShare(seed, peering.offer)),
  };
  const claims: InitiatorClaims = {
    groupId: hello.groupId,
    initiatorKeyHash: hello.initiatorKeyHash,
    responderKeyHash: hello.responderKeyHash,
    initiatorSerial: peering.ownSerial,
    responderSerial: peering.peerSerial,
    mode: peering.mode,
    stream,
    certificates: peering.ownCertificates,
  };
  const sealedSeed = await vault.seal('initiator seed', sessionId, seed);
  return { hello, cookie: '', cookieAt: 0, claims, startedAt: now, sentAt: now, resends: 0, resendAt, phase: { type: 'hello-sent', seed: sealedSeed } };
};

/** The second message: the secret is agreed, and the session key must sign; or why not. */
export const hearResponderHello = (outgoing: Outgoing, answer: PacketOf<'responder-hello'>, vault: PairVault): Promise<Outgoing | Refused> =>
  guarded(async () => {
    const { hello, phase } = outgoing;
    if (phase.type !== 'hello-sent') return refused('out-of-turn', 'a second answer to the hello');
    const choice = choose(hello, answer);
    if (choice?.suite !== answer.suite || choice.version !== answer.version) {
      return refused('bad-choice', `it chose ${answer.suite} of version ${answer.version}, by both offers it should be ${choice?.suite ?? 'none'}`);
    }
    const seed = await vault.open('initiator seed', hello.sessionId, phase.seed);
    const secret = await agree(answer.suite, seed, answer);
    const sealed = await vault.seal('handshake secret', hello.sessionId, secret);
    return { ...outgoing, phase: { type: 'signing', suite: answer.suite, saidInHellos: toBase64url(saidInHellos(hello, answer)), secret: sealed } };
  });

type InPhase<Whole extends { readonly phase: { readonly type: string } }, Type extends Whole['phase']['type']> = Whole & {
  readonly phase: Extract<Whole['phase'], { readonly type: Type }>;
};

export const initiatorSigningInput = ({ claims, phase }: InPhase<Outgoing, 'signing'>): Bytes =>
  signingInput('initiator', fromBase64url(phase.saidInHellos), initiatorClaimsBytes(claims));

/** The signature came: the third message. */
export const completeInitiator = async (outgoing: InPhase<Outgoing, 'signing'>, signature: Uint8Array, vault: PairVault): Promise<Outgoing> => {
  const { claims, phase } = outgoing;
  const terms = termsOf(outgoing.hello);
  const saidBefore = fromBase64url(phase.saidInHellos);
  const secret = await vault.open('handshake secret', terms.sessionId, phase.secret);
  const keys = handshakeKeys({ secret, said: saidBefore, terms, sender: 'initiator' });
  const payload = prove(saidBefore, initiatorClaimsBytes(claims), signature, keys);
  return {
    ...outgoing,
    phase: {
      ...phase,
      type: 'handshake-sent',
      said: toBase64url(saidWith(saidBefore, payload)),
      sealed: await sealHandshake('initiator-handshake', terms.sessionId, keys, payload),
    },
  };
};

/** The fourth message: the session, or why not. */
export const finishInitiator = (
  outgoing: InPhase<Outgoing, 'handshake-sent'>,
  packet: PacketOf<'responder-handshake'>,
  context: { readonly peering: Peering; readonly vault: PairVault; readonly now: number },
): Promise<Session | Refused> =>
  guarded(async () => {
    const { claims, phase } = outgoing;
    const { peering, vault, now } = context;
    const terms = termsOf(outgoing.hello);
    const peerKey = peering.peerKeys.find((key) => key.hash === terms.responderKeyHash);
    if (peerKey === undefined) return refused('unknown-peer', 'its session key has changed since');
    const secret = await vault.open('handshake secret', terms.sessionId, phase.secret);
    const keys = handshakeKeys({ secret, said: fromBase64url(phase.saidInHellos), terms, sender: 'responder' });
    const payload = await openHandshake(packet, keys);
    if (payload === undefined) return refused('bad-mac', 'the fourth message');
    const proven = readProvenClaims(payload);
    const saidBefore = fromBase64url(phase.said);
    const fault = await checkProof({ sender: 'responder', saidBefore, proven, keys, signer: peerKey });
    if (fault !== undefined) return fault;
    const answered = readResponderClaims(proven.claims);
    if (answered.responderKeyHash !== terms.responderKeyHash) return refused('unknown-peer', 'it answered with another key');
    if (answered.mode !== claims.mode) return refused('mode-mismatch', `it chose ${answered.mode}`);
    const distrusted = await checkChain(answered.certificates, peerKey.publicKey, peering, now);
    if (distrusted !== undefined) return distrusted;
    return agreedSession({
      terms, secret, said: saidWith(saidBefore, payload), mode: answered.mode, suite: phase.suite, role: 'initiator', now, vault,
      serials: [claims.initiatorSerial, claims.responderSerial], ownStream: claims.stream, peerStream: answered.stream, answer: null,
    });
  });

// ── Responder ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Names a hello, with or without its cookie. */
export const helloHashOf = (hello: Hello): Bytes => sha256(initiatorHelloBytes(hello));

export type AnswerHello = { readonly peering: Peering; readonly seed: Uint8Array; readonly vault: PairVault };

/** The first message: the secret and our answer, or why not. */
export const answerHello = (hello: Hello, { peering, seed, vault }: AnswerHello, now: number): Promise<Incoming | Refused> =>
  guarded(async () => {
    const { offer } = peering;
    const choice = choose(offer, hello);
    if (choice === undefined) {
      const theirs = `${hello.suites.join(', ')} of versions ${hello.versions.join(', ')}`;
      return refused('no-common-offer', `it offers ${theirs}; here ${offer.suites.join(', ')} of versions ${offer.versions.join(', ')} are allowed`);
    }
    const { share, secret } = await respond(choice.suite, seed, hello);
    const { sessionId } = hello;
    const answer: PacketOf<'responder-hello'> = {
      v: protocolVersion, type: 'responder-hello', sessionId, versions: [...offer.versions], suites: [...offer.suites], ...choice, ...share,
    };
    return {
      terms: termsOf(hello),
      helloHash: toBase64url(helloHashOf(hello)),
      answer,
      saidInHellos: toBase64url(saidInHellos(hello, answer)),
      secret: await vault.seal('handshake secret', sessionId, secret),
      startedAt: now,
      phase: { type: 'hello-answered' },
    };
  });

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
  context: { readonly peering: Peering; readonly ownStream: string; readonly vault: PairVault; readonly now: number },
): Promise<InPhase<Incoming, 'signing'> | Refused> =>
  guarded(async () => {
    const { terms } = incoming;
    const { peering, vault, now } = context;
    const peerKey = peering.peerKeys.find((key) => key.hash === terms.initiatorKeyHash);
    if (peerKey === undefined) return refused('unknown-peer', 'its session key has changed since');
    const secret = await vault.open('handshake secret', terms.sessionId, incoming.secret);
    const saidBefore = fromBase64url(incoming.saidInHellos);
    const keys = handshakeKeys({ secret, said: saidBefore, terms, sender: 'initiator' });
    const payload = await openHandshake(packet, keys);
    if (payload === undefined) return refused('bad-mac', 'the third message');
    const proven = readProvenClaims(payload);
    const fault = await checkProof({ sender: 'initiator', saidBefore, proven, keys, signer: peerKey });
    if (fault !== undefined) return fault;
    const claims = readInitiatorClaims(proven.claims);
    const unfit = checkClaims(claims, terms, peering) ?? (await checkChain(claims.certificates, peerKey.publicKey, peering, now));
    if (unfit !== undefined) return unfit;
    return {
      ...incoming,
      phase: {
        type: 'signing', said: toBase64url(saidWith(saidBefore, payload)), serials: [claims.initiatorSerial, claims.responderSerial], mode: claims.mode,
        ownStream: context.ownStream, peerStream: claims.stream, certificates: peering.ownCertificates, askedAt: now,
      },
    };
  });

const responderClaimsOf = ({ terms, phase }: InPhase<Incoming, 'signing'>): Bytes =>
  responderClaimsBytes({ responderKeyHash: terms.responderKeyHash, mode: phase.mode, stream: phase.ownStream, certificates: phase.certificates });

export const responderSigningInput = (incoming: InPhase<Incoming, 'signing'>): Bytes =>
  signingInput('responder', fromBase64url(incoming.phase.said), responderClaimsOf(incoming));

/** The signature came: the fourth message and the session in one. */
export const completeResponder = async (incoming: InPhase<Incoming, 'signing'>, signature: Uint8Array, vault: PairVault, now: number): Promise<Session> => {
  const { terms, phase, answer } = incoming;
  const secret = await vault.open('handshake secret', terms.sessionId, incoming.secret);
  const keys = handshakeKeys({ secret, said: fromBase64url(incoming.saidInHellos), terms, sender: 'responder' });
  const saidBefore = fromBase64url(phase.said);
  const payload = prove(saidBefore, responderClaimsOf(incoming), signature, keys);
  return agreedSession({
    terms, secret, said: saidWith(saidBefore, payload), mode: phase.mode, suite: answer.suite, role: 'responder', now, vault,
    serials: phase.serials, ownStream: phase.ownStream, peerStream: phase.peerStream,
    answer: await sealHandshake('responder-handshake', terms.sessionId, keys, payload),
  });
};

// ── Both ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const agreedSession = async (agreed: {
  terms: Terms;
  secret: Uint8Array;
  said: Uint8Array;
  serials: readonly [number, number];
  mode: ProtocolMode;
  suite: Suite;
  role: Sender;
  now: number;
  vault: PairVault;
  ownStream: string;
  peerStream: string;
  answer: string | null;
}): Promise<Session> => {
  const { terms, secret, said, serials, role } = agreed;
  const send = sessionKeys({ secret, said, terms, serials, sender: role });
  const receive = sessionKeys({ secret, said, terms, serials, sender: role === 'initiator' ? 'responder' : 'initiator' });
  return {
    id: terms.sessionId,
    role,
    mode: agreed.mode,
    suite: agreed.suite,
    keys: await sealSessionKeys({ send, receive }, terms.sessionId, agreed.vault),
    sent: 0,
    received: emptyWindow,
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
