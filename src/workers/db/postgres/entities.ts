/**
 * Entities in PostgreSQL: `vnode_vault_<short hash>.entity (entity, id, value json, version, updated_at)`, primary key
 * (entity, id), a GIN index on `value::jsonb`; see migrations/0005-virtual-node.sql.
 *
 * Statements run as the virtual node's own `dml` role and see no schema but its vault, so one text (and one prepared plan)
 * serves every virtual node, and a statement for one cannot touch another's rows.
 */
import { entityReplyCharsMax, statementCharsMax } from '../config.ts';
import type { EntityCall, EntityRepository, EntityResult } from '../db-tx.ts';
import { fitsReply, itemsThatFit, type Item } from '../entity-reply.ts';
import { planWaves, type PlannedCall, type Results } from './entity-waves.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { jsonColumn } from '../../../postgres/statement.ts';
import { isSearch, search, type Search } from './entity-search.ts';
import { clusterDoor, type VaultDoor } from './vault.ts';

type Operation = EntityCall['operation'];
type Persist = Extract<Operation, { type: 'persist' }>;
type Merge = Extract<Operation, { type: 'merge' }>;
type Remove = Extract<Operation, { type: 'remove' }>;
type Find = Extract<Operation, { type: 'find' }>;
type Query = Extract<Operation, { type: 'query' }>;
type Placed<Kind extends Operation> = { readonly position: number; readonly operation: Kind };

/** Cuts calls into statements of bounded size. */
const statementsOf = <Call extends Placed<Operation>>(calls: readonly Call[]): readonly (readonly Call[])[] => {
  const statements: Call[][] = [];
  let chars = Number.POSITIVE_INFINITY;
  for (const call of calls) {
    const length = 'items' in call.operation ? call.operation.items.reduce((sum, { json }) => sum + json.length, 0) : 0;
    if (chars + length > statementCharsMax) {
      statements.push([]);
      chars = 0;
    }
    chars += length;
    statements.at(-1)!.push(call);
  }
  return statements;
};

/** One row for each id that the calls name: columns for `unnest`. */
const idColumns = (calls: readonly Placed<Remove | Find>[]) => ({
  calls: calls.flatMap(({ position, operation }) => operation.ids.map(() => position)),
  entities: calls.flatMap(({ operation }) => operation.ids.map(() => operation.entity)),
  ids: calls.flatMap(({ operation }) => operation.ids),
});

const itemColumns = (calls: readonly Placed<Persist | Merge>[]) => ({
  entities: calls.flatMap(({ operation }) => operation.items.map(() => operation.entity)),
  ids: calls.flatMap(({ operation }) => operation.items.map(({ id }) => id)),
  values: jsonColumn(calls.flatMap(({ operation }) => operation.items.map(({ json }) => json))),
});

/** The texts of `jsonColumn`, as an array. */
const jsonArray = (sql: Sql, column: string) => sql`string_to_array(${column}::text, E'\\x1f')`;

// ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────────

const rowOf = (entity: string, id: string): string => `${entity}/${id}`;

/** A call whose ids are free is written whole; of a call that met a taken id, what was written beside it is taken back. */
const persist = async (sql: Sql, calls: readonly Placed<Persist>[], now: Date, results: Results): Promise<void> => {
  const columns = itemColumns(calls);
  const rows = await sql<{ entity: string; id: string }[]>`
    insert into entity (entity, id, value, updated_at)
    select entity, id, value::json, ${now}
    from unnest(${columns.entities}::text[], ${columns.ids}::text[], ${jsonArray(sql, columns.values)}) as given (entity, id, value)
    order by entity, id
    on conflict do nothing returning entity, id`;
  for (const { position, operation } of calls) results[position] = { type: 'done', reply: { items: operation.items } };
  if (rows.length < columns.ids.length) await takeBack(sql, calls, new Set(rows.map(({ entity, id }) => rowOf(entity, id))), results);
};

const takeBack = async (sql: Sql, calls: readonly Placed<Persist>[], written: ReadonlySet<string>, results: Results): Promise<void> => {
  const ours: { readonly entity: string; readonly id: string }[] = [];
  for (const { position, operation } of calls) {
    const { entity, items } = operation;
    const taken = items.find(({ id }) => !written.has(rowOf(entity, id)));
    if (taken === undefined) continue;
    results[position] = { type: 'exists', id: taken.id };
    for (const { id } of items) if (written.has(rowOf(entity, id))) ours.push({ entity, id });
  }
  if (ours.length === 0) return;
  await sql`
    delete from entity using unnest(${ours.map(({ entity }) => entity)}::text[], ${ours.map(({ id }) => id)}::text[]) as ours (entity, id)
    where entity.entity = ours.entity and entity.id = ours.id`;
};

const merge = async (sql: Sql, calls: readonly Placed<Merge>[], now: Date, results: Results): Promise<void> => {
  const columns = itemColumns(calls);
  await sql`
    insert into entity as kept (entity, id, value, updated_at)
    select entity, id, value::json, ${now}
    from unnest(${columns.entities}::text[], ${columns.ids}::text[], ${jsonArray(sql, columns.values)}) as given (entity, id, value)
    order by entity, id
    on conflict (entity, id) do update set value = excluded.value, version = kept.version + 1, updated_at = excluded.updated_at`;
  for (const { position, operation } of calls) results[position] = { type: 'done', reply: { items: operation.items } };
};

type ItemRow = { readonly call: number; readonly id: string; readonly json: string | null };

/** Gathers rows by call; a row without its JSON says that the whole would be too large. */
const gather = (calls: readonly Placed<Find | Remove>[], rows: readonly ItemRow[], results: Results): void => {
  const byCall = new Map<number, Item[]>(calls.map(({ position }) => [position, []]));
  const tooLarge = new Set<number>();
  for (const { call, id, json } of rows) {
    if (json === null) tooLarge.add(call);
    else byCall.get(call)!.push({ id, json });
  }
  for (const [position, items] of byCall) {
    results[position] = tooLarge.has(position) || !fitsReply(items) ? { type: 'too-large' } : { type: 'done', reply: { items } };
  }
};

const find = async (sql: Sql, calls: readonly Placed<Find | Remove>[], results: Results, lock = sql``): Promise<void> => {
  const columns = idColumns(calls);
  const rows = await sql<ItemRow[]>`
    with found as (
      select given.call, entity.id, entity.value::text as json
      from unnest(${columns.calls}::int[], ${columns.entities}::text[], ${columns.ids}::text[]) as given (call, entity, id)
      join entity using (entity, id)
      order by entity.entity, entity.id ${lock}
    ), sized as (
      select call, id, json, sum(length(json)) over (partition by call) as chars from found
    )
    select call, id, case when chars <= ${entityReplyCharsMax} then json end as json from sized`;
  gather(calls, rows, results);
};

/** Removes and answers what was there. What is too large to answer stays: so it is read, and locked, before it goes. */
const remove = async (sql: Sql, calls: readonly Placed<Remove>[], results: Results): Promise<void> => {
  await find(sql, calls, results, sql`for update of entity`);
  const columns = idColumns(calls.filter(({ position }) => results[position]?.type === 'done'));
  await sql`
    delete from entity using unnest(${columns.entities}::text[], ${columns.ids}::text[]) as given (entity, id)
    where entity.entity = given.entity and entity.id = given.id`;
};

/** Queries that only compare for equality share a statement; the others have one each. */
const isPlain = (call: Placed<Query>): boolean => !isSearch(call.operation);

const isFiltered = ({ operation }: Placed<Query>): boolean => Object.keys(operation.where).length > 0;

/** Either all of the calls are filtered or none is. */
const query = async (sql: Sql, calls: readonly Placed<Query>[], filtered: boolean, results: Results): Promise<void> => {
  // The fence of `offset 0` leaves the planner the index on fields and nothing else: it thinks little of parsing JSON, and would
  // rather walk the primary key and parse every entity until the page is full.
  const matching = sql`(select * from entity where value::jsonb @> given.filter::jsonb offset 0) as`;
  // One row more than asked for tells whether the page is the last.
  const wanted = calls.map(({ operation }) => operation.countMax + 1);
  const filters = calls.map(({ operation }) => JSON.stringify(operation.where));
  const rows = await sql<ItemRow[]>`
    select call, id, case when chars <= ${entityReplyCharsMax} then json end as json
    from (
      select given.call, page.id, page.json, sum(length(page.json)) over (partition by given.call order by page.id) as chars
      from unnest(${calls.map(({ position }) => position)}::int[], ${calls.map(({ operation }) => operation.entity)}::text[],
        ${filters}::text[], ${wanted}::int[], ${calls.map(({ operation }) => operation.after ?? '')}::text[])
        as given (call, entity, filter, wanted, after)
      cross join lateral (
        select id, value::text as json from ${filtered ? matching : sql``} entity
        where entity = given.entity and id > given.after order by id limit given.wanted
      ) as page
    ) as found
    order by call, id`;
  const byCall = new Map<number, ItemRow[]>(calls.map(({ position }) => [position, []]));
  for (const row of rows) byCall.get(row.call)!.push(row);
  for (const { position, operation } of calls) results[position] = pageOf(byCall.get(position)!, operation.countMax);
};

const pageOf = (rows: readonly ItemRow[], countMax: number): EntityResult => {
  const items = itemsThatFit(rows.slice(0, countMax).flatMap(({ id, json }) => (json === null ? [] : [{ id, json }])));
  const last = items.at(-1);
  if (rows.length === items.length) return { type: 'done', reply: { items: [...items] } };
  return last === undefined ? { type: 'too-large' } : { type: 'done', reply: { items: [...items], after: last.id } };
};

// ── Waves ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const ofType = <Type extends Operation['type']>(calls: readonly PlannedCall[], type: Type): Placed<Extract<Operation, { type: Type }>>[] =>
  calls.flatMap(({ position, call: { operation } }) =>
    // The test before the cast is what the cast says.
    operation.type === type ? [{ position, operation: operation as Extract<Operation, { type: Type }> }] : [],
  );

const searchesOf = (calls: readonly PlannedCall[]): readonly Placed<Search>[] => [...ofType(calls, 'query').filter((call) => !isPlain(call)), ...ofType(calls, 'count')];

/** Calls of one wave at one virtual node. Persists come first by themselves, since they may have to take rows back. */
const runAtVault = async (sql: Sql, entered: Promise<void>, calls: readonly PlannedCall[], now: Date, results: Results): Promise<void> => {
  const persists = statementsOf(ofType(calls, 'persist'));
  await Promise.all([entered, ...persists.map((part) => persist(sql, part, now, results))]);
  const queries = ofType(calls, 'query').filter(isPlain);
  const finds = ofType(calls, 'find');
  const removes = ofType(calls, 'remove');
  await Promise.all([
    ...statementsOf(ofType(calls, 'merge')).map((part) => merge(sql, part, now, results)),
    ...(removes.length > 0 ? [remove(sql, removes, results)] : []),
    ...(finds.length > 0 ? [find(sql, finds, results)] : []),
    ...[true, false].flatMap((filtered) => {
      const part = queries.filter((one) => isFiltered(one) === filtered);
      return part.length > 0 ? [query(sql, part, filtered, results)] : [];
    }),
  ]);
  // Last, one after another, since each may be refused for its time.
  for (const { position, operation } of searchesOf(calls)) results[position] = await search(sql, operation);
};

export const createPostgresEntities = (sql: Sql, door: VaultDoor = clusterDoor): EntityRepository => ({
  apply: async (calls, now) => {
    const results: Results = [];
    let from: 'outside' | 'vault' = 'outside';
    for (const wave of planWaves(calls)) {
      const groups = Map.groupBy(wave, ({ call }) => call.shortHash);
      // In order, so that two batches at the same vaults rarely wait for each other crosswise.
      for (const shortHash of [...groups.keys()].sort()) {
        await runAtVault(sql, door.enter(sql, shortHash, from), groups.get(shortHash)!, new Date(now), results);
        from = 'vault';
      }
    }
    // Not awaited: it leaves together with what comes next in this transaction, and that fails if this did.
    door.leave(sql).catch(() => {});
    return calls.map((_, position) => results[position]!);
  },
});
