import fc from 'fast-check';
import * as kysely from 'kysely';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { database, migration } from '../../src/flow-sdk/flow-sdk.ts';
import { checkQuery, parseSchema, type Catalog } from '../../src/packaging/schema.ts';
import { statementLimits } from '../../src/packaging/schema/statement.ts';

type Payment = { id: string; payer: string; cents: number; paid_at: string; note: { tags: string[] } | null };
type Payer = { name: string; country: string };
const db = database<{ payment: Payment; payer: Payer }>();
const catalog: Catalog = new Map([
  ['payment', new Set(['id', 'payer', 'cents', 'paid_at', 'note'])],
  ['payer', new Set(['name', 'country'])],
]);

type Built = { toOperationNode(): object };
/** As it crosses to the database's room. */
const treeOf = (query: Built): unknown => JSON.parse(JSON.stringify(query.toOperationNode()));
const faultOf = (tree: unknown): string | undefined => {
  const checked = checkQuery(tree, catalog);
  return checked.type === 'invalid' ? checked.reason : undefined;
};
/** What the types of the builder would not let pass. */
const loose = database<any>();
/** All of kysely, of which the SDK gives a part. */
const whole = loose as unknown as kysely.Kysely<any>;

const payments = db.selectFrom('payment');

const allowed: Record<string, Built> = {
  'rows by a condition': payments.selectAll().where('cents', '>', 5).where('payer', 'in', ['Ada', 'Bob']).where('note', 'is', null),
  'a join with aliases': db.selectFrom('payment as p').innerJoin('payer as q', 'q.name', 'p.payer').select(['p.id', 'q.country as c']).selectAll('q'),
  'conditions of every shape': payments.select('id').where(({ and, or, not, eb, between, exists, selectFrom, val, lit, parens, neg, tuple, refTuple }) =>
    and([
      or([eb('cents', '<', 1), not(eb('payer', 'like', 'A%'))]),
      between('cents', 1, 2),
      exists(selectFrom('payer').select('name').whereRef('payer.name', '=', 'payment.payer')),
      eb(parens('cents', '+', 1), '>', neg('cents')),
      eb(refTuple('payer', 'cents'), '>', tuple('A', 1)),
      eb(val(1), '=', lit(1)),
    ]),
  ),
  'groups and aggregates': payments.select(({ fn }) => ['payer', fn.countAll().as('n'), fn.sum('cents').filterWhere('cents', '>', 0).as('total'), fn.count('id').distinct().as('ids')]).groupBy('payer').having(({ fn }) => fn.countAll(), '>', 1),
  'window functions': payments.select(({ fn }) => fn.agg<number>('row_number').over((over) => over.partitionBy('payer').orderBy('cents', 'desc')).as('place')),
  'an order, a limit and an offset': payments.select('id').orderBy('cents', 'desc').orderBy('id', (order) => order.asc().nullsLast()).limit(5).offset(10),
  'distinct rows': payments.select('payer').distinct().union(db.selectFrom('payer').select('name as payer')),
  'distinct on': payments.selectAll().distinctOn('payer').orderBy('payer'),
  'a common table': db.with('big', (query) => query.selectFrom('payment').selectAll().where('cents', '>', 100)).selectFrom('big').select(['big.id', 'payer']),
  'a lateral join': db.selectFrom('payer').innerJoinLateral((eb) => eb.selectFrom('payment').select('cents').whereRef('payment.payer', '=', 'payer.name').limit(1).as('first'), (join) => join.onTrue()).select('first.cents'),
  'functions of scalars': payments.select(({ fn, val }) => [fn.coalesce('payer', val('?')).as('who'), fn<string>('lower', ['payer']).as('low'), fn<number>('round', ['cents']).as('r')]),
  'case, cast and JSON': payments.select((eb) => [eb.case().when('cents', '>', 1).then('much').else('little').end().as('size'), eb.cast<string>('cents', 'text').as('text'), eb.ref('note', '->').key('tags').at(0).as('tag')]),
  'an insert with defaults': db.insertInto('payment').values([{ id: 'a', payer: 'Ada', cents: 1, paid_at: 'now', note: { tags: ['$', "'; drop table payment; --"] } }]).returningAll(),
  'an upsert': db.insertInto('payment').values({ id: 'a', payer: 'Ada', cents: 1, paid_at: 'now', note: null }).onConflict((oc) => oc.column('id').doUpdateSet((eb) => ({ cents: eb('payment.cents', '+', eb.ref('excluded.cents')) })).where('payment.cents', '<', 5)),
  'an insert of a select': db.insertInto('payer').columns(['name', 'country']).expression((eb) => eb.selectFrom('payment').select(['payer', eb.val('GB').as('country')])),
  'an update from another table': db.updateTable('payment').from('payer').set({ payer: 'x' }).whereRef('payer.name', '=', 'payment.payer').returning(['id']),
  'a delete using another table': db.deleteFrom('payment').using('payer').whereRef('payer.name', '=', 'payment.payer').where('country', '=', 'GB'),
};

const refused: Record<string, [Built, RegExp]> = {
  'raw SQL as a condition': [payments.selectAll().where(sql<boolean>`pg_sleep(10) is null`), /RawNode/],
  'raw SQL in a selection': [payments.select(sql<string>`set_config('role', 'postgres', false)`.as('x')), /RawNode/],
  'raw SQL as an order': [payments.selectAll().orderBy('id', sql`desc, pg_sleep(1)`), /RawNode/],
  'raw SQL as a table': [loose.selectFrom(sql`pg_class`.as('x')).selectAll(), /RawNode/],
  'raw SQL as a value': [db.updateTable('payment').set({ cents: sql<number>`1` }), /RawNode/],
  'raw SQL as a modifier': [payments.selectAll().modifyEnd(sql`for update`), /SelectModifierNode|endModifiers/],
  'a whole raw statement': [sql`select 1` as unknown as Built, /RawNode/],
  'a schema': [loose.selectFrom('config.payment').selectAll(), /schema/],
  "another virtual node's schema": [loose.selectFrom('vnode_vault_0123456789ab.entity').selectAll(), /schema/],
  'a schema of a builder': [whole.withSchema('config').selectFrom('payment').selectAll(), /schema/],
  'a table of the catalog': [loose.selectFrom('pg_class').selectAll(), /not a name/],
  'a table of another application': [loose.selectFrom('other').selectAll(), /the table other is none of this code unit/],
  "the vault's entities": [loose.selectFrom('entity').selectAll(), /the table entity is none of this code unit/],
  "the platform's migrations": [loose.selectFrom('cordage_migration').selectAll(), /not a name/],
  'a table behind an alias of its name': [loose.selectFrom('payment as other').selectAll().where((eb: any) => eb.exists(eb.selectFrom('other').selectAll())), /the table other is none/],
  'a table behind a common table of its name': [loose.with('other', (query: any) => query.selectFrom('other').selectAll()).selectFrom('other').selectAll(), /the table other is none/],
  'a common table of a name of the vault': [loose.with('entity', (query: any) => query.selectFrom('payment').selectAll()).selectFrom('entity').selectAll(), /entity is a name of the vault/],
  'a common table inside a part of the statement': [payments.selectAll().where((eb) => eb.exists(loose.with('other', (query: any) => query.selectFrom('payment').selectAll()).selectFrom('other').selectAll())), /SelectQueryNode|with/],
  'a recursive common table': [whole.withRecursive('r', (query) => query.selectFrom('payment').selectAll()).selectFrom('r').selectAll(), /WithNode|recursive/],
  'a common table that changes rows': [loose.with('gone', (query: any) => query.deleteFrom('payment').returningAll()).selectFrom('gone').selectAll(), /DeleteQueryNode/],
  'a column that no table has': [loose.selectFrom('payment').select('usename'), /no table of this code unit has a column usename/],
  'the row of a table as a function': [loose.selectFrom('payment').select('payment.row_to_json'), /no table of this code unit has a column row_to_json/],
  'an unknown qualifier': [loose.selectFrom('payment').select('pgc.id'), /pgc is neither a table/],
  'a function that waits': [payments.select(({ fn }) => fn<string>('pg_sleep', ['cents']).as('x')), /FunctionNode|func/],
  'a function that sets the role': [payments.select(({ fn, val }) => fn<string>('set_config', [val('role'), val('postgres'), val(false)]).as('x')), /FunctionNode|func/],
  'a function with a schema': [payments.select(({ fn }) => fn<string>('pg_catalog.lower', ['payer']).as('x')), /FunctionNode|func/],
  'a function that multiplies': [payments.select(({ fn, val }) => fn<string>('repeat', ['payer', val(1e9)]).as('x')), /FunctionNode|func/],
  'an aggregate beyond the list': [payments.select(({ fn }) => fn.agg<string>('string_agg', ['payer']).as('x')), /AggregateFunctionNode|func/],
  'a regular expression': [payments.selectAll().where('payer', '~', '(a+)+$'), /OperatorNode|operator/],
  'locks': [payments.selectAll().forUpdate(), /endModifiers|SelectQueryNode/],
  'explain': [{ toOperationNode: () => ({ ...payments.selectAll().toOperationNode(), explain: { kind: 'ExplainNode' } }) }, /explain/],
  'a definition': [db.schema.createTable('x').addColumn('id', 'text'), /CreateTableNode/],
  'a drop': [db.schema.dropTable('payment'), /DropTableNode/],
  'a merge': [whole.mergeInto('payment').using('payer', 'payer.name', 'payment.payer').whenMatched().thenDelete(), /MergeQueryNode/],
  'a cast to a type beyond the list': [payments.select((eb) => eb.cast<string>('payer', 'bytea').as('x')), /DataTypeNode|type of column/],
};

describe('a query', () => {
  test.each(Object.entries(allowed))('may ask for %s', (_, query) => {
    expect(faultOf(treeOf(query))).toBeUndefined();
  });

  test.each(Object.entries(refused))('may not hold %s', (_, [query, reason]) => {
    expect(faultOf(treeOf(query))).toMatch(reason);
  });

  // What kysely can build and nodes.ts does not list: a kind that a later kysely adds is refused until somebody lists it.
  const kinds = Object.keys(kysely).filter((name) => /^[A-Z]\w+Node$/.test(name));
  const listed = new Set<string>();
  const gather = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('kind' in value) listed.add(String(value.kind));
    for (const part of Object.values(value)) gather(part);
  };
  for (const query of Object.values(allowed)) gather(treeOf(query));

  test('may hold no node of another kind, wherever an expression, a table or a statement stands', () => {
    const strangers = kinds.filter((kind) => !listed.has(kind));
    expect(strangers.length).toBeGreaterThan(40);
    expect(strangers).toEqual(expect.arrayContaining(['CreateTableNode', 'DropTableNode', 'AlterTableNode', 'CreateViewNode', 'MergeQueryNode', 'ExplainNode', 'FetchNode', 'CreateSchemaNode', 'CollateNode', 'OrActionNode']));
    for (const kind of strangers) {
      const node = { kind, sqlFragments: ['true'], parameters: [] };
      const where = treeOf(payments.selectAll()) as object;
      expect(faultOf(node), kind).toBeDefined();
      expect(faultOf({ ...where, where: { kind: 'WhereNode', where: node } }), kind).toMatch(new RegExp(kind));
      expect(faultOf({ ...where, from: { kind: 'FromNode', froms: [node] } }), kind).toBeDefined();
      expect(faultOf({ ...where, selections: [{ kind: 'SelectionNode', selection: node }] }), kind).toBeDefined();
      for (const field of ['fetch', 'top', 'explain', 'endModifiers', 'orAction', 'output', 'more']) expect(faultOf({ ...where, [field]: node }), `${field} ${kind}`).toBeDefined();
    }
  });

  test('may hold any value, and reads none of them as a node', () => {
    const nested = { kind: 'RawNode', sqlFragments: ['drop table payment'], parameters: [], table: { kind: 'TableNode', table: { identifier: { name: 'pg_class' } } } };
    // The value of a JSON column.
    expect(faultOf(treeOf(loose.insertInto('payment').values({ note: nested })))).toBeUndefined();
    expect(faultOf(treeOf(db.updateTable('payment').set({ payer: "'; drop table payment; --" })))).toBeUndefined();
  });

  test('writes no text but what is quoted, and no comment', () => {
    const select = treeOf(payments.selectAll()) as object;
    const minus = (operand: object): object => ({ kind: 'UnaryOperationNode', operator: { kind: 'OperatorNode', operator: '-' }, operand });
    const literal = { kind: 'ValueNode', value: -1, immediate: true };
    const where = (expression: object): object => ({ ...select, where: { kind: 'WhereNode', where: expression } });
    expect(faultOf(where(minus({ kind: 'ValueNode', value: 1 })))).toBeUndefined();
    expect(faultOf(where(minus(minus({ kind: 'ValueNode', value: 1 }))))).toMatch(/minus sign/);
    expect(faultOf(where(minus(literal)))).toMatch(/minus sign/);
    expect(faultOf(where({ kind: 'ValueNode', value: '1; drop table payment', immediate: true }))).toBeDefined();
    const key = (value: unknown): object => ({
      kind: 'JSONReferenceNode',
      reference: { kind: 'ReferenceNode', column: { kind: 'ColumnNode', column: { kind: 'IdentifierNode', name: 'note' } } },
      traversal: { kind: 'JSONOperatorChainNode', operator: { kind: 'OperatorNode', operator: '->' }, values: [{ kind: 'ValueNode', value, immediate: true }] },
    });
    expect(faultOf(where(key("it's")))).toBeUndefined();
    expect(faultOf(where(key("\\' or true --")))).toBeDefined();
  });

  test('is bounded: deep, wide or stuffed with values it is refused, and reading it takes no longer than its size', () => {
    let deep: object = { kind: 'ValueNode', value: 1 };
    for (let i = 0; i < 100_000; i++) deep = { kind: 'ParensNode', node: deep };
    const select = treeOf(payments.selectAll()) as object;
    expect(faultOf({ ...select, where: { kind: 'WhereNode', where: deep } })).toMatch(/nested deeper/);
    expect(faultOf(treeOf(db.insertInto('payer').values(Array.from({ length: 5_001 }, (_, n) => ({ name: `${n}`, country: 'GB' })))))).toBeDefined();
    const wide = Array.from({ length: 5_000 }, (_, n) => ({ id: `${n}`, payer: 'a', cents: n, paid_at: 'b', note: null, a: 1, b: 2 }));
    expect(faultOf(treeOf(loose.insertInto('payment').values(wide)))).toMatch(new RegExp(`more than ${statementLimits.valuesMax} values`));
    let wrong: object = { kind: 'RawNode' };
    for (let i = 0; i < statementLimits.depthMax / 2 - 5; i++) {
      wrong = i % 2 === 0 ? { kind: 'ParensNode', node: wrong } : { kind: 'UnaryOperationNode', operator: { kind: 'OperatorNode', operator: '-' }, operand: wrong };
    }
    const started = performance.now();
    expect(faultOf({ ...select, where: { kind: 'WhereNode', where: wrong } })).toMatch(/RawNode|OperationNode/);
    expect(performance.now() - started).toBeLessThan(500);
  });

  test('of any shape is refused or read, and never an error', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.constantFrom('payment', 'id', 'desc', '=', 'pg_class', 'RawNode'));
    const kind = fc.constantFrom(...kinds);
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ maxDepth: 6 }, scalar, fc.array(tie('tree'), { maxLength: 3 }), fc.record({ kind, table: tie('tree'), column: tie('tree'), where: tie('tree'), from: tie('tree'), value: tie('tree'), selections: fc.array(tie('tree'), { maxLength: 2 }) }, { requiredKeys: ['kind'] })),
    }));
    fc.assert(
      fc.property(tree, (one) => {
        expect(checkQuery(one, catalog).type).toMatch(/statement|invalid/);
      }),
      { numRuns: 500 },
    );
  });

  test('with one node changed for another is refused, or still names only what is its own', () => {
    const trees = Object.values(allowed).map(treeOf);
    const change = fc.record({ tree: fc.nat(trees.length - 1), place: fc.nat(), to: fc.oneof(fc.constantFrom<unknown>('pg_class', 'entity', 'pg_sleep', '; drop', null, 1, [], {}), fc.constantFrom(...kinds).map((kind) => ({ kind }))) });
    fc.assert(
      fc.property(change, ({ tree, place, to }) => {
        const copy = structuredClone(trees[tree]) as Record<string, unknown>;
        const places: [Record<string, unknown>, string][] = [];
        const visit = (value: unknown): void => {
          if (typeof value !== 'object' || value === null) return;
          for (const key of Object.keys(value)) {
            places.push([value as Record<string, unknown>, key]);
            visit((value as Record<string, unknown>)[key]);
          }
        };
        visit(copy);
        const [owner, key] = places[place % places.length]!;
        owner[key] = to;
        const checked = checkQuery(copy, catalog);
        if (checked.type === 'invalid') return;
        const { sql: text } = new kysely.PostgresQueryCompiler().compileQuery(checked.statement as never, { queryId: 'x' });
        // A name of the vault's own may be an alias, and an alias is no table; a key of JSON may be any text between quotes.
        expect(text.replace(/'(?:[^'\\]|'')*'/g, "''")).not.toMatch(/pg_|; drop|--|(from|join|into|update|using) "entity"/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a schema', () => {
  const text = (value: object): string => JSON.stringify({ version: 1, entities: [], migrations: [], ...value });
  const faultOfSchema = (value: object): string => {
    const parsed = parseSchema(text(value));
    return parsed.type === 'invalid' ? parsed.reason : 'accepted';
  };
  const create = migration('0001-payer', [db.schema.createTable('payer').addColumn('name', 'varchar(50)', (column) => column.primaryKey()).addColumn('country', 'text', (column) => column.notNull().defaultTo('GB'))]);
  const written = ({ name, operations }: ReturnType<typeof migration>) => ({ name, operations });
  const migrations = (...list: ReturnType<typeof migration>[]) => ({ migrations: list.map(written) });

  test('knows the tables and columns that its migrations make, and each migration by its digest', () => {
    const more = migration('0002-more', [
      db.schema.createTable('payment').addColumn('id', 'uuid').addColumn('payer', 'text', (column) => column.references('payer.name').onDelete('cascade')).addPrimaryKeyConstraint('payment_pk', ['id']).addUniqueConstraint('payment_once', ['id', 'payer']).addForeignKeyConstraint('payment_payer', ['payer'], 'payer', ['name']),
      db.schema.alterTable('payer').addColumn('age', 'numeric(10, 2)', (column) => column.defaultTo(1.5)).addColumn('known', 'boolean', (column) => column.defaultTo(false)),
      db.schema.createIndex('payer_country').on('payer').columns(['country', 'name desc']).unique(),
      db.insertInto('payer').values({ name: 'Ada', country: 'GB' }),
      loose.updateTable('payer').set({ age: 3 }),
    ]);
    const parsed = parseSchema(text(migrations(create, more)));
    if (parsed.type === 'invalid') expect.fail(parsed.reason);
    expect(Object.fromEntries([...parsed.schema.catalog].map(([table, columns]) => [table, [...columns]]))).toEqual({ payer: ['name', 'country', 'age', 'known'], payment: ['id', 'payer'] });
    const again = parseSchema(JSON.stringify({ migrations: migrations(create, more).migrations, entities: [], version: 1 }, null, 3));
    expect(again).toMatchObject({ schema: { migrations: parsed.schema.migrations.map(({ digest }) => ({ digest })) } });
    const changed = parseSchema(text(migrations(create, migration('0002-more', [db.schema.createTable('payment').addColumn('id', 'text')]))));
    if (changed.type === 'invalid') expect.fail(changed.reason);
    expect(changed.schema.migrations.map(({ digest }, at) => digest === parsed.schema.migrations[at]!.digest)).toEqual([true, false]);
  });

  test.each<[string, object, RegExp]>([
    ['a table twice', migrations(create, { ...create, name: '2' }), /migration 2, step 1: the table payer is created twice/],
    ['two migrations of one name', migrations(create, create), /two migrations are called 0001-payer/],
    ["the vault's own table", migrations(migration('1', [loose.schema.createTable('entity').addColumn('id', 'text')])), /the vault's own table/],
    ['a table of PostgreSQL', migrations(migration('1', [loose.schema.createTable('pg_class').addColumn('id', 'text')])), /not a name/],
    ['a table in another schema', migrations(migration('1', [loose.schema.createTable('config.x').addColumn('id', 'text')])), /schema/],
    ['a temporary table', migrations(migration('1', [loose.schema.createTable('x').temporary().addColumn('id', 'text')])), /temporary/],
    ['a table made of a query', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', 'text').as(loose.selectFrom('y').selectAll())])), /selectQuery/],
    ['a type beyond the list', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', 'serial')])), /not a type of column/],
    ['a type of raw SQL', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', sql`text default pg_sleep(1)`)])), /RawNode/],
    ['a default of raw SQL', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', 'text', (column) => column.defaultTo(sql`now()`))])), /RawNode/],
    ['a check of raw SQL', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', 'text', (column) => column.check(sql`true`))])), /check/],
    ['a reference to a table that is not there', migrations(migration('1', [loose.schema.createTable('x').addColumn('id', 'text', (column) => column.references('y.id'))])), /the table y is none/],
    ['a drop', migrations(create, migration('2', [db.schema.dropTable('payer')])), /DropTableNode/],
    ['a column that is dropped', migrations(create, migration('2', [db.schema.alterTable('payer').dropColumn('country')])), /columnAlterations|DropColumnNode/],
    ['a table that is renamed', migrations(create, migration('2', [db.schema.alterTable('payer').renameTo('entity')])), /renameTo|AlterTableNode/],
    ['a table moved to another schema', migrations(create, migration('2', [db.schema.alterTable('payer').setSchema('config')])), /setSchema|AlterTableNode/],
    ['a column twice', migrations(create, migration('2', [db.schema.alterTable('payer').addColumn('name', 'text')])), /the column name of payer is there twice/],
    ['an index on an expression of raw SQL', migrations(create, migration('2', [db.schema.createIndex('i').on('payer').expression(sql`pg_sleep(1)`)])), /RawNode/],
    ['an index of a strange kind', migrations(create, migration('2', [db.schema.createIndex('i').on('payer').using('evil (x); drop').column('name')])), /using|RawNode/],
    ['a select', migrations(create, migration('2', [db.selectFrom('payer').selectAll()])), /a migration changes something/],
    ['data of a table that is made later', migrations(migration('1', [db.insertInto('payer').values({ name: 'a', country: 'b' })]), create), /the table payer is none/],
    ['no steps', migrations(migration('1', [])), /operations/],
    ['a name that is none', migrations({ ...create, name: '../x' }), /a migration has a name/],
    ['another version', { version: 2 }, /version/],
    ['more', { more: 1 }, /more/],
    ['an entity twice', { entities: [{ name: 'A', indexes: [] }, { name: 'A', indexes: [] }] }, /the entity A is declared twice/],
    ['an index of a strange field', { entities: [{ name: 'A', indexes: ["a' or true --"] }] }, /top-level name/],
  ])('may not hold %s', (_, value, reason) => {
    expect(faultOfSchema(value)).toMatch(reason);
  });

  test('is JSON', () => {
    expect(parseSchema('{')).toEqual({ type: 'invalid', reason: 'it is not JSON' });
    expect(parseSchema('null').type).toBe('invalid');
  });
});
