/**
 * The initiator's side of handshakes.
 *
 *            begin                responder-hello           signature              responder-handshake
 *     ─ · ─────────▶ hello-sent ──────────────▶ signing ─────────────▶ handshake-sent ──────────────▶ READY
 *                     ▲  ▲ │ timer: repeat     │ refused: give up      │ timer: repeat, then give up
 *        hello-retry: └──┘ ▼                   ▼                       ▼
 *        again, with its cookie
 */
import { toBase64url } from '../../../cipher/bytes.ts';
import { backOff } from '../back-off.ts';
import type { LinkManagerLimits } from '../config.ts';
import { initiatorSeedLength } from './agreement.ts';
import { beginHandshake, completeInitiator, finishInitiator, hearResponderHello, initiatorSigningInput } from './handshake.ts';
import { establish, handshakeOf, heard, signatureIdOf, type Heard, type SessionContext, type SignRequest } from './heard.ts';
import { offersEqual } from './offer.ts';
import type { Packet, PacketOf } from './packet.ts';
import { refused, type Outgoing, type Refused, type Sessions } from './state.ts';
import { saidInHellos } from './transcript.ts';

const waitOf = (limits: LinkManagerLimits, of: string, repeats: number): number =>
  backOff({ of, repeats, min: limits.handshakeResendMsMin, max: limits.handshakeResendMsMax });

const helloOf = ({ hello, cookie }: Outgoing): Packet => ({ ...hello, cookie });

/** Begins a handshake unless one is under way or it is too early; the hello is in `out`. */
export const begin = async (sessions: Sessions, context: SessionContext): Promise<Heard> => {
  const { now, limits, peering, random, ownStream, vault } = context;
  // The peer has proved who it is and waits for our signature: its handshake is the one that goes on.
  const nearlyDone = sessions.incoming.some(({ phase }) => phase.type === 'signing');
  if (sessions.outgoing !== null || nearlyDone || now < sessions.notBefore) return heard(sessions);
  const resendAt = now + limits.handshakeResendMsMin;
  const outgoing = await beginHandshake({ peering, stream: ownStream, sessionId: random(16), seed: random(initiatorSeedLength), vault }, now, resendAt);
  return heard({ ...sessions, outgoing }, [helloOf(outgoing)]);
};

/** This attempt is over; the next one waits longer. */
export const giveUp = (sessions: Sessions, { now, limits }: SessionContext): Sessions => ({
  ...sessions,
  outgoing: null,
  attempts: sessions.attempts + 1,
  notBefore: now + waitOf(limits, sessions.outgoing?.hello.sessionId ?? '', sessions.attempts),
});

const signRequestOf = (outgoing: Outgoing): SignRequest | undefined => {
  const { phase, hello } = outgoing;
  if (phase.type !== 'signing') return undefined;
  return { requestId: signatureIdOf(hello.sessionId, 'initiator'), data: initiatorSigningInput({ ...outgoing, phase }) };
};

/** The peer wants to see first that we are where the member list says. Anybody can write this, so it is followed seldom. */
export const hearRetry = (sessions: Sessions, packet: PacketOf<'hello-retry'>, { now, limits }: SessionContext): Heard | Refused => {
  const { outgoing } = sessions;
  if (outgoing?.hello.sessionId !== packet.sessionId || outgoing.phase.type !== 'hello-sent') return refused('out-of-turn', 'no such hello');
  if (outgoing.cookie === packet.cookie) return heard(sessions);
  if (now < outgoing.cookieAt + limits.helloRetryMs) return refused('out-of-turn', 'a cookie was sent a moment ago');
  const next: Outgoing = { ...outgoing, cookie: packet.cookie, cookieAt: now, sentAt: now, resendAt: now + limits.handshakeResendMsMin };
  return heard({ ...sessions, outgoing: next }, [helloOf(next)]);
};

export const hearHelloAnswer = async (sessions: Sessions, packet: PacketOf<'responder-hello'>, context: SessionContext): Promise<Heard | Refused> => {
  const { outgoing } = sessions;
  if (outgoing === null || outgoing.hello.sessionId !== packet.sessionId) return refused('out-of-turn', 'no such handshake');
  const { phase } = outgoing;
  if (phase.type !== 'hello-sent') {
    if (phase.saidInHellos !== toBase64url(saidInHellos(outgoing.hello, packet))) return refused('out-of-turn', 'a second answer to the hello');
    return heard(sessions, phase.type === 'signing' ? [] : [handshakeOf('initiator-handshake', packet.sessionId, phase.sealed)]);
  }
  const next = await hearResponderHello(outgoing, packet, context.vault);
  if ('type' in next) return next;
  const signing: Outgoing = { ...next, resends: 0, resendAt: context.now + context.limits.signatureRepeatMs };
  return { ...heard({ ...sessions, outgoing: signing }), sign: signRequestOf(signing)! };
};

/** Crypto has signed the third message. */
export const signedThird = async (sessions: Sessions, outgoing: Outgoing, signature: Uint8Array, context: SessionContext): Promise<Heard> => {
  const { phase } = outgoing;
  if (phase.type !== 'signing') return heard(sessions);
  const next = await completeInitiator({ ...outgoing, phase }, signature, context.vault);
  if (next.phase.type !== 'handshake-sent') return heard(sessions);
  const sent: Outgoing = { ...next, sentAt: context.now, resends: 0, resendAt: context.now + context.limits.handshakeResendMsMin };
  return heard({ ...sessions, outgoing: sent }, [handshakeOf('initiator-handshake', next.hello.sessionId, next.phase.sealed)]);
};

export const hearFourth = async (sessions: Sessions, packet: PacketOf<'responder-handshake'>, context: SessionContext): Promise<Heard | Refused> => {
  const { outgoing } = sessions;
  if (outgoing === null || outgoing.hello.sessionId !== packet.sessionId) return refused('out-of-turn', 'no such handshake');
  const { phase } = outgoing;
  if (phase.type !== 'handshake-sent') return refused('out-of-turn', 'our third message has not left');
  const session = await finishInitiator({ ...outgoing, phase }, packet, context);
  if ('type' in session) return session;
  return { ...heard(establish({ ...sessions, outgoing: null }, session, context)), established: session };
};

/** The handshake no longer says what this cluster would say now (a key, a serial, a certificate changed): it is begun anew. */
const isOutdated = ({ hello, claims }: Outgoing, { peering, ownStream }: SessionContext): boolean =>
  hello.initiatorKeyHash !== peering.ownKeyHash ||
  hello.responderKeyHash !== peering.peerKeys[0]!.hash ||
  !offersEqual(hello, peering.offer) ||
  claims.initiatorSerial !== peering.ownSerial ||
  claims.responderSerial !== peering.peerSerial ||
  claims.mode !== peering.mode ||
  claims.stream !== ownStream ||
  claims.certificates.join() !== peering.ownCertificates.join();

/** Repeats what is due. */
export const repeatOutgoing = async (sessions: Sessions, outgoing: Outgoing, context: SessionContext): Promise<Heard> => {
  const { now, limits } = context;
  const { phase, hello } = outgoing;
  if (isOutdated(outgoing, context)) return begin({ ...sessions, outgoing: null, notBefore: 0 }, context);
  const sign = signRequestOf(outgoing);
  if (sign !== undefined) return { ...heard({ ...sessions, outgoing: { ...outgoing, resendAt: now + limits.signatureRepeatMs } }), sign };
  if (phase.type === 'handshake-sent' && outgoing.resends >= limits.handshakeResendsMax) return heard(giveUp(sessions, context));
  const next = { ...outgoing, sentAt: now, resends: outgoing.resends + 1, resendAt: now + waitOf(limits, hello.sessionId, outgoing.resends + 1) };
  const packet = phase.type === 'handshake-sent' ? handshakeOf('initiator-handshake', hello.sessionId, phase.sealed) : helloOf(outgoing);
  return heard({ ...sessions, outgoing: next }, [packet]);
};
