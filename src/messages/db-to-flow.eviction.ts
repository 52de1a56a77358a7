/** A virtual node is to be deleted: how many flows run there, and away with them. Asked again until none is left. */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const dbToFlowEviction = wire({
  topic: 'db-to-flow.eviction',
  from: ['db'],
  to: ['flow'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  /** `count` changes nothing; `evict` ends those that run and forgets those that have ended, a page at a time. */
  body: z.object({ type: z.enum(['count', 'evict']), shortHash }),
  /** What was found before anything was done; larger numbers are cut off. */
  reply: z.object({ running: z.int().nonnegative(), ended: z.int().nonnegative() }),
});
