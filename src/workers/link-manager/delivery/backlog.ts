/**
 * The messages of a pair that wait or are under way, lowest number first. They are stored as items of the pair's key, position
 * = sequence number. Of a long backlog only a window at its beginning is ever read into memory, and a page at a time when
 * messages that ran out of time are looked for behind it: a peer that is gone for a day costs storage and nothing else.
 */
import { payloadCharsMax } from '../../../messages/all-to-link-manager.send.ts';
import type { ItemRange, StoredItem } from '../../../shell/worker.ts';
import type { LinkManagerLimits } from '../config.ts';

/** Who hears a message on the other side: flows, the member room, or the link manager itself (a receipt). */
export type Subsystem = 'flow' | 'member' | 'receipt';

export type OutboundMessage = {
  readonly messageId: string;
  readonly subsystem: Subsystem;
  /** Its sender wants a signed receipt. */
  readonly receipt: boolean;
  readonly receiverKey: string;
  readonly senderKey: string;
  readonly expiresAt: number;
  readonly payload: string;
};
export type OutboundItem = StoredItem<OutboundMessage>;

/** What is kept between steps: never changed in place, since the step that made it may have to be repeated. */
export type HeldBacklog = { readonly items: readonly OutboundItem[]; readonly complete: boolean };

/** One step's working copy. */
export type Backlog = {
  items: OutboundItem[];
  /** False when there are more items in the store behind those here. */
  complete: boolean;
};

export const emptyBacklog: HeldBacklog = { items: [], complete: true };

export const openBacklog = (held: HeldBacklog): Backlog => ({ items: [...held.items], complete: held.complete });

/** JSON writes a UTF-16 code unit in six bytes at most, and a message's other fields in fewer than these. */
const jsonBytesPerChar = 6;
const jsonBytesBeside = 10_000;

/** What is read for a window: at least all that can be under way, so that an acknowledgement finds what it lets go. */
export const windowAfter = (floor: number, limits: LinkManagerLimits): ItemRange => ({
  after: floor,
  countMax: limits.cachedMessagesMax,
  bytesMax: jsonBytesPerChar * (limits.windowChars + payloadCharsMax) + jsonBytesBeside * limits.windowMessages,
});

/** A page of the messages behind those in memory. */
export const pageAfter = (position: number, limits: LinkManagerLimits): ItemRange => ({ ...windowAfter(position, limits), after: position });

const bytesAtMost = (items: readonly OutboundItem[]): number =>
  items.reduce((sum, { value }) => sum + jsonBytesPerChar * value.payload.length + jsonBytesBeside, 0);

/** True when nothing can be behind these items, the result of reading this range. */
export const isLast = (items: readonly OutboundItem[], range: ItemRange, next: number): boolean =>
  items.length === 0 || items.at(-1)!.position === next - 1 || (items.length < range.countMax && bytesAtMost(items) < range.bytesMax);

export const backlogOf = (items: readonly OutboundItem[], range: ItemRange, next: number): Backlog => ({ items: [...items], complete: isLast(items, range, next) });

/** Takes a new message in; behind a gap it stays in the store alone. */
export const append = (backlog: Backlog, item: OutboundItem): void => {
  if (backlog.complete) backlog.items.push(item);
};

/** Removes and returns what is numbered up to `to`. */
export const takeTo = (backlog: Backlog, to: number): OutboundItem[] => {
  const beyond = backlog.items.findIndex((item) => item.position > to);
  return backlog.items.splice(0, beyond < 0 ? backlog.items.length : beyond);
};

/** Removes and returns what nobody wants any more. */
export const takeExpired = (backlog: Backlog, now: number): OutboundItem[] => {
  const expired = backlog.items.filter((item) => item.value.expiresAt <= now);
  if (expired.length > 0) backlog.items = backlog.items.filter((item) => item.value.expiresAt > now);
  return expired;
};

/** Removes those that are no longer in the store. */
export const takeOut = (backlog: Backlog, gone: readonly OutboundItem[]): void => {
  const positions = new Set(gone.map(({ position }) => position));
  if (positions.size > 0) backlog.items = backlog.items.filter(({ position }) => !positions.has(position));
};

/** The beginning that fits the bounds, for the next step. */
export const closeBacklog = (backlog: Backlog, limits: LinkManagerLimits): HeldBacklog => {
  let chars = 0;
  let count = 0;
  while (count < backlog.items.length && count < limits.cachedMessagesMax && chars <= limits.cachedChars) {
    chars += backlog.items[count]!.value.payload.length;
    count++;
  }
  const whole = count === backlog.items.length;
  return { items: whole ? backlog.items : backlog.items.slice(0, count), complete: backlog.complete && whole };
};

/** True when a step might need messages that are not in memory. */
export const fallsShort = (held: HeldBacklog | undefined, sent: number, limits: LinkManagerLimits): boolean => {
  if (held === undefined) return true;
  if (held.complete) return false;
  const unsent = held.items.filter((item) => item.position > sent);
  const chars = unsent.reduce((sum, item) => sum + item.value.payload.length, 0);
  return unsent.length < limits.windowMessages && chars < limits.windowChars;
};
