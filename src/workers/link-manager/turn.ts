/** One key's step in the making: the state as it stands, what is owed, and how handlers say so. */
import { toBase64url } from '../../cipher/bytes.ts';
import { allToCryptoSign, signatureSpec } from '../../messages/all-to-crypto.sign.ts';
import { allToLinkManagerAnswer } from '../../messages/all-to-link-manager.answer.ts';
import { encode } from '../../messages/grammar/envelope.ts';
import type { OutRecord } from '../../messages/grammar/record.ts';
import { linkManagerToFlowReceive } from '../../messages/link-manager-to-flow.receive.ts';
import { linkManagerToMemberReceive } from '../../messages/link-manager-to-member.receive.ts';
import { linkManagerToGatewayLinkOut } from '../../messages/link-manager-to-gateway.link-out.ts';
import type { Log } from '../../observability/log.ts';
import type { LinkManagerLimits } from './config.ts';
import type { Backlog, OutboundItem, PartialMessage, Subsystem } from './delivery/delivery.ts';
import { goBack, adoptStream } from './delivery/delivery.ts';
import type { Directory, Pair, Route } from './directory.ts';
import type { StoredItem } from '../../shell/worker.ts';
import type { Head, LinkItem } from './head.ts';
import type { HelloGate } from './hello-gate.ts';
import { formatPacket, newStream, type Heard, type Packet, type Refused, type SessionContext, type SignRequest } from './session/session.ts';
import type { Vault } from './vault.ts';

/** What is counted; one instrument each, so that a step only adds. */
export type Tally = {
  refused(reason: string): void;
  sent(messages: number): void;
  received(messages: number): void;
  undelivered(): void;
  repeated(): void;
  resent(): void;
  established(role: string, suite: string): void;
};

export type TurnDeps = {
  readonly directory: Directory;
  readonly random: (length: number) => Uint8Array;
  readonly vault: Vault;
  readonly helloGate: HelloGate;
  readonly limits: LinkManagerLimits;
  readonly log: Log;
  readonly tally: Tally;
  /** True when a packet that a stranger wrote may be looked at now. */
  readonly mayStranger: (now: number) => boolean;
  /** True when a notice of an unknown session may be sent now. */
  readonly mayNotify: (tag: string, now: number) => boolean;
};

export type Turn = {
  readonly deps: TurnDeps;
  readonly key: string;
  readonly now: number;
  head: Head | undefined;
  /** Anything of the state is to be written. */
  changed: boolean;
  /** A packet must leave though nothing else does: the peer waits to see the session used. */
  mustSpeak: boolean;
  readonly backlog: Backlog;
  /** Messages behind those in memory, read to look for those that ran out of time. */
  readonly page: readonly OutboundItem[] | undefined;
  /** A message of the peer that came in part. */
  partial: PartialMessage | undefined;
  itemsAdded: StoredItem<LinkItem>[];
  readonly itemsRemoved: number[];
  readonly effects: OutRecord[];
  /** Not owed: the state that is written knows what to say again, and when. */
  readonly packets: OutRecord[];
  route: Route | undefined;
};

export const setHead = (turn: Turn, head: Head): void => {
  turn.head = head;
  turn.changed = true;
};

/** Views do not change within a step, so the way to the peer is looked up once. */
export const routeOf = (turn: Turn, pair: Pair): Route => {
  turn.route ??= turn.deps.directory.route(pair);
  return turn.route;
};

export const sessionContextOf = (turn: Turn, route: Extract<Route, { type: 'remote' }>, head: Head): SessionContext => ({
  tag: turn.key,
  peering: route.peering,
  ownStream: head.outbound.stream,
  now: turn.now,
  random: turn.deps.random,
  limits: turn.deps.limits,
  vault: turn.deps.vault.of(turn.key),
  helloGate: turn.deps.helloGate,
});

// ── Effects ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const sendPacket = (turn: Turn, pair: Pair, addresses: readonly string[], packet: Packet): void => {
  // Another address is tried with each repeat.
  const tries = turn.head === undefined ? 0 : turn.head.outbound.resends + (turn.head.sessions.outgoing?.resends ?? 0);
  const address = addresses[tries % addresses.length]!;
  const id = packet.type === 'data' ? `${packet.sessionId}/${packet.sender}/${packet.counter}` : `${packet.sessionId}/${packet.type}`;
  const { certificate } = turn.deps.directory.certificateOf(pair.groupId, pair.ours);
  const body = { address, groupId: pair.groupId, tag: turn.key, packet: formatPacket(packet), ...(certificate === undefined ? {} : { certificate }) };
  turn.packets.push(encode(linkManagerToGatewayLinkOut, { key: turn.key, id, body }));
};

export type HandedOn = { readonly subsystem: Subsystem; readonly messageId: string; readonly receiverKey: string; readonly payload: string };
export type Addressed = { readonly groupId: string; readonly source: string; readonly destination: string };

/** `id`: derived from where the message stood, so that a repeat carries the same (W3). */
export const handOn = (turn: Turn, id: string, addressed: Addressed, message: HandedOn): void => {
  const { groupId, source, destination } = addressed;
  const body = { type: 'message' as const, messageId: message.messageId, groupId, source, destination, payload: message.payload };
  const key = message.receiverKey;
  turn.effects.push(message.subsystem === 'member' ? encode(linkManagerToMemberReceive, { key, id, body }) : encode(linkManagerToFlowReceive, { key, id, body }));
  turn.deps.tally.received(1);
};

export const tellUndelivered = (turn: Turn, addressed: Addressed, message: { subsystem: Subsystem; messageId: string; senderKey: string }, reason: string): void => {
  const { groupId, source, destination } = addressed;
  const body = { type: 'undelivered' as const, messageId: message.messageId, groupId, source, destination, reason: reason.slice(0, 1_000) };
  // The member room repeats and asks by itself.
  if (message.subsystem === 'flow') turn.effects.push(encode(linkManagerToFlowReceive, { key: message.senderKey, id: `${message.messageId}/undelivered`, body }));
  turn.deps.tally.undelivered();
  turn.deps.log.warn('link-manager.undelivered', { tag: turn.key, messageId: message.messageId, reason });
};

export const askToSign = (turn: Turn, route: Extract<Route, { type: 'remote' }>, { requestId, data }: SignRequest): void => {
  const { tenant, keyId, spec } = route.signer;
  const known = signatureSpec.safeParse(spec);
  const body = { tenant, keyId, data: toBase64url(data), ...(known.success ? { spec: known.data } : {}) };
  const replyTo = { topic: allToLinkManagerAnswer.topic, key: turn.key };
  turn.effects.push(encode(allToCryptoSign, { key: tenant, id: requestId, replyTo, body }));
};

/** A packet that is refused leaves no trace but this. */
export const refuse = (turn: Turn, { reason, detail }: Refused): void => {
  turn.deps.tally.refused(reason);
  turn.deps.log.warn('link-manager.packet-refused', { tag: turn.key, reason, ...(detail === undefined ? {} : { detail }) });
};

export type Said = { readonly out: readonly Packet[]; readonly sign: readonly SignRequest[] };

export const say = (turn: Turn, route: Extract<Route, { type: 'remote' }>, pair: Pair, { out, sign }: Said): void => {
  for (const packet of out) sendPacket(turn, pair, route.addresses, packet);
  for (const request of sign) askToSign(turn, route, request);
};

/** Takes over what the sessions made of something heard. */
export const applyHeard = (turn: Turn, route: Extract<Route, { type: 'remote' }>, head: Head, heard: Heard): void => {
  if (heard.sessions !== head.sessions) setHead(turn, { ...head, sessions: heard.sessions });
  say(turn, route, head.pair, { out: heard.out, sign: heard.sign === undefined ? [] : [heard.sign] });
  if (heard.putAside !== undefined) refuse(turn, heard.putAside);
  const { established } = heard;
  if (established === undefined || turn.head === undefined) return;
  turn.deps.tally.established(established.role, established.suite);
  turn.deps.log.info('link-manager.session-ready', { tag: turn.key, sessionId: established.id, role: established.role, mode: established.mode, suite: established.suite });
  turn.mustSpeak ||= established.role === 'initiator';
  // What was under way may have met a peer that could not read it; the receiver tells repeats apart.
  const outbound = { ...goBack(turn.head.outbound), resends: 0, resendAt: null, holds: 0, holdAt: null };
  setHead(turn, { ...turn.head, outbound, inbound: adoptStream(turn.head.inbound, established.peerStream, () => newStream(turn.deps.random)) });
};
