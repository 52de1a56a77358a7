/** The door of this folder: the db room's repositories over the connection of one open transaction. */
import type { DbTx } from '../db-tx.ts';
import type { Vaults } from '../vaults/vaults.ts';
import { createPostgresAudit } from './audit.ts';
import { createPostgresCertificates } from './certificates.ts';
import { createPostgresCpis } from './cpis.ts';
import { createPostgresEntities } from './entities.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { createPostgresRbac } from './rbac.ts';
import { createPostgresSections } from './sections.ts';
import { createPostgresTables } from './tables.ts';
import { createPostgresTransfers } from './transfers.ts';
import { createPostgresUploads } from './uploads.ts';
import { createPostgresVirtualNodes } from './virtual-nodes.ts';

/** `vaults`: those in databases of their own; without it, operations on them are refused. */
export const createPostgresDbTx = (sql: Sql, vaults?: Vaults): DbTx => ({
  certificates: createPostgresCertificates(sql),
  uploads: createPostgresUploads(sql),
  cpis: createPostgresCpis(sql),
  virtualNodes: createPostgresVirtualNodes(sql, vaults),
  transfers: createPostgresTransfers(sql, vaults),
  entities: createPostgresEntities(sql),
  tables: createPostgresTables(sql),
  rbac: createPostgresRbac(sql),
  config: createPostgresSections(sql),
  audit: createPostgresAudit(sql),
});
