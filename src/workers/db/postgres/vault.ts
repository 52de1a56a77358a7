/** Ways into a virtual node's vault: `vnode_vault_<short hash>`; see migrations/0005-virtual-node.sql. */
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

export const vaultSchemaOf = (shortHash: string): string => `vnode_vault_${shortHash.toLowerCase()}`;

/**
 * Takes on a role of a virtual node for the statements that follow, until `leaveVaults` or the end of the transaction: `dml` reads and
 * writes rows, `ddl` owns the tables. From within one vault's role nothing else can be reached, so the way to the next leads over the
 * cluster's own.
 */
export const enterVault = async (sql: Sql, shortHash: string, kind: 'dml' | 'ddl' = 'dml'): Promise<void> => {
  await Promise.all([sql`set local role none`, takeRole(sql, shortHash, kind)]);
};

/** From outside of all vaults. Sent when it is awaited. */
const takeRole = (sql: Sql, shortHash: string, kind: 'dml' | 'ddl') => {
  const schema = vaultSchemaOf(shortHash);
  return sql`select set_config('search_path', ${schema}, true), set_config('role', config.role_of(${schema}, ${kind}), true)`;
};

export const leaveVaults = async (sql: Sql): Promise<void> => {
  await sql.unsafe('set local role none; set local search_path to default');
};

/** The way into a vault and out again: that of the cluster's database leads through roles, that of a vault's own through the path alone. */
export type VaultDoor = {
  /** `from` says whether another vault was entered and not left. */
  readonly enter: (sql: Sql, shortHash: string, from: 'outside' | 'vault') => Promise<void>;
  readonly leave: (sql: Sql) => Promise<void>;
};

export const clusterDoor: VaultDoor = {
  enter: async (sql, shortHash, from) => {
    await (from === 'outside' ? takeRole(sql, shortHash, 'dml') : enterVault(sql, shortHash));
  },
  leave: leaveVaults,
};

/** Of a database that the login of a vault opens: what it may touch there, its administrator has said. */
export const schemaDoor = (schema: string): VaultDoor => ({
  enter: async (sql) => void (await sql`select set_config('search_path', ${schema}, true)`),
  leave: async () => {},
});

/**
 * Bounds the statements that follow, until `liftTimeLimit` or the end of the transaction. Waiting for another transaction's lock is bounded by
 * less: it passes by itself, so the batch is tried again, while a statement that is slow by itself is refused.
 */
export const limitTime = async (sql: Sql, milliseconds: number): Promise<void> => {
  await sql`select set_config('statement_timeout', ${String(milliseconds)}, true), set_config('lock_timeout', ${String(Math.floor(milliseconds / 2))}, true)`;
};

export const liftTimeLimit = async (sql: Sql): Promise<void> => {
  await Promise.all([sql`set local statement_timeout to default`, sql`set local lock_timeout to default`]);
};
