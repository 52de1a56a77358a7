/**
 * One PostgreSQL database, through postgres.js, in three pools with one bound:
 *
 * - `sql` for single statements, each a transaction of its own;
 * - `byKey` for the shell's stores, whose statements all go by key. Its planner is told so, because these tables grow from
 *   empty to large faster than their statistics, and a plan made for ten rows reads ten thousand;
 * - connections for transactions, one lent to each.
 *
 * The library's traps, and what is done about them:
 *
 * 1. Its `begin` may send BEGIN without reserving the connection (its issues 823, 1189, 1210), and what follows takes effect
 *    statement by statement. So a transaction has a client of one connection to itself, and a commit counts only if the server
 *    answered COMMIT on a connection that was never lost.
 * 2. A lost connection is silently replaced under a running transaction. So these connections are read-only outside an explicit
 *    BEGIN READ WRITE: a stray statement is refused by the server.
 * 3. If a connection is lost while a write to it waits for the end of the turn, its next connection never sends anything: the
 *    timer of the write was cancelled and is still taken for set. So clients and pools are replaced after a loss.
 * 4. A statement that comes between the `error` and the `close` of its connection's socket never settles. So the socket is ours
 *    (`host/database-socket.ts`), and as a last resort (with TLS it is not) every statement and transaction has a time limit.
 * 5. If a connection is lost while the library asks for the types of arrays, a rejection goes unhandled and ends the process. So
 *    it is not asked (`arrays.ts`).
 */
import postgres from 'postgres';
import { systemClock } from '../host/clock.ts';
import { openDatabaseSocket, type DatabaseAddress } from '../host/database-socket.ts';
import type { Log } from '../observability/log.ts';
import { DatabaseError, translateError } from './database-error.ts';
import { arrayTypes } from './arrays.ts';
import { createLendings, type Lent } from './lending.ts';
import { createPool, guardClient } from './pool.ts';
import type { Parameter } from './statement.ts';

/** A pool. */
export type Sql = postgres.Sql<{}>;
/** What statements are written with, in a pool or in a transaction. */
export type TransactionSql = postgres.ISql<{}>;

export type DatabaseOptions = {
  readonly url: string;
  /** Of a server on this machine: connections go by the Unix socket there instead of the host of the URL. */
  readonly socketDirectory?: string | undefined;
  /** Bound on connections, all pools together; at least 4. */
  readonly connectionsMax?: number;
  readonly log: Log;
};

export type TransactOptions = {
  /** Bound on the whole; default 60 s. Longer ones must lift the server's bounds too, see `timeouts`. */
  readonly timeMsMax?: number;
};

export type Database = {
  /** Single statements, each a transaction of its own. */
  readonly sql: Sql;
  /** One prepared statement of the shell's stores; throws DatabaseError for what passes by itself. */
  byKey(text: string, parameters: readonly Parameter[]): Promise<readonly object[]>;
  /**
   * Runs `work` in one transaction (READ COMMITTED) and resolves when it is durable; what it throws rolls everything back
   * and is thrown again. Statements written with another `sql` than its own are not part of it.
   */
  transact<Result>(work: (sql: TransactionSql) => Promise<Result>, options?: TransactOptions): Promise<Result>;
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

/** Milliseconds, some by PostgreSQL's names. No statement of ours takes seconds, unless something is wrong. */
const transactionMsMax = 60_000;
const statementMsMax = 40_000;
const timeouts = { statement_timeout: 30_000, lock_timeout: 10_000, idle_in_transaction_session_timeout: transactionMsMax };
const byKeyOnly = { enable_seqscan: 'off', enable_bitmapscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off', plan_cache_mode: 'force_generic_plan' };

const quarter = (total: number): number => Math.max(1, Math.floor(total / 4));

/** What the server must have said for a transaction to be durable: COMMIT of a failed transaction answers ROLLBACK. */
const commit = async (sql: TransactionSql): Promise<void> => {
  const { command } = await sql.unsafe('commit');
  if (command === 'COMMIT') return;
  throw new Error('a statement of this transaction failed and its error was swallowed, so everything was rolled back; let the error out, or use a savepoint');
};

const checkLost = ({ isLost }: Lent): void => {
  if (isLost()) throw new DatabaseError('DATABASE_UNREACHABLE', 'the connection was lost during a transaction; whether it was committed is unknown');
};

/** What takes longer than the server itself allows will never end: its connection is given up. One timer a statement, and no more. */
const withinTime = <Result>(giveUp: () => void, timeMsMax: number, work: PromiseLike<Result>): Promise<Result> =>
  new Promise((resolve, reject) => {
    const cancel = systemClock.after(timeMsMax, () => {
      giveUp();
      reject(new DatabaseError('DATABASE_UNREACHABLE', `PostgreSQL did not end a statement or transaction within ${timeMsMax} ms; its connection was given up`));
    });
    work.then(
      (result) => {
        cancel();
        resolve(result);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });

export const openDatabase = ({ url, socketDirectory, connectionsMax = connectionsMaxDefault, log }: DatabaseOptions): Database => {
  let attempts = 0;
  const options = {
    socket: (address: DatabaseAddress) => openDatabaseSocket(address, attempts++),
    ...(socketDirectory === undefined ? {} : { host: socketDirectory }),
    connect_timeout: connectSeconds,
    types: arrayTypes,
    fetch_types: false,
    onnotice: (notice: postgres.Notice) => log.debug('postgres-notice', { notice: notice['message'] }),
    // `socket` is documented, but missing in the library's types.
  } satisfies postgres.Options<{}> & { readonly socket: unknown };
  const connection = { application_name: 'cordage', ...timeouts };
  const pooled = quarter(connectionsMax);
  const single = createPool((onclose) => postgres(url, { ...options, connection, max: pooled, idle_timeout: idleSeconds, onclose }));
  const keyed = createPool((onclose) =>
    postgres(url, { ...options, connection: { ...connection, ...byKeyOnly }, max: pooled, idle_timeout: idleSeconds, onclose }),
  );
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

  const transact: Database['transact'] = (work, { timeMsMax = transactionMsMax } = {}) =>
    lendings.lend(async (lent) => {
      try {
        // Not awaited: it and the first statement leave together, in this order.
        const begun = lent.client.unsafe('begin read write').execute();
        begun.catch(() => {});
        const result = await withinTime(lent.giveUp, timeMsMax, work(guardClient(lent.client, () => checkLost(lent))));
        await begun;
        await withinTime(lent.giveUp, timeMsMax, commit(lent.client));
        checkLost(lent);
        return result;
      } catch (error) {
        if (lent.isLost()) {
          if (error instanceof DatabaseError) throw error;
          throw new DatabaseError('DATABASE_UNREACHABLE', 'the connection was lost during a transaction; is PostgreSQL running?', { cause: error });
        }
        await withinTime(lent.giveUp, timeMsMax, lent.client.unsafe('rollback')).catch((cause: unknown) => {
          log.warn('postgres-rollback-failed', { cause });
          lent.giveUp();
        });
        throw translateError(error);
      }
    });

  return {
    sql: single.sql,
    byKey: async (text, parameters) => {
      try {
        return await withinTime(keyed.replace, statementMsMax, keyed.sql.unsafe(text, [...parameters], { prepare: true }));
      } catch (error) {
        throw translateError(error);
      }
    },
    transact,
    log,
    close: async () => {
      await Promise.all([lendings.close(closeSeconds), single.close(closeSeconds), keyed.close(closeSeconds)]);
    },
  };
};
