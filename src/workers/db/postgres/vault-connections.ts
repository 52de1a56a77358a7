/** How vaults in databases of their own are reached: `config.vault_connection`; see migrations/0014-vault-connection.sql. */
import { sealedConnection, type SealedConnection } from '../../../messages/grammar/database-connection.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { VaultConnections } from '../db-tx.ts';
import { VaultFault } from '../vaults/vault-fault.ts';
import type { Vaults } from '../vaults/vaults.ts';

const read = (text: string): SealedConnection => sealedConnection.parse(JSON.parse(text));

export const findConnections = async (sql: Sql, shortHash: string): Promise<VaultConnections | undefined> => {
  const [row] = await sql<{ dml: string; ddl: string | null }[]>`select dml, ddl from config.vault_connection where short_hash = ${shortHash}`;
  return row === undefined ? undefined : { dml: read(row.dml), ddl: row.ddl === null ? null : read(row.ddl) };
};

export const putConnections = async (sql: Sql, shortHash: string, { dml, ddl }: VaultConnections, now: number): Promise<void> => {
  await sql`
    insert into config.vault_connection as kept (short_hash, version, dml, ddl, updated_at)
    values (${shortHash}, 1, ${JSON.stringify(dml)}, ${ddl === null ? null : JSON.stringify(ddl)}, ${new Date(now)})
    on conflict (short_hash) do update set version = kept.version + 1, dml = excluded.dml, ddl = excluded.ddl, updated_at = excluded.updated_at`;
};

/** Who opens no such databases has no business with them. */
export const vaultsOf = (vaults: Vaults | undefined): Vaults => {
  if (vaults === undefined) throw new VaultFault('DB_VAULT_UNREACHABLE', 'this process opens no databases of virtual nodes');
  return vaults;
};
