/**
 * Tables of an application's own: typed queries and migrations, by kysely's builder.
 *
 * Nothing is compiled here. What leaves is the builder's tree of nodes, as JSON; the database's room checks it against the tables of this
 * code unit and compiles it there.
 */
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import type { DeleteResult, InsertResult, UpdateResult } from 'kysely';

/** What builds queries of these tables; see https://kysely.dev for all that it can say. */
export type Tables<Schema> = Pick<Kysely<Schema>, 'selectFrom' | 'insertInto' | 'updateTable' | 'deleteFrom' | 'with' | 'fn' | 'schema'>;

/** A query that was built: any builder of `Tables`. Kysely's `execute` only tells the type of its rows; a flow never calls it. */
export type Query<Row> = { toOperationNode(): { readonly kind: string }; execute(): Promise<Row[]> };

/** What a query answers with: its rows, or nothing where it returns none. */
export type RowOf<Row> = Row extends InsertResult | UpdateResult | DeleteResult ? never : Row;

/** Steps that change the tables of an application, and the name by which a vault remembers that they were done. */
export type Migration = { readonly cordageMigration: 1; readonly name: string; readonly operations: readonly object[] };

/**
 * Declares the tables of this application by their rows, and gives what builds queries of them; `ctx.db.run` runs one.
 *
 * A query names the tables that the migrations of this application create, and nothing else: no schemas, no raw SQL (`sql` is
 * refused), and the functions and operators that docs/flows.md lists. In a row, `bigint` is a number while it is exact, `numeric`
 * a text, `timestamptz` and `date` ISO 8601 texts, `json` the value.
 *
 * @example
 * ```ts
 * import { database, migration, startableFlow } from '@cordage/flow-sdk';
 *
 * type Stock = { item: string; pieces: number };
 * const tables = database<{ stock: Stock }>();
 *
 * // The entry exports them: the packager puts them into the CPK, and each virtual node applies them once.
 * export const migrations = [
 *   migration('0001-stock', [
 *     tables.schema
 *       .createTable('stock')
 *       .addColumn('item', 'text', (column) => column.primaryKey())
 *       .addColumn('pieces', 'integer', (column) => column.notNull()),
 *   ]),
 * ];
 *
 * export const takeStock = startableFlow({
 *   name: 'com.example.TakeStock',
 *   run: async (ctx) => {
 *     await ctx.db.run(tables.insertInto('stock').values([{ item: 'tea', pieces: 7 }, { item: 'rice', pieces: 2 }]));
 *     const { rows } = await ctx.db.run(tables.selectFrom('stock').select(['item', 'pieces']).where('pieces', '>', 5).orderBy('item'));
 *     return rows;
 *   },
 * });
 * ```
 */
export const database = <Schema>(): Tables<Schema> =>
  new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });

/**
 * A step of the tables' history. Each is applied once in every vault, in the order of the exported list `migrations`, whole or not at
 * all, when the virtual node is made or its CPI replaced. One that was applied is never edited: append another.
 *
 * @param name 1 to 100 letters, digits, `.`, `_`, `-`; unique in the application.
 * @param steps `createTable`, `alterTable(…).addColumn`, `createIndex`, and inserts, updates and deletes of data.
 *
 * @example
 * ```ts
 * import { database, migration, startableFlow } from '@cordage/flow-sdk';
 *
 * const visits = database<{ visit: { id: string; place: string } }>();
 *
 * export const migrations = [
 *   migration('0001-visits', [visits.schema.createTable('visit').addColumn('id', 'uuid', (column) => column.primaryKey())]),
 *   migration('0002-places', [
 *     visits.schema.alterTable('visit').addColumn('place', 'text', (column) => column.notNull().defaultTo('unknown')),
 *     visits.schema.createIndex('visit_place').on('visit').column('place'),
 *     visits.updateTable('visit').set({ place: 'home' }),
 *   ]),
 * ];
 *
 * export const arrive = startableFlow({
 *   name: 'com.example.Arrive',
 *   run: async (ctx) => (await ctx.db.run(visits.insertInto('visit').values({ id: ctx.uuid(), place: 'Rome' }))).affected,
 * });
 * ```
 */
export const migration = (name: string, steps: readonly { toOperationNode(): object }[]): Migration => ({
  cordageMigration: 1,
  name,
  operations: steps.map((step) => step.toOperationNode()),
});
