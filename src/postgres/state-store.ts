/**
 * Machines' states in PostgreSQL (tables: `tables.ts`). A save is one statement: one round trip, one transaction, one flush of
 * the log, whatever the number of keys.
 *
 * Races: an update waits for a concurrent one and then looks at the version again; an insert of a key that another replica
 * is inserting waits, then does nothing. Either way the loser's key is not returned, which is a conflict. Rows are offered in
 * order of key, so that two replicas with the same keys rarely wait for each other crosswise (if so, DATABASE_CONFLICT).
 */
import type { StateChange, StateStore, StoredState } from '../shell/store.ts';
import type { StoredItem } from '../shell/worker.ts';
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Database } from './database.ts';
import { pushRows, rowsMax, schemaName, sizeFor, textArray, valuesText, type Parameter } from './statement.ts';

export type PostgresStoreOptions = { readonly database: Database; readonly schema: string };

type StateRow = { key: string; version: string; head: string | null; handled: string; owed: string; due_at: string | null };
type ItemRow = { key: string; position: string; value: string };

/** Bounds of one save's statement: keys, and UTF-16 code units of all its texts together. */
const changesPerSaveMax = 1_024;
const charsPerSaveMax = 32_000_000;

const changeTypes = ['text', 'bigint', 'text', 'text', 'text', 'bigint', 'text', 'text'] as const;
const addedTypes = ['text', 'bigint', 'text'] as const;
const removedTypes = ['text', 'bigint'] as const;

const stateOf = ({ key, version, head, handled, owed, due_at }: StateRow): StoredState => ({
  key,
  version: Number(version),
  head: head === null ? null : JSON.parse(head),
  // Written below from values of these types.
  handled: JSON.parse(handled) as Record<string, number>,
  owed: JSON.parse(owed) as OutRecord[],
  dueAt: due_at === null ? null : Number(due_at),
});

/** A save's changes as cells. */
type Cells = { readonly changes: Parameter[][]; readonly added: Parameter[][]; readonly removed: Parameter[][]; readonly removesKeys: boolean };

const cellsOf = (changes: readonly StateChange[]): Cells => {
  const cells: Cells = {
    changes: [],
    added: [],
    removed: [],
    removesKeys: changes.some(({ head }) => head === null),
  };
  for (const { key, versionBefore, head, handled, owed, itemsAdded, itemsRemoved, dueAt, scope, status } of changes) {
    const headText = head === null ? null : JSON.stringify(head);
    const owedText = owed.length === 0 ? '[]' : JSON.stringify(owed);
    cells.changes.push([key, versionBefore, headText, JSON.stringify(handled), owedText, dueAt, scope, status]);
    for (const { position, value } of itemsAdded) cells.added.push([key, position, JSON.stringify(value)]);
    for (const position of itemsRemoved) cells.removed.push([key, position]);
  }
  return cells;
};

/** Which lists a statement has, and how long they are; 0 where there is none. */
type Shape = { readonly changes: number; readonly added: number; readonly removed: number; readonly removesKeys: boolean };

/** Not a plain `in`, which would become a nested loop over both lists; this is looked up in a hash table. */
const isAmong = (key: string, keys: string): string => `coalesce(${key} in (select key from ${keys}), false)`;

const saveText = (schema: string, { changes, added, removed, removesKeys }: Shape): string => {
  let next = 1;
  const list = (types: readonly string[], rows: number): string => {
    const text = valuesText(types, rows, next);
    next += types.length * rows;
    return text;
  };
  const parts = [
    `change (key, version_before, head, handled, owed, due_at, scope, status) as (values ${list(changeTypes, changes)})`,
    `updated as (
      update ${schema}.state as s
      set version = s.version + 1, head = c.head, handled = c.handled, owed = c.owed, due_at = c.due_at, scope = c.scope, status = c.status, updated_at = now()
      from change as c where s.key = c.key and s.version = c.version_before
      returning s.key, s.head is null as removed)`,
    `inserted as (
      insert into ${schema}.state (key, version, head, handled, owed, due_at, scope, status)
      select key, 1, head, handled, owed, due_at, scope, status from change where version_before = 0
      on conflict (key) do nothing
      returning key, head is null as removed)`,
    `saved as (select key, removed from updated union all select key, removed from inserted)`,
  ];
  if (added > 0) {
    parts.push(
      `added (key, position, value) as (values ${list(addedTypes, added)})`,
      `put as (
        insert into ${schema}.item (key, position, value)
        select key, position, value from added where ${isAmong('key', 'saved')}
        on conflict (key, position) do update set value = excluded.value)`,
    );
  }
  if (removed > 0) {
    parts.push(
      `removed (key, position) as (values ${list(removedTypes, removed)})`,
      `cut as (
        delete from ${schema}.item as i using removed as r
        where i.key = r.key and i.position = r.position and ${isAmong('r.key', 'saved where not removed')})`,
    );
  }
  if (removesKeys) parts.push(`emptied as (delete from ${schema}.item as i using saved as d where i.key = d.key and d.removed)`);
  return `with ${parts.join(',\n')}\nselect key from saved`;
};

const charsOf = ({ changes, added }: Cells): number => {
  let chars = 0;
  for (const row of [...changes, ...added]) for (const cell of row) if (typeof cell === 'string') chars += cell.length;
  return chars;
};

const fits = (changes: readonly StateChange[], cells: Cells): boolean =>
  changes.length <= 1 ||
  (changes.length <= changesPerSaveMax && cells.added.length <= rowsMax && cells.removed.length <= rowsMax && charsOf(cells) <= charsPerSaveMax);

const inOrder = (changes: readonly StateChange[]): readonly StateChange[] =>
  changes.toSorted((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));

export const createPostgresStateStore = ({ database, schema: schemaText }: PostgresStoreOptions): StateStore => {
  const schema = schemaName(schemaText);
  /** The same text object for the same shape: the library looks prepared statements up by it. */
  const texts = new Map<string, string>();
  const textFor = (shape: Shape): string => {
    const id = `${shape.changes}/${shape.added}/${shape.removed}/${shape.removesKeys}`;
    let text = texts.get(id);
    if (text === undefined) texts.set(id, (text = saveText(schema, shape)));
    return text;
  };
  const query = async <Row extends object>(text: string, parameters: readonly Parameter[]): Promise<readonly Row[]> =>
    // The columns of each statement are those of its row type.
    (await database.byKey(text, parameters)) as readonly Row[];

  const saveCells = async (cells: Cells): Promise<string[]> => {
    const sizeOf = (rows: readonly unknown[]): number => (rows.length === 0 ? 0 : sizeFor(rows.length));
    const shape: Shape = {
      changes: sizeOf(cells.changes),
      added: sizeOf(cells.added),
      removed: sizeOf(cells.removed),
      removesKeys: cells.removesKeys,
    };
    const parameters: Parameter[] = [];
    pushRows(parameters, cells.changes, changeTypes.length, shape.changes);
    pushRows(parameters, cells.added, addedTypes.length, shape.added);
    pushRows(parameters, cells.removed, removedTypes.length, shape.removed);
    const rows = await query<{ key: string }>(textFor(shape), parameters);
    return rows.map(({ key }) => key);
  };
  /** What is too large for one statement goes in halves: each key is still saved in one piece. */
  const save = async (changes: readonly StateChange[]): Promise<string[]> => {
    if (changes.length === 0) return [];
    const cells = cellsOf(changes);
    if (fits(changes, cells)) return saveCells(cells);
    const middle = changes.length >> 1;
    return [...(await save(changes.slice(0, middle))), ...(await save(changes.slice(middle)))];
  };

  const columns = 'key, version, head, handled, owed, due_at';
  const byScope = `select ${columns} from ${schema}.state where head is not null and scope = $1`;
  return {
    load: async (keys) => {
      const rows = await query<StateRow>(`select ${columns} from ${schema}.state where key = any($1::text[])`, [textArray(keys)]);
      return rows.map(stateOf);
    },
    loadItems: async (keys) => {
      const items = new Map<string, StoredItem<unknown>[]>(keys.map((key) => [key, []]));
      const text = `select key, position, value from ${schema}.item where key = any($1::text[]) order by key, position`;
      for (const { key, position, value } of await query<ItemRow>(text, [textArray(keys)])) {
        items.get(key)?.push({ position: Number(position), value: JSON.parse(value) });
      }
      return items;
    },
    save: async (changes) => new Set(await save(inOrder(changes))),
    due: async (now, countMax) => {
      const text = `select key, due_at from ${schema}.state where due_at is not null order by due_at, key limit $1`;
      const rows = await query<{ key: string; due_at: string }>(text, [countMax + 1]);
      const timed = rows.map(({ key, due_at }) => ({ key, dueAt: Number(due_at) }));
      const keys = timed.filter(({ dueAt }) => dueAt <= now).slice(0, countMax);
      return { keys, nextDueAt: timed[keys.length]?.dueAt ?? null };
    },
    list: async ({ scope, status, countMax }) => {
      const rows =
        status === undefined
          ? await query<StateRow>(`${byScope} order by updated_at desc limit $2`, [scope, countMax])
          : await query<StateRow>(`${byScope} and status = $2 order by updated_at desc limit $3`, [scope, status, countMax]);
      return rows.map(stateOf);
    },
    sweep: async (before, countMax) => {
      const old = `select key from ${schema}.state where head is null and updated_at < to_timestamp($1::float8 / 1000) order by updated_at limit $2`;
      // Checked again: a key may have been born anew in between.
      const text = `delete from ${schema}.state where head is null and key in (${old}) returning 1`;
      return (await query(text, [before, countMax])).length;
    },
  };
};
