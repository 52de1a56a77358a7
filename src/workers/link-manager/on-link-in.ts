/** Hears `gateway-to-link-manager.link-in`: a packet that came over HTTPS, from anybody. */
import { gatewayToLinkManagerLinkIn } from '../../messages/gateway-to-link-manager.link-in.ts';
import { pairTagOf } from '../../identity/derive.ts';
import type { BodyOf } from '../../messages/grammar/wire.ts';
import type { Hearing } from '../../shell/worker.ts';
import { CanonicalError } from './canonical.ts';
import {
  decodeBody, goBackForGap, judgeAcknowledgement, progress, settle, takeMessages, takeTo, type DataBody, type Outbound, type WholeMessage,
} from './delivery/delivery.ts';
import type { Pair, Route } from './directory.ts';
import { newHead, type Head, type LinkEvent } from './head.ts';
import { keepReceipt, oweReceipt } from './receipts.ts';
import { hearPacket, newStream, parsePacket, refused, sessionUnknownNotice, type Packet, type Refused, type Session } from './session/session.ts';
import { onStranger } from './on-unauthenticated.ts';
import { applyHeard, handOn, refuse, routeOf, sendPacket, sessionContextOf, setHead, type Turn } from './turn.ts';

export const hearsLinkIn: Hearing<BodyOf<typeof gatewayToLinkManagerLinkIn>, LinkEvent> = {
  wire: gatewayToLinkManagerLinkIn,
  toEvent: ({ body }) => ({ type: 'link-in', tag: body.tag, packet: body.packet, unauthenticated: body.unauthenticated }),
};

type Remote = Extract<Route, { type: 'remote' }>;

/** The pair's state, made anew only for a hello that names a pair of this key. */
const headFor = (turn: Turn, packet: Packet): Head | Refused => {
  if (turn.head !== undefined) return turn.head;
  if (packet.type !== 'initiator-hello') return refused('unknown-session', 'nothing is known of this pair');
  const pair = turn.deps.directory.pairOfHello(packet);
  if (pair === undefined) return refused('unknown-peer', 'no member and identity of these keys are known here');
  if (pairTagOf(pair.groupId, pair.ours, pair.theirs) !== turn.key) return refused('wrong-tag', 'the keys named belong to another pair');
  return newHead(pair, turn.deps.random);
};

const refusedRoute = (route: Exclude<Route, { type: 'remote' }>): Refused => {
  switch (route.type) {
    case 'local':
      return refused('unknown-peer', 'both identities of this pair live here');
    case 'not-hosted':
      return refused('unknown-identity');
    case 'hold':
      return refused(route.paused ? 'virtual-node-paused' : 'unknown-peer', route.reason);
  }
};

/** Tells a peer that its session is not known here, seldom, and only if a way to it is known. */
const notify = (turn: Turn, packet: Packet): void => {
  if (packet.type !== 'data' && packet.type !== 'initiator-handshake') return;
  const pair: Pair | undefined = turn.head?.pair ?? turn.deps.directory.pairOfTag(turn.key);
  if (pair === undefined) return;
  const route = routeOf(turn, pair);
  if (route.type !== 'remote' || !turn.deps.mayNotify(turn.key, turn.now)) return;
  sendPacket(turn, pair, route.addresses, sessionUnknownNotice(packet.sessionId));
};

/** The peer is ahead of us in our own numbering: our state is an old copy. A new stream begins at our floor (D3). */
const startOver = (turn: Turn, outbound: Outbound): Outbound => ({
  ...outbound,
  stream: newStream(turn.deps.random),
  sent: outbound.floor,
  sentMax: outbound.floor,
});

const takeAcknowledgement = (turn: Turn, head: Head, body: DataBody): Head => {
  const { outbound } = head;
  const { limits } = turn.deps;
  const judged = judgeAcknowledgement(outbound, body.acknowledged);
  if (judged.type === 'impossible') {
    refuse(turn, refused('impossible-acknowledgement', `of ${body.acknowledged}, though only ${outbound.sentMax} were sent`));
    return { ...head, outbound: startOver(turn, outbound) };
  }
  let next = outbound;
  if (judged.type === 'moved') {
    const gone = takeTo(turn.backlog, judged.floor);
    turn.itemsRemoved.push(...gone.map(({ position }) => position));
    next = progress(settle(outbound, turn.backlog, judged.floor), turn.now, limits);
  } else if (next.resends > 0 && next.resendAt !== null) {
    // The peer is alive: no reason to wait out a long back-off.
    next = { ...next, resendAt: Math.min(next.resendAt, turn.now + limits.resendMsMin) };
  }
  if (body.gap && next.sent > next.floor) next = goBackForGap({ ...next, resends: 0 }, turn.now, limits);
  return next === outbound ? head : { ...head, outbound: next };
};

/** The peer is authenticated, and may still send what nobody can read. */
const orRefusal = <Result extends object>(read: () => Result): Result | Refused => {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    return refused('malformed-body', error.message);
  }
};

/** As many messages as receipts can be owed for: the others stay with their sender, who repeats them. */
const affordable = (turn: Turn, { receipts, inbound }: Head, body: DataBody): DataBody => {
  let room = turn.deps.limits.receiptsOwedMax - receipts.owed.length;
  const beyond = body.messages.findIndex(({ receipt, seq }) => receipt && seq > inbound.delivered && --room < 0);
  return beyond < 0 ? body : { ...body, messages: body.messages.slice(0, beyond) };
};

const handOnAll = async (turn: Turn, head: Head, remote: Remote, { stream, messages }: { stream: string; messages: readonly WholeMessage[] }): Promise<Head> => {
  const { groupId, ours, theirs } = head.pair;
  let next = head;
  for (const message of messages) {
    if (message.subsystem === 'receipt') next = await keepReceipt(turn, next, remote, message.payload);
    else handOn(turn, `${stream}/${message.seq}`, { groupId, source: theirs, destination: ours }, message);
    if (message.receipt) next = oweReceipt(turn, next, remote, { stream, message });
  }
  return next;
};

const takeBody = async (turn: Turn, head: Head, remote: Remote, { session, bytes }: { session: Session; bytes: Uint8Array }): Promise<void> => {
  const read = orRefusal(() => decodeBody(bytes));
  if ('type' in read) return refuse(turn, read);
  const body = affordable(turn, head, read);
  // D5
  const known = session.ownStream === head.outbound.stream ? takeAcknowledgement(turn, head, body) : head;
  if (session.peerStream !== known.inbound.stream) {
    setHead(turn, known);
    return refuse(turn, refused('stale-stream'));
  }
  const taken = orRefusal(() => takeMessages(known.inbound, body, turn.partial, turn.now, turn.deps.limits));
  if ('type' in taken) {
    setHead(turn, known);
    return refuse(turn, taken);
  }
  const { inbound, messages, partial } = taken;
  turn.partial = partial;
  setHead(turn, await handOnAll(turn, { ...known, inbound }, remote, { stream: inbound.alias ?? session.peerStream, messages }));
};

export const onLinkIn = async (turn: Turn, event: { readonly tag: string; readonly packet: string; readonly unauthenticated?: true | undefined }): Promise<void> => {
  if (event.tag !== turn.key) return refuse(turn, refused('wrong-tag', 'the packet came under the key of another pair'));
  if (event.unauthenticated === true) return onStranger(turn, event.packet);
  const parsed = parsePacket(event.packet);
  if (parsed.type === 'malformed') return refuse(turn, refused('malformed-packet', parsed.reason));
  const { packet } = parsed;
  const head = headFor(turn, packet);
  if ('type' in head) {
    if (head.reason === 'unknown-session') notify(turn, packet);
    return refuse(turn, head);
  }
  const route = routeOf(turn, head.pair);
  if (route.type !== 'remote') return refuse(turn, refusedRoute(route));
  const heard = await hearPacket(head.sessions, packet, sessionContextOf(turn, route, head));
  if (heard.type === 'refused') {
    if (heard.reason === 'unknown-session') notify(turn, packet);
    return refuse(turn, heard);
  }
  applyHeard(turn, route, head, heard);
  if (heard.body !== undefined && turn.head !== undefined) await takeBody(turn, turn.head, route, heard.body);
};
