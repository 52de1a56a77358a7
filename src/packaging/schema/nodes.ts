/**
 * The statements that an application may make, as trees of nodes: the part of kysely's operation nodes that names rows of the
 * application's own tables and computes with them, and nothing else. What is not written here is refused: raw SQL, schemas,
 * functions beyond a list, other dialects, DDL in queries.
 *
 * Identifiers are compiled in quotes and values become parameters, so the shapes below decide what a statement can say. What
 * a name may refer to is checked afterwards (statement.ts).
 */
import * as z from 'zod';

/** A node of a tree that was parsed; its shape is what this file says of its kind. */
export type Node = { readonly kind: string };

const node = <Kind extends string, Shape extends z.ZodRawShape>(kind: Kind, shape: Shape) => z.strictObject({ kind: z.literal(kind), ...shape });
const lazy = (schema: () => z.ZodType<Node>): z.ZodType<Node> => z.lazy(schema);
const listMax = 5_000;
const list = <Item extends z.ZodType>(item: Item) => z.array(item).max(listMax);
const flag = z.boolean().optional();

// ── Names and values ─────────────────────────────────────────────────────────────────────────────────────────────────

/** PostgreSQL cuts names after 63 bytes. Everything of pg_catalog begins with `pg_`; `cordage_` is the platform's. */
export const namePattern = /^(?!pg_|cordage_)[A-Za-z_][A-Za-z0-9_]{0,62}$/i;

const identifier = node('IdentifierNode', {
  name: z.string().regex(namePattern, 'not a name that a table, column or alias may have: a letter or "_", then letters, digits and "_", 63 at most; not pg_… or cordage_…'),
});
const column = node('ColumnNode', { column: identifier });
/** The schema of a name is left out: the virtual node's vault is the only one. */
const table = node('TableNode', { table: node('SchemableIdentifierNode', { identifier }) });
const selectAll = node('SelectAllNode', {});
const reference = node('ReferenceNode', { column: z.discriminatedUnion('kind', [column, selectAll]), table: table.optional() });

/** Written into the text of the statement instead of being a parameter: so no backslash, which some servers take for an escape. */
const literalText = z.string().max(1_000).regex(/^[^\\\0]*$/, 'text that is part of a statement may not hold a backslash');
const value = node('ValueNode', { value: z.unknown(), immediate: z.literal(false).optional() });
const immediate = node('ValueNode', { value: z.union([z.number(), z.boolean(), z.null()]), immediate: z.literal(true) });
const primitives = node('PrimitiveValueListNode', { values: list(z.unknown()) });

const dataType = node('DataTypeNode', {
  dataType: z
    .string()
    .regex(
      /^(text|varchar|varchar\(\d{1,4}\)|uuid|boolean|smallint|integer|bigint|int2|int4|int8|real|double precision|float4|float8|numeric|numeric\(\d{1,3}, ?\d{1,3}\)|date|timestamp|timestamptz|json|jsonb)$/,
      'not a type of column: text, varchar(n), uuid, boolean, smallint, integer, bigint, real, double precision, numeric, numeric(p, s), date, timestamp, timestamptz, json, jsonb',
    ),
});

// ── Expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const binaryOperators = [
  '=', '!=', '<>', '>', '>=', '<', '<=', 'in', 'not in', 'is', 'is not', 'like', 'not like', 'ilike', 'not ilike', 'between',
  'is distinct from', 'is not distinct from', '+', '-', '*', '/', '%', '||', '@>', '<@', '->', '->>',
] as const;
/** Of scalars. None can wait, read what is not in the statement, or make much out of little. */
const functions = ['coalesce', 'nullif', 'greatest', 'least', 'lower', 'upper', 'length', 'trim', 'abs', 'round', 'floor', 'ceil', 'sign', 'mod', 'date_trunc'] as const;
const aggregates = ['count', 'sum', 'avg', 'min', 'max', 'bool_and', 'bool_or', 'row_number', 'rank', 'dense_rank', 'lag', 'lead', 'first_value', 'last_value'] as const;

const expression: z.ZodType<Node> = lazy(() => anyExpression);
const select: z.ZodType<Node> = lazy(() => selectQuery);
const expressions = list(expression);

const operation = node('BinaryOperationNode', { leftOperand: expression, operator: node('OperatorNode', { operator: z.enum(binaryOperators) }), rightOperand: expression });
const unary = node('UnaryOperationNode', { operator: node('OperatorNode', { operator: z.enum(['not', 'exists', 'not exists', '-']) }), operand: expression });
const parens = node('ParensNode', { node: expression });
const call = node('FunctionNode', { func: z.enum(functions), arguments: expressions });

/** kysely writes directions and `true` as fragments of SQL: these are the words, whole. */
const words = <const Words extends readonly [string, ...string[]]>(...allowed: Words) => node('RawNode', { sqlFragments: z.tuple([z.enum(allowed)]), parameters: z.tuple([]) });
const orderByItem = node('OrderByItemNode', { orderBy: expression, direction: words('asc', 'desc').optional(), nulls: z.enum(['first', 'last']).optional() });
const orderBy = node('OrderByNode', { items: list(orderByItem) });
const where = node('WhereNode', { where: expression });

const aggregate = node('AggregateFunctionNode', {
  func: z.enum(aggregates),
  aggregated: list(z.union([expression, node('SelectionNode', { selection: selectAll })])).max(3),
  distinct: flag,
  filter: where.optional(),
  over: node('OverNode', { partitionBy: node('PartitionByNode', { items: list(node('PartitionByItemNode', { partitionBy: expression })) }).optional(), orderBy: orderBy.optional() }).optional(),
});
const when = node('WhenNode', { condition: expression, result: expression.optional() });
const branch = node('CaseNode', { value: expression.optional(), when: list(when).optional(), else: expression.optional(), isStatement: z.literal(false).optional() });
const jsonKey = node('ValueNode', { value: z.union([literalText, z.int()]), immediate: z.literal(true) });
const jsonReference = node('JSONReferenceNode', {
  reference,
  traversal: node('JSONOperatorChainNode', { operator: node('OperatorNode', { operator: z.enum(['->', '->>']) }), values: list(jsonKey).min(1).max(20) }),
});

/** One kind, one shape: so that a tree is read once, however wrong it is. */
const anyExpression: z.ZodType<Node> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    column, reference, primitives, operation, unary, parens, call, aggregate, branch, jsonReference, selectQuery,
    node('AndNode', { left: expression, right: expression }),
    node('OrNode', { left: expression, right: expression }),
    node('ValueListNode', { values: expressions }),
    node('TupleNode', { values: expressions }),
    node('CastNode', { expression, dataType }),
    z.discriminatedUnion('immediate', [value, immediate]),
  ]),
);

// ── Queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const aliased = node('AliasNode', { node: expression, alias: identifier });
const source = z.discriminatedUnion('kind', [table, node('AliasNode', { node: z.union([table, select]), alias: identifier })]);
const selection = node('SelectionNode', { selection: z.union([aliased, reference, selectAll, column]) });
const from = node('FromNode', { froms: list(source).min(1).max(20) });
const join = node('JoinNode', {
  joinType: z.enum(['InnerJoin', 'LeftJoin', 'RightJoin', 'FullJoin', 'CrossJoin', 'LateralInnerJoin', 'LateralLeftJoin', 'LateralCrossJoin']),
  table: source,
  on: node('OnNode', { on: z.union([expression, words('true')]) }).optional(),
});
const joins = list(join).max(20).optional();
const selectFields = {
  from: from.optional(),
  selections: list(selection).optional(),
  distinctOn: expressions.optional(),
  frontModifiers: z.array(node('SelectModifierNode', { modifier: z.literal('Distinct') })).max(1).optional(),
  joins,
  where: where.optional(),
  groupBy: node('GroupByNode', { items: list(node('GroupByItemNode', { groupBy: expression })) }).optional(),
  having: node('HavingNode', { having: expression }).optional(),
  setOperations: list(node('SetOperationNode', { operator: z.enum(['union', 'intersect', 'except']), expression: z.union([select, parens]), all: z.boolean() })).max(20).optional(),
  orderBy: orderBy.optional(),
  limit: node('LimitNode', { limit: value }).optional(),
  offset: node('OffsetNode', { offset: value }).optional(),
};
const selectQuery = node('SelectQueryNode', selectFields);

/** At the root of a statement only, so that what a name means does not depend on where it stands. */
const common = node('WithNode', {
  expressions: list(
    node('CommonTableExpressionNode', {
      name: node('CommonTableExpressionNameNode', { table, columns: list(column).optional() }),
      materialized: flag,
      expression: selectQuery,
    }),
  ).max(20),
}).optional();
const returning = node('ReturningNode', { selections: list(selection) }).optional();
const update = node('ColumnUpdateNode', { column: z.discriminatedUnion('kind', [column, reference]), value: expression });
const row = node('ValueListNode', { values: list(z.union([expression, node('DefaultInsertValueNode', {})])) });

/** What a flow may ask of its tables. */
export const queryNode = z.discriminatedUnion('kind', [
  node('SelectQueryNode', { ...selectFields, with: common }),
  node('InsertQueryNode', {
    into: table,
    columns: list(column).optional(),
    values: z.union([node('ValuesNode', { values: list(z.discriminatedUnion('kind', [primitives, row])) }), selectQuery]).optional(),
    defaultValues: flag,
    onConflict: node('OnConflictNode', {
      columns: list(column).optional(),
      constraint: identifier.optional(),
      indexWhere: where.optional(),
      updates: list(update).optional(),
      updateWhere: where.optional(),
      doNothing: flag,
    }).optional(),
    returning,
    with: common,
  }),
  node('UpdateQueryNode', { table: source, from: from.optional(), joins, where: where.optional(), updates: list(update).min(1), returning, with: common }),
  node('DeleteQueryNode', { from, using: node('UsingNode', { tables: list(source) }).optional(), where: where.optional(), returning, with: common }),
]);

// ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const action = z.enum(['cascade', 'no action', 'restrict', 'set default', 'set null']).optional();
const references = node('ReferencesNode', { table, columns: list(column).min(1), onDelete: action, onUpdate: action });
const columnDefinition = node('ColumnDefinitionNode', {
  column,
  dataType,
  references: references.optional(),
  primaryKey: flag,
  unique: flag,
  notNull: flag,
  nullsNotDistinct: flag,
  defaultTo: node('DefaultValueNode', {
    defaultValue: z.union([immediate, node('ValueNode', { value: literalText, immediate: z.literal(true) })]),
  }).optional(),
});
const constraint = z.discriminatedUnion('kind', [
  node('PrimaryKeyConstraintNode', { columns: list(column).min(1), name: identifier.optional() }),
  node('UniqueConstraintNode', { columns: list(column).min(1), name: identifier.optional(), nullsNotDistinct: flag }),
  node('ForeignKeyConstraintNode', { columns: list(column).min(1), references, name: identifier.optional(), onDelete: action, onUpdate: action }),
]);

/** What a migration may do beside queries. */
export const definitionNode = z.discriminatedUnion('kind', [
  node('CreateTableNode', { table, columns: list(columnDefinition).min(1).max(500), constraints: list(constraint).max(100).optional() }),
  node('AlterTableNode', { table, columnAlterations: list(node('AddColumnNode', { column: columnDefinition })).min(1).max(500) }),
  node('CreateIndexNode', {
    name: identifier,
    table,
    columns: list(z.discriminatedUnion('kind', [column, reference, orderByItem])).min(1).max(30),
    unique: flag,
    nullsNotDistinct: flag,
    using: words('btree', 'hash', 'gin').optional(),
  }),
]);
