/**
 * Reliable delivery in one pair, both directions: the door of this folder.
 *
 *     outbound   floor ────────── sent ───────────── next        inbound   delivered
 *     ───────────┼─── under way ───┼──── waiting ─────┼──▶        ─────────┼──▶ in order, each once
 *       gone      windowMessages     items in the store
 *
 * Go-back-N: the receiver hands messages on in the order of their numbers and drops what comes after a gap, saying so; the
 * sender goes back to the gap, or to the first unacknowledged message when nothing is heard for a while.
 *
 * Invariants, cited by number in code and tests:
 * - **D1** `delivered` moves in the state that is written before the messages are handed on (W1), so each is handed on once;
 * - **D2** an item leaves the store only when the peer acknowledged it or its sender is told that it was not delivered;
 * - **D3** numbers are never used twice in one stream, and a stream's name is drawn anew when its numbering was lost;
 * - **D4** at most a window is under way, so a dead peer costs storage and one packet per back-off;
 * - **D5** an acknowledgement counts only for the stream that the session it came by was agreed for.
 */
import { backOff } from '../back-off.ts';
import type { LinkManagerLimits } from '../config.ts';
import type { Backlog, OutboundItem } from './backlog.ts';
import { encodeMessage, messagesBytesMax, type BodyHeader, type DataBody } from './body.ts';
import { addPart, wholeOf, type PartialMessage, type WholeMessage } from './parts.ts';

export { append, backlogOf, closeBacklog, emptyBacklog, fallsShort, isLast, openBacklog, pageAfter, takeExpired, takeOut, takeTo, windowAfter } from './backlog.ts';
export type { Backlog, HeldBacklog, OutboundItem, OutboundMessage, Subsystem } from './backlog.ts';
export { decodeBody, encodeBody, type DataBody } from './body.ts';
export type { PartialMessage, WholeMessage } from './parts.ts';
export {
  digestOf, formatReceipt, judgeReceipt, noReceipts, receiptIdOf, receiptSigningInput, type KeptReceipt, type OwedReceipt, type Parties, type Receipts,
} from './receipts.ts';
export { isRecent, printOf, remember } from './recent-ids.ts';

export type Outbound = {
  readonly stream: string;
  /** The number the next message gets. */
  readonly next: number;
  /** All up to here are acknowledged or given up. */
  readonly floor: number;
  /** All up to here are under way; goes back when they are to be repeated. */
  readonly sent: number;
  /** The highest ever under way: no acknowledgement can be beyond. */
  readonly sentMax: number;
  /** Repeats since the peer last acknowledged something new. */
  readonly resends: number;
  readonly resendAt: number | null;
  readonly gapResentAt: number;
  /** When to look for messages that ran out of time: not later than the earliest does, save where looks are spaced out. */
  readonly expiryAt: number | null;
  /** A look at a backlog that is not in memory goes on page by page: how far it came, and the earliest time it met. */
  readonly sweep: { readonly to: number; readonly earliest: number | null } | null;
  /** Times the peer could not be addressed, and when to look again. */
  readonly holds: number;
  readonly holdAt: number | null;
};

export type Inbound = {
  /** The peer's stream; `null` before the first session. */
  readonly stream: string | null;
  /** What we call it: ids are derived from this, since the peer may give two streams one name. */
  readonly alias: string | null;
  readonly delivered: number;
  /** Messages handed on, by number or size, or repeats seen, since the last acknowledgement left. */
  readonly owed: number;
  readonly ackAt: number | null;
  readonly gap: boolean;
};

export const newOutbound = (stream: string): Outbound => ({
  stream, next: 1, floor: 0, sent: 0, sentMax: 0, resends: 0, resendAt: null, gapResentAt: 0, expiryAt: null, sweep: null, holds: 0, holdAt: null,
});

export const newInbound: Inbound = { stream: null, alias: null, delivered: 0, owed: 0, ackAt: null, gap: false };

export const hasOutstanding = (outbound: Outbound): boolean => outbound.next - 1 > outbound.floor;

const waitOf = (outbound: Outbound, repeats: number, min: number, max: number): number => backOff({ of: `${outbound.stream}/${outbound.floor}`, repeats, min, max });

/** When to repeat if nothing is heard. */
export const resendTime = (outbound: Outbound, now: number, limits: LinkManagerLimits): number =>
  now + waitOf(outbound, outbound.resends, limits.resendMsMin, limits.resendMsMax);

// ── Outbound ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Gives the message the next number. */
export const accept = (outbound: Outbound, expiresAt: number): Outbound => ({
  ...outbound,
  next: outbound.next + 1,
  expiryAt: Math.min(outbound.expiryAt ?? expiresAt, expiresAt),
});

/** The floor after items were taken away: just below the first that is left. */
export const settle = (outbound: Outbound, backlog: Backlog, floorMin: number): Outbound => {
  const first = backlog.items[0]?.position;
  // Where nothing is in memory but more is in the store, the floor stays at what is certain.
  const floor = Math.max(floorMin, first === undefined ? (backlog.complete ? outbound.next - 1 : floorMin) : first - 1);
  const idle = floor >= outbound.next - 1;
  return {
    ...outbound,
    floor,
    sent: Math.max(outbound.sent, floor),
    sentMax: Math.max(outbound.sentMax, floor),
    ...(idle ? { resendAt: null, resends: 0, expiryAt: null, sweep: null, holds: 0, holdAt: null } : {}),
  };
};

export type Acknowledged = { readonly type: 'moved'; readonly floor: number } | { readonly type: 'same' } | { readonly type: 'impossible' };

export const judgeAcknowledgement = (outbound: Outbound, acknowledged: number): Acknowledged => {
  if (acknowledged > outbound.sentMax) return { type: 'impossible' };
  return acknowledged > outbound.floor ? { type: 'moved', floor: acknowledged } : { type: 'same' };
};

/** The peer answered: it is alive, so the back-off begins anew. */
export const progress = (outbound: Outbound, now: number, limits: LinkManagerLimits): Outbound => {
  const next: Outbound = { ...outbound, resends: 0 };
  return { ...next, resendAt: next.sent > next.floor ? resendTime(next, now, limits) : null };
};

/** The peer reports a gap: go back, but not for every packet that came after it. */
export const goBackForGap = (outbound: Outbound, now: number, limits: LinkManagerLimits): Outbound =>
  now < outbound.gapResentAt + limits.gapResendMs ? outbound : { ...outbound, sent: outbound.floor, gapResentAt: now };

export const goBack = (outbound: Outbound): Outbound => ({ ...outbound, sent: outbound.floor });

/** A packet's worth of messages, and the number before the first of them. */
export type Chunk = { readonly after: number; readonly last: number; readonly encoded: readonly Uint8Array[] };

/**
 * What may leave now: within the window, in packets as full as may be. `packetsMax` is 1 when a silent peer is tried; a message in
 * parts leaves with all of them even so, since nothing less of it is acknowledged.
 */
export const chunksToSend = (outbound: Outbound, backlog: Backlog, limits: LinkManagerLimits, packetsMax: number): Chunk[] => {
  const chunks: Chunk[] = [];
  let encoded: Uint8Array[] = [];
  let bytes = 0;
  let underWay = 0;
  let chars = 0;
  let after = outbound.floor;
  let last = outbound.floor;
  const close = (): void => {
    if (encoded.length > 0) chunks.push({ after, last, encoded });
    encoded = [];
    bytes = 0;
    after = last;
  };
  for (const item of backlog.items) {
    if (underWay >= limits.windowMessages || chars >= limits.windowChars) break;
    underWay++;
    chars += item.value.payload.length;
    if (item.position <= outbound.sent) {
      after = last = item.position;
      continue;
    }
    const parts = encodeMessage(item);
    if (parts.length > 1 || bytes + parts[0]!.length > messagesBytesMax) close();
    if (chunks.length >= packetsMax) break;
    last = item.position;
    if (parts.length === 1) {
      encoded.push(parts[0]!);
      bytes += parts[0]!.length;
    } else {
      chunks.push(...parts.map((part) => ({ after, last, encoded: [part] })));
      after = last;
    }
  }
  if (chunks.length < packetsMax) close();
  return chunks;
};

export const markSent = (outbound: Outbound, last: number): Outbound => ({ ...outbound, sent: last, sentMax: Math.max(outbound.sentMax, last) });

/** Looks again later at what keeps the pair from being addressed. */
export const hold = (outbound: Outbound, now: number, limits: LinkManagerLimits): Outbound => ({
  ...outbound,
  holds: outbound.holds + 1,
  holdAt: now + waitOf(outbound, outbound.holds, limits.holdMsMin, limits.holdMsMax),
});

/** The earliest time at which one of these runs out of time, or the one given. */
export const nextExpiry = (items: readonly OutboundItem[], before: number | null = null): number | null =>
  items.reduce<number | null>((earliest, { value }) => Math.min(earliest ?? value.expiresAt, value.expiresAt), before);

/** Where the look for messages that ran out of time goes on. */
export const sweepFrom = ({ sweep, floor }: Outbound): number => Math.max(sweep?.to ?? 0, floor);

/** One page was looked at; `left` of it is still waiting. Long backlogs are looked through no faster and no oftener than the bounds say. */
export const sweptPage = (outbound: Outbound, page: readonly OutboundItem[], left: readonly OutboundItem[], last: boolean, now: number, limits: LinkManagerLimits): Outbound => {
  const earliest = nextExpiry(left, outbound.sweep?.earliest ?? null);
  if (!last) return { ...outbound, sweep: { to: page.at(-1)!.position, earliest }, expiryAt: now + limits.sweepPageMs };
  const pages = Math.ceil((outbound.next - 1 - outbound.floor) / limits.cachedMessagesMax);
  const soonest = now + Math.max(limits.expirySweepMs, pages * limits.sweepPageMs);
  return { ...outbound, sweep: null, expiryAt: earliest === null ? null : Math.max(earliest, soonest) };
};

// ── Inbound ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A session was agreed: another stream than before means that the peer lost its numbering. */
export const adoptStream = (inbound: Inbound, stream: string, drawAlias: () => string): Inbound =>
  inbound.stream === stream ? inbound : { ...newInbound, stream, alias: drawAlias() };

export type Taken = { readonly inbound: Inbound; readonly messages: readonly WholeMessage[]; readonly partial?: PartialMessage };

const owe = (inbound: Inbound, count: number, now: number, limits: LinkManagerLimits): Inbound => ({
  ...inbound,
  owed: inbound.owed + count,
  ackAt: inbound.ackAt ?? now + limits.ackDelayMs,
});

/** Messages to acknowledge, long ones counted as so many as take the same part of a window. */
const dueFor = (messages: readonly WholeMessage[], { windowMessages, windowChars }: LinkManagerLimits): number =>
  Math.max(messages.length, Math.floor((messages.reduce((sum, { payload }) => sum + payload.length, 0) * windowMessages) / windowChars));

/** The messages of a packet that come next in order; with a part, those that it makes whole. Throws CanonicalError. */
const nextOf = (inbound: Inbound, body: DataBody, partial: PartialMessage | undefined): Pick<Taken, 'messages' | 'partial'> => {
  const fresh = body.messages.filter((message) => message.seq > inbound.delivered);
  const [first] = fresh;
  if (first === undefined || first.parts === 1) return { messages: fresh.map((message) => wholeOf([message])) };
  const added = addPart(partial, inbound.stream, first);
  return { messages: added.whole === undefined ? [] : [added.whole], ...(added.partial === undefined ? {} : { partial: added.partial }) };
};

/** Takes what comes next in order; repeats are owed an acknowledgement, what comes after a gap is dropped and reported. */
export const takeMessages = (inbound: Inbound, body: DataBody, partial: PartialMessage | undefined, now: number, limits: LinkManagerLimits): Taken => {
  const delivered = Math.max(inbound.delivered, body.floor);
  const settled = delivered === inbound.delivered ? inbound : { ...inbound, delivered };
  const kept = partial === undefined ? {} : { partial };
  const last = body.messages.at(-1)?.seq;
  if (last === undefined) return { inbound: settled, messages: [], ...kept };
  // A repeat means that the peer has not seen our acknowledgement, a gap that it must go back: neither waits.
  if (last <= delivered) return { inbound: owe(settled, limits.windowMessages, now, limits), messages: [], ...kept };
  if (body.after > delivered) return { inbound: { ...owe(settled, limits.windowMessages, now, limits), gap: true }, messages: [], ...kept };
  const { messages, partial: begun } = nextOf(settled, body, partial);
  if (begun !== undefined) return { inbound: settled, messages, partial: begun };
  return { inbound: { ...owe(settled, dueFor(messages, limits), now, limits), delivered: last, gap: false }, messages };
};

export const mustAcknowledge = (inbound: Inbound, now: number, limits: LinkManagerLimits): boolean =>
  inbound.ackAt !== null && (inbound.owed * limits.ackWindowParts >= limits.windowMessages || now >= inbound.ackAt);

/** The acknowledgement rides on a packet that leaves now. */
export const acknowledged = (inbound: Inbound): Inbound => ({ ...inbound, owed: 0, ackAt: null, gap: false });

export const headerOf = (outbound: Outbound, inbound: Inbound, after: number): BodyHeader => ({
  acknowledged: inbound.delivered,
  gap: inbound.gap,
  floor: outbound.floor,
  after,
});
