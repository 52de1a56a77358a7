/** How every step ends: what ran out of time is given up, what may leave leaves, and the next waking is set. */
import {
  acknowledged, chunksToSend, encodeBody, goBack, hasOutstanding, headerOf, hold, isLast, markSent, mustAcknowledge, nextExpiry, pageAfter, resendTime,
  settle, sweepFrom, sweptPage, takeExpired, takeOut, takeTo, type Outbound, type OutboundItem,
} from './delivery/delivery.ts';
import type { Route } from './directory.ts';
import type { Head } from './head.ts';
import { awaitNoMore, receiptsDueAt, repeatReceipts } from './receipts.ts';
import {
  begin, needsRenewal, sealOn, sendingSession, sessionsDueAt, tick, withoutHandshakes, type Session, type SessionContext,
} from './session/session.ts';
import { handOn, routeOf, say, sessionContextOf, setHead, tellUndelivered, type Addressed, type Turn } from './turn.ts';

type Remote = Extract<Route, { type: 'remote' }>;

const addressedOf = ({ pair }: Head): Addressed => ({ groupId: pair.groupId, source: pair.ours, destination: pair.theirs });

const giveUp = (turn: Turn, head: Head, expired: readonly OutboundItem[]): Head => {
  for (const { position, value } of expired) {
    turn.itemsRemoved.push(position);
    if (value.subsystem !== 'receipt') tellUndelivered(turn, addressedOf(head), value, 'it was not acknowledged before its time ran out');
  }
  return awaitNoMore(head, new Set(expired.map(({ value }) => value.messageId)));
};

/** D2: who waits in vain is told. */
const giveUpExpired = (turn: Turn, head: Head): Head => {
  const { outbound } = head;
  const { backlog, page, now } = turn;
  if (outbound.expiryAt === null || now < outbound.expiryAt) return head;
  if (backlog.complete) {
    const next = giveUp(turn, head, takeExpired(backlog, now));
    return { ...next, outbound: { ...settle(outbound, backlog, outbound.floor), sweep: null, expiryAt: nextExpiry(backlog.items) } };
  }
  // The waking that this time is set for brings a page.
  if (page === undefined) return head;
  const expired = page.filter(({ value }) => value.expiresAt <= now);
  const next = giveUp(turn, head, expired);
  takeOut(backlog, expired);
  const left = page.filter(({ value }) => value.expiresAt > now);
  const last = isLast(page, pageAfter(sweepFrom(outbound), turn.deps.limits), outbound.next);
  return { ...next, outbound: settle(sweptPage(outbound, page, left, last, now, turn.deps.limits), backlog, outbound.floor) };
};

/** What waited for a peer that lives here now, a window at a time. */
const deliverHere = (turn: Turn, head: Head): Head => {
  if (!hasOutstanding(head.outbound)) return head;
  const waiting = takeTo(turn.backlog, head.outbound.next - 1);
  for (const { position, value } of waiting) {
    turn.itemsRemoved.push(position);
    if (value.subsystem !== 'receipt') handOn(turn, `${value.messageId}/local`, addressedOf(head), value);
  }
  const outbound = settle(head.outbound, turn.backlog, waiting.at(-1)?.position ?? head.outbound.floor);
  return { ...head, outbound: hasOutstanding(outbound) ? { ...outbound, holdAt: turn.now } : outbound };
};

/** No way to the peer now: look again later, and let go of what leads nowhere. */
const waitForWay = (turn: Turn, head: Head, reason: string): Head => {
  const { outbound, sessions } = head;
  const quiet: Head = {
    ...head,
    sessions: withoutHandshakes(sessions),
    inbound: { ...head.inbound, ackAt: null },
    outbound: { ...outbound, resendAt: null },
  };
  if (!hasOutstanding(outbound) && head.receipts.owed.length === 0) return quiet;
  if (outbound.holdAt !== null && turn.now < outbound.holdAt) return quiet;
  turn.deps.log.info('link-manager.waiting', { tag: turn.key, waiting: outbound.next - 1 - outbound.floor, reason });
  return { ...quiet, outbound: hold(quiet.outbound, turn.now, turn.deps.limits) };
};

const timeToResend = (outbound: Outbound, now: number): boolean => outbound.resendAt !== null && now >= outbound.resendAt && hasOutstanding(outbound);

/** Packets allowed out in this step: one when a silent peer is tried again, none while its answer is waited for. */
const packetsAllowed = (outbound: Outbound, resending: boolean): number => {
  if (resending) return 1;
  return outbound.resends > 0 ? 0 : Number.POSITIVE_INFINITY;
};

/** Seals and sends what the window lets out; one packet carries the acknowledgement if nothing else does. */
const speak = async (turn: Turn, head: Head, session: Session, remote: Remote, context: SessionContext): Promise<{ head: Head; spoke: boolean }> => {
  const { limits } = turn.deps;
  const resending = timeToResend(head.outbound, turn.now);
  let outbound = resending ? { ...goBack(head.outbound), resends: head.outbound.resends + 1 } : head.outbound;
  if (resending) turn.deps.tally.resent();
  const chunks = hasOutstanding(outbound) ? chunksToSend(outbound, turn.backlog, limits, packetsAllowed(outbound, resending)) : [];
  const silent = chunks.length === 0;
  if (silent && !turn.mustSpeak && !mustAcknowledge(head.inbound, turn.now, limits)) return { head: { ...head, outbound }, spoke: false };
  if (silent) chunks.push({ after: outbound.floor, last: outbound.floor, encoded: [] });
  let { sessions } = head;
  let sealer = session;
  // Counters end: what is left over goes with the next session.
  for (const { after, last, encoded } of chunks.slice(0, limits.sessionPacketsMax - session.sent)) {
    const sealed = await sealOn(sessions, sealer, encodeBody(headerOf(outbound, head.inbound, after), encoded), context);
    ({ sessions, session: sealer } = sealed);
    if (encoded.length > 0) outbound = markSent(outbound, last);
    say(turn, remote, head.pair, { out: [sealed.packet], sign: [] });
  }
  turn.mustSpeak = false;
  return { head: { ...head, sessions, outbound, inbound: acknowledged(head.inbound) }, spoke: true };
};

const startHandshake = async (turn: Turn, head: Head, remote: Remote, context: SessionContext): Promise<Head> => {
  const begun = await begin(head.sessions, context);
  say(turn, remote, head.pair, { out: begun.out, sign: [] });
  return begun.sessions === head.sessions ? head : { ...head, sessions: begun.sessions };
};

const speakOn = async (turn: Turn, head: Head, session: Session, remote: Remote, context: SessionContext): Promise<Head> => {
  const { head: next, spoke } = await speak(turn, head, session, remote, context);
  const { outbound } = next;
  // A silent peer is tried again also where the message it did not acknowledge has run out of time and others wait behind it.
  const awaited = outbound.sent > outbound.floor || (outbound.resends > 0 && hasOutstanding(outbound));
  const waits = outbound.resendAt !== null && turn.now < outbound.resendAt;
  const resendAt = !awaited ? null : waits ? outbound.resendAt : resendTime(outbound, turn.now, turn.deps.limits);
  const timed: Head = { ...next, outbound: { ...outbound, resendAt, holds: 0, holdAt: null } };
  // S6: renewed beside the session in use. A peer that stays silent may have lost it.
  const doubtful = outbound.resends >= turn.deps.limits.resendsBeforeHandshake;
  return (spoke && needsRenewal(session, context)) || doubtful ? startHandshake(turn, timed, remote, context) : timed;
};

const settleRemote = async (turn: Turn, head: Head, remote: Remote): Promise<Head> => {
  const context = sessionContextOf(turn, remote, head);
  const ticked = await tick(head.sessions, context);
  say(turn, remote, head.pair, ticked);
  const next: Head = repeatReceipts(turn, { ...head, sessions: ticked.sessions }, remote);
  const session = sendingSession(next.sessions, context);
  if (session !== undefined) return speakOn(turn, next, session, remote, context);
  // An acknowledgement alone is not worth a handshake: a peer that misses it repeats, on a session.
  const quiet: Head = { ...next, inbound: { ...next.inbound, ackAt: null }, outbound: { ...next.outbound, resendAt: null, holdAt: null } };
  return hasOutstanding(quiet.outbound) ? startHandshake(turn, quiet, remote, context) : quiet;
};

/** Called once a step, after all events. */
export const settleUp = async (turn: Turn): Promise<void> => {
  if (turn.head === undefined || !turn.changed) return;
  const head = giveUpExpired(turn, turn.head);
  const route = routeOf(turn, head.pair);
  switch (route.type) {
    case 'remote':
      return setHead(turn, await settleRemote(turn, head, route));
    case 'local':
      return setHead(turn, deliverHere(turn, { ...head, sessions: withoutHandshakes(head.sessions) }));
    case 'hold':
      return setHead(turn, waitForWay(turn, head, route.reason));
    case 'not-hosted':
      return setHead(turn, waitForWay(turn, head, `${head.pair.ours} is not registered at this cluster`));
  }
};

/** When the pair is to be woken; `undefined` for never. */
export const dueAtOf = (head: Head, turn: Turn): number | undefined => {
  const { outbound, inbound, sessions } = head;
  const waiting = hasOutstanding(outbound);
  const reachable = turn.route?.type === 'remote';
  const times = [
    ...(reachable ? receiptsDueAt(head, turn) : []),
    sessionsDueAt(sessions, turn.deps.limits) ?? null,
    inbound.ackAt,
    outbound.resendAt,
    waiting ? outbound.expiryAt : null,
    waiting || head.receipts.owed.length > 0 ? outbound.holdAt : null,
    waiting && sessions.outgoing === null && sessions.notBefore > turn.now ? sessions.notBefore : null,
  ].filter((time) => time !== null);
  if (times.length === 0) return undefined;
  const first = Math.min(...times);
  const { wakeGridMs } = turn.deps.limits;
  return first <= turn.now ? first : Math.ceil(first / wakeGridMs) * wakeGridMs;
};
