/** Entities in memory, for simulation: the same contract as PostgreSQL's, one call after another. */
import type { EntityCall, EntityRepository, EntityResult } from '../db-tx.ts';
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

const matches = (json: string, where: Operation<'query'>['where']): boolean => {
  const wanted = Object.entries(where);
  if (wanted.length === 0) return true;
  const value: unknown = JSON.parse(json);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return wanted.every(([name, scalar]) => fields.has(name) && fields.get(name) === scalar);
};

const done = (items: readonly Item[]): EntityResult => ({ type: 'done', reply: { items: [...items] } });

const pick = (rows: ReadonlyMap<string, string>, ids: readonly string[]): Item[] =>
  ids.flatMap((id) => {
    const json = rows.get(id);
    return json === undefined ? [] : [{ id, json }];
  });

const page = (rows: ReadonlyMap<string, string>, { where, countMax, after = '' }: Operation<'query'>): EntityResult => {
  const found = [...rows]
    .map(([id, json]) => ({ id, json }))
    .filter(({ id, json }) => byCodePoints(id, after) > 0 && matches(json, where))
    .sort((one, other) => byCodePoints(one.id, other.id));
  const items = itemsThatFit(found.slice(0, countMax));
  const last = items.at(-1);
  if (items.length === found.length) return done(items);
  return last === undefined ? { type: 'too-large' } : { type: 'done', reply: { items: [...items], after: last.id } };
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
  }
};

export const createMemoryEntities = (entitiesOf: (shortHash: string, entity: string) => MemoryEntities, undo: Undo): EntityRepository => ({
  apply: async (calls) => calls.map(({ shortHash, operation }) => perform(entitiesOf(shortHash, operation.entity), operation, undo)),
});
