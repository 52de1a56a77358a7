/**
 * Virtual nodes in PostgreSQL: `config.virtual_node`, `config.virtual_node_operation`, and each one's own schemas and roles;
 * see migrations/0003-config.sql and 0005-virtual-node.sql.
 */
import type { VirtualNode } from '../../../messages/db-to-all.virtual-node.ts';
import type { AppliedMigration, CpkSchema, CreatedVirtualNode, Migrated, VaultConnections, VirtualNodeOperation, VirtualNodeRepository } from '../db-tx.ts';
import { connectionIdsOf } from '../virtual-node.ts';
import { DatabaseError, translateError } from '../../../postgres/database-error.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { applySchemas, clearInside } from './app-migrations.ts';
import { ownTablesSql, type Making, type Vaults } from '../vaults/vaults.ts';
import { tablesSql } from './tables-sql.ts';
import { findConnections, putConnections, vaultsOf } from './vault-connections.ts';
import { enterVault, leaveVaults, vaultSchemaOf } from './vault.ts';

type Status = VirtualNode['flowOperationalStatus'];

type VirtualNodeRow = {
  short_hash: string;
  full_hash: string;
  x500_name: string;
  group_id: string;
  cpi_name: string;
  cpi_version: string;
  cpi_signer_summary_hash: string;
  full_checksum: string;
  cpk_hashes: string[];
  flow_start_status: Status;
  flow_status: Status;
  flow_p2p_status: Status;
  vault_db_status: Status;
  operation_in_progress: string | null;
  deleting: boolean;
  /** `null` where the vault is here. */
  connection_version: number | null;
  has_ddl: boolean;
  version: number;
  updated_at: Date;
};

const virtualNodeOf = (row: VirtualNodeRow): VirtualNode => ({
  holdingIdentity: { x500Name: row.x500_name, groupId: row.group_id, shortHash: row.short_hash, fullHash: row.full_hash },
  cpiId: { name: row.cpi_name, version: row.cpi_version, signerSummaryHash: row.cpi_signer_summary_hash },
  cpiFullChecksum: row.full_checksum,
  cpkHashes: row.cpk_hashes,
  flowStartOperationalStatus: row.flow_start_status,
  flowOperationalStatus: row.flow_status,
  flowP2pOperationalStatus: row.flow_p2p_status,
  vaultDbOperationalStatus: row.vault_db_status,
  ...connectionIdsOf(row.short_hash, row.connection_version === null ? undefined : { version: row.connection_version, hasDdl: row.has_ddl }),
  ...(row.operation_in_progress === null ? {} : { operationInProgress: row.operation_in_progress }),
  ...(row.deleting ? { deleting: true } : {}),
  version: row.version,
  timestamp: row.updated_at.getTime(),
});

// What a virtual node runs is read from its CPI, so the two cannot disagree.
const selectVirtualNodes = (sql: Sql) => sql`
  select node.*, cpi.full_checksum, array(
    select part.cpk_hash from config.cpi_cpk as part
    where part.cpi_name = cpi.name and part.cpi_version = cpi.version and part.cpi_signer_summary_hash = cpi.signer_summary_hash
    order by part.position
  ) as cpk_hashes, connection.version as connection_version, connection.ddl is not null as has_ddl
  from config.virtual_node as node
  left join config.vault_connection as connection on connection.short_hash = node.short_hash
  join config.cpi on cpi.name = node.cpi_name and cpi.version = node.cpi_version and cpi.signer_summary_hash = node.cpi_signer_summary_hash`;

const insertNode = async (sql: Sql, node: VirtualNode): Promise<boolean> => {
  const { holdingIdentity, cpiId } = node;
  const inserted = await sql`
    insert into config.virtual_node (short_hash, full_hash, x500_name, group_id, cpi_name, cpi_version, cpi_signer_summary_hash,
      flow_start_status, flow_status, flow_p2p_status, vault_db_status, version, updated_at)
    values (${holdingIdentity.shortHash}, ${holdingIdentity.fullHash}, ${holdingIdentity.x500Name}, ${holdingIdentity.groupId},
      ${cpiId.name}, ${cpiId.version}, ${cpiId.signerSummaryHash}, ${node.flowStartOperationalStatus}, ${node.flowOperationalStatus},
      ${node.flowP2pOperationalStatus}, ${node.vaultDbOperationalStatus}, ${node.version}, ${new Date(node.timestamp)})
    on conflict do nothing`;
  return inserted.count === 1;
};

const makeHere = async (sql: Sql, shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<void> => {
  await sql`select config.create_virtual_node_schemas(${shortHash})`;
  await sql`select crypto.create_tenant(${shortHash})`;
  await applySchemas(sql, shortHash, schemas, now);
};

type Elsewhere = { readonly vaults: Vaults | undefined; readonly connections: VaultConnections };

/** Of what a vault in a database of its own is made. */
const makingOf = async (sql: Sql, shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<Making> => ({
  shortHash,
  tablesSql: `${await tablesSql(sql, 'vault')}\n${ownTablesSql}`,
  schemas,
  now,
});

/** The other database first, and before anything is locked here: it may take its time. */
const makeElsewhere = async (sql: Sql, { vaults, connections }: Elsewhere, shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<void> => {
  await vaultsOf(vaults).make(connections, { ...(await makingOf(sql, shortHash, schemas, now)), isNew: true });
  await putConnections(sql, shortHash, connections, now);
  await sql`select config.create_uniqueness(${shortHash})`;
  await sql`select crypto.create_tenant(${shortHash})`;
};

/** The schemas are made behind a savepoint, so that a refusal of the database leaves the rest of the batch alone. */
const create = async (sql: Sql, node: VirtualNode, schemas: readonly CpkSchema[], elsewhere: Elsewhere | undefined): Promise<CreatedVirtualNode> => {
  const { shortHash } = node.holdingIdentity;
  await sql`savepoint virtual_node`;
  try {
    if (!(await insertNode(sql, node))) {
      await sql`release savepoint virtual_node`;
      return { type: 'exists' };
    }
    await (elsewhere === undefined ? makeHere(sql, shortHash, schemas, node.timestamp) : makeElsewhere(sql, elsewhere, shortHash, schemas, node.timestamp));
    await sql`release savepoint virtual_node`;
    return { type: 'created' };
  } catch (error) {
    // What passes by itself is tried again, the whole batch with it.
    if (translateError(error) instanceof DatabaseError) throw error;
    await sql`rollback to savepoint virtual_node`;
    return { type: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
};

const clearTables = async (sql: Sql, shortHash: string): Promise<void> => {
  await sql`select config.open_app_migrations(${shortHash})`;
  await enterVault(sql, shortHash, 'ddl');
  await clearInside(sql, vaultSchemaOf(shortHash), ['entity', 'cordage_migration']);
  await leaveVaults(sql);
};

/** Behind a savepoint, so that what the application's tables refuse leaves the rest of the batch alone. */
const migrating = async (sql: Sql, work: () => Promise<void>): Promise<Migrated> => {
  await sql`savepoint app_migrations`;
  try {
    await work();
    await sql`release savepoint app_migrations`;
    return { type: 'migrated' };
  } catch (error) {
    if (translateError(error) instanceof DatabaseError) throw error;
    await sql`rollback to savepoint app_migrations`;
    return { type: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
};

const migrate = (sql: Sql, vaults: Vaults | undefined, shortHashes: readonly string[], schemas: readonly CpkSchema[], now: number): Promise<Migrated> =>
  migrating(sql, async () => {
    const elsewhere: [string, VaultConnections][] = [];
    // In one order everywhere, so that two who migrate the same vaults cannot hold each other up.
    for (const shortHash of shortHashes.toSorted()) {
      const connections = await findConnections(sql, shortHash);
      if (connections === undefined) await applySchemas(sql, shortHash, schemas, now);
      else elsewhere.push([shortHash, connections]);
    }
    // Last: what is done there is not taken back.
    for (const [shortHash, connections] of elsewhere) await vaultsOf(vaults).make(connections, { ...(await makingOf(sql, shortHash, schemas, now)), isNew: false });
  });

const resync = (sql: Sql, vaults: Vaults | undefined, shortHash: string, schemas: readonly CpkSchema[], now: number): Promise<Migrated> =>
  migrating(sql, async () => {
    const connections = await findConnections(sql, shortHash);
    if (connections !== undefined) return vaultsOf(vaults).resync(connections, await makingOf(sql, shortHash, schemas, now));
    await clearTables(sql, shortHash);
    await applySchemas(sql, shortHash, schemas, now);
  });

const connect = (sql: Sql, { vaults, connections }: Elsewhere, node: VirtualNode, schemas: readonly CpkSchema[], now: number): Promise<Migrated> =>
  migrating(sql, async () => {
    const { shortHash } = node.holdingIdentity;
    await vaultsOf(vaults).make(connections, { ...(await makingOf(sql, shortHash, schemas, now)), isNew: false });
    await putConnections(sql, shortHash, connections, now);
    await sql`select config.close_vault(${shortHash})`;
  });

const readMigrations = async (sql: Sql, vaults: Vaults | undefined, shortHash: string): Promise<readonly AppliedMigration[]> => {
  const connections = await findConnections(sql, shortHash);
  if (connections !== undefined) return vaultsOf(vaults).migrations(connections);
  await sql`select config.open_app_migrations(${shortHash})`;
  await enterVault(sql, shortHash, 'ddl');
  const applied = await sql<AppliedMigration[]>`select cpk_name as "cpkName", name, digest from cordage_migration order by cpk_name, position`;
  await leaveVaults(sql);
  return [...applied];
};

type OperationRow = {
  request_id: string;
  operation: string;
  status: VirtualNodeOperation['status'];
  resource_id: string | null;
  error_reason: string | null;
  updated_at: Date;
  message_id: string;
  stage: string | null;
  awaited: string | null;
};

const operationOf = (row: OperationRow): VirtualNodeOperation => ({
  requestId: row.request_id,
  operation: row.operation,
  status: row.status,
  lastUpdatedTimestamp: row.updated_at.getTime(),
  resourceId: row.resource_id,
  errorReason: row.error_reason,
});

export const createPostgresVirtualNodes = (sql: Sql, vaults: Vaults | undefined): VirtualNodeRepository => ({
  known: async (shortHashes) => {
    const rows = await sql<{ short_hash: string; elsewhere: boolean }[]>`
      select node.short_hash, connection.short_hash is not null as elsewhere from config.virtual_node as node
      left join config.vault_connection as connection on connection.short_hash = node.short_hash
      where node.short_hash = any(${[...shortHashes]}::text[])`;
    if (rows.some(({ elsewhere }) => elsewhere)) throw new DatabaseError('DATABASE_CONFLICT', 'the vault of a virtual node has moved to a database of its own');
    return new Set(rows.map(({ short_hash }) => short_hash));
  },
  find: async (shortHash) => {
    const rows = await sql<VirtualNodeRow[]>`${selectVirtualNodes(sql)} where node.short_hash = ${shortHash}`;
    return rows[0] === undefined ? undefined : virtualNodeOf(rows[0]);
  },
  findToChange: async (shortHash) => {
    const rows = await sql<VirtualNodeRow[]>`${selectVirtualNodes(sql)} where node.short_hash = ${shortHash} for update of node`;
    return rows[0] === undefined ? undefined : virtualNodeOf(rows[0]);
  },
  findByCpi: async ({ name, version, signerSummaryHash }) => {
    const rows = await sql<VirtualNodeRow[]>`
      ${selectVirtualNodes(sql)} where node.cpi_name = ${name} and node.cpi_version = ${version}
      and node.cpi_signer_summary_hash = ${signerSummaryHash} order by node.short_hash`;
    return rows.map(virtualNodeOf);
  },
  list: async () => {
    const rows = await sql<VirtualNodeRow[]>`${selectVirtualNodes(sql)} order by node.short_hash`;
    return rows.map(virtualNodeOf);
  },
  create: (node, schemas, connections) => create(sql, node, schemas, connections === undefined ? undefined : { vaults, connections }),
  connections: (shortHash) => findConnections(sql, shortHash),
  connect: (node, connections, schemas, now) => connect(sql, { vaults, connections }, node, schemas, now),
  connectionKey: async () => vaultsOf(vaults).publicKey(),
  migrate: (shortHashes, schemas, now) => migrate(sql, vaults, shortHashes, schemas, now),
  migrations: (shortHash) => readMigrations(sql, vaults, shortHash),
  resync: (shortHash, schemas, now) => resync(sql, vaults, shortHash, schemas, now),
  update: async (node) => {
    const { cpiId } = node;
    await sql`
      update config.virtual_node set cpi_name = ${cpiId.name}, cpi_version = ${cpiId.version}, cpi_signer_summary_hash = ${cpiId.signerSummaryHash},
        flow_start_status = ${node.flowStartOperationalStatus}, flow_status = ${node.flowOperationalStatus},
        flow_p2p_status = ${node.flowP2pOperationalStatus}, vault_db_status = ${node.vaultDbOperationalStatus},
        operation_in_progress = ${node.operationInProgress ?? null}, deleting = ${node.deleting ?? false},
        version = ${node.version}, updated_at = ${new Date(node.timestamp)}
      where short_hash = ${node.holdingIdentity.shortHash}`;
  },
  drop: async (shortHash) => {
    await sql`select config.drop_virtual_node(${shortHash})`;
    await sql`delete from config.virtual_node where short_hash = ${shortHash}`;
  },
  findOperation: async (requestId) => {
    const rows = await sql<OperationRow[]>`select * from config.virtual_node_operation where request_id = ${requestId}`;
    const row = rows[0];
    return row === undefined ? undefined : { operation: operationOf(row), messageId: row.message_id, stage: row.stage ?? undefined, awaited: row.awaited ?? undefined };
  },
  putOperation: async ({ operation, messageId, stage = null, awaited = null }) => {
    await sql`
      insert into config.virtual_node_operation (request_id, operation, status, resource_id, error_reason, updated_at, message_id, stage, awaited)
      values (${operation.requestId}, ${operation.operation}, ${operation.status}, ${operation.resourceId}, ${operation.errorReason},
        ${new Date(operation.lastUpdatedTimestamp)}, ${messageId}, ${stage}, ${awaited})
      on conflict (request_id) do update set operation = excluded.operation, status = excluded.status, resource_id = excluded.resource_id,
        error_reason = excluded.error_reason, updated_at = excluded.updated_at, message_id = excluded.message_id,
        stage = excluded.stage, awaited = excluded.awaited`;
  },
  tablesSql: (schema) => tablesSql(sql, schema),
});
