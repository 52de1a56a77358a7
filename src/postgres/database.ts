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
 * 2. A lost connection is silently replaced under a running transaction. So the client of a transaction is never given a second
 *    one; and these connections are read-only outside an explicit BEGIN READ WRITE: a stray statement is refused by the server.
 * 3. If a connection is lost while a write to it waits for the end of the turn, its next connection never sends anything: the
 *    timer of the write was cancelled and is still taken for set. So clients and pools are replaced after a loss.
 * 4. A statement that comes between the `error` and the `close` of its connection's socket never settles. So the socket is ours
 *    (`host/database-socket.ts`), and as a last resort every statement and transaction has a time limit.
 * 5. If a connection is lost while the library asks for the types of arrays, a rejection goes unhandled and ends the process. So
 *    it is not asked (`arrays.ts`).
 *
 * Behind a pooler in transaction mode a session lasts for one transaction only. Then nothing is set for longer (`session.ts`), no
 * statement is prepared by name, and `byKey` is a transaction, too.
 */
import postgres from 'postgres';
import { systemClock } from '../host/clock.ts';
import { failedDatabaseSocket, openDatabaseSocket, type DatabaseAddress, type DatabaseConnection } from '../host/database-socket.ts';
import type { Log } from '../observability/log.ts';
import { arrayTypes } from './arrays.ts';
import { DatabaseError, translateError } from './database-error.ts';
import { readDatabaseUrl, type TlsMaterial } from './database-url.ts';
import { createLendings, type Lendings, type Lent } from './lending.ts';
import { createPool, guardClient } from './pool.ts';
import { sessionFor, transactionMsMax, type Pooler } from './session.ts';
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
  /** What stands between us and the server. */
  readonly pooler?: Pooler;
  /** What TLS needs beside the URL's `sslmode`. */
  readonly tls?: TlsMaterial;
  /** How long a connection is waited for; default 10, while which a server restarts. */
  readonly connectSecondsMax?: number;
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

/** Milliseconds; more than the server allows (`session.ts`). */
const statementMsMax = 40_000;

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

type Open = (socket: LibraryOptions['socket'], onclose: () => void, options: postgres.Options<{}>) => Sql;
/** `socket` is documented, but missing in the library's types. */
type LibraryOptions = postgres.Options<{}> & { readonly socket: (address: DatabaseAddress) => DatabaseConnection | Promise<DatabaseConnection> };

/** A client's second connection would go on where the first has ended (trap 2). */
const onlyOnce = (open: LibraryOptions['socket']): LibraryOptions['socket'] => {
  let opened = false;
  return (address) => {
    if (opened) return failedDatabaseSocket(Object.assign(new Error('the connection of a transaction was lost'), { code: 'CONNECTION_CLOSED' }));
    opened = true;
    return open(address);
  };
};

const openLibrary = ({ url: given, socketDirectory, tls: material, connectSecondsMax = connectSeconds, log }: DatabaseOptions): { readonly open: Open; readonly socket: LibraryOptions['socket'] } => {
  const { url, tls } = readDatabaseUrl(given, material);
  let attempts = 0;
  const shared = {
    ...(socketDirectory === undefined ? {} : { host: socketDirectory }),
    // The socket speaks TLS by itself.
    ssl: false,
    connect_timeout: connectSecondsMax,
    types: arrayTypes,
    fetch_types: false,
    onnotice: (notice: postgres.Notice) => log.debug('postgres-notice', { notice: notice['message'] }),
  } satisfies postgres.Options<{}>;
  return {
    open: (socket, onclose, options) => {
      const all: LibraryOptions = { ...shared, ...options, socket, onclose };
      return postgres(url, all);
    },
    socket: (address) => openDatabaseSocket(address, attempts++, tls),
  };
};

type Transact = <Result>(begin: string, timeMsMax: number, work: (sql: TransactionSql) => Promise<Result>) => Promise<Result>;

const createTransact = (lendings: Lendings, log: Log): Transact => (begin, timeMsMax, work) =>
  lendings.lend(async (lent) => {
    let notBegun: unknown;
    try {
      // Not awaited: it and the first statement leave together, in this order.
      const begun = lent.client.unsafe(begin).execute();
      begun.catch((error: unknown) => (notBegun = error));
      const result = await withinTime(lent.giveUp, timeMsMax, work(guardClient(lent.client, () => checkLost(lent))));
      await begun;
      await withinTime(lent.giveUp, timeMsMax, commit(lent.client));
      checkLost(lent);
      return result;
    } catch (error) {
      if (lent.isLost()) {
        // Why there was no connection is told to the statement that asked for it.
        const told = translateError(notBegun ?? error);
        if (told instanceof DatabaseError && (notBegun !== undefined || told === error)) throw told;
        throw new DatabaseError('DATABASE_UNREACHABLE', 'the connection was lost during a transaction; is PostgreSQL running?', { cause: error });
      }
      await withinTime(lent.giveUp, timeMsMax, lent.client.unsafe('rollback')).catch((cause: unknown) => {
        log.warn('postgres-rollback-failed', { cause });
        lent.giveUp();
      });
      throw translateError(error);
    }
  });

export const openDatabase = (options: DatabaseOptions): Database => {
  const { connectionsMax = connectionsMaxDefault, pooler = 'none', log } = options;
  const session = sessionFor(pooler);
  const { open, socket } = openLibrary(options);
  const pooled = quarter(connectionsMax);
  const pool = { max: pooled, idle_timeout: idleSeconds, prepare: session.prepares };
  const single = createPool((onclose) => open(socket, onclose, { ...pool, connection: session.single }));
  const keyed = session.byKeyBegin === undefined ? createPool((onclose) => open(socket, onclose, { ...pool, connection: session.keyed })) : undefined;
  const lendings = createLendings({
    clientsMax: Math.max(1, connectionsMax - (keyed === undefined ? 1 : 2) * pooled),
    // Its one connection may not be taken away between two statements.
    open: (onclose) => open(onlyOnce(socket), onclose, { connection: session.lent, max: 1, max_lifetime: null, prepare: session.prepares }),
  });
  const transact = createTransact(lendings, log);
  const inPool = async (text: string, parameters: readonly Parameter[]): Promise<readonly object[]> => {
    try {
      return await withinTime(keyed!.replace, statementMsMax, keyed!.sql.unsafe(text, [...parameters], { prepare: true }));
    } catch (error) {
      throw translateError(error);
    }
  };
  const { byKeyBegin } = session;
  return {
    sql: single.sql,
    byKey: byKeyBegin === undefined ? inPool : (text, parameters) => transact<readonly object[]>(byKeyBegin, statementMsMax, (sql) => sql.unsafe(text, [...parameters])),
    transact: (work, { timeMsMax = transactionMsMax } = {}) => transact(session.begin, timeMsMax, work),
    log,
    close: async () => {
      await Promise.all([lendings.close(closeSeconds), single.close(closeSeconds), keyed?.close(closeSeconds)]);
    },
  };
};
