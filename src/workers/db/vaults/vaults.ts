/**
 * The door of this folder: vaults in databases of their own (`config.vault_connection`, see migrations/0014-vault-connection.sql).
 *
 * What a request does in such a vault and what it is answered are one transaction there, so a repeat finds its answer where the effect is, whatever
 * was lost in between (W3). Each of these vaults is an answer store of its own, so one that is away holds up nobody else.
 *
 * - **O1** a request is answered in the vault that its virtual node has now: what is elsewhere is looked up for each batch, and what is taken to
 *   be here is closed here when it moves (`config.close_vault`);
 * - **O2** what an operation does there is done there first, and may be done again; then it is written down here. A crash in between repeats it;
 * - **O3** a fault there is the operation's, never the batch's.
 */
import type { Clock } from '../../../host/clock.ts';
import type { SealedConnection } from '../../../messages/grammar/database-connection.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { Log } from '../../../observability/log.ts';
import type { Database, TransactionSql as Sql } from '../../../postgres/database.ts';
import { DatabaseError, translateError } from '../../../postgres/database-error.ts';
import type { TlsMaterial } from '../../../postgres/database-url.ts';
import type { Apart } from '../../../shell/apart.ts';
import type { AppliedMigration, VaultConnections } from '../db-tx.ts';
import { readLinesOf, type Rows } from '../postgres/transfers.ts';
import { createConnectionKeys } from './connection-keys.ts';
import { createStoresOf, type StoresOf } from './answer-stores.ts';
import { bringUpToDate, checkSchema, makeAnew, ownTables, readApplied, type Wanted } from './own-database.ts';
import { createPools } from './pools.ts';
import { VaultFault } from './vault-fault.ts';

export { VaultFault } from './vault-fault.ts';
export { ownTablesSql } from './own-database.ts';

export type Making = Omit<Wanted, 'schema'>;

export type Vaults = {
  /** What connections are sealed to. */
  publicKey(): Promise<string>;
  /** The answer stores of those whose vault is elsewhere; `undefined` as a whole where all are here. */
  readonly storesOf: StoresOf;
  /** Makes the vault where it may, and sees that requests can be answered there. Throws VaultFault. */
  make(connections: VaultConnections, making: Making & { readonly isNew: boolean }): Promise<void>;
  /** Drops what migrations made and makes it anew. Throws VaultFault. */
  resync(connections: VaultConnections, making: Making): Promise<void>;
  /** Throws VaultFault. */
  migrations(connections: VaultConnections): Promise<readonly AppliedMigration[]>;
  /** Every row of the vault as lines, of one snapshot (postgres/transfers.ts). Throws VaultFault, and what the work throws. */
  withLines<Result>(connections: VaultConnections, work: (lines: AsyncIterable<string>) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
};

export type VaultsOptions = {
  /** Of the cluster. */
  readonly database: Database;
  readonly passphrase: string | undefined;
  readonly tls?: TlsMaterial | undefined;
  readonly clock: Clock;
  readonly log: Log;
};

/** What a flow is told, which asks again later and later. */
const awayRefusal = (): Refusal => ({
  type: 'refused',
  code: 'DB_VAULT_UNREACHABLE',
  message: 'the database of the virtual node does not answer; whether this was done is unknown until it is asked again',
  fault: 'transient',
});

/** What is thrown there, as a fault of that vault. */
const faultOf = (error: unknown): VaultFault => {
  if (error instanceof VaultFault) return error;
  const told = translateError(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (!(told instanceof DatabaseError)) return new VaultFault('DB_VAULT_UNFIT', reason, { cause: error });
  // The remedies of our own database's errors are not those of this one.
  const cause = told.cause instanceof Error ? told.cause.message : reason;
  return new VaultFault('DB_VAULT_UNREACHABLE', `the database of the virtual node cannot be used: ${cause}`, { cause: error });
};

const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    throw faultOf(error);
  }
};

async function* guardedLines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* lines;
  } catch (error) {
    throw faultOf(error);
  }
}

/** How its rows are come by: the path leads there, and what the platform keeps for itself stays. */
const ownWay = (schema: string): Pick<Rows, 'become' | 'leave' | 'without'> => {
  const stay = async (): Promise<void> => {};
  return { become: async (sql) => void (await sql`select set_config('search_path', ${schema}, true)`), leave: stay, without: ownTables };
};

export const createVaults = ({ database, passphrase, tls, clock, log }: VaultsOptions): Vaults => {
  const keys = createConnectionKeys({ database, passphrase });
  const pools = createPools({ clock, log, tls });

  const withDml = <Result>({ dml }: VaultConnections, work: (sql: Sql, schema: string) => Promise<Result>): Promise<Result> =>
    guarded(async () => {
      const connection = await keys.open(dml);
      return pools.use(connection, (own) => own.transact((sql) => work(sql, connection.schema)));
    });
  const loginOf = (connections: VaultConnections): Promise<string> => withDml(connections, async (sql) => (await sql<{ login: string }[]>`select current_user as login`)[0]!.login);
  const withDdl = (connections: VaultConnections & { readonly ddl: SealedConnection }, work: (sql: Sql, schema: string, login: string) => Promise<void>): Promise<void> =>
    guarded(async () => {
      const [dml, ddl] = [await keys.open(connections.dml), await keys.open(connections.ddl)];
      if (dml.schema !== ddl.schema) throw new VaultFault('DB_VAULT_UNFIT', `vaultDdlConnection names the schema ${ddl.schema}, vaultDmlConnection ${dml.schema}; they name one vault (currentSchema)`);
      const login = await loginOf(connections);
      await pools.use(ddl, (own) => own.transact((sql) => work(sql, ddl.schema, login)));
    });

  return {
    publicKey: keys.publicKey,
    storesOf: createStoresOf({ database, keys, pools, clock, log }),
    make: async ({ dml, ddl }, { isNew, ...making }) => {
      if (ddl !== null) await withDdl({ dml, ddl }, (sql, schema, login) => bringUpToDate(sql, { ...making, schema }, login));
      await withDml({ dml, ddl }, (sql, schema) => checkSchema(sql, { ...making, schema }, isNew));
    },
    resync: async ({ dml, ddl }, making) => {
      if (ddl === null) throw new VaultFault('DB_VAULT_UNFIT', 'the virtual node has no vaultDdlConnection: an administrator drops its tables and makes them anew, or give the connection (PUT /virtualnode/{id}/db)');
      await withDdl({ dml, ddl }, (sql, schema, login) => makeAnew(sql, { ...making, schema }, login));
    },
    migrations: (connections) => withDml(connections, readApplied),
    withLines: async ({ dml }, work) => {
      let failure: { readonly error: unknown } | undefined;
      try {
        const connection = await keys.open(dml);
        return await pools.use(connection, (own) =>
          own.transact(async (sql) => {
            await sql`set transaction isolation level repeatable read`;
            return work(guardedLines(readLinesOf(sql, { schema: connection.schema, name: 'vault', ...ownWay(connection.schema) }))).catch((error: unknown) => {
              failure = { error };
              throw error;
            });
          }),
        );
      } catch (error) {
        // What the work threw is its own affair.
        throw failure === undefined ? faultOf(error) : failure.error;
      }
    },
    close: pools.close,
  };
};

/** Requests of flows, each at its virtual node's vault. */
export const apartIn = (vaults: Pick<Vaults, 'storesOf'>): Apart<{ readonly shortHash: string }> => ({
  storesOf: (requests) => vaults.storesOf(requests.map(({ body }) => body.shortHash)),
  away: awayRefusal,
});
