/**
 * The newest items of a key stand in the key's own row (its *tail*), as long as they are short; when they grow beyond the bound, all
 * of them move to the table of items, and a new tail begins. So what lives shortly (most flows, most queues) writes one row of one
 * table, and an item is rewritten a bounded number of times.
 *
 * - **T1** an item stands in the tail or in the table, never in both;
 * - **T2** what is remembered of a tail here is true of one version of its key. A version is written once (saves are guarded), so a
 *   save that names the remembered version finds this very tail, and any other save conflicts.
 */
import type { StateChange } from '../shell/store.ts';
import type { StoredItem } from '../shell/worker.ts';

/** UTF-16 code units of a tail: a step rewrites no more, and a page has room for the row's next version beside it. */
export const tailCharsMax = 2_000;

/** Tails remembered between saves, and UTF-16 code units of all of them; one that is not remembered is read. */
const tailsRememberedMax = 20_000;
const charsRememberedMax = 16_000_000;

export type Tail = { /** JSON texts of pairs of position and value, a comma between them. */ readonly text: string; /** Whether there are items in the table, too. */ readonly apart: boolean };

export const noTail: Tail = { text: '', apart: false };

/** An item with its JSON text. */
export type Item = { readonly key: string; readonly position: number; readonly text: string };
export type Place = Omit<Item, 'text'>;

/** Where the items of a change go. */
export type Placed = {
  readonly tail: Tail;
  /** What is written of it: behind the tail that is there, or instead of it. */
  readonly text: string;
  readonly appends: boolean;
  /** Into the table, and out of it. */
  readonly added: readonly Item[];
  readonly cut: readonly Place[];
};

type Pair = readonly [position: number, value: unknown];

// Written below, as pairs.
const pairsOf = (text: string): Pair[] => (text === '' ? [] : (JSON.parse(`[${text}]`) as Pair[]));

export const readTail = (text: string): StoredItem<unknown>[] => pairsOf(text).map(([position, value]) => ({ position, value }));

/** What is left of a tail. */
const without = (tail: string, positions: ReadonlySet<number>): string => {
  const pairs = pairsOf(tail);
  const left = pairs.filter(([position]) => !positions.has(position));
  return left.length === pairs.length ? tail : left.map((pair) => JSON.stringify(pair)).join(',');
};

/** False only where the position is surely not there: values may hold the same text. */
const mayHold = (tail: string, position: number): boolean => tail.includes(`[${position},`);

const unchanged = (tail: Tail): Placed => ({ tail, text: '', appends: true, added: [], cut: [] });

type Left = { /** Of the tail. */ readonly kept: string; /** Out of the table. */ readonly cut: readonly Place[] };
const nothing: Left = { kept: '', cut: [] };

/** What is left of what was there, when items of these positions are taken out or written anew. */
const leave = (before: Tail, key: string, positions: readonly number[]): Left => {
  const touched = new Set(positions);
  const kept = positions.some((position) => mayHold(before.text, position)) ? without(before.text, touched) : before.text;
  return { kept, cut: before.apart ? [...touched].map((position) => ({ key, position })) : [] };
};

export const placeItems = (before: Tail, { key, head, itemsAdded, itemsRemoved }: StateChange): Placed => {
  if (head === null) return { ...unchanged(noTail), appends: false };
  if (itemsAdded.length === 0 && itemsRemoved.length === 0) return unchanged(before);
  const items = itemsAdded.map(({ position, value }): Item => ({ key, position, text: JSON.stringify(value) }));
  const { kept, cut } = before === noTail ? nothing : leave(before, key, [...itemsRemoved, ...itemsAdded.map(({ position }) => position)]);
  const pairs = items.map(({ position, text }) => `[${position},${text}]`).join(',');
  if (kept.length + pairs.length > tailCharsMax && items.length > 0) {
    const moved = pairsOf(kept).map(([position, value]): Item => ({ key, position, text: JSON.stringify(value) }));
    // What is written into the table replaces what was there, in the same statement: it must not be cut as well.
    const written = new Set(itemsAdded.map(({ position }) => position));
    return { tail: { text: '', apart: true }, text: '', appends: false, added: [...moved, ...items], cut: cut.filter(({ position }) => !written.has(position)) };
  }
  const more = kept === '' || pairs === '' ? pairs : `,${pairs}`;
  const tail = { ...before, text: kept + more };
  return kept === before.text ? { tail, text: more, appends: true, added: [], cut } : { tail, text: tail.text, appends: false, added: [], cut };
};

/** Tails by key and version; of too many, those known longest leave. */
export type Tails = {
  recall(key: string, version: number): Tail | undefined;
  remember(key: string, version: number, tail: Tail): void;
  forget(key: string): void;
};

export const createTails = (): Tails => {
  const known = new Map<string, { readonly version: number; readonly tail: Tail }>();
  let chars = 0;
  return {
    recall: (key, version) => {
      const found = known.get(key);
      return found?.version === version ? found.tail : undefined;
    },
    remember: (key, version, tail) => {
      chars += tail.text.length - (known.get(key)?.tail.text.length ?? 0);
      known.set(key, { version, tail });
      if (known.size <= tailsRememberedMax && chars <= charsRememberedMax) return;
      // An eighth at once: to find the oldest, a map steps over all that were removed before it.
      for (const [oldest, { tail: leaving }] of known) {
        if (known.size <= tailsRememberedMax * 0.875 && chars <= charsRememberedMax * 0.875) return;
        known.delete(oldest);
        chars -= leaving.text.length;
      }
    },
    forget: (key) => {
      chars -= known.get(key)?.tail.text.length ?? 0;
      known.delete(key);
    },
  };
};
