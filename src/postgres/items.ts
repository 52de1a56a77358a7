/** Reads the items of keys, all of them or ranges: those of the table, and those of the tails (`tails.ts`). */
import { utf8 } from '../cipher/bytes.ts';
import type { KeyRange, StateStore } from '../shell/store.ts';
import type { ItemRange, StoredItem } from '../shell/worker.ts';
import { textArray, type Parameter } from './statement.ts';
import { readTail } from './tails.ts';

type Query = <Row extends object>(text: string, parameters: readonly Parameter[]) => Promise<readonly Row[]>;

/** A row of the table of items; or, without a position, a tail. `of`: which of the keys or ranges asked for, from 1. */
type ItemRow = { readonly of: string; readonly position: string | null; readonly value: string };

type Found = { /** In order of position. */ readonly apart: StoredItem<unknown>[]; tail: readonly StoredItem<unknown>[] };

const gather = (rows: readonly ItemRow[], count: number): readonly Found[] => {
  const found = Array.from({ length: count }, (): Found => ({ apart: [], tail: [] }));
  for (const { of, position, value } of rows) {
    const one = found[Number(of) - 1]!;
    if (position === null) one.tail = readTail(value);
    else one.apart.push({ position: Number(position), value: JSON.parse(value) });
  }
  return found;
};

const inOrder = (items: readonly StoredItem<unknown>[]): StoredItem<unknown>[] => items.toSorted((one, other) => one.position - other.position);

/** T1: no position stands in both. */
const whole = ({ apart, tail }: Found): readonly StoredItem<unknown>[] => (tail.length === 0 ? apart : inOrder([...apart, ...tail]));

/** Both lists begin with the first items of the range, and the table's has as many as the range allows: so has the first part of both together. */
const ranged = ({ apart, tail }: Found, { after, countMax, bytesMax }: ItemRange): readonly StoredItem<unknown>[] => {
  const behind = tail.filter(({ position }) => position > after);
  if (behind.length === 0) return apart;
  let bytes = 0;
  const fits = ({ value }: StoredItem<unknown>): boolean => {
    const before = bytes;
    bytes += utf8(JSON.stringify(value)).length;
    return before < bytesMax;
  };
  return inOrder([...apart, ...behind]).slice(0, countMax).filter(fits);
};

export const createItemReader = (query: Query, schema: string): StateStore['loadItems'] => {
  const tails = `select k.of, null, s.tail from asked as k join ${schema}.state as s on s.key = k.key where s.tail <> ''`;
  const wholeText = `
    with asked (key, of) as (select * from unnest($1::text[]) with ordinality)
    select k.of, i.position, i.value from asked as k join ${schema}.item as i on i.key = k.key
    union all ${tails}
    order by 1, 2`;
  // The length of a value that lies out of line is known without reading it.
  const rangesText = `
    with asked (key, after, count_max, bytes_max, of) as (
      select * from unnest($1::text[], $2::text[]::bigint[], $3::text[]::bigint[], $4::text[]::bigint[]) with ordinality)
    select k.of, i.position, i.value
    from asked as k
    cross join lateral (
      select p.position, p.value, sum(octet_length(p.value)) over (order by p.position) - octet_length(p.value) as bytes_before
      from (select position, value from ${schema}.item where key = k.key and position > k.after order by position limit k.count_max) as p
    ) as i
    where i.bytes_before < k.bytes_max
    union all ${tails}
    order by 1, 2`;
  const loadWhole = async (keys: readonly string[]): Promise<readonly Found[]> =>
    keys.length === 0 ? [] : gather(await query<ItemRow>(wholeText, [textArray(keys)]), keys.length);
  const loadRanges = async (ranges: readonly KeyRange[]): Promise<readonly Found[]> => {
    if (ranges.length === 0) return [];
    const column = (cell: (range: KeyRange) => number): Parameter => textArray(ranges.map((range) => String(cell(range))));
    const parameters = [textArray(ranges.map(({ key }) => key)), column(({ after }) => after), column(({ countMax }) => countMax), column(({ bytesMax }) => bytesMax)];
    return gather(await query<ItemRow>(rangesText, parameters), ranges.length);
  };
  return async (wanted) => {
    const keys = [...new Set(wanted.filter((one) => typeof one === 'string'))];
    const ranges = wanted.filter((one) => typeof one !== 'string');
    const items = new Map<string, readonly StoredItem<unknown>[]>();
    (await loadWhole(keys)).forEach((found, i) => items.set(keys[i]!, whole(found)));
    (await loadRanges(ranges)).forEach((found, i) => {
      const range = ranges[i]!;
      const known = items.get(range.key) ?? [];
      // Ranges of one key may overlap.
      const more = ranged(found, range).filter(({ position }) => !known.some((one) => one.position === position));
      items.set(range.key, known.length === 0 ? more : inOrder([...known, ...more]));
    });
    return items;
  };
};
