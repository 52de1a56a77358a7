/**
 * One PostgreSQL database, through postgres.js, in three pools with one bound:
 *
 * - `sql` for single statements, each a transaction of its own;
 * - `keyed` for the shell's stores, whose statements all go by key. Its planner is told so, because these tables grow from
 *   empty to large faster than their statistics, and a plan made for ten rows reads ten thousand;
 * - connections for transactions, one lent to each.
 *
 * Transactions and the library: its `begin` may send BEGIN without reserving the connection (its issues 823, 1189, 1210), and
 * a connection that was lost is silently replaced by a new one, on which the rest of a transaction would take effect piece by
 * piece. So each transaction has a client of one connection to itself; that connection is read-only outside an explicit BEGIN
 * READ WRITE, so that a stray statement is refused by the server; and a commit counts only if the server called it COMMIT on
 * a connection that was never lost.
 */
import postgres from 'postgres';
import type { Log } from '../observability/log.ts';
import { DatabaseError, translateError } from './database-error.ts';
import { createLendings } from './lending.ts';

/** A pool. */
export type Sql = postgres.Sql<{}>;
/** What statements are written with, in a pool or in a transaction. */
export type TransactionSql = postgres.ISql<{}>;

export type DatabaseOptions = {
  readonly url: string;
  /** Bound on connections, all pools together; at least 4. */
  readonly connectionsMax?: number;
  readonly log: Log;
};

export type Database = {
  readonly sql: Sql;
  readonly keyed: Sql;
  /**
   * Runs `work` in one transaction (READ COMMITTED) and resolves when it is durable; what it throws rolls everything back
   * and is thrown again. Statements written with another `sql` than its own are not part of it.
   */
  transact<Result>(work: (sql: TransactionSql) => Promise<Result>): Promise<Result>;
  readonly log: Log;
  close(): Promise<void>;
};

const connectionsMaxDefault = 16;
/** Seconds to wait for a connection; a server that restarts takes fewer. */
const connectSeconds = 10;
/** Seconds after which an idle pool connection is given back: a backend holds megabytes. */
const idleSeconds = 300;
/** Seconds that `close` waits for statements under way. */
const closeSeconds = 5;

/** Milliseconds, by PostgreSQL's names. No statement of ours takes seconds, unless something is wrong. */
const timeouts = { statement_timeout: 30_000, lock_timeout: 10_000, idle_in_transaction_session_timeout: 60_000 };
const byKeyOnly = { enable_seqscan: 'off', enable_bitmapscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off', plan_cache_mode: 'force_generic_plan' };

const quarter = (total: number): number => Math.max(1, Math.floor(total / 4));

/** What the server must have said for a transaction to be durable: COMMIT of a failed transaction answers ROLLBACK. */
const commit = async (sql: TransactionSql): Promise<void> => {
  const { command } = await sql.unsafe('commit');
  if (command === 'COMMIT') return;
  throw new Error('a statement of this transaction failed and its error was swallowed, so everything was rolled back; let the error out, or use a savepoint');
};

export const openDatabase = ({ url, connectionsMax = connectionsMaxDefault, log }: DatabaseOptions): Database => {
  const options = {
    connect_timeout: connectSeconds,
    onnotice: (notice: postgres.Notice) => log.debug('postgres-notice', { notice: notice['message'] }),
  } satisfies postgres.Options<{}>;
  const connection = { application_name: 'cordage', ...timeouts };
  const pooled = quarter(connectionsMax);
  const sql = postgres(url, { ...options, connection, max: pooled, idle_timeout: idleSeconds });
  const keyed = postgres(url, { ...options, connection: { ...connection, ...byKeyOnly }, max: pooled, idle_timeout: idleSeconds, fetch_types: false });
  const lendings = createLendings({
    clientsMax: Math.max(1, connectionsMax - 2 * pooled),
    open: (onclose) =>
      postgres(url, {
        ...options,
        connection: { ...connection, default_transaction_read_only: true },
        max: 1,
        // Its one connection may not be taken away between two statements.
        max_lifetime: null,
        onclose,
      }),
  });

  const transact = <Result>(work: (sql: TransactionSql) => Promise<Result>): Promise<Result> =>
    lendings.lend(async ({ client, losses }) => {
      const lossesBefore = losses();
      try {
        // Not awaited: it and the first statement leave together, in this order.
        const begun = client.unsafe('begin read write').execute();
        begun.catch(() => {});
        const result = await work(client);
        await begun;
        await commit(client);
        if (losses() === lossesBefore) return result;
        throw new DatabaseError('DATABASE_UNREACHABLE', 'the connection was lost during a transaction; it may or may not be committed');
      } catch (error) {
        if (losses() !== lossesBefore) {
          throw error instanceof DatabaseError ? error : new DatabaseError('DATABASE_UNREACHABLE', 'the connection was lost during a transaction; is PostgreSQL running?', { cause: error });
        }
        await client.unsafe('rollback').catch((cause: unknown) => log.warn('postgres-rollback-failed', { cause }));
        throw translateError(error);
      }
    });

  return {
    sql,
    keyed,
    transact,
    log,
    close: async () => {
      await lendings.close(closeSeconds);
      await Promise.all([sql.end({ timeout: closeSeconds }), keyed.end({ timeout: closeSeconds })]);
    },
  };
};
