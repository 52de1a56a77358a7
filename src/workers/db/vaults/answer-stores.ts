/**
 * The answer stores of vaults in databases of their own, by short hash. What is elsewhere is looked up each time, since another replica may have
 * led it to another place; what is here is taken to be here for a while (O1 in vaults.ts).
 */
import type { Clock } from '../../../host/clock.ts';
import { sealedConnection, type SealedConnection } from '../../../messages/grammar/database-connection.ts';
import type { Log } from '../../../observability/log.ts';
import { createPostgresAnswerStore } from '../../../postgres/answer-store.ts';
import type { Database } from '../../../postgres/database.ts';
import { DatabaseError, translated } from '../../../postgres/database-error.ts';
import { textArray } from '../../../postgres/statement.ts';
import type { AnswerStore } from '../../../shell/store.ts';
import { vaultBatchMsMax, vaultHereMs } from '../config.ts';
import type { VaultTx } from '../db-tx.ts';
import { createPostgresCpis } from '../postgres/cpis.ts';
import { createPostgresEntities } from '../postgres/entities.ts';
import { createPostgresTables } from '../postgres/tables.ts';
import { schemaDoor } from '../postgres/vault.ts';
import type { ConnectionKeys, OpenConnection } from './connection-keys.ts';
import { answerTable } from './own-database.ts';
import type { Pools } from './pools.ts';
import { VaultFault } from './vault-fault.ts';

type Stores = readonly (AnswerStore<VaultTx> | undefined)[];
export type StoresOf = (shortHashes: readonly string[]) => Stores | undefined | Promise<Stores>;

type Means = { readonly database: Database; readonly keys: ConnectionKeys; readonly pools: Pools; readonly log: Log };

const storeAt = ({ database, pools, log }: Means, shortHash: string, connection: OpenConnection): AnswerStore<VaultTx> =>
  createPostgresAnswerStore<VaultTx>({
    database: {
      transact: (work) => pools.use(connection, (own) => own.transact(work, { timeMsMax: vaultBatchMsMax })),
      byKey: (text, parameters) => pools.use(connection, (own) => own.byKey(text, parameters)),
      log,
    },
    schema: connection.schema,
    table: answerTable,
    makeTx: (sql) => ({
      virtualNodes: { known: async () => new Set([shortHash]) },
      // Code is the cluster's.
      cpis: { findSchemas: (hashes) => translated(() => createPostgresCpis(database.sql).findSchemas(hashes)) },
      entities: createPostgresEntities(sql, schemaDoor(connection.schema)),
      tables: createPostgresTables(sql, schemaDoor(connection.schema)),
    }),
  });

/** Opened when it is needed first. */
const makeStore = (means: Means, shortHash: string, sealed: SealedConnection): AnswerStore<VaultTx> => {
  let store: Promise<AnswerStore<VaultTx>> | undefined;
  const open = async (): Promise<AnswerStore<VaultTx>> => storeAt(means, shortHash, await means.keys.open(sealed));
  return {
    transact: async (work) => {
      store ??= open().catch((cause: unknown) => {
        store = undefined;
        // An administrator mends it, and until then this vault is away.
        throw cause instanceof VaultFault ? new DatabaseError('DATABASE_REFUSED', cause.message, { cause }) : cause;
      });
      return (await store).transact(work);
    },
  };
};

type Row = { readonly short_hash: string; readonly dml: string };

export const createStoresOf = ({ clock, ...means }: Means & { readonly clock: Clock }): StoresOf => {
  /** As they were looked up last. */
  const stores = new Map<string, { readonly dml: string; readonly store: AnswerStore<VaultTx> }>();
  let here = new Set<string>();
  let hereUntil = 0;
  const storeOf = ({ short_hash: shortHash, dml }: Row): AnswerStore<VaultTx> => {
    const before = stores.get(shortHash);
    if (before?.dml === dml) return before.store;
    const store = makeStore(means, shortHash, sealedConnection.parse(JSON.parse(dml)));
    stores.set(shortHash, { dml, store });
    return store;
  };
  const lookUp = async (shortHashes: readonly string[]): Promise<Stores> => {
    const asked = [...new Set(shortHashes)];
    // Rows of the columns that are named.
    const rows = (await means.database.byKey('select short_hash, dml from config.vault_connection where short_hash = any($1::text[])', [textArray(asked)])) as readonly Row[];
    const elsewhere = new Map(rows.map((row) => [row.short_hash, storeOf(row)]));
    if (clock.now() >= hereUntil) {
      here = new Set();
      hereUntil = clock.now() + vaultHereMs;
    }
    for (const shortHash of asked) {
      if (elsewhere.has(shortHash)) continue;
      here.add(shortHash);
      stores.delete(shortHash);
    }
    return shortHashes.map((shortHash) => elsewhere.get(shortHash));
  };
  return (shortHashes) => (clock.now() < hereUntil && shortHashes.every((shortHash) => here.has(shortHash)) ? undefined : lookUp(shortHashes));
};
