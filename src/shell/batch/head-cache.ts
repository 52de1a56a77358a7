/**
 * Heads in memory between batches: the least recently used leave first.
 *
 * A version is written by one replica only (saves are guarded), so a version that this replica has settled, that is whose
 * effects it knows to be on the bus, stays settled when the head leaves memory and is read back.
 */
import type { OutRecord } from '../../messages/grammar/record.ts';
import type { ShellLimits } from '../config.ts';
import type { StateStore, StoredState } from '../store.ts';

/** What this replica knows of a key. Changed in place, so that a batch and the cache see the same. */
export type Held = {
  readonly key: string;
  /** 0: the key is not in the store. */
  version: number;
  /** `undefined` for a key that is not there or was removed. */
  head: unknown;
  /** Per stream the last offset handled; may be ahead of the store by records that changed nothing. */
  handled: Record<string, number>;
  /** Effects of the stored state that are not known to be on the bus. */
  owed: readonly OutRecord[];
  dueAt: number | null;
  /** As this replica saved it last; unknown of a head that was read. */
  scope: string | null;
};

export type HeadCache = {
  /** Reads those that are neither in memory nor taken to be unborn, in one query. `fresh` were read just now. */
  hold(keys: readonly string[], isUnborn: (key: string) => boolean): Promise<{ readonly held: ReadonlyMap<string, Held>; readonly fresh: ReadonlySet<string> }>;
  /** Keeps a key that was saved or read. */
  keep(held: Held): void;
  /** The effects of this version are on the bus. */
  settle(held: Held, version: number): void;
  drop(keys: readonly string[]): void;
  /** Drops a key that is hardly heard of again; not while its effects are owed. */
  rest(held: Held): void;
  /** Drops what is over the bound, but nothing that a round has taken, and returns the keys. */
  trim(isTaken: (key: string) => boolean): readonly string[];
  /** The scope of a key in memory, where it is known. */
  scopeOf(key: string): string | undefined;
};

const absent = (key: string): Held => ({ key, version: 0, head: undefined, handled: {}, owed: [], dueAt: null, scope: null });

export const createHeadCache = (states: StateStore, limits: ShellLimits): HeadCache => {
  const heads = new Map<string, Held>();
  const settledVersions = new Map<string, number>();

  const remember = (key: string, version: number): void => {
    settledVersions.delete(key);
    settledVersions.set(key, version);
    if (settledVersions.size <= limits.versionsRememberedMax) return;
    // An eighth at once: to find the oldest, a map steps over all that were removed before it.
    const countMax = limits.versionsRememberedMax - (limits.versionsRememberedMax >> 3);
    for (const oldest of settledVersions.keys()) {
      if (settledVersions.size <= countMax) return;
      settledVersions.delete(oldest);
    }
  };
  const heldOf = ({ key, version, head, handled, owed, dueAt }: StoredState): Held => ({
    key,
    version,
    head: head ?? undefined,
    handled: { ...handled },
    owed: settledVersions.get(key) === version ? [] : owed,
    dueAt,
    scope: null,
  });
  const keep = (held: Held): void => {
    heads.delete(held.key);
    heads.set(held.key, held);
  };

  return {
    hold: async (keys, isUnborn) => {
      const missing = keys.filter((key) => !heads.has(key) && !isUnborn(key));
      const loaded = missing.length === 0 ? [] : await states.load(missing);
      for (const state of loaded) heads.set(state.key, heldOf(state));
      // Only what is in the store is kept: that a key is absent may change without our knowing.
      const held = new Map(keys.map((key) => [key, heads.get(key) ?? absent(key)]));
      for (const one of held.values()) if (one.version > 0) keep(one);
      return { held, fresh: new Set(missing) };
    },
    keep,
    settle: (held, version) => {
      if (held.version !== version) return;
      held.owed = [];
    },
    drop: (keys) => {
      for (const key of keys) heads.delete(key);
    },
    rest: (held) => {
      if (held.owed.length > 0 || heads.get(held.key) !== held) return;
      remember(held.key, held.version);
      heads.delete(held.key);
    },
    scopeOf: (key) => heads.get(key)?.scope ?? undefined,
    trim: (isTaken) => {
      const evicted: string[] = [];
      for (const [key, held] of heads) {
        if (heads.size <= limits.headsCachedMax) break;
        if (isTaken(key)) continue;
        if (held.owed.length === 0) remember(key, held.version);
        heads.delete(key);
        evicted.push(key);
      }
      return evicted;
    },
  };
};
