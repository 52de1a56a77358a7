/**
 * Queries of entities by conditions on fields, in order of a field, and counts: one statement each, over the expressions that
 * declared indexes are made of (app-migrations.ts). Fields and the entity's name are letters, digits, `_` and `.`, so they
 * stand in the text, where the planner can match them with an index; values are parameters.
 *
 * Values are compared as jsonb: numbers by size, texts by the database's collation, and never one type with another.
 */
import type { EntityCondition, EntityOperation } from '../../../messages/flow-to-db.entity.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { queryMsMax, entityReplyCharsMax } from '../config.ts';
import type { EntityResult } from '../db-tx.ts';
import { readPlace, writePlace } from '../entity-place.ts';
import { itemsThatFit } from '../entity-reply.ts';
import { liftTimeLimit, limitTime } from './vault.ts';

type Query = Extract<EntityOperation, { type: 'query' }>;
type Count = Extract<EntityOperation, { type: 'count' }>;
export type Search = Query | Count;

/** Whether an operation needs a statement of its own. */
export const isSearch = (operation: EntityOperation): operation is Search =>
  operation.type === 'count' || (operation.type === 'query' && (operation.orderBy !== undefined || (operation.conditions ?? []).length > 0));

/** Parameters as they come, and their places in the text. */
type Parameters = { readonly values: string[]; add(value: string): string };

const createParameters = (): Parameters => {
  const values: string[] = [];
  return {
    values,
    add: (value) => {
      values.push(value);
      return `$${values.length}`;
    },
  };
};

const fieldOf = (field: string): string => `(value::jsonb -> '${field}')`;

const comparisons = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;

/** `%`, `_` and the escape itself stand for themselves. */
const likePrefix = (prefix: string): string => `${prefix.replace(/[%_\\]/g, '\\$&')}%`;

const conditionText = ({ add }: Parameters, condition: EntityCondition): string => {
  const field = fieldOf(condition.field);
  switch (condition.operator) {
    case 'in':
      return condition.value.length === 0 ? 'false' : `${field} in (${condition.value.map((value) => `${add(JSON.stringify(value))}::text::jsonb`).join(', ')})`;
    case 'prefix':
      return `(jsonb_typeof(${field}) = 'string' and value::jsonb ->> '${condition.field}' like ${add(likePrefix(condition.value))})`;
    default:
      return `(${field} ${comparisons[condition.operator]} ${add(JSON.stringify(condition.value))}::text::jsonb and jsonb_typeof(${field}) = '${typeof condition.value}')`;
  }
};

const whereText = (parameters: Parameters, { entity, where, conditions = [] }: Search): string => {
  const equal = Object.keys(where).length === 0 ? [] : [`value::jsonb @> ${parameters.add(JSON.stringify(where))}::text::jsonb`];
  return [`entity = '${entity}'`, ...equal, ...conditions.map((condition) => conditionText(parameters, condition))].join(' and ');
};

type Order = { readonly place: string; readonly conditions: readonly string[]; readonly orderBy: string };

const orderOf = (parameters: Parameters, { orderBy, after }: Query): Order => {
  if (orderBy === undefined) return { place: 'null', conditions: after === undefined ? [] : [`id > ${parameters.add(after)}`], orderBy: 'id' };
  const field = fieldOf(orderBy.field);
  const place = after === undefined ? undefined : readPlace(after)!;
  const beyond = place === undefined ? [] : [`(${field}, id) ${orderBy.descending ? '<' : '>'} (${parameters.add(place.value)}::text::jsonb, ${parameters.add(place.id)})`];
  const direction = orderBy.descending ? 'desc' : 'asc';
  return { place: `${field}::text`, conditions: [`${field} is not null`, ...beyond], orderBy: `${field} ${direction}, id ${direction}` };
};

type Row = { readonly id: string; readonly json: string | null; readonly place: string | null };

const find = async (sql: Sql, operation: Query): Promise<EntityResult> => {
  const parameters = createParameters();
  const where = whereText(parameters, operation);
  const { place, conditions, orderBy } = orderOf(parameters, operation);
  // One row more than asked for tells whether the page is the last; what is longer than an answer does not leave the server.
  const rows = await sql.unsafe<Row[]>(
    `select id, place, case when sum(length(json)) over (order by position) <= ${entityReplyCharsMax} then json end as json from (
      select id, value::text as json, ${place} as place, row_number() over () as position
      from (select * from entity where ${[where, ...conditions].join(' and ')} order by ${orderBy} limit ${operation.countMax + 1}) as page
    ) as found order by position`,
    parameters.values,
  );
  return pageOf(rows, operation);
};

const pageOf = (rows: readonly Row[], { countMax, orderBy }: Query): EntityResult => {
  const readable = rows.slice(0, countMax).flatMap(({ id, json }) => (json === null ? [] : [{ id, json }]));
  const items = itemsThatFit(readable);
  const last = rows[items.length - 1];
  if (rows.length === items.length) return { type: 'done', reply: { items: [...items] } };
  if (last === undefined) return { type: 'too-large' };
  const after = orderBy === undefined ? last.id : writePlace({ value: last.place!, id: last.id });
  return { type: 'done', reply: { items: [...items], after } };
};

const count = async (sql: Sql, operation: Count): Promise<EntityResult> => {
  const parameters = createParameters();
  const [row] = await sql.unsafe<{ count: number }[]>(`select count(*)::int as count from entity where ${whereText(parameters, operation)}`, parameters.values);
  return { type: 'done', reply: { items: [], count: row!.count } };
};

const isTimeout = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '57014';

/** Runs behind a savepoint and within a time, so that a search through everything stops alone. */
export const search = async (sql: Sql, operation: Search): Promise<EntityResult> => {
  await limitTime(sql, queryMsMax);
  await sql`savepoint cordage_search`;
  let result: EntityResult;
  try {
    result = operation.type === 'query' ? await find(sql, operation) : await count(sql, operation);
  } catch (error) {
    if (!isTimeout(error)) throw error;
    await sql`rollback to savepoint cordage_search`;
    result = { type: 'timeout' };
  }
  await sql`release savepoint cordage_search`;
  await liftTimeLimit(sql);
  return result;
};
