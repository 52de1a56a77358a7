/** A flow reads or writes entities in its virtual node's vault. The answer is stored with the effect, under the request id. */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bounds on one request: entities, and UTF-16 code units of one entity's JSON text. */
export const entityItemsMax = 1_000;
export const entityCharsMax = 500_000;
/** Conditions of one query, and values of one `in`. */
export const entityConditionsMax = 50;
export const entityInMax = 100;

const entityName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.]{0,99}$/);
const entityId = z.string().min(1).max(300);
const item = z.object({ id: entityId, json: z.string().max(entityCharsMax) });
const items = z.array(item).max(entityItemsMax);
const ids = z.array(entityId).max(entityItemsMax);
const scalar = z.union([z.string().max(10_000), z.number(), z.boolean(), z.null()]);
/** Compared and indexed by its name in the text of a statement. */
const field = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, 'a field that is compared or sorted by is a top-level name of letters, digits and "_"');
const comparable = z.union([z.string().max(10_000), z.number()]);

const condition = z.discriminatedUnion('operator', [
  z.object({ field, operator: z.enum(['gt', 'gte', 'lt', 'lte']), value: comparable }),
  z.object({ field, operator: z.literal('in'), value: z.array(scalar).max(entityInMax) }),
  z.object({ field, operator: z.literal('prefix'), value: z.string().max(10_000) }),
]);
const filter = {
  entity: entityName,
  /** Top-level fields that must be equal. */
  where: z.record(z.string().max(100), scalar),
  conditions: z.array(condition).max(entityConditionsMax).optional(),
};
/** An id, or where a page in order of a field ended. */
const place = z.string().min(1).max(15_000);

export const entityOperation = z.discriminatedUnion('type', [
  /** Refused with DB_ENTITY_EXISTS when an id is there already. */
  z.object({ type: z.literal('persist'), entity: entityName, items }),
  /** Insert or replace. */
  z.object({ type: z.literal('merge'), entity: entityName, items }),
  z.object({ type: z.literal('remove'), entity: entityName, ids }),
  z.object({ type: z.literal('find'), entity: entityName, ids }),
  /** Entities as the filter says, ordered by id or by a field that they have, after the place. Refused with DB_QUERY_TIMEOUT. */
  z.object({
    type: z.literal('query'),
    ...filter,
    orderBy: z.object({ field, descending: z.boolean() }).optional(),
    countMax: z.int().min(1).max(entityItemsMax),
    after: place.optional(),
  }),
  /** Refused with DB_QUERY_TIMEOUT. */
  z.object({ type: z.literal('count'), ...filter }),
]);
export type EntityOperation = z.infer<typeof entityOperation>;
export type EntityCondition = z.infer<typeof condition>;

export const flowToDbEntity = wire({
  topic: 'flow-to-db.entity',
  from: ['flow'],
  to: ['db'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({ shortHash, operation: entityOperation }),
  /** `find` answers the entities that exist, in no promised order; `remove` those that were removed; `persist` and `merge` none. */
  reply: z.object({
    items,
    after: z.string().optional(),
    /** Of `count`. */
    count: z.int().nonnegative().optional(),
  }),
});
