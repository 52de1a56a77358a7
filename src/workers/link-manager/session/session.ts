/**
 * The sessions of one pair: the door of this folder.
 *
 *     outgoing.ts (initiator) ──┐
 *                               ├──▶ READY ──▶ replaced ──▶ gone
 *     incoming.ts (responder) ──┘     │ sent on: the newest that the peer is known to hold
 *
 * Invariants, cited by number in code and tests:
 * - **S1** nothing unauthenticated changes a ready session: hellos and notices only begin handshakes beside it;
 * - **S2** a counter is used once per key: it is in the state that is written before the packet leaves (W1);
 * - **S3** a packet is accepted once: its counter is marked in the same step that hands on its body;
 * - **S4** a repeated handshake message is answered with the same message, never with a new one;
 * - **S5** of two simultaneous handshakes the one of the greater key hash goes on, and the other side answers it;
 * - **S6** a renewal never pauses delivery: the old session is sent on until the new one is known to both, and read for a while after;
 * - **S7** what this side claims and what it asks crypto to sign under one request id never changes between repeats;
 * - **S8** where many handshakes are half open, a stranger's hello makes us keep and agree nothing until it bore our cookie.
 *
 * Chance: ephemeral keys and session ids are drawn inside the step, from a source handed in. That keeps W3: a step's effects
 * leave only after its state is written, drawn values included, so a step that is repeated because the write failed has sent
 * nothing, and one whose write succeeded is never stepped again: its effects are sent from the store, and its packets are said again
 * from the state, as those are that the network loses.
 */
import { toBase64url } from '../../../cipher/bytes.ts';
import type { LinkManagerLimits } from '../config.ts';
import { heard, signatureIdOf, type Heard, type SessionContext, type SignRequest } from './heard.ts';
import { hearHello, hearThird, isOpen, repeatIncoming, signedFourth } from './incoming.ts';
import { protocolVersion } from './offer.ts';
import { begin, giveUp, hearFourth, hearHelloAnswer, hearRetry, repeatOutgoing, signedThird } from './outgoing.ts';
import type { Packet, PacketOf } from './packet.ts';
import { openData, sealData } from './sealing.ts';
import { refused, type Incoming, type Outgoing, type Refused, type Session, type Sessions } from './state.ts';
import { isReplay, markSeen } from './window.ts';

export type { Heard, SessionContext, SignRequest } from './heard.ts';
export { keyAgreements, offerOf, type KeyAgreement, type Offer } from './offer.ts';
export { begin } from './outgoing.ts';
export { noSessions, refused, withoutForeign, withoutHandshakes } from './state.ts';
export type { Peering, RefusalReason, Refused, Session, Sessions } from './state.ts';
export { formatPacket, parsePacket, type Packet } from './packet.ts';
export { contextualised, protocolModes, type ProtocolMode } from './transcript.ts';

export const sessionUnknownNotice = (sessionId: string): Packet => ({ v: protocolVersion, type: 'session-unknown', sessionId });

const isUsable = (session: Session, context: SessionContext): boolean => {
  const { now, limits, peering, ownStream } = context;
  const [initiatorSerial, responderSerial] = session.serials;
  const [own, peer] = session.role === 'initiator' ? [initiatorSerial, responderSerial] : [responderSerial, initiatorSerial];
  return (
    now < session.readyAt + limits.sessionMsMax &&
    (session.readableUntil === null || now < session.readableUntil) &&
    session.sent < limits.sessionPacketsMax &&
    session.ownStream === ownStream &&
    own === peering.ownSerial &&
    peer === peering.peerSerial &&
    session.mode === peering.mode &&
    peering.offer.suites.includes(session.suite)
  );
};

/** The session to send on: the newest that the peer is known to hold (S6), else the newest. */
export const sendingSession = (sessions: Sessions, context: SessionContext): Session | undefined => {
  const usable = sessions.ready.filter((session) => isUsable(session, context));
  return usable.find((session) => session.confirmed) ?? usable[0];
};

export const needsRenewal = (session: Session, { now, limits }: SessionContext): boolean => {
  const age = limits.sessionRenewMs + (session.role === 'responder' ? limits.sessionRenewResponderMs : 0);
  const packets = limits.sessionRenewPackets * (session.role === 'responder' ? 2 : 1);
  return now >= session.readyAt + age || Math.max(session.sent, session.received.highest) >= packets;
};

const withSession = (sessions: Sessions, session: Session): Sessions => ({
  ...sessions,
  ready: sessions.ready.map((known) => (known.id === session.id ? session : known)),
});

/** Seals a body on a session; its counter moves in the state returned (S2). */
export const sealOn = async (
  sessions: Sessions,
  session: Session,
  body: Uint8Array,
  { vault }: SessionContext,
): Promise<{ sessions: Sessions; session: Session; packet: Packet }> => {
  const sealed = await sealData(session, body, vault);
  return { sessions: withSession(sessions, sealed.session), session: sealed.session, packet: sealed.packet };
};

// ── What is heard ────────────────────────────────────────────────────────────────────────────────────────────────────

const isUnderWay = (sessions: Sessions, sessionId: string): boolean =>
  sessions.outgoing?.hello.sessionId === sessionId || sessions.incoming.some((incoming) => incoming.terms.sessionId === sessionId);

const hearData = async (sessions: Sessions, packet: PacketOf<'data'>, context: SessionContext): Promise<Heard | Refused> => {
  const { limits, now } = context;
  const session = sessions.ready.find((known) => known.id === packet.sessionId && (known.readableUntil === null || now < known.readableUntil));
  if (session === undefined) return refused(isUnderWay(sessions, packet.sessionId) ? 'session-not-ready' : 'unknown-session');
  if (packet.counter > limits.sessionPacketsMax) return refused('exhausted-counter');
  if (isReplay(session.received, packet.counter, limits.replayWindow)) return refused('replayed-counter');
  const bytes = await openData(session, packet, context.vault);
  if (bytes === undefined) return refused('bad-mac');
  const next: Session = { ...session, received: markSeen(session.received, packet.counter, limits.replayWindow), confirmed: true, answer: null };
  return { ...heard(withSession(sessions, next)), body: { session: next, bytes } };
};

/** S1: the notice is anybody's word, so the session stays and a fresh handshake is begun beside it, seldom. */
const hearNotice = async (sessions: Sessions, packet: PacketOf<'session-unknown'>, context: SessionContext): Promise<Heard | Refused> => {
  const { outgoing } = sessions;
  if (outgoing?.hello.sessionId === packet.sessionId && outgoing.phase.type === 'handshake-sent') return heard(giveUp(sessions, context));
  const concerned = sendingSession(sessions, context);
  if (concerned?.id !== packet.sessionId || outgoing !== null) return refused('notice-ignored');
  if (context.now < concerned.readyAt + context.limits.noticeHandshakeMs) return refused('notice-ignored', 'the session is new');
  return begin(sessions, context);
};

export const hearPacket = async (sessions: Sessions, packet: Packet, context: SessionContext): Promise<Heard | Refused> => {
  switch (packet.type) {
    case 'initiator-hello':
      return hearHello(sessions, packet, context);
    case 'hello-retry':
      return hearRetry(sessions, packet, context);
    case 'responder-hello':
      return hearHelloAnswer(sessions, packet, context);
    case 'initiator-handshake':
      return hearThird(sessions, packet, context);
    case 'responder-handshake':
      return hearFourth(sessions, packet, context);
    case 'data':
      return hearData(sessions, packet, context);
    case 'session-unknown':
      return hearNotice(sessions, packet, context);
  }
};

// ── Signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whose signature this is; `undefined` when nobody waits for it any more. */
const awaiting = (sessions: Sessions, requestId: string): { outgoing: Outgoing } | { incoming: Incoming } | undefined => {
  const { outgoing } = sessions;
  if (outgoing !== null && signatureIdOf(outgoing.hello.sessionId, 'initiator') === requestId) return { outgoing };
  const incoming = sessions.incoming.find((known) => signatureIdOf(known.terms.sessionId, 'responder') === requestId);
  return incoming === undefined ? undefined : { incoming };
};

/** Crypto has signed. `undefined`: nobody waits for it. */
export const hearSignature = async (sessions: Sessions, requestId: string, signature: Uint8Array, context: SessionContext): Promise<Heard | Refused | undefined> => {
  const waiting = awaiting(sessions, requestId);
  if (waiting === undefined) return undefined;
  return 'outgoing' in waiting ? signedThird(sessions, waiting.outgoing, signature, context) : signedFourth(sessions, waiting.incoming, signature, context);
};

/** Crypto would not sign: that handshake is over. `undefined`: nobody waits for it. */
export const hearSignatureRefused = (sessions: Sessions, requestId: string, context: SessionContext): Sessions | undefined => {
  const waiting = awaiting(sessions, requestId);
  if (waiting === undefined) return undefined;
  return 'outgoing' in waiting ? giveUp(sessions, context) : { ...sessions, incoming: sessions.incoming.filter((known) => known !== waiting.incoming) };
};

// ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Ticked = { readonly sessions: Sessions; readonly out: readonly Packet[]; readonly sign: readonly SignRequest[] };

/** Repeats what is due and forgets what is over. */
export const tick = async (sessions: Sessions, context: SessionContext): Promise<Ticked> => {
  const { now, limits } = context;
  const asked = sessions.incoming.filter((incoming) => isOpen(incoming, context)).map((incoming) => repeatIncoming(incoming, context));
  const tidy: Sessions = {
    ...sessions,
    ready: sessions.ready.filter((session) => now < (session.readableUntil ?? session.readyAt + limits.sessionMsMax + limits.sessionGraceMs)),
    incoming: asked.map(({ next }) => next),
  };
  const { outgoing } = tidy;
  const due: Heard = outgoing !== null && now >= outgoing.resendAt ? await repeatOutgoing(tidy, outgoing, context) : heard(tidy);
  const sign = [...asked.flatMap((one) => (one.sign === undefined ? [] : [one.sign])), ...(due.sign === undefined ? [] : [due.sign])];
  return { sessions: due.sessions, out: due.out, sign };
};

/** When `tick` has something to repeat. */
export const sessionsDueAt = (sessions: Sessions, limits: LinkManagerLimits): number | undefined => {
  const times = sessions.incoming.flatMap(({ phase, startedAt }) => [
    startedAt + limits.halfOpenMsMax,
    ...(phase.type === 'signing' ? [phase.askedAt + limits.signatureRepeatMs] : []),
  ]);
  if (sessions.outgoing !== null) times.push(sessions.outgoing.resendAt);
  return times.length === 0 ? undefined : Math.min(...times);
};

/** A name for a numbering of messages. */
export const newStream = (random: (length: number) => Uint8Array): string => toBase64url(random(16));
