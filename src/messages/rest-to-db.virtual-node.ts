/** Virtual node creation (asynchronous, as in Corda), its status, and reads. */
import * as z from 'zod';
import { virtualNode } from './db-to-all.virtual-node.ts';
import { shortHash, timestampMs, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const restToDbVirtualNode = wire({
  topic: 'rest-to-db.virtual-node',
  from: ['rest'],
  to: ['db'],
  key: 'cpi checksum or request id or short hash',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /** Refused with DB_CPI_NOT_FOUND, DB_X500_INVALID, DB_VIRTUAL_NODE_EXISTS. The reply's request id is the short hash. */
    z.object({ type: z.literal('create'), cpiFileChecksum: z.string().max(64), x500Name }),
    /** Refused with DB_REQUEST_UNKNOWN. */
    z.object({ type: z.literal('status'), requestId: z.string().max(100) }),
    z.object({ type: z.literal('list') }),
    /** Refused with DB_VIRTUAL_NODE_NOT_FOUND. */
    z.object({ type: z.literal('get'), shortHash }),
  ]),
  reply: z.object({
    requestId: z.string().optional(),
    status: z
      .object({
        requestId: z.string(),
        operation: z.string(),
        status: z.enum(['ACCEPTED', 'IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'ABORTED']),
        lastUpdatedTimestamp: timestampMs,
        resourceId: z.string().nullable(),
        errorReason: z.string().nullable(),
      })
      .optional(),
    virtualNodes: z.array(virtualNode).optional(),
  }),
});
