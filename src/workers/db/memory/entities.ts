/** Entities in memory, for simulation: the same contract as PostgreSQL's, one call after another. */
import type { EntityCall, EntityRepository, EntityResult, EntityRow, EntityWrite, VaultTx } from '../db-tx.ts';
import type { EntityCondition } from '../../../messages/flow-to-db.entity.ts';
import { readPlace, writePlace } from '../entity-place.ts';
import { fitsReply, itemsThatFit, type Item } from '../entity-reply.ts';
import type { Undo } from './undo.ts';

/** JSON texts by id, of one kind of entity in one vault. */
export type MemoryEntities = Map<string, string>;

type Operation<Type> = Extract<EntityCall['operation'], { type: Type }>;

/** UTF-8's order, which is the order of code points and PostgreSQL's under collation C; JavaScript's own differs beyond U+FFFF. */
const byCodePoints = (one: string, other: string): number => {
  const left = [...one];
  const right = [...other];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
};

type Fields = ReadonlyMap<string, unknown>;

const fieldsOf = (json: string): Fields | undefined => {
  const value: unknown = JSON.parse(json);
  return typeof value !== 'object' || value === null || Array.isArray(value) ? undefined : new Map<string, unknown>(Object.entries(value));
};

/** As jsonb orders scalars: null, texts, numbers, truth values; texts as collation C would, whatever the database's is. */
const ranks = ['null', 'string', 'number', 'boolean', 'object'];
const rankOf = (value: unknown): number => ranks.indexOf(value === null ? 'null' : typeof value);

const compare = (one: unknown, other: unknown): number => {
  if (rankOf(one) !== rankOf(other)) return rankOf(one) - rankOf(other);
  return typeof one === 'string' && typeof other === 'string' ? byCodePoints(one, other) : Number(one) - Number(other);
};

const fulfils = (fields: Fields, { field, operator, value }: EntityCondition): boolean => {
  if (!fields.has(field)) return false;
  const found = fields.get(field);
  switch (operator) {
    case 'in':
      return value.some((one) => one === found);
    case 'prefix':
      return typeof found === 'string' && found.startsWith(value);
    case 'gt':
      return typeof found === typeof value && compare(found, value) > 0;
    case 'gte':
      return typeof found === typeof value && compare(found, value) >= 0;
    case 'lt':
      return typeof found === typeof value && compare(found, value) < 0;
    case 'lte':
      return typeof found === typeof value && compare(found, value) <= 0;
  }
};

const matches = (json: string, { where, conditions = [] }: Operation<'query'> | Operation<'count'>): boolean => {
  const wanted = Object.entries(where);
  if (wanted.length === 0 && conditions.length === 0) return true;
  const fields = fieldsOf(json);
  if (fields === undefined) return false;
  return wanted.every(([name, scalar]) => fields.has(name) && fields.get(name) === scalar) && conditions.every((condition) => fulfils(fields, condition));
};

const done = (items: readonly Item[]): EntityResult => ({ type: 'done', reply: { items: [...items] } });

const pick = (rows: ReadonlyMap<string, string>, ids: readonly string[]): Item[] =>
  ids.flatMap((id) => {
    const json = rows.get(id);
    return json === undefined ? [] : [{ id, json }];
  });

/** An item and what its place in the order is decided by. */
type Placed = { readonly item: Item; readonly value: unknown };

const placed = (rows: ReadonlyMap<string, string>, { orderBy }: Operation<'query'>): Placed[] =>
  [...rows].flatMap(([id, json]) => {
    if (orderBy === undefined) return [{ item: { id, json }, value: null }];
    const fields = fieldsOf(json);
    return fields?.has(orderBy.field) === true ? [{ item: { id, json }, value: fields.get(orderBy.field) }] : [];
  });

const placeOf = ({ orderBy, after }: Operation<'query'>): Placed | undefined => {
  if (after === undefined) return undefined;
  if (orderBy === undefined) return { item: { id: after, json: '' }, value: null };
  const { value, id } = readPlace(after)!;
  return { item: { id, json: '' }, value: JSON.parse(value) };
};

const page = (rows: ReadonlyMap<string, string>, operation: Operation<'query'>): EntityResult => {
  const sign = operation.orderBy?.descending === true ? -1 : 1;
  const byPlace = (one: Placed, other: Placed): number => sign * (compare(one.value, other.value) || byCodePoints(one.item.id, other.item.id));
  const after = placeOf(operation);
  const found = placed(rows, operation)
    .filter((one) => (after === undefined || byPlace(one, after) > 0) && matches(one.item.json, operation))
    .sort(byPlace);
  const items = itemsThatFit(found.slice(0, operation.countMax).map(({ item }) => item));
  if (items.length === found.length) return done(items);
  const last = found[items.length - 1];
  if (last === undefined || items.length === 0) return { type: 'too-large' };
  const place = operation.orderBy === undefined ? last.item.id : writePlace({ value: JSON.stringify(last.value), id: last.item.id });
  return { type: 'done', reply: { items: [...items], after: place } };
};

const perform = (rows: MemoryEntities, operation: EntityCall['operation'], undo: Undo): EntityResult => {
  switch (operation.type) {
    case 'persist': {
      const taken = operation.items.find(({ id }) => rows.has(id));
      if (taken !== undefined) return { type: 'exists', id: taken.id };
      for (const { id, json } of operation.items) undo.set(rows, id, json);
      return done(operation.items);
    }
    case 'merge':
      for (const { id, json } of operation.items) undo.set(rows, id, json);
      return done(operation.items);
    case 'remove': {
      const items = pick(rows, operation.ids);
      if (!fitsReply(items)) return { type: 'too-large' };
      for (const { id } of items) undo.delete(rows, id);
      return done(items);
    }
    case 'find': {
      const items = pick(rows, operation.ids);
      return fitsReply(items) ? done(items) : { type: 'too-large' };
    }
    case 'query':
      return page(rows, operation);
    case 'count':
      return { type: 'done', reply: { items: [], count: [...rows.values()].filter((json) => matches(json, operation)).length } };
  }
};

export const createMemoryEntities = (entitiesOf: (shortHash: string, entity: string) => MemoryEntities, undo: Undo): EntityRepository => ({
  apply: async (calls) => calls.map(({ shortHash, operation }) => perform(entitiesOf(shortHash, operation.entity), operation, undo)),
});

const callsOf = (type: 'persist' | 'merge', shortHash: string, rows: readonly EntityRow[]): EntityCall[] =>
  rows.map(({ entity, id, json }) => ({ flowId: id, shortHash, operation: { type, entity, items: [{ id, json }] } }));

/** What PostgreSQL does in one statement (postgres/write-at-once.ts), for a store of answers in memory. */
export const writeAtOnceInMemory = async ({ entities }: Pick<VaultTx, 'entities'>, { shortHash, persisted, merged, now }: EntityWrite): Promise<boolean> => {
  const results = await entities.apply([...callsOf('persist', shortHash, persisted), ...callsOf('merge', shortHash, merged)], now);
  return results.every(({ type }) => type === 'done');
};
