/**
 * The responder's side of handshakes.
 *
 *            initiator-hello                initiator-handshake                  signature
 *     ─ · ─────────────────▶ hello-answered ──────────────────▶ signing ───────────────────▶ READY (unconfirmed until the
 *         │ too many: ask     │ halfOpenMsMax: gone                                          peer's first sealed packet)
 *         ▼ for a cookie      ▼
 *         nothing is kept
 */
import { toBase64url } from '../../../cipher/bytes.ts';
import { responderSeedLength } from './agreement.ts';
import { answerHello, completeResponder, hearInitiator, helloHashOf, responderSigningInput } from './handshake.ts';
import { establish, handshakeOf, heard, signatureIdOf, type Heard, type SessionContext, type SignRequest } from './heard.ts';
import { protocolVersion } from './offer.ts';
import type { PacketOf } from './packet.ts';
import { refused, type Incoming, type Peering, type Refused, type Sessions } from './state.ts';

export const isOpen = (incoming: Incoming, { now, limits }: SessionContext): boolean => now < incoming.startedAt + limits.halfOpenMsMax;

/** Room for one more half-open handshake among those of the pair, or `undefined`: young ones are not pushed out. */
const makeRoom = (open: readonly Incoming[], context: SessionContext): readonly Incoming[] | undefined => {
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

/** S8: nothing is kept and nothing is agreed for a hello that is asked for a cookie. */
const admit = (hello: PacketOf<'initiator-hello'>, sessions: Sessions, open: readonly Incoming[], context: SessionContext): Heard | Refused | undefined => {
  const { vault, now, tag, helloGate } = context;
  const { sessionId, cookie } = hello;
  const helloHash = helloHashOf(hello);
  const proven = cookie !== '' && vault.isCookie(cookie, helloHash, now);
  switch (helloGate.judge({ id: `${tag}/${sessionId}`, source: `${hello.groupId}/${hello.initiatorKeyHash}`, halfOpen: open.length, proven, now })) {
    case 'answer':
      return undefined;
    case 'full':
      return refused('half-open-full', 'of this member, or of all together');
    case 'ask-cookie':
      return {
        ...heard(sessions, [{ v: protocolVersion, type: 'hello-retry', sessionId, cookie: vault.cookieOf(helloHash, now) }]),
        putAside: refused('cookie-asked'),
      };
  }
};

export const hearHello = async (sessions: Sessions, hello: PacketOf<'initiator-hello'>, context: SessionContext): Promise<Heard | Refused> => {
  const unfit = checkHello(hello, context.peering);
  if (unfit !== undefined) return unfit;
  if (sessions.ready.some((session) => session.id === hello.sessionId)) return refused('out-of-turn', 'the session is ready already');
  const known = sessions.incoming.find((incoming) => incoming.terms.sessionId === hello.sessionId);
  if (known !== undefined) {
    const same = known.helloHash === toBase64url(helloHashOf(hello));
    return same ? heard(sessions, [known.answer]) : refused('out-of-turn', 'another hello with the same session id');
  }
  const won = winsOver(sessions, hello, context);
  if (won !== undefined) return won;
  const open = sessions.incoming.filter((incoming) => isOpen(incoming, context));
  const others = makeRoom(open, context);
  if (others === undefined) return refused('half-open-full');
  const stopped = admit(hello, sessions, open, context);
  if (stopped !== undefined) return stopped;
  const { peering, vault, random, now } = context;
  const incoming = await answerHello(hello, { peering, seed: random(responderSeedLength), vault }, now);
  if ('type' in incoming) return incoming;
  return heard({ ...sessions, incoming: [...others, incoming] }, [incoming.answer]);
};

const askSignature = (incoming: Incoming): SignRequest | undefined => {
  const { phase } = incoming;
  if (phase.type !== 'signing') return undefined;
  return { requestId: signatureIdOf(incoming.terms.sessionId, 'responder'), data: responderSigningInput({ ...incoming, phase }) };
};

export const hearThird = async (sessions: Sessions, packet: PacketOf<'initiator-handshake'>, context: SessionContext): Promise<Heard | Refused> => {
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
  const replaced = sessions.incoming.map((known) => (known === incoming ? next : known));
  return { ...heard({ ...sessions, incoming: replaced }), sign: askSignature(next)! };
};

/** Crypto has signed the fourth message. */
export const signedFourth = async (sessions: Sessions, incoming: Incoming, signature: Uint8Array, context: SessionContext): Promise<Heard> => {
  const { phase, terms } = incoming;
  if (phase.type !== 'signing') return heard(sessions);
  const others = sessions.incoming.filter((known) => known !== incoming);
  const session = await completeResponder({ ...incoming, phase }, signature, context.vault, context.now);
  context.helloGate.ended(`${context.tag}/${terms.sessionId}`);
  // S5: the peer's handshake came to its end, so ours is not needed.
  const next = establish({ ...sessions, incoming: others, outgoing: null }, session, context);
  return { ...heard(next, [handshakeOf('responder-handshake', session.id, session.answer!)]), established: session };
};

/** Asks again for a signature that does not come. */
export const repeatIncoming = (incoming: Incoming, { now, limits }: SessionContext): { next: Incoming; sign?: SignRequest } => {
  const { phase } = incoming;
  if (phase.type !== 'signing' || now < phase.askedAt + limits.signatureRepeatMs) return { next: incoming };
  const next: Incoming = { ...incoming, phase: { ...phase, askedAt: now } };
  return { next, sign: askSignature(next)! };
};
