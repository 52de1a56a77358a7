/**
 * What a replica remembers of pairs between steps: the beginning of a backlog, and a message that came in part. Each is tied to the
 * head that a step returned, so a head that was read back, or a step that is repeated on the head before it, never sees another
 * step's memory; what is forgotten is read from the store again, or sent again by the peer.
 */
import { createBoundedCache } from '../../cipher/bounded-cache.ts';
import type { ItemRange, StepInput } from '../../shell/worker.ts';
import type { LinkManagerLimits } from './config.ts';
import {
  backlogOf, closeBacklog, emptyBacklog, fallsShort, hasOutstanding, openBacklog, pageAfter, sweepFrom, windowAfter, type HeldBacklog, type OutboundItem,
  type PartialMessage,
} from './delivery/delivery.ts';
import type { Head, LinkEvent, LinkItem } from './head.ts';
import type { Turn } from './turn.ts';

type Input = StepInput<Head, LinkItem, LinkEvent>;
export type Wanted = { readonly what: 'window' | 'page'; readonly range: ItemRange };

export type Memory = {
  /** What of the store this step must see of its messages. */
  wantedOf(head: Head | undefined, events: readonly LinkEvent[]): Wanted | undefined;
  /** What a step begins with. */
  of(input: Input): Pick<Turn, 'backlog' | 'page' | 'partial'>;
  /** What a step leaves behind. */
  remember(turn: Turn): void;
};

export const createMemory = (limits: LinkManagerLimits): Memory => {
  const held = new WeakMap<Head, HeldBacklog>();
  /** Messages that came in part, each with the head that its last part left behind. */
  const partials = createBoundedCache<{ readonly head: Head; readonly partial: PartialMessage | undefined }>(limits.partialsMax);

  /** What of the store this step must see: the window where memory falls short, else a page where a look for expired ones goes on. */
  const wantedOf = (head: Head | undefined, events: readonly LinkEvent[]): Wanted | undefined => {
    if (head === undefined || !hasOutstanding(head.outbound)) return undefined;
    const { expiryAt, sent, floor } = head.outbound;
    const known = held.get(head);
    if (fallsShort(known, sent, limits)) return { what: 'window', range: windowAfter(floor, limits) };
    if (known!.complete || expiryAt === null || !events.some((event) => event.type === 'wake' && event.dueAt >= expiryAt)) return undefined;
    return { what: 'page', range: pageAfter(sweepFrom(head.outbound), limits) };
  };

  /** A head without items that was not stepped here has no outstanding ones: else `wantedOf` would have asked. */
  const backlogFor = ({ head, items: all, events }: Input): Pick<Turn, 'backlog' | 'page'> => {
    const wanted = wantedOf(head, events);
    const items = all?.flatMap(({ position, value }): OutboundItem[] => ('type' in value ? [] : [{ position, value }]));
    if (head === undefined || (wanted?.what !== 'window' && held.get(head) === undefined)) return { backlog: openBacklog(emptyBacklog), page: undefined };
    if (wanted?.what === 'window') return { backlog: backlogOf(items ?? [], wanted.range, head.outbound.next), page: undefined };
    return { backlog: openBacklog(held.get(head)!), page: wanted?.what === 'page' ? items : undefined };
  };

  const partialFor = ({ key, head }: Input): PartialMessage | undefined => {
    const known = partials.get(key);
    return known?.head === head ? known?.partial : undefined;
  };

  const remember = ({ key, head, backlog, partial }: Turn): void => {
    if (head === undefined) return;
    held.set(head, closeBacklog(backlog, limits));
    if (partial !== undefined || partials.get(key) !== undefined) partials.set(key, { head, partial });
  };

  return { wantedOf, of: (input) => ({ ...backlogFor(input), partial: partialFor(input) }), remember };
};
