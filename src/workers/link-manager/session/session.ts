/**
 * The sessions of one pair: the door of this folder.
 *
 *            begin                responder-hello           signature              responder-handshake
 *     ─ · ─────────▶ hello-sent ──────────────▶ signing ─────────────▶ handshake-sent ──────────────▶ READY ─▶ replaced ─▶ gone
 *                      ▲ │ timer: repeat        │ refused: give up      │ timer: repeat, then begin anew
 *                      └─┘                      ▼                       ▼
 *            initiator-hello                initiator-handshake                  signature
 *     ─ · ─────────────────▶ hello-answered ──────────────────▶ signing ───────────────────▶ READY (unconfirmed until the
 *                              │ halfOpenMsMax: gone                                            peer's first sealed packet)
 *
 * Invariants, cited by number in code and tests:
 * - **S1** nothing unauthenticated changes a ready session: hellos and notices only begin handshakes beside it;
 * - **S2** a counter is used once per key: it is in the state that is written before the packet leaves (W1);
 * - **S3** a packet is accepted once: its counter is marked in the same step that hands on its body;
 * - **S4** a repeated handshake message is answered with the same message, never with a new one;
 * - **S5** of two simultaneous handshakes the one of the greater key hash goes on, and the other side answers it;
 * - **S6** a renewal never pauses delivery: the old session is sent on until the new one is known to both, and read for a while after;
 * - **S7** what this side claims and what it asks crypto to sign under one request id never changes between repeats.
 *
 * Chance: ephemeral keys and session ids are drawn inside the step, from a source handed in. That keeps W3: a step's effects
 * leave only after its state is written, drawn values included, so a step that is repeated because the write failed has sent
 * nothing, and one whose write succeeded is never stepped again: its effects are sent from the store.
 */
import { toBase64url, type Bytes } from '../../../cipher/bytes.ts';
import { deriveId } from '../../../identity/derive.ts';
import type { LinkManagerLimits } from '../config.ts';
import {
  answerHello, beginHandshake, completeInitiator, completeResponder, finishInitiator, hearInitiator, initiatorSigningInput, responderSigningInput,
} from './handshake.ts';
import { protocolVersion, type Packet, type PacketOf, type Sender } from './packet.ts';
import { openData, sealData } from './sealing.ts';
import { refused, type Incoming, type Outgoing, type Peering, type Refused, type Session, type Sessions } from './state.ts';
import { isReplay, markSeen } from './window.ts';

export { noSessions, refused } from './state.ts';
export type { Peering, RefusalReason, Refused, Session, Sessions } from './state.ts';
export { formatPacket, parsePacket, type Packet } from './packet.ts';
export { protocolModes, type ProtocolMode } from './transcript.ts';

export type SessionContext = {
  readonly peering: Peering;
  /** The name of our numbering of messages. */
  readonly ownStream: string;
  readonly now: number;
  readonly random: (length: number) => Uint8Array;
  readonly limits: LinkManagerLimits;
};

export type SignRequest = { readonly requestId: string; readonly data: Bytes };

export type Heard = {
  readonly type: 'heard';
  readonly sessions: Sessions;
  readonly out: readonly Packet[];
  readonly sign?: SignRequest;
  /** A session became ready in this step. */
  readonly established?: Session;
  /** An authenticated body, of the session as it was sealed for. */
  readonly body?: { readonly session: Session; readonly bytes: Uint8Array };
  /** What was heard was put aside for this reason, though something was answered. */
  readonly putAside?: Refused;
};

const heard = (sessions: Sessions, out: readonly Packet[] = []): Heard => ({ type: 'heard', sessions, out });

export const signatureIdOf = (sessionId: string, role: Sender): string => deriveId('session-signature', sessionId, role);

// ── What is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────

const helloOf = ({ terms }: Outgoing): Packet => ({
  v: protocolVersion,
  type: 'initiator-hello',
  sessionId: terms.sessionId,
  groupId: terms.groupId,
  initiatorKeyHash: terms.initiatorKeyHash,
  responderKeyHash: terms.responderKeyHash,
  ephemeralKey: terms.initiatorEphemeralKey,
});

const helloAnswerOf = ({ terms, responderEphemeralKey }: Incoming): Packet => ({
  v: protocolVersion,
  type: 'responder-hello',
  sessionId: terms.sessionId,
  ephemeralKey: responderEphemeralKey,
});

const handshakeOf = (type: 'initiator-handshake' | 'responder-handshake', sessionId: string, sealed: string): Packet => ({
  v: protocolVersion, type, sessionId, sealed,
});

export const sessionUnknownNotice = (sessionId: string): Packet => ({ v: protocolVersion, type: 'session-unknown', sessionId });

/** Exponential, without jitter: only one side of a pair has a handshake under way. */
const backOff = (limits: LinkManagerLimits, repeats: number): number =>
  Math.min(limits.handshakeResendMsMin * 2 ** Math.min(repeats, 20), limits.handshakeResendMsMax);

/** Begins a handshake unless one is under way or it is too early; the hello is in `out`. */
export const begin = async (sessions: Sessions, context: SessionContext): Promise<Heard> => {
  const { now, limits, peering, random, ownStream } = context;
  // The peer has proved who it is and waits for our signature: its handshake is the one that goes on.
  const nearlyDone = sessions.incoming.some(({ phase }) => phase.type === 'signing');
  if (sessions.outgoing !== null || nearlyDone || now < sessions.notBefore) return heard(sessions);
  const resendAt = now + limits.handshakeResendMsMin;
  const outgoing = await beginHandshake({ peering, stream: ownStream, sessionId: random(16), seed: random(32) }, now, resendAt);
  return heard({ ...sessions, outgoing }, [helloOf(outgoing)]);
};

const isUsable = (session: Session, context: SessionContext): boolean => {
  const { now, limits, peering, ownStream } = context;
  const [initiatorSerial, responderSerial] = session.serials;
  const [own, peer] = session.role === 'initiator' ? [initiatorSerial, responderSerial] : [responderSerial, initiatorSerial];
  return (
    now < session.readyAt + limits.sessionMsMax &&
    (session.readableUntil === null || now < session.readableUntil) &&
    session.send.counter < limits.sessionPacketsMax &&
    session.ownStream === ownStream &&
    own === peering.ownSerial &&
    peer === peering.peerSerial &&
    session.mode === peering.mode
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
  return now >= session.readyAt + age || Math.max(session.send.counter, session.receive.window.highest) >= packets;
};

const withSession = (sessions: Sessions, session: Session): Sessions => ({
  ...sessions,
  ready: sessions.ready.map((known) => (known.id === session.id ? session : known)),
});

/** Seals a body on a session; its counter moves in the state returned (S2). */
export const sealOn = async (sessions: Sessions, session: Session, body: Uint8Array): Promise<{ sessions: Sessions; session: Session; packet: Packet }> => {
  const sealed = await sealData(session, body);
  return { sessions: withSession(sessions, sealed.session), session: sealed.session, packet: sealed.packet };
};

// ── What is heard ────────────────────────────────────────────────────────────────────────────────────────────────────

const establish = (sessions: Sessions, session: Session, { now, limits }: SessionContext): Sessions => {
  const kept = sessions.ready
    .filter((old) => old.peerStream === session.peerStream && old.ownStream === session.ownStream)
    .map((old) => ({ ...old, readableUntil: old.readableUntil ?? now + limits.sessionGraceMs }));
  return { ...sessions, ready: [session, ...kept].slice(0, limits.sessionsMax), attempts: 0, notBefore: 0 };
};

const isOpen = (incoming: Incoming, { now, limits }: SessionContext): boolean => now < incoming.startedAt + limits.halfOpenMsMax;

/** Room for one more half-open handshake, or `undefined`: young ones are not pushed out. */
const makeRoom = (sessions: Sessions, context: SessionContext): readonly Incoming[] | undefined => {
  const open = sessions.incoming.filter((incoming) => isOpen(incoming, context));
  if (open.length < context.limits.halfOpenMax) return open;
  const [oldest, ...younger] = open;
  return context.now < oldest!.startedAt + context.limits.halfOpenMsMin ? undefined : younger;
};

const checkHello = (hello: PacketOf<'initiator-hello'>, peering: Peering): Refused | undefined => {
  if (hello.groupId !== peering.groupId) return refused('wrong-group');
  if (hello.responderKeyHash !== peering.ownKeyHash) return refused('unknown-identity', 'the key greeted is not the one we have');
  if (!peering.peerKeys.some((key) => key.hash === hello.initiatorKeyHash)) return refused('unknown-peer', 'the greeting key is not registered');
  return undefined;
};

/** S5. The winner puts the loser's hello aside, and says its own again: the peer is there. */
const winsOver = (sessions: Sessions, hello: PacketOf<'initiator-hello'>, context: SessionContext): Heard | Refused | undefined => {
  const { outgoing } = sessions;
  if (outgoing === null || context.peering.ownKeyHash <= hello.initiatorKeyHash) return undefined;
  const putAside = refused('simultaneous-hello');
  const soonest = outgoing.sentAt + context.limits.handshakeResendMsMin;
  if (outgoing.resendAt <= soonest || outgoing.phase.type === 'signing') return putAside;
  return { ...heard({ ...sessions, outgoing: { ...outgoing, resendAt: soonest } }), putAside };
};

const hearHello = async (sessions: Sessions, hello: PacketOf<'initiator-hello'>, context: SessionContext): Promise<Heard | Refused> => {
  const unfit = checkHello(hello, context.peering);
  if (unfit !== undefined) return unfit;
  if (sessions.ready.some((session) => session.id === hello.sessionId)) return refused('out-of-turn', 'the session is ready already');
  const known = sessions.incoming.find((incoming) => incoming.terms.sessionId === hello.sessionId);
  if (known !== undefined) {
    const same = known.terms.initiatorEphemeralKey === hello.ephemeralKey && known.terms.initiatorKeyHash === hello.initiatorKeyHash;
    return same ? heard(sessions, [helloAnswerOf(known)]) : refused('out-of-turn', 'another hello with the same session id');
  }
  const won = winsOver(sessions, hello, context);
  if (won !== undefined) return won;
  const others = makeRoom(sessions, context);
  if (others === undefined) return refused('half-open-full');
  const incoming = await answerHello(hello, context.random(32), context.now);
  return heard({ ...sessions, incoming: [...others, incoming] }, [helloAnswerOf(incoming)]);
};

const hearHelloAnswer = (sessions: Sessions, packet: PacketOf<'responder-hello'>, context: SessionContext): Heard | Refused => {
  const { outgoing } = sessions;
  if (outgoing === null || outgoing.terms.sessionId !== packet.sessionId) return refused('out-of-turn', 'no such handshake');
  const { phase } = outgoing;
  if (phase.type !== 'hello-sent') {
    if (phase.responderEphemeralKey !== packet.ephemeralKey) return refused('out-of-turn', 'a second answer to the hello');
    return heard(sessions, phase.type === 'signing' ? [] : [handshakeOf('initiator-handshake', packet.sessionId, phase.sealed)]);
  }
  const signing: Outgoing = {
    ...outgoing,
    phase: { type: 'signing', responderEphemeralKey: packet.ephemeralKey },
    resends: 0,
    resendAt: context.now + context.limits.signatureRepeatMs,
  };
  const sign = { requestId: signatureIdOf(packet.sessionId, 'initiator'), data: initiatorSigningInput(outgoing, packet.ephemeralKey) };
  return { ...heard({ ...sessions, outgoing: signing }), sign };
};

const askSignature = (incoming: Incoming): SignRequest | undefined => {
  const { phase } = incoming;
  if (phase.type !== 'signing') return undefined;
  return { requestId: signatureIdOf(incoming.terms.sessionId, 'responder'), data: responderSigningInput({ ...incoming, phase }) };
};

const hearThird = async (sessions: Sessions, packet: PacketOf<'initiator-handshake'>, context: SessionContext): Promise<Heard | Refused> => {
  const ready = sessions.ready.find((session) => session.id === packet.sessionId);
  if (ready !== undefined) {
    // S4: the answer was lost, or this is an echo.
    return ready.answer === null ? refused('out-of-turn', 'the session is ready already') : heard(sessions, [handshakeOf('responder-handshake', ready.id, ready.answer)]);
  }
  const incoming = sessions.incoming.find((known) => known.terms.sessionId === packet.sessionId);
  if (incoming === undefined || !isOpen(incoming, context)) return refused('unknown-session', 'no such handshake');
  if (incoming.phase.type === 'signing') return heard(sessions);
  const next = await hearInitiator(incoming, packet, context);
  if ('type' in next) return next;
  const sign = askSignature(next);
  const replaced = sessions.incoming.map((known) => (known === incoming ? next : known));
  return { ...heard({ ...sessions, incoming: replaced }), ...(sign === undefined ? {} : { sign }) };
};

const hearFourth = async (sessions: Sessions, packet: PacketOf<'responder-handshake'>, context: SessionContext): Promise<Heard | Refused> => {
  const { outgoing } = sessions;
  if (outgoing === null || outgoing.terms.sessionId !== packet.sessionId) return refused('out-of-turn', 'no such handshake');
  const { phase } = outgoing;
  if (phase.type !== 'handshake-sent') return refused('out-of-turn', 'our third message has not left');
  const session = await finishInitiator({ ...outgoing, phase }, packet, context.peering, context.now);
  if ('type' in session) return session;
  return { ...heard(establish({ ...sessions, outgoing: null }, session, context)), established: session };
};

const isUnderWay = (sessions: Sessions, sessionId: string): boolean =>
  sessions.outgoing?.terms.sessionId === sessionId || sessions.incoming.some((incoming) => incoming.terms.sessionId === sessionId);

const hearData = async (sessions: Sessions, packet: PacketOf<'data'>, context: SessionContext): Promise<Heard | Refused> => {
  const { limits, now } = context;
  const session = sessions.ready.find((known) => known.id === packet.sessionId && (known.readableUntil === null || now < known.readableUntil));
  if (session === undefined) return refused(isUnderWay(sessions, packet.sessionId) ? 'session-not-ready' : 'unknown-session');
  const { window } = session.receive;
  if (isReplay(window, packet.counter, limits.replayWindow)) return refused('replayed-counter');
  const bytes = await openData(session, packet);
  if (bytes === undefined) return refused('bad-mac');
  const marked = { ...session.receive, window: markSeen(window, packet.counter, limits.replayWindow) };
  const next: Session = { ...session, receive: marked, confirmed: true, answer: null };
  return { ...heard(withSession(sessions, next)), body: { session: next, bytes } };
};

/** S1: the notice is anybody's word, so the session stays and a fresh handshake is begun beside it, seldom. */
const hearNotice = async (sessions: Sessions, packet: PacketOf<'session-unknown'>, context: SessionContext): Promise<Heard | Refused> => {
  const { outgoing } = sessions;
  if (outgoing?.terms.sessionId === packet.sessionId && outgoing.phase.type === 'handshake-sent') return heard(giveUp(sessions, context));
  const concerned = sendingSession(sessions, context);
  if (concerned?.id !== packet.sessionId || outgoing !== null) return refused('notice-ignored');
  if (context.now < concerned.readyAt + context.limits.noticeHandshakeMs) return refused('notice-ignored', 'the session is new');
  return begin(sessions, context);
};

export const hearPacket = async (sessions: Sessions, packet: Packet, context: SessionContext): Promise<Heard | Refused> => {
  switch (packet.type) {
    case 'initiator-hello':
      return hearHello(sessions, packet, context);
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

const giveUp = (sessions: Sessions, { now, limits }: SessionContext): Sessions => ({
  ...sessions,
  outgoing: null,
  attempts: sessions.attempts + 1,
  notBefore: now + backOff(limits, sessions.attempts),
});

const signedThird = async (sessions: Sessions, outgoing: Outgoing, signature: Uint8Array, context: SessionContext): Promise<Heard | Refused> => {
  if (outgoing.phase.type !== 'signing') return heard(sessions);
  const next = await completeInitiator(outgoing, outgoing.phase.responderEphemeralKey, signature);
  // The peer's ephemeral key was bad; it did not come from an honest peer, so a fresh attempt is made.
  if ('type' in next) return { ...heard(giveUp(sessions, context)), putAside: next };
  if (next.phase.type !== 'handshake-sent') return heard(sessions);
  const sent: Outgoing = { ...next, sentAt: context.now, resends: 0, resendAt: context.now + context.limits.handshakeResendMsMin };
  return heard({ ...sessions, outgoing: sent }, [handshakeOf('initiator-handshake', next.terms.sessionId, next.phase.sealed)]);
};

const signedFourth = async (sessions: Sessions, incoming: Incoming, signature: Uint8Array, context: SessionContext): Promise<Heard | Refused> => {
  const { phase } = incoming;
  if (phase.type !== 'signing') return heard(sessions);
  const others = sessions.incoming.filter((known) => known !== incoming);
  const session = await completeResponder({ ...incoming, phase }, signature, context.now);
  if ('type' in session) return { ...heard({ ...sessions, incoming: others }), putAside: session };
  // S5: the peer's handshake came to its end, so ours is not needed.
  const next = establish({ ...sessions, incoming: others, outgoing: null }, session, context);
  return { ...heard(next, [handshakeOf('responder-handshake', session.id, session.answer!)]), established: session };
};

/** Whose signature this is; `undefined` when nobody waits for it any more. */
const awaiting = (sessions: Sessions, requestId: string): { outgoing: Outgoing } | { incoming: Incoming } | undefined => {
  const { outgoing } = sessions;
  if (outgoing !== null && signatureIdOf(outgoing.terms.sessionId, 'initiator') === requestId) return { outgoing };
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

/** The handshake no longer says what this cluster would say now (a key or serial changed): it is begun anew. */
const isOutdated = ({ terms, claims }: Outgoing, { peering, ownStream }: SessionContext): boolean =>
  terms.initiatorKeyHash !== peering.ownKeyHash ||
  terms.responderKeyHash !== peering.peerKeys[0]!.hash ||
  claims.initiatorSerial !== peering.ownSerial ||
  claims.responderSerial !== peering.peerSerial ||
  claims.mode !== peering.mode ||
  claims.stream !== ownStream;

const repeatOutgoing = async (sessions: Sessions, outgoing: Outgoing, context: SessionContext): Promise<Heard> => {
  const { now, limits } = context;
  const { phase, terms } = outgoing;
  if (isOutdated(outgoing, context)) return begin({ ...sessions, outgoing: null, notBefore: 0 }, context);
  if (phase.type === 'signing') {
    const sign = { requestId: signatureIdOf(terms.sessionId, 'initiator'), data: initiatorSigningInput(outgoing, phase.responderEphemeralKey) };
    return { ...heard({ ...sessions, outgoing: { ...outgoing, resendAt: now + limits.signatureRepeatMs } }), sign };
  }
  if (phase.type === 'handshake-sent' && outgoing.resends >= limits.handshakeResendsMax) return heard(giveUp(sessions, context));
  const next = { ...outgoing, sentAt: now, resends: outgoing.resends + 1, resendAt: now + backOff(limits, outgoing.resends + 1) };
  const packet = phase.type === 'hello-sent' ? helloOf(outgoing) : handshakeOf('initiator-handshake', terms.sessionId, phase.sealed);
  return heard({ ...sessions, outgoing: next }, [packet]);
};

export type Ticked = { readonly sessions: Sessions; readonly out: readonly Packet[]; readonly sign: readonly SignRequest[] };

const repeatIncoming = (incoming: Incoming, { now, limits }: SessionContext): { next: Incoming; sign?: SignRequest } => {
  const { phase } = incoming;
  if (phase.type !== 'signing' || now < phase.askedAt + limits.signatureRepeatMs) return { next: incoming };
  const next: Incoming = { ...incoming, phase: { ...phase, askedAt: now } };
  return { next, sign: askSignature(next)! };
};

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
  const times = sessions.incoming.flatMap(({ phase }) => (phase.type === 'signing' ? [phase.askedAt + limits.signatureRepeatMs] : []));
  if (sessions.outgoing !== null) times.push(sessions.outgoing.resendAt);
  return times.length === 0 ? undefined : Math.min(...times);
};

/** A name for a numbering of messages. */
export const newStream = (random: (length: number) => Uint8Array): string => toBase64url(random(16));
