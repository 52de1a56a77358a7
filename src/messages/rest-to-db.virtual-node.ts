/** Virtual nodes from their creation to their deletion (asynchronous, as in Corda), the SQL of their databases, and reads. */
import * as z from 'zod';
import { virtualNode } from './db-to-all.virtual-node.ts';
import { sealedConnection } from './grammar/database-connection.ts';
import { shortHash, timestampMs, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

const cpiFileChecksum = z.string().max(64);

export const restToDbVirtualNode = wire({
  topic: 'rest-to-db.virtual-node',
  from: ['rest'],
  to: ['db'],
  key: 'short hash, or cpi checksum or request id where there is none yet',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    /**
     * Refused with DB_CPI_NOT_FOUND, DB_X500_INVALID, DB_VIRTUAL_NODE_EXISTS. The reply's request id is the short hash. With connections, the vault
     * is in a database of its own; where that cannot be used, or lacks tables, the operation FAILED and nothing is left.
     */
    z.object({ type: z.literal('create'), cpiFileChecksum, x500Name, connections: z.object({ dml: sealedConnection, ddl: sealedConnection.optional() }).optional() }),
    /** What connections are sealed to. Refused with DB_CONNECTION_KEY. */
    z.object({ type: z.literal('connection-key') }),
    /** Leads to the vault of a virtual node in maintenance by these; what is not given stays. Refused with DB_OPERATION_IN_PROGRESS, DB_CONNECTION_INVALID. */
    z.object({ type: z.literal('connect'), shortHash, dml: sealedConnection.optional(), ddl: sealedConnection.optional() }),
    /** Refused with DB_REQUEST_UNKNOWN. */
    z.object({ type: z.literal('status'), requestId: z.string().max(100) }),
    z.object({ type: z.literal('list') }),
    /** Refused with DB_VIRTUAL_NODE_NOT_FOUND. */
    z.object({ type: z.literal('get'), shortHash }),
    /** Refused with DB_OPERATION_IN_PROGRESS, and `active` with DB_VAULT_OUT_OF_STEP, DB_VAULT_UNREACHABLE. */
    z.object({ type: z.literal('set-state'), shortHash, state: z.enum(['active', 'maintenance']) }),
    /** Refused with DB_CPI_NOT_FOUND, DB_UPGRADE_INVALID, DB_OPERATION_IN_PROGRESS. */
    z.object({ type: z.literal('upgrade'), shortHash, cpiFileChecksum }),
    /** Drops the tables of the application and makes them anew, empty. Refused with DB_OPERATION_IN_PROGRESS, DB_VAULT_RESYNC_FAILED. */
    z.object({ type: z.literal('resync'), shortHash }),
    /** Unless forced it is ABORTED when a flow runs. Asked for again, it goes on where it was. */
    z.object({ type: z.literal('delete'), shortHash, force: z.boolean() }),
    /** The text for a database administrator: of a new database, or of the migrations that a virtual node's vault lacks for a CPI. */
    z.object({ type: z.literal('sql'), schema: z.enum(['crypto', 'uniqueness']) }),
    z.object({ type: z.literal('vault-sql'), cpiFileChecksum, shortHash: shortHash.optional() }),
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
    sql: z.string().optional(),
    connectionKey: z.string().optional(),
  }),
});
