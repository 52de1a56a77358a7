/** `ctx.db`: entities of the virtual node's vault. */
import type { Entity } from './entity.ts';
import { FlowPlatformError } from './errors.ts';
import type { ContextHost, EntityItem, ParamsOf } from './operations.ts';
import { perform, toJson } from './perform.ts';
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
   * Entities whose top-level fields equal those of `where`, in order of id. `countMax` is 100 unless given, 1,000 at most. `after`
   * of a page, when it is there, asks for the next one. Errors: DB_ENTITY_INVALID, DB_REFUSED.
   */
  query<T extends object>(entity: Entity<T>, where: EntityFilter<T>, page?: EntityPage): Promise<EntityQueryResult<T>>;
};

export type EntityFilter<T> = { readonly [Field in keyof T]?: Extract<T[Field], string | number | boolean | null> };
export type EntityPage = { readonly countMax?: number; readonly after?: string };
export type EntityQueryResult<T> = { readonly values: T[]; readonly after?: string };

const queryCountDefault = 100;

const itemsOf = <T extends object>(entity: Entity<T>, values: readonly T[]): EntityItem[] =>
  values.map((value) => ({ id: entity.id(value), json: toJson(value, `the ${entity.name}`) }));

const readEntity = async <T extends object>(entity: Entity<T>, item: EntityItem): Promise<T> => {
  const value: unknown = JSON.parse(item.json);
  // Without a schema the application trusts its own vault (see EntityDefinition.schema).
  if (entity.schema === undefined) return value as T;
  const result = await entity.schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  throw new FlowPlatformError('DB_ENTITY_INVALID', `${entity.name} "${item.id}": ${issuesText(result.issues)}`);
};

const readEntities = <T extends object>(entity: Entity<T>, items: readonly EntityItem[]): Promise<T[]> =>
  Promise.all(items.map((item) => readEntity(entity, item)));

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
    const { countMax = queryCountDefault, after } = page;
    // Absent fields of a filter are typed `undefined`; JSON leaves them out, and so must the parameters.
    const fields = JSON.parse(JSON.stringify(where)) as ParamsOf<'db.query'>['where'];
    const params = { entity: entity.name, where: fields, countMax, ...(after === undefined ? {} : { after }) };
    const answer = await perform(host, 'db.query', params);
    const values = await readEntities(entity, answer.items);
    return answer.after === undefined ? { values } : { values, after: answer.after };
  },
});
