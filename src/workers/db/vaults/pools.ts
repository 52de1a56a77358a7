/** Connections to the databases of vaults: a bounded pool for each database and login, closed when nobody asks for it. */
import type { Clock } from '../../../host/clock.ts';
import type { Log } from '../../../observability/log.ts';
import { openDatabase, type Database } from '../../../postgres/database.ts';
import { DatabaseError } from '../../../postgres/database-error.ts';
import type { TlsMaterial } from '../../../postgres/database-url.ts';
import { vaultConnectionsMax, vaultConnectSecondsMax, vaultPoolIdleMs, vaultPoolsMax } from '../config.ts';
import type { OpenConnection } from './connection-keys.ts';

export type Pools = {
  /** The database is open while the work lasts. */
  use<Result>(connection: OpenConnection, work: (database: Database) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
};

export type PoolsOptions = { readonly clock: Clock; readonly log: Log; /** What TLS needs beside `sslmode`. */ readonly tls?: TlsMaterial | undefined };

type Pool = { readonly database: Database; users: number; usedAt: number };

const urlOf = ({ host, port, database, sslmode, user, password }: OpenConnection): string =>
  `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}?sslmode=${sslmode}`;

export const createPools = ({ clock, log, tls = {} }: PoolsOptions): Pools => {
  const pools = new Map<string, Pool>();
  let cancelLook: (() => void) | undefined;

  const end = (url: string, { database }: Pool): Promise<void> => {
    pools.delete(url);
    return database.close().catch((error: unknown) => log.warn('db.vault.pool-not-closed', { error }));
  };
  const idle = (): [string, Pool][] => [...pools].filter(([, { users }]) => users === 0).sort(([, one], [, other]) => one.usedAt - other.usedAt);
  const look = (): void => {
    cancelLook = undefined;
    const before = clock.now() - vaultPoolIdleMs;
    for (const [url, pool] of idle()) if (pool.usedAt <= before) void end(url, pool);
    lookLater();
  };
  /** A clock is set only while there is something to close. */
  const lookLater = (): void => {
    if (pools.size > 0) cancelLook ??= clock.after(vaultPoolIdleMs, look);
  };
  const open = (url: string): Pool => {
    if (pools.size >= vaultPoolsMax) {
      const [oldest] = idle();
      if (oldest === undefined) throw new DatabaseError('DATABASE_EXHAUSTED', `${vaultPoolsMax} databases of virtual nodes are in use at once; add a db worker, or let vaults share a database`);
      void end(...oldest);
    }
    const pool: Pool = { database: openDatabase({ url, tls, connectionsMax: vaultConnectionsMax, connectSecondsMax: vaultConnectSecondsMax, log }), users: 0, usedAt: clock.now() };
    pools.set(url, pool);
    return pool;
  };

  return {
    use: async (connection, work) => {
      const url = urlOf(connection);
      const pool = pools.get(url) ?? open(url);
      pool.users++;
      try {
        return await work(pool.database);
      } finally {
        pool.users--;
        pool.usedAt = clock.now();
        lookLater();
      }
    },
    close: async () => {
      cancelLook?.();
      await Promise.all([...pools].map(([url, pool]) => end(url, pool)));
    },
  };
};
