/**
 * A list that comes in pages. Each is kept as an item of its own, so that the head stays small and no step holds more than one of them:
 *
 *     page ──▶ kept, its leaves in `staging` ──▶ … last page: the root holds ──▶ `taking`: one page's records a step ──▶ those here are told
 *                  │ another version, a fault, a root that does not hold
 *                  └──▶ dropped
 */
import type { StoredItem } from '../../../shell/worker.ts';
import { entriesStagedMax } from '../config.ts';
import type { Networks } from '../network.ts';
import { leafOf, memberOf } from '../peer/entry.ts';
import type { ListPayload } from '../peer/peer-message.ts';
import { memberRecord } from '../publication.ts';
import type { ListPage, ListState, PageRange, Staging } from './state.ts';
import { changesOf, listedRecords, localsWith, managerKeysIn, noticesOf, sync, takeOver, type Hearing, type SteppedList } from './take-over.ts';

export const hearPage = async (state: ListState, payload: ListPayload, hearing: Hearing): Promise<SteppedList> => {
  const { statement: { version }, since, after, next } = payload;
  const { from, networks, now } = hearing;
  const { staging } = state;
  const goesOn = after !== null && staging?.version === version && staging.since === since && staging.after === after;
  if (after !== null && !goesOn) {
    // Pages of two versions do not fit together: the one that is under way began anew, or nothing of it is here.
    return staging === null || staging.version < version ? sync({ ...state, staging: null }, { from, version: since, after: null, now }) : { state, effects: [] };
  }
  if (next === null) return takeOver(state, payload, hearing);
  const { entries, leaves: own, fault } = await changesOf(state, payload, networks);
  if (fault !== undefined) return { state: { ...state, staging: null }, effects: [], refusal: fault };
  const leaves = { ...(goesOn ? staging?.leaves : {}), ...own };
  if (Object.keys(leaves).length > entriesStagedMax) return { state: { ...state, staging: null }, effects: [], refusal: `more than ${entriesStagedMax} entries in pages` };
  const position = state.nextPage;
  const kept: Staging = {
    version, since, after: next, leaves,
    managerKeys: managerKeysIn(state, entries) ?? (goesOn ? (staging?.managerKeys ?? null) : null),
    pages: { from: goesOn ? staging!.pages.from : position, to: position + 1 },
  };
  return { ...sync({ ...state, staging: kept, nextPage: position + 1, syncs: 0 }, { from, version: since, after: next, now }), page: { position, value: { type: 'page', entries } } };
};

/** The first page whose turn has come. */
export const pageDue = ({ taking }: ListState): number | undefined => taking?.pages[0]?.from;

const withoutFirst = ([first, ...others]: readonly PageRange[]): readonly PageRange[] =>
  first === undefined ? [] : first.from + 1 < first.to ? [{ ...first, from: first.from + 1 }, ...others] : others;

/** Sends the records of one page; behind the last one, those who live here are told. */
export const takePage = (state: ListState, items: readonly StoredItem<ListPage>[] | undefined, networks: Networks, now: number): SteppedList => {
  const { groupId, taking, roster, version } = state;
  const page = items?.find(({ position }) => position === pageDue(state));
  // It was not asked for in this step: the next one does.
  if (taking === null || page === undefined) return { state, effects: [] };
  // What a newer version has overtaken is not said any more.
  const entries = page.value.entries.filter((one) => roster[one.x500Name]?.leaf === leafOf(one));
  const notices = noticesOf(groupId, entries, networks);
  const listed = [...taking.listed, ...notices];
  const pages = withoutFirst(taking.pages);
  const records = entries.map((one) => memberRecord(memberOf(groupId, one)));
  const locals = localsWith(state, notices, networks);
  if (pages.length === 0) return { state: { ...state, locals, taking: null }, effects: [...records, ...listedRecords(listed, version)] };
  return { state: { ...state, locals, taking: { pages, listed, dueAt: Math.max(now, taking.dueAt + 1) } }, effects: records };
};

// ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type PagesKept = { readonly itemsAdded: readonly StoredItem<ListPage>[]; readonly itemsRemoved: readonly number[] };

const rangesOf = ({ taking, staging }: ListState): readonly PageRange[] => [...(taking?.pages ?? []), ...(staging === null ? [] : [staging.pages])];

const positionsOf = (state: ListState | undefined): ReadonlySet<number> =>
  new Set((state === undefined ? [] : rangesOf(state)).flatMap(({ from, to }) => Array.from({ length: to - from }, (_, n) => from + n)));

/** Pages that the state still speaks of stay; all others go. */
export const keptPages = (before: ListState | undefined, after: ListState | undefined, added: readonly StoredItem<ListPage>[]): PagesKept => {
  const wanted = positionsOf(after);
  return { itemsAdded: added.filter(({ position }) => wanted.has(position)), itemsRemoved: [...positionsOf(before)].filter((position) => !wanted.has(position)) };
};
