/**
 * A flow queries or changes the tables that its code unit keeps in its virtual node's vault. The answer is stored with the effect, under the
 * request id.
 */
import * as z from 'zod';
import { shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Rows of one answer; its characters are bounded by the record that carries it. */
export const queryRowsMax = 1_000;

/** kysely's operation nodes; read by `checkQuery` of src/packaging/schema.ts and by nobody before. */
export const queryTree = z.looseObject({ kind: z.string() });

export const flowToDbQuery = wire({
  topic: 'flow-to-db.query',
  from: ['flow'],
  to: ['db'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  /**
   * Refused with DB_QUERY_INVALID, DB_QUERY_REFUSED, DB_CONSTRAINT_VIOLATED, DB_QUERY_TIMEOUT, DB_QUERY_TOO_LARGE, DB_VIRTUAL_NODE_NOT_FOUND.
   */
  body: z.object({
    shortHash,
    /** The code unit whose tables may be named. */
    cpkHash: z.string().regex(/^[0-9A-F]{64}$/),
    query: queryTree,
  }),
  reply: z.object({
    columns: z.array(z.string()),
    rows: z.array(z.array(z.json())).max(queryRowsMax),
    /** Rows inserted, changed or removed. */
    affected: z.int().nonnegative(),
    /** Rows were found that the answer does not carry. */
    more: z.boolean(),
  }),
});
