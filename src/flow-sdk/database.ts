/** `ctx.db`: entities of the virtual node's vault, and tables of the application's own. */
import type { Entity } from './entity.ts';
import { FlowPlatformError } from './errors.ts';
import type { AnswerOf, ContextHost, EntityCondition, EntityItem, ParamsOf, Scalar } from './operations.ts';
import { perform, toJson } from './perform.ts';
import type { Query, RowOf } from './query.ts';
import { issuesText } from './standard-schema.ts';

/** The vault of this virtual node. Each call is one transaction, done when it is durable; at most 1,000 entities a call. */
export type FlowDatabase = {
  /** Stores new entities, all or none. Errors: DB_ENTITY_EXISTS, DB_REFUSED, VALUE_NOT_JSON. */
  persist<T extends object>(entity: Entity<T>, ...values: T[]): Promise<void>;
  /** Stores entities, replacing those whose id is there. Errors: DB_REFUSED, VALUE_NOT_JSON. */
  merge<T extends object>(entity: Entity<T>, ...values: T[]): Promise<void>;
  /** Removes entities by id; answers how many were there. Errors: DB_REFUSED. */
  remove<T extends object>(entity: Entity<T>, ...ids: string[]): Promise<number>;
  /** The entity with this id. Errors: DB_ENTITY_INVALID, DB_REFUSED. */
  find<T extends object>(entity: Entity<T>, id: string): Promise<T | undefined>;
  /** The entities with these ids that exist, in no promised order. Errors: DB_ENTITY_INVALID, DB_REFUSED. */
  findAll<T extends object>(entity: Entity<T>, ids: readonly string[]): Promise<T[]>;
  /**
   * Entities whose top-level fields are as `where` says: equal to a value, or within conditions (`gt`, `gte`, `lt`, `lte` among numbers or
   * among texts, `in`, `prefix`). In order of id, or of a field; entities without that field are left out then. `countMax` is 100 unless
   * given, 1,000 at most. `after` of a page, when it is there, asks for the next one. Errors: DB_ENTITY_INVALID, DB_REFUSED, DB_QUERY_TIMEOUT.
   */
  query<T extends object>(entity: Entity<T>, where: EntityFilter<T>, page?: EntityPage<keyof T & string>): Promise<EntityQueryResult<T>>;
  /** How many entities a query with this `where` would find in all. Errors: DB_REFUSED, DB_QUERY_TIMEOUT. */
  count<T extends object>(entity: Entity<T>, where: EntityFilter<T>): Promise<number>;
  /**
   * Runs a query of the application's tables (`database`). Errors: DB_QUERY_INVALID for a query that may not be asked, DB_QUERY_REFUSED for one
   * that the database would not do (an unknown column, a division by zero), DB_CONSTRAINT_VIOLATED for a row that a key or a foreign key forbids,
   * DB_QUERY_TIMEOUT, DB_QUERY_TOO_LARGE where a change would return more than an answer carries (nothing was changed), VALUE_NOT_JSON.
   */
  run<Row>(query: Query<Row>): Promise<QueryResult<RowOf<Row>>>;
};

/** Conditions on one field; all of them hold. */
export type FieldCondition<Value> = {
  readonly gt?: Extract<Value, string | number>;
  readonly gte?: Extract<Value, string | number>;
  readonly lt?: Extract<Value, string | number>;
  readonly lte?: Extract<Value, string | number>;
  /** Equal to one of these; 100 at most. */
  readonly in?: readonly Extract<Value, Scalar>[];
  /** Of texts: begins with this. */
  readonly prefix?: Extract<Value, string>;
};
export type EntityFilter<T> = { readonly [Field in keyof T]?: Extract<T[Field], Scalar> | FieldCondition<T[Field]> };
export type EntityPage<Field extends string = string> = {
  readonly countMax?: number;
  /** `after` of the page before, from a query with the same order. */
  readonly after?: string;
  readonly orderBy?: { readonly field: Field; readonly descending?: boolean };
};
export type EntityQueryResult<T> = { readonly values: T[]; readonly after?: string };

export type QueryResult<Row> = {
  readonly rows: readonly Row[];
  /** How many rows were inserted, changed or removed; 0 of a `select`. */
  readonly affected: number;
  /** More rows were found than an answer carries (1,000 rows, or a million characters): ask for the next with `limit` and a condition or `offset`. */
  readonly more: boolean;
};

const queryCountDefault = 100;

// ── Versions of entities ─────────────────────────────────────────────────────────────────────────────────────────────

const versionField = '$version';

const itemsOf = <T extends object>(entity: Entity<T>, values: readonly T[]): EntityItem[] =>
  values.map((value) => {
    const { version = 1 } = entity;
    return { id: entity.id(value), json: toJson(version === 1 ? value : { ...value, [versionField]: version }, `the ${entity.name}`) };
  });

const invalidEntity = (entity: { readonly name: string }, id: string, reason: string): FlowPlatformError =>
  new FlowPlatformError('DB_ENTITY_INVALID', `${entity.name} "${id}": ${reason}`);

const versionOf = (value: unknown): number => {
  const found = typeof value === 'object' && value !== null && versionField in value ? value[versionField] : 1;
  return typeof found === 'number' ? found : 1;
};

const withoutVersion = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || !(versionField in value)) return value;
  const { [versionField]: _, ...rest } = value as Record<string, unknown>;
  return rest;
};

/** The stored value as this version of the application has it. */
const upgraded = <T extends object>(entity: Entity<T>, { id, json }: EntityItem): unknown => {
  const stored: unknown = JSON.parse(json);
  const { version = 1, upgrade } = entity;
  const from = versionOf(stored);
  if (from > version) throw invalidEntity(entity, id, `version ${from} of the application stored it; this one knows version ${version}`);
  let value = withoutVersion(stored);
  if (from < version && upgrade === undefined) throw invalidEntity(entity, id, `it is of version ${from}, and the entity declares no \`upgrade\``);
  for (let at = from; at < version; at++) value = upgrade!(value, at);
  return value;
};

const readEntity = async <T extends object>(entity: Entity<T>, item: EntityItem): Promise<T> => {
  const value = upgraded(entity, item);
  // Without a schema the application trusts its own vault (see EntityDefinition.schema).
  if (entity.schema === undefined) return value as T;
  const result = await entity.schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  throw invalidEntity(entity, item.id, issuesText(result.issues));
};

const readEntities = <T extends object>(entity: Entity<T>, items: readonly EntityItem[]): Promise<T[]> =>
  Promise.all(items.map((item) => readEntity(entity, item)));

// ── Filters ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Filter = { readonly where: { readonly [field: string]: Scalar }; readonly conditions?: EntityCondition[] };

/** Equal fields go as they are; conditions are listed only where there are some. */
const filterOf = (where: object): Filter => {
  const equal: Record<string, Scalar> = {};
  const conditions: EntityCondition[] = [];
  // Absent fields of a filter are typed `undefined`; JSON leaves them out, and so must the parameters.
  for (const [field, wanted] of Object.entries(JSON.parse(JSON.stringify(where)) as Record<string, Scalar | object>)) {
    if (typeof wanted !== 'object' || wanted === null) equal[field] = wanted;
    else for (const [operator, value] of Object.entries(wanted)) conditions.push({ field, operator, value: value as EntityCondition['value'] });
  }
  return conditions.length === 0 ? { where: equal } : { where: equal, conditions };
};

const pageParams = ({ countMax = queryCountDefault, after, orderBy }: EntityPage): Omit<ParamsOf<'db.query'>, 'entity' | 'where'> => ({
  countMax,
  ...(after === undefined ? {} : { after }),
  ...(orderBy === undefined ? {} : { orderBy: { field: orderBy.field, descending: orderBy.descending ?? false } }),
});

// ── The door ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const runQuery = async <Row>(host: ContextHost, query: Query<Row>): Promise<QueryResult<RowOf<Row>>> => {
  // Written and read again: the builder's tree holds `undefined` and may hold dates, and what is journaled is JSON.
  const tree = JSON.parse(toJson(query.toOperationNode(), 'a value of the query')) as ParamsOf<'db.run'>['query'];
  const { columns, rows, affected, more }: AnswerOf<'db.run'> = await perform(host, 'db.run', { query: tree });
  // The application's own types say what its tables hold; the query's builder checked the rest.
  return { rows: rows.map((row) => Object.fromEntries(columns.map((column, at) => [column, row[at]])) as RowOf<Row>), affected, more };
};

export const databaseOf = (host: ContextHost): FlowDatabase => ({
  persist: async (entity, ...values) => {
    await perform(host, 'db.persist', { entity: entity.name, items: itemsOf(entity, values) });
  },
  merge: async (entity, ...values) => {
    await perform(host, 'db.merge', { entity: entity.name, items: itemsOf(entity, values) });
  },
  remove: async (entity, ...ids) => (await perform(host, 'db.remove', { entity: entity.name, ids })).ids.length,
  find: async (entity, id) => {
    const { items } = await perform(host, 'db.find', { entity: entity.name, ids: [id] });
    return items[0] === undefined ? undefined : await readEntity(entity, items[0]);
  },
  findAll: async (entity, ids) => {
    const { items } = await perform(host, 'db.find', { entity: entity.name, ids: [...ids] });
    return await readEntities(entity, items);
  },
  query: async (entity, where, page = {}) => {
    const answer = await perform(host, 'db.query', { entity: entity.name, ...filterOf(where), ...pageParams(page) });
    const values = await readEntities(entity, answer.items);
    return answer.after === undefined ? { values } : { values, after: answer.after };
  },
  count: async (entity, where) => (await perform(host, 'db.count', { entity: entity.name, ...filterOf(where) })).count,
  run: (query) => runQuery(host, query),
});
