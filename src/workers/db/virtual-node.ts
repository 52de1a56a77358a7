/** What a new virtual node is: everything that follows from its identity and its CPI. */
import type { CpiMetadata } from '../../messages/db-to-all.cpi.ts';
import type { VirtualNode } from '../../messages/db-to-all.virtual-node.ts';
import { deriveId } from '../../identity/derive.ts';
import type { HoldingIdentity } from '../../identity/holding-identity.ts';

/** Connections to a vault in a database of its own: which of them, counted from 1, and whether one may change tables. */
export type OwnConnections = { readonly version: number; readonly hasDdl: boolean };

/** Corda names a connection for each schema and privilege. Ours are roles of one server, unless the vault has a database of its own; the ids are derived. */
export const connectionIdsOf = (shortHash: string, own?: OwnConnections) => {
  const id = (schema: string, privilege: 'DML' | 'DDL'): string => deriveId('connection', shortHash, schema, privilege);
  const vaultId = (privilege: 'DML' | 'DDL'): string => (own === undefined ? id('vault', privilege) : deriveId('connection', shortHash, 'vault', privilege, `${own.version}`));
  return {
    vaultDmlConnectionId: vaultId('DML'),
    vaultDdlConnectionId: own?.hasDdl === false ? null : vaultId('DDL'),
    cryptoDmlConnectionId: id('crypto', 'DML'),
    cryptoDdlConnectionId: id('crypto', 'DDL'),
    uniquenessDmlConnectionId: id('uniqueness', 'DML'),
    uniquenessDdlConnectionId: id('uniqueness', 'DDL'),
  };
};

export const newVirtualNode = (holdingIdentity: HoldingIdentity, cpi: CpiMetadata, now: number, own?: OwnConnections): VirtualNode => ({
  holdingIdentity,
  cpiId: cpi.id,
  cpiFullChecksum: cpi.fullChecksum,
  cpkHashes: cpi.cpks.map(({ hash }) => hash),
  flowStartOperationalStatus: 'ACTIVE',
  flowOperationalStatus: 'ACTIVE',
  flowP2pOperationalStatus: 'ACTIVE',
  vaultDbOperationalStatus: 'ACTIVE',
  ...connectionIdsOf(holdingIdentity.shortHash, own),
  version: 1,
  timestamp: now,
});
