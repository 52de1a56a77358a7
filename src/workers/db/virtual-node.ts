/** What a new virtual node is: everything that follows from its identity and its CPI. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { deriveId } from '../../identity/derive.ts';
import type { HoldingIdentity } from '../../identity/holding-identity.ts';

/** Corda names a connection for each schema and privilege. Ours are roles of one server, so the ids are derived. */
export const connectionIdsOf = (shortHash: string) => {
  const id = (schema: string, privilege: 'DML' | 'DDL'): string => deriveId('connection', shortHash, schema, privilege);
  return {
    vaultDmlConnectionId: id('vault', 'DML'),
    vaultDdlConnectionId: id('vault', 'DDL'),
    cryptoDmlConnectionId: id('crypto', 'DML'),
    cryptoDdlConnectionId: id('crypto', 'DDL'),
    uniquenessDmlConnectionId: id('uniqueness', 'DML'),
    uniquenessDdlConnectionId: id('uniqueness', 'DDL'),
  };
};

export const newVirtualNode = (holdingIdentity: HoldingIdentity, cpi: CpiMetadata, now: number): VirtualNode => ({
  holdingIdentity,
  cpiId: cpi.id,
  cpiFullChecksum: cpi.fullChecksum,
  cpkHashes: cpi.cpks.map(({ hash }) => hash),
  flowStartOperationalStatus: 'ACTIVE',
  flowOperationalStatus: 'ACTIVE',
  flowP2pOperationalStatus: 'ACTIVE',
  vaultDbOperationalStatus: 'ACTIVE',
  ...connectionIdsOf(holdingIdentity.shortHash),
  version: 1,
  timestamp: now,
});
