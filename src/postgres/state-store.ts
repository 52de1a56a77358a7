/**
 * Machines' states in PostgreSQL (tables: `tables.ts`). A save is one statement: one round trip, one transaction, one flush of
 * the log, whatever the number of keys.
 *
 * Races: an update waits for a concurrent one and then looks at the version again; an insert of a key that another replica
 * is inserting waits, then does nothing. Either way the loser's key is not returned, which is a conflict. Rows are offered in
 * order of key, so that two replicas with the same keys rarely wait for each other crosswise (if so, DATABASE_CONFLICT).
 */
import type { KeyRange, StateChange, StateStore, StoredState } from '../shell/store.ts';
import type { StoredItem } from '../shell/worker.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Database } from './database.ts';
import { jsonArraySql, jsonColumn, numberArray, rowsMax, schemaName, textArray, type Parameter } from './statement.ts';

export type PostgresStoreOptions = { readonly database: Database; readonly schema: string };

type StateRow = { key: string; version: string; head: string | null; handled: string; owed: string; due_at: string | null };
type ItemRow = { key: string; position: string; value: string };

/** Bounds of one save's statement: keys, and UTF-16 code units of all its texts together. */
const changesPerSaveMax = 1_024;
const charsPerSaveMax = 32_000_000;

const stateOf = ({ key, version, head, handled, owed, due_at }: StateRow): StoredState => ({
  key,
  version: Number(version),
  head: head === null ? null : JSON.parse(head),
  // Written below from values of these types.
  handled: JSON.parse(handled) as Record<string, number>,
  owed: JSON.parse(owed) as OutRecord[],
  dueAt: due_at === null ? null : Number(due_at),
});

type Item = { readonly key: string; readonly position: number; readonly text: string };
type Place = Omit<Item, 'text'>;

/** A save's changes with their JSON texts. */
type Texts = {
  readonly changes: readonly StateChange[];
  readonly heads: readonly string[];
  readonly handled: readonly string[];
  readonly owed: readonly string[];
  readonly added: readonly Item[];
  readonly removed: readonly Place[];
};

const textsOf = (changes: readonly StateChange[]): Texts => ({
  changes,
  // A head of `null` is written as NULL.
  heads: changes.map(({ head }) => JSON.stringify(head)),
  handled: changes.map(({ handled }) => JSON.stringify(handled)),
  owed: changes.map(({ owed }) => (owed.length === 0 ? '[]' : JSON.stringify(owed))),
  added: changes.flatMap(({ key, itemsAdded }) => itemsAdded.map(({ position, value }) => ({ key, position, text: JSON.stringify(value) }))),
  removed: changes.flatMap(({ key, itemsRemoved }) => itemsRemoved.map((position) => ({ key, position }))),
});

const charsOf = ({ heads, handled, owed, added }: Texts): number => {
  let chars = 0;
  for (const texts of [heads, handled, owed]) for (const text of texts) chars += text.length;
  for (const { text } of added) chars += text.length;
  return chars;
};

const fits = (texts: Texts): boolean =>
  texts.changes.length <= 1 ||
  (texts.changes.length <= changesPerSaveMax && texts.added.length <= rowsMax && texts.removed.length <= rowsMax && charsOf(texts) <= charsPerSaveMax);

/** Which parts a statement has; the others would cost a little each time. */
type Shape = { readonly adds: boolean; readonly cuts: boolean; readonly removesKeys: boolean };

const shapeOf = ({ changes, added, removed }: Texts): Shape => ({
  adds: added.length > 0,
  cuts: removed.length > 0,
  removesKeys: changes.some(({ head }) => head === null),
});

const parametersOf = ({ changes, heads, handled, owed, added, removed }: Texts): Parameter[] => {
  const parameters: Parameter[] = [
    textArray(changes.map(({ key }) => key)),
    numberArray(changes.map(({ versionBefore }) => versionBefore)),
    jsonColumn(heads),
    jsonColumn(handled),
    jsonColumn(owed),
    numberArray(changes.map(({ dueAt }) => dueAt)),
    textArray(changes.map(({ scope }) => scope)),
    textArray(changes.map(({ status }) => status ?? '')),
  ];
  if (added.length > 0) {
    parameters.push(textArray(added.map(({ key }) => key)), numberArray(added.map(({ position }) => position)), jsonColumn(added.map(({ text }) => text)));
  }
  if (removed.length > 0) parameters.push(textArray(removed.map(({ key }) => key)), numberArray(removed.map(({ position }) => position)));
  return parameters;
};

/** Not a plain `in`, which would become a nested loop over both lists; this is looked up in a hash table. */
const isAmong = (key: string, keys: string): string => `coalesce(${key} in (select key from ${keys}), false)`;

/** The parameters stand in the order of `parametersOf`. */
const saveText = (schema: string, { adds, cuts, removesKeys }: Shape): string => {
  const parts = [
    `change (key, version_before, head, handled, owed, due_at, scope, status) as (
      select * from unnest($1::text[], $2::bigint[], ${jsonArraySql(3)}, ${jsonArraySql(4)}, ${jsonArraySql(5)}, $6::bigint[], $7::text[], $8::text[]))`,
    // Columns with an index keep their values where they can: then only the row is written, and no index.
    `updated as (
      update ${schema}.state as s
      set version = s.version + 1, head = c.head, handled = c.handled, owed = c.owed, due_at = c.due_at, scope = c.scope, status = c.status,
        born_at = case when s.removed_at is null or c.head is null then s.born_at else clock_timestamp() end,
        removed_at = case when c.head is null then clock_timestamp() end
      from change as c where c.version_before > 0 and s.key = c.key and s.version = c.version_before
      returning s.key, s.head is null as removed)`,
    `inserted as (
      insert into ${schema}.state (key, version, head, handled, owed, due_at, scope, status, born_at, removed_at)
      select key, 1, head, handled, owed, due_at, scope, status, clock_timestamp(), case when head is null then clock_timestamp() end
      from change where version_before = 0
      on conflict (key) do nothing
      returning key, head is null as removed)`,
    `saved as (select key, removed from updated union all select key, removed from inserted)`,
  ];
  if (adds) {
    parts.push(
      `added (key, position, value) as (select * from unnest($9::text[], $10::bigint[], ${jsonArraySql(11)}))`,
      `put as (
        insert into ${schema}.item (key, position, value)
        select key, position, coalesce(value, 'null') from added where ${isAmong('key', 'saved')}
        on conflict (key, position) do update set value = excluded.value)`,
    );
  }
  if (cuts) {
    const next = adds ? 12 : 9;
    parts.push(
      `removed (key, position) as (select * from unnest($${next}::text[], $${next + 1}::bigint[]))`,
      `cut as (
        delete from ${schema}.item as i using removed as r
        where i.key = r.key and i.position = r.position and ${isAmong('r.key', 'saved where not removed')})`,
    );
  }
  if (removesKeys) parts.push(`emptied as (delete from ${schema}.item as i using saved as d where i.key = d.key and d.removed)`);
  return `with ${parts.join(',\n')}\nselect key from saved`;
};

const inOrder = (changes: readonly StateChange[]): readonly StateChange[] =>
  changes.toSorted((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));

type Query = <Row extends object>(text: string, parameters: readonly Parameter[]) => Promise<readonly Row[]>;

/** Reads items, all of a key or a range of them. */
const createItemReader = (query: Query, schema: string): StateStore['loadItems'] => {
  const loadWhole = async (keys: readonly string[]): Promise<readonly ItemRow[]> => {
    if (keys.length === 0) return [];
    return query(`select key, position, value from ${schema}.item where key = any($1::text[]) order by key, position`, [textArray(keys)]);
  };
  // The length of a value that lies out of line is known without reading it.
  const rangesText = `
    select r.key, i.position, i.value
    from unnest($1::text[], $2::text[]::bigint[], $3::text[]::bigint[], $4::text[]::bigint[]) as r (key, after, count_max, bytes_max)
    cross join lateral (
      select p.position, p.value, sum(octet_length(p.value)) over (order by p.position) - octet_length(p.value) as bytes_before
      from (select position, value from ${schema}.item where key = r.key and position > r.after order by position limit r.count_max) as p
    ) as i
    where i.bytes_before < r.bytes_max
    order by r.key, i.position`;
  const loadRanges = async (ranges: readonly KeyRange[]): Promise<readonly ItemRow[]> => {
    if (ranges.length === 0) return [];
    const column = (cell: (range: KeyRange) => number): Parameter => textArray(ranges.map((range) => String(cell(range))));
    return query(rangesText, [
      textArray(ranges.map(({ key }) => key)),
      column(({ after }) => after),
      column(({ countMax }) => countMax),
      column(({ bytesMax }) => bytesMax),
    ]);
  };
  return async (wanted) => {
    const whole = wanted.filter((one) => typeof one === 'string');
    const ranges = wanted.filter((one) => typeof one !== 'string');
    const items = new Map<string, StoredItem<unknown>[]>([...whole, ...ranges.map(({ key }) => key)].map((key) => [key, []]));
    for (const { key, position, value } of [...(await loadWhole(whole)), ...(await loadRanges(ranges))]) {
      const known = items.get(key)!;
      // Ranges of one key may overlap; their rows come in order.
      if (known.at(-1)?.position !== Number(position)) known.push({ position: Number(position), value: JSON.parse(value) });
    }
    return items;
  };
};

export const createPostgresStateStore = ({ database, schema: schemaText }: PostgresStoreOptions): StateStore => {
  const schema = schemaName(schemaText);
  /** The same text object for the same shape: the library looks prepared statements up by it. */
  const texts = new Map<string, string>();
  const textFor = (shape: Shape): string => {
    const id = `${shape.adds}/${shape.cuts}/${shape.removesKeys}`;
    let text = texts.get(id);
    if (text === undefined) texts.set(id, (text = saveText(schema, shape)));
    return text;
  };
  const query = async <Row extends object>(text: string, parameters: readonly Parameter[]): Promise<readonly Row[]> =>
    // The columns of each statement are those of its row type.
    (await database.byKey(text, parameters)) as readonly Row[];

  /** What is too large for one statement goes in halves: each key is still saved in one piece. */
  const save = async (changes: readonly StateChange[]): Promise<string[]> => {
    if (changes.length === 0) return [];
    const made = textsOf(changes);
    if (fits(made)) {
      const rows = await query<{ key: string }>(textFor(shapeOf(made)), parametersOf(made));
      return rows.map(({ key }) => key);
    }
    const middle = changes.length >> 1;
    return [...(await save(changes.slice(0, middle))), ...(await save(changes.slice(middle)))];
  };

  const columns = 'key, version, head, handled, owed, due_at';
  /** Those born behind the key of a parameter; of those born in one microsecond, the keys before it. */
  const behind = (key: string): string => {
    const born = `(select born_at from ${schema}.state where key = ${key})`;
    return `and born_at <= ${born} and (born_at < ${born} or key < ${key})`;
  };
  const page = (status: string, more = ''): string =>
    `select ${columns}, born_at from ${schema}.state where scope = $1 and status = ${status} and removed_at is null ${more} order by born_at desc, key desc limit $2`;
  // One index serves both lists: the words of a scope are few, so they are stepped through, and a page of each is merged.
  const word = (after: string): string => `(select status from ${schema}.state where scope = $1 ${after} order by status limit 1)`;
  const everyStatus = (more = ''): string => `with recursive word (status) as (
      ${word('')} union all select ${word('and status > word.status')} from word where word.status is not null)
    select page.* from word cross join lateral (${page('word.status', more)}) as page order by born_at desc, key desc limit $2`;
  const lists = { newest: everyStatus(), newestBehind: everyStatus(behind('$3')), ofStatus: page('$3'), ofStatusBehind: page('$3', behind('$4')) };
  type ListFilter = Parameters<StateStore['list']>[0];
  const listText = ({ status, after }: ListFilter): string =>
    status === undefined ? (after === undefined ? lists.newest : lists.newestBehind) : after === undefined ? lists.ofStatus : lists.ofStatusBehind;

  return {
    load: async (keys) => {
      const rows = await query<StateRow>(`select ${columns} from ${schema}.state where key = any($1::text[])`, [textArray(keys)]);
      return rows.map(stateOf);
    },
    loadItems: createItemReader(query, schema),
    save: async (changes) => new Set(await save(inOrder(changes))),
    due: async (now, countMax) => {
      const text = `select key, due_at from ${schema}.state where due_at is not null order by due_at, key limit $1`;
      const rows = await query<{ key: string; due_at: string }>(text, [countMax + 1]);
      const timed = rows.map(({ key, due_at }) => ({ key, dueAt: Number(due_at) }));
      const keys = timed.filter(({ dueAt }) => dueAt <= now).slice(0, countMax);
      return { keys, nextDueAt: timed[keys.length]?.dueAt ?? null };
    },
    list: async (filter) => {
      const { scope, countMax, status, after } = filter;
      const rows = await query<StateRow>(listText(filter), [scope, countMax, ...(status === undefined ? [] : [status]), ...(after === undefined ? [] : [after])]);
      return rows.map(stateOf);
    },
    sweep: async (before, countMax) => {
      const old = `select key from ${schema}.state where removed_at < to_timestamp($1::float8 / 1000) order by removed_at limit $2`;
      // Checked again: a key may have been born anew in between.
      const text = `delete from ${schema}.state where removed_at is not null and key in (${old}) returning 1`;
      return (await query(text, [before, countMax])).length;
    },
  };
};
