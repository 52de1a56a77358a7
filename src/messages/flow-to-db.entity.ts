/** A flow reads or writes entities in its virtual node's vault. The answer is stored with the effect, under the request id. */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bounds on one request: entities, and UTF-16 code units of one entity's JSON text. */
export const entityItemsMax = 1_000;
export const entityCharsMax = 500_000;

const entityName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.]{0,99}$/);
const entityId = z.string().min(1).max(300);
const item = z.object({ id: entityId, json: z.string().max(entityCharsMax) });
const items = z.array(item).max(entityItemsMax);
const ids = z.array(entityId).max(entityItemsMax);
const scalar = z.union([z.string().max(10_000), z.number(), z.boolean(), z.null()]);

export const entityOperation = z.discriminatedUnion('type', [
  /** Refused with DB_ENTITY_EXISTS when an id is there already. */
  z.object({ type: z.literal('persist'), entity: entityName, items }),
  /** Insert or replace. */
  z.object({ type: z.literal('merge'), entity: entityName, items }),
  z.object({ type: z.literal('remove'), entity: entityName, ids }),
  z.object({ type: z.literal('find'), entity: entityName, ids }),
  /** Entities whose top-level fields equal `where`, ordered by id, after the cursor. */
  z.object({
    type: z.literal('query'),
    entity: entityName,
    where: z.record(z.string().max(100), scalar),
    countMax: z.int().min(1).max(entityItemsMax),
    after: entityId.optional(),
  }),
]);
export type EntityOperation = z.infer<typeof entityOperation>;

export const flowToDbEntity = wire({
  topic: 'flow-to-db.entity',
  from: ['flow'],
  to: ['db'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({ shortHash, operation: entityOperation }),
  /** `find` answers the entities that exist, in no promised order; `remove` those that were removed; the rest as written. */
  reply: z.object({ items, after: entityId.optional() }),
});
