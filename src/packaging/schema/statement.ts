/**
 * Checks a statement that an application made: its size, the kinds of its nodes, and what its names refer to. Whoever compiles and runs it
 * may rely on
 *
 * - **Q1** every table that is read or written is one of the catalog's, or a common table of the statement itself;
 * - **Q2** every column is one of the catalog's, or an alias of the statement;
 * - **Q3** no name carries a schema, and none is one of PostgreSQL's own (`pg_…`) or the platform's;
 * - **Q4** every value is a parameter, apart from numbers, truth values, null and bounded texts without backslash;
 * - **Q5** it is small: what compiles or plans it recurses no deeper than the bound.
 */
import * as z from 'zod';
import { definitionNode, queryNode, type Node } from './nodes.ts';

/** The tables of one code unit: their columns by their name. */
export type Catalog = ReadonlyMap<string, ReadonlySet<string>>;

export type Checked<Statement> = { readonly type: 'statement'; readonly statement: Statement } | { readonly type: 'invalid'; readonly reason: string };

export type QueryStatement = z.infer<typeof queryNode>;
export type DefinitionStatement = z.infer<typeof definitionNode>;

export const statementLimits = {
  /** Nesting of objects and lists: two hundred conditions in a row nest that deep. */
  depthMax: 250,
  /** Objects and lists of one statement. */
  nodesMax: 50_000,
  /** Values of one statement; PostgreSQL takes 65,535 parameters. */
  valuesMax: 30_000,
} as const;

/** Of the vault itself, beside what begins with `cordage_`. */
const reservedTable = 'entity';

const invalid = (reason: string): Extract<Checked<never>, { type: 'invalid' }> => ({ type: 'invalid', reason });

// ── Size ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Goes over the tree without recursion, so that no tree can overflow it. */
const sizeFault = (root: unknown): string | undefined => {
  const waiting: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  let nodes = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    if (typeof value === 'string' && (!value.isWellFormed() || value.includes('\0'))) return 'a text holds NUL or half of a surrogate pair';
    if (typeof value !== 'object' || value === null) continue;
    nodes++;
    if (nodes > statementLimits.nodesMax) return `more than ${statementLimits.nodesMax} nodes`;
    if (depth >= statementLimits.depthMax) return `nested deeper than ${statementLimits.depthMax}`;
    for (const part of Object.values(value)) waiting.push({ value: part, depth: depth + 1 });
  }
  return undefined;
};

// ── Kinds ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const kindOf = (value: unknown): string | undefined => (typeof value === 'object' && value !== null && 'kind' in value ? String(value.kind).slice(0, 50) : undefined);

/** What stands at a place of the tree and the node that it is a part of, for people. */
const shownAt = (root: unknown, path: readonly PropertyKey[]): string => {
  let place: unknown = root;
  let around = 'statement';
  for (const step of path) {
    around = kindOf(place) ?? around;
    place = typeof place === 'object' && place !== null ? Reflect.get(place, step) : undefined;
  }
  const kind = kindOf(place);
  return kind === undefined ? `${JSON.stringify(place)?.slice(0, 50) ?? 'nothing'} in a ${around}` : `a ${kind}`;
};

type Issue = z.core.$ZodIssue;

/** The complaint that lies deepest: a union's own complaint says only that no option fits. */
const deepest = (issue: Issue, path: readonly PropertyKey[] = []): { issue: Issue; path: readonly PropertyKey[] } => {
  const here = { issue, path: [...path, ...issue.path] };
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return here;
  const inner = issue.errors.flatMap((errors) => errors.map((one) => deepest(one, here.path)));
  return inner.reduce((best, one) => (one.path.length > best.path.length ? one : best), here);
};

const kindFault = (root: unknown, error: z.ZodError): string => {
  const first = error.issues.find(({ code }) => code === 'unrecognized_keys') ?? error.issues[0];
  if (first === undefined) return 'not a statement';
  const { issue, path } = deepest(first);
  const place = path.map(String).join('.') || 'the statement';
  // The discriminator stands at `kind`; what is meant is the node that has it.
  const node = path.at(-1) === 'kind' ? path.slice(0, -1) : path;
  return `${shownAt(root, node)} is not allowed at ${place} (${issue.message.slice(0, 200)}); see docs/flows.md for what a query may say`;
};

// ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Names = {
  /** Of `WITH`, in their order. */
  readonly common: string[];
  readonly aliases: Set<string>;
  /** Tables that are read or written. */
  readonly tables: string[];
  /** What stands before a column's dot. */
  readonly qualifiers: string[];
  readonly columns: string[];
  values: number;
};

const isNode = (value: unknown): value is Node & Record<string, unknown> => typeof value === 'object' && value !== null && 'kind' in value;

/** Names of the shapes in nodes.ts: these casts say what was parsed. */
const nameOfTable = (node: Node): string => (node as unknown as { table: { identifier: { name: string } } }).table.identifier.name;
const nameOfColumn = (node: Node): string => (node as unknown as { column: { name: string } }).column.name;

const collect = (node: Node & Record<string, unknown>, parent: string, names: Names): string | undefined => {
  switch (node.kind) {
    // An application's own value may look like a node; nobody reads it as one.
    case 'ValueNode':
      names.values++;
      return undefined;
    case 'PrimitiveValueListNode':
      names.values += (node['values'] as unknown[]).length;
      return undefined;
    case 'TableNode': {
      const list = parent === 'ReferenceNode' ? names.qualifiers : parent === 'CommonTableExpressionNameNode' ? names.common : names.tables;
      list.push(nameOfTable(node));
      return undefined;
    }
    case 'ColumnNode':
      if (parent === 'CommonTableExpressionNameNode') names.aliases.add(nameOfColumn(node));
      else names.columns.push(nameOfColumn(node));
      return undefined;
    case 'AliasNode':
      names.aliases.add((node['alias'] as { name: string }).name);
      break;
    case 'UnaryOperationNode': {
      const fault = minusFault(node);
      if (fault !== undefined) return fault;
    }
  }
  for (const part of Object.values(node).flat()) {
    const fault = isNode(part) ? collect(part, node.kind, names) : undefined;
    if (fault !== undefined) return fault;
  }
  return undefined;
};

/** Two minus signs in a row begin a comment, so what a minus stands before never begins with one. */
const minusFault = (node: Record<string, unknown>): string | undefined => {
  const { operator } = node['operator'] as { operator: string };
  const operand = node['operand'] as Node & { immediate?: boolean };
  const plain = ['ReferenceNode', 'ParensNode', 'FunctionNode'].includes(operand.kind) || (operand.kind === 'ValueNode' && operand.immediate !== true);
  return operator === '-' && !plain ? 'a minus sign stands before a column, a value, a function or parentheses' : undefined;
};

const noNames = (): Names => ({ common: [], aliases: new Set(), tables: [], qualifiers: [], columns: [], values: 0 });

const unknownTable = (tables: readonly string[], known: (name: string) => boolean): string | undefined => {
  const stranger = tables.find((name) => !known(name));
  return stranger === undefined ? undefined : `the table ${stranger} is none of this code unit; its migrations create the tables that its queries may name`;
};

/** A common table is visible to those after it, so each sees only those before it: else its name could mean a table. */
const commonFault = (statement: QueryStatement, catalog: Catalog): string | undefined => {
  const before = new Set<string>();
  for (const expression of statement.with?.expressions ?? []) {
    const names = noNames();
    collect(expression.expression, '', names);
    const fault = unknownTable(names.tables, (name) => catalog.has(name) || before.has(name));
    if (fault !== undefined) return fault;
    before.add(nameOfTable(expression.name.table));
  }
  return undefined;
};

const namesFault = (statement: Node, names: Names, catalog: Catalog): string | undefined => {
  // The walk reads any node; a node is an object of named parts.
  const shape = collect(statement as Node & Record<string, unknown>, '', names);
  if (shape !== undefined) return shape;
  if (names.values > statementLimits.valuesMax) return `more than ${statementLimits.valuesMax} values`;
  if (names.common.includes(reservedTable)) return `${reservedTable} is a name of the vault's own`;
  const common = new Set(names.common);
  const stranger = unknownTable(names.tables, (name) => catalog.has(name) || common.has(name));
  if (stranger !== undefined) return stranger;
  const qualifier = names.qualifiers.find((name) => !catalog.has(name) && !common.has(name) && !names.aliases.has(name) && name !== 'excluded');
  if (qualifier !== undefined) return `${qualifier} is neither a table of this code unit nor an alias of the statement`;
  const columns = new Set([...catalog.values()].flatMap((of) => [...of]));
  const column = names.columns.find((name) => !columns.has(name) && !names.aliases.has(name));
  return column === undefined ? undefined : `no table of this code unit has a column ${column}`;
};

// ── Doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A query as it may be compiled and run for the code unit with these tables, or what is wrong with it. */
export const checkQuery = (tree: unknown, catalog: Catalog): Checked<QueryStatement> => {
  const size = sizeFault(tree);
  if (size !== undefined) return invalid(size);
  const parsed = queryNode.safeParse(tree);
  if (!parsed.success) return invalid(kindFault(tree, parsed.error));
  const fault = namesFault(parsed.data, noNames(), catalog) ?? commonFault(parsed.data, catalog);
  return fault === undefined ? { type: 'statement', statement: parsed.data } : invalid(fault);
};

export type ChangedCatalog = { readonly type: 'statement'; readonly statement: DefinitionStatement; readonly catalog: Catalog } | Extract<Checked<never>, { type: 'invalid' }>;

const targetOf = (statement: DefinitionStatement): string => nameOfTable(statement.table);

const addedColumns = (statement: DefinitionStatement): string[] => {
  switch (statement.kind) {
    case 'CreateTableNode':
      return statement.columns.map(({ column }) => nameOfColumn(column));
    case 'AlterTableNode':
      return statement.columnAlterations.map(({ column }) => nameOfColumn(column.column));
    case 'CreateIndexNode':
      return [];
  }
};

const targetFault = (statement: DefinitionStatement, catalog: Catalog): string | undefined => {
  const target = targetOf(statement);
  if (statement.kind !== 'CreateTableNode') return unknownTable([target], (name) => catalog.has(name));
  if (target === reservedTable) return `${reservedTable} is the vault's own table; call yours something else`;
  return catalog.has(target) ? `the table ${target} is created twice` : undefined;
};

/** A definition, and the tables as they are after it. */
export const checkDefinition = (tree: unknown, catalog: Catalog): ChangedCatalog => {
  const size = sizeFault(tree);
  if (size !== undefined) return invalid(size);
  const parsed = definitionNode.safeParse(tree);
  if (!parsed.success) return invalid(kindFault(tree, parsed.error));
  const statement = parsed.data;
  const target = targetOf(statement);
  const added = addedColumns(statement);
  const known = catalog.get(target) ?? new Set();
  const twice = added.find((name, at) => known.has(name) || added.indexOf(name) !== at);
  const after: Catalog = new Map([...catalog, [target, new Set([...known, ...added])]]);
  const fault = targetFault(statement, catalog) ?? (twice === undefined ? undefined : `the column ${twice} of ${target} is there twice`) ?? namesFault(statement, noNames(), after);
  return fault === undefined ? { type: 'statement', statement, catalog: after } : invalid(fault);
};
