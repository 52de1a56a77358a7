/**
 * Machines' states in PostgreSQL (tables: `tables.ts`). A save is one statement: one round trip, one transaction, one flush of
 * the log, whatever the number of keys.
 *
 * Races: an update waits for a concurrent one and then looks at the version again; an insert of a key that another replica
 * is inserting waits, then does nothing. Either way the loser's key is not returned, which is a conflict. Rows are offered in
 * order of key, so that two replicas with the same keys rarely wait for each other crosswise (if so, DATABASE_CONFLICT).
 */
import type { StateChange, StateStore, StoredState } from '../shell/store.ts';
import type { Database } from './database.ts';
import { createItemReader } from './items.ts';
import { isInTheWay, type PostgresJoint } from './joint.ts';
import { readOwed, writeOwed } from './owed.ts';
import { jsonArraySql, jsonColumn, numberArray, rowsMax, schemaName, textArray, type Parameter } from './statement.ts';
import { createTails, noTail, placeItems, type Item, type Place, type Placed, type Tail, type Tails } from './tails.ts';

export type PostgresStoreOptions = { readonly database: Database; readonly schema: string };

type StateRow = { key: string; version: string; head: string | null; handled: string; owed: string; due_at: string | null };
type TailRow = { key: string; tail: string; items_apart: boolean };

/** Bounds of one save's statement: keys, and UTF-16 code units of all its texts together. */
const changesPerSaveMax = 1_024;
const charsPerSaveMax = 32_000_000;

const stateOf = ({ key, version, head, handled, owed, due_at }: StateRow): StoredState => ({
  key,
  version: Number(version),
  head: head === null ? null : JSON.parse(head),
  // Written below from values of this type.
  handled: JSON.parse(handled) as Record<string, number>,
  owed: readOwed(owed),
  dueAt: due_at === null ? null : Number(due_at),
});

type ListFilter = Parameters<StateStore['list']>[0];

/** A save's changes with their JSON texts. */
type Texts = {
  readonly changes: readonly StateChange[];
  readonly heads: readonly string[];
  readonly handled: readonly string[];
  readonly owed: readonly string[];
  readonly placed: readonly Placed[];
  readonly added: readonly Item[];
  readonly removed: readonly Place[];
  /** Whether items of a removed key are in the table. */
  readonly empties: boolean;
};

/** A change, and the tail that it finds. */
type Known = { readonly change: StateChange; readonly tail: Tail };

const textsOf = (known: readonly Known[]): Texts => {
  const changes = known.map(({ change }) => change);
  const placed = known.map(({ change, tail }) => placeItems(tail, change));
  return {
    changes,
    // A head of `null` is written as NULL.
    heads: changes.map(({ head }) => JSON.stringify(head)),
    handled: changes.map(({ handled }) => JSON.stringify(handled)),
    owed: changes.map(({ owed }) => writeOwed(owed)),
    placed,
    added: placed.flatMap(({ added }) => added),
    removed: placed.flatMap(({ cut }) => cut),
    empties: known.some(({ change, tail }) => change.head === null && tail.apart),
  };
};

const charsOf = ({ heads, handled, owed, placed, added }: Texts): number => {
  let chars = 0;
  for (const { text } of placed) chars += text.length;
  for (const texts of [heads, handled, owed]) for (const text of texts) chars += text.length;
  for (const { text } of added) chars += text.length;
  return chars;
};

const fits = (texts: Texts): boolean =>
  texts.changes.length <= 1 ||
  (texts.changes.length <= changesPerSaveMax && texts.added.length <= rowsMax && texts.removed.length <= rowsMax && charsOf(texts) <= charsPerSaveMax);

/** Which parts a statement has; the others would cost a little each time. */
type Shape = { readonly creates: boolean; readonly updates: boolean; readonly adds: boolean; readonly cuts: boolean; readonly empties: boolean };

const shapeOf = ({ changes, added, removed, empties }: Texts): Shape => ({
  creates: changes.some(({ versionBefore }) => versionBefore === 0),
  updates: changes.some(({ versionBefore }) => versionBefore > 0),
  adds: added.length > 0,
  cuts: removed.length > 0,
  empties,
});

const parametersOf = ({ changes, heads, handled, owed, placed, added, removed }: Texts): Parameter[] => {
  const parameters: Parameter[] = [
    textArray(changes.map(({ key }) => key)),
    numberArray(changes.map(({ versionBefore }) => versionBefore)),
    jsonColumn(heads),
    jsonColumn(handled),
    jsonColumn(owed),
    numberArray(changes.map(({ dueAt }) => dueAt)),
    textArray(changes.map(({ scope }) => scope)),
    textArray(changes.map(({ status }) => status ?? '')),
    jsonColumn(placed.map(({ text }) => text)),
    textArray(placed.map(({ appends }) => String(appends))),
    textArray(placed.map(({ tail }) => String(tail.apart))),
  ];
  if (added.length > 0) {
    parameters.push(textArray(added.map(({ key }) => key)), numberArray(added.map(({ position }) => position)), jsonColumn(added.map(({ text }) => text)));
  }
  if (removed.length > 0) parameters.push(textArray(removed.map(({ key }) => key)), numberArray(removed.map(({ position }) => position)));
  return parameters;
};

/** Not a plain `in`, which would become a nested loop over both lists; this is looked up in a hash table. */
const isAmong = (key: string, keys: string): string => `coalesce(${key} in (select key from ${keys}), false)`;

// Columns with an index keep their values where they can: then only the row is written, and no index.
const updatePart = (schema: string): string => `updated as (
  update ${schema}.state as s
  set version = s.version + 1, head = c.head, handled = c.handled, owed = c.owed, due_at = c.due_at, scope = c.scope, status = c.status,
    tail = case when c.appends then s.tail else '' end || coalesce(c.tail, ''), items_apart = c.items_apart,
    born_at = case when s.removed_at is null or c.head is null then s.born_at else clock_timestamp() end,
    removed_at = case when c.head is null then clock_timestamp() end
  from change as c where c.version_before > 0 and s.key = c.key and s.version = c.version_before
  returning s.key, s.head is null as removed)`;

const createPart = (schema: string): string => `inserted as (
  insert into ${schema}.state (key, version, head, handled, owed, due_at, scope, status, born_at, removed_at, tail, items_apart)
  select key, 1, head, handled, owed, due_at, scope, status, clock_timestamp(), case when head is null then clock_timestamp() end, coalesce(tail, ''), items_apart
  from change where version_before = 0
  on conflict (key) do nothing
  returning key, head is null as removed)`;

/** The expression of joint work, and the parameter that says how many states are to be saved. */
type JointText = { readonly text: string; readonly countAt: number };

/**
 * The parameters stand in the order of `parametersOf`. Most saves either create or update: a statement with one of both reads its rows once,
 * and does not copy them for the other.
 */
const saveText = (schema: string, { creates, updates, adds, cuts, empties }: Shape, joint?: JointText): string => {
  const saved = [...(updates ? ['updated'] : []), ...(creates ? ['inserted'] : [])];
  const parts = [
    ...(joint === undefined ? [] : [`joint (done) as materialized (select ${joint.text})`]),
    `change (key, version_before, head, handled, owed, due_at, scope, status, tail, appends, items_apart) as (
      select * from unnest($1::text[], $2::bigint[], ${jsonArraySql(3)}, ${jsonArraySql(4)}, ${jsonArraySql(5)}, $6::bigint[], $7::text[], $8::text[], ${jsonArraySql(9)}, $10::boolean[], $11::boolean[])
      ${joint === undefined ? '' : 'where (select done from joint)'})`,
    ...(updates ? [updatePart(schema)] : []),
    ...(creates ? [createPart(schema)] : []),
    `saved as (${saved.map((part) => `select key, removed from ${part}`).join(' union all ')})`,
  ];
  if (adds) {
    parts.push(
      `added (key, position, value) as (select * from unnest($12::text[], $13::bigint[], ${jsonArraySql(14)}))`,
      `put as (
        insert into ${schema}.item (key, position, value)
        select key, position, coalesce(value, 'null') from added where ${isAmong('key', 'saved')}
        on conflict (key, position) do update set value = excluded.value)`,
    );
  }
  if (cuts) {
    const next = adds ? 15 : 12;
    parts.push(
      `removed (key, position) as (select * from unnest($${next}::text[], $${next + 1}::bigint[]))`,
      `cut as (
        delete from ${schema}.item as i using removed as r
        where i.key = r.key and i.position = r.position and ${isAmong('r.key', 'saved where not removed')})`,
    );
  }
  if (empties) parts.push(`emptied as (delete from ${schema}.item as i using saved as d where i.key = d.key and d.removed)`);
  // A division by zero where not all are saved: it takes back what was done jointly.
  const result = joint === undefined ? 'key from saved' : `1 / (count(*) = $${joint.countAt})::integer from saved`;
  return `with ${parts.join(',\n')}\nselect ${result}`;
};

const inOrder = (changes: readonly StateChange[]): readonly StateChange[] =>
  changes.toSorted((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));

type Query = <Row extends object>(text: string, parameters: readonly Parameter[]) => Promise<readonly Row[]>;

const tailOf = ({ tail: text, items_apart: apart }: TailRow): Tail => ({ text, apart });

type Saver = {
  /** Saves changes and returns the keys of those whose version stood. */
  save(changes: readonly StateChange[]): Promise<string[]>;
  /** Saves all of them with joint work, or nothing and gives false. */
  saveWith(changes: readonly StateChange[], joint: PostgresJoint): Promise<boolean>;
};

const createSaver = (query: Query, schema: string, tails: Tails): Saver => {
  /** The same text object for the same shape: the library looks prepared statements up by it. */
  const texts = new Map<string, string>();
  const textFor = (shape: Shape, joint?: JointText): string => {
    const id = `${Object.values(shape).join('/')}${joint?.text ?? ''}`;
    let text = texts.get(id);
    if (text === undefined) texts.set(id, (text = saveText(schema, shape, joint)));
    return text;
  };
  /** Finds the tails, and reads those that are not remembered. What stands at another version than the change names conflicts, whatever its tail is. */
  const learn = async (changes: readonly StateChange[]): Promise<readonly Known[]> => {
    const recalled = changes.map(({ key, versionBefore }) => (versionBefore === 0 ? noTail : tails.recall(key, versionBefore)));
    const unknown = changes.filter((_, i) => recalled[i] === undefined).map(({ key }) => key);
    const rows = unknown.length === 0 ? [] : await query<TailRow>(`select key, tail, items_apart from ${schema}.state where key = any($1::text[])`, [textArray(unknown)]);
    const read = new Map(rows.map((row) => [row.key, tailOf(row)]));
    return changes.map((change, i) => ({ change, tail: recalled[i] ?? read.get(change.key) ?? noTail }));
  };
  const keepTails = ({ changes, placed }: Texts, saved: ReadonlySet<string>): void =>
    changes.forEach(({ key, versionBefore, rests }, i) => {
      if (rests === true) tails.forget(key);
      else if (saved.has(key)) tails.remember(key, versionBefore + 1, placed[i]!.tail);
    });
  const write = async (made: Texts): Promise<string[]> => {
    const rows = await query<{ key: string }>(textFor(shapeOf(made)), parametersOf(made));
    const saved = new Set(rows.map(({ key }) => key));
    keepTails(made, saved);
    return [...saved];
  };
  /** What is too large for one statement goes in halves: each key is still saved in one piece. */
  const save = async (known: readonly Known[]): Promise<string[]> => {
    if (known.length === 0) return [];
    const made = textsOf(known);
    if (fits(made)) return write(made);
    const middle = known.length >> 1;
    return [...(await save(known.slice(0, middle))), ...(await save(known.slice(middle)))];
  };
  const writeWith = async (made: Texts, { statement, write: work }: PostgresJoint): Promise<void> => {
    const parameters = parametersOf(made);
    const joint = { text: statement.textFrom(parameters.length + 1), countAt: 0 };
    parameters.push(...statement.parametersOf(work));
    parameters.push(made.changes.length);
    await query(textFor(shapeOf(made), { ...joint, countAt: parameters.length }), parameters);
    keepTails(made, new Set(made.changes.map(({ key }) => key)));
  };
  return {
    save: async (changes) => save(await learn(inOrder(changes))),
    saveWith: async (changes, joint) => {
      const made = textsOf(await learn(inOrder(changes)));
      if (!fits(made)) return false;
      try {
        await writeWith(made, joint);
        return true;
      } catch (error) {
        if (isInTheWay(error)) return false;
        throw error;
      }
    },
  };
};

const columns = 'key, version, head, handled, owed, due_at';

/** The statements of lists. */
const createListTexts = (schema: string): ((filter: ListFilter) => string) => {
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
  return ({ status, after }) =>
    status === undefined ? (after === undefined ? lists.newest : lists.newestBehind) : after === undefined ? lists.ofStatus : lists.ofStatusBehind;
};

export const createPostgresStateStore = ({ database, schema: schemaText }: PostgresStoreOptions): StateStore => {
  const schema = schemaName(schemaText);
  const query = async <Row extends object>(text: string, parameters: readonly Parameter[]): Promise<readonly Row[]> =>
    // The columns of each statement are those of its row type.
    (await database.byKey(text, parameters)) as readonly Row[];

  const tails = createTails();
  const saver = createSaver(query, schema, tails);
  const listText = createListTexts(schema);

  return {
    load: async (keys) => {
      const rows = await query<StateRow & TailRow>(`select ${columns}, tail, items_apart from ${schema}.state where key = any($1::text[])`, [textArray(keys)]);
      for (const row of rows) tails.remember(row.key, Number(row.version), tailOf(row));
      return rows.map(stateOf);
    },
    loadItems: createItemReader(query, schema),
    save: async (changes) => new Set(await saver.save(changes)),
    saveWith: async (changes, { joint }) => {
      // Made by a store of answers of this module.
      const work = joint as PostgresJoint;
      if (work.database !== database) throw new Error('joint work is of another database than the states that it is saved with');
      return saver.saveWith(changes, work);
    },
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
