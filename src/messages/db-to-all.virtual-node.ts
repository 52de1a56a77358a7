/** Every virtual node of the cluster. */
import * as z from 'zod';
import { cpiId, holdingIdentity, operationalStatus, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const virtualNode = z.object({
  holdingIdentity,
  cpiId,
  cpiFullChecksum: z.string().regex(/^[0-9A-F]{64}$/),
  /** CPK hashes that a flow started now is pinned to. */
  cpkHashes: z.array(z.string()).max(100),
  flowStartOperationalStatus: operationalStatus,
  flowOperationalStatus: operationalStatus,
  flowP2pOperationalStatus: operationalStatus,
  vaultDbOperationalStatus: operationalStatus,
  vaultDmlConnectionId: z.string(),
  vaultDdlConnectionId: z.string().nullable(),
  cryptoDmlConnectionId: z.string(),
  cryptoDdlConnectionId: z.string().nullable(),
  uniquenessDmlConnectionId: z.string(),
  uniquenessDdlConnectionId: z.string().nullable(),
  /** The request id of an operation that is under way, or that was broken off and waits to be asked for again. */
  operationInProgress: z.string().optional(),
  /** From when its deletion began: what rooms keep for it goes, and does not come back. */
  deleting: z.literal(true).optional(),
  version: z.int().positive(),
  timestamp: timestampMs,
});
export type VirtualNode = z.infer<typeof virtualNode>;

export const dbToAllVirtualNode = wire({
  topic: 'db-to-all.virtual-node',
  from: ['db'],
  to: ['rest', 'flow', 'member', 'link-manager'],
  key: 'holding identity short hash',
  retention: 'compacted',
  version: 1,
  body: virtualNode,
});
