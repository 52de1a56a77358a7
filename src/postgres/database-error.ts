/** Failures of the database that pass by themselves. Everything else (a constraint, a wrong statement) is thrown as it came. */
export type DatabaseErrorCode =
  /** No connection, or it was lost; whether a statement under way was done is unknown. */
  | 'DATABASE_UNREACHABLE'
  /** Another transaction was in the way; this one left no trace. */
  | 'DATABASE_CONFLICT'
  /** Out of connections, memory or disk. */
  | 'DATABASE_EXHAUSTED'
  /** The server is there and does not let us in. */
  | 'DATABASE_REFUSED';

export class DatabaseError extends Error {
  readonly code: DatabaseErrorCode;
  /** The shell tries again (see `src/shell/operational.ts`). */
  readonly operational = true;
  constructor(code: DatabaseErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseError';
    this.code = code;
  }
}

/** Codes of the operating system and of postgres.js. */
const connectionCodes: ReadonlySet<string> = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
]);

/** SQLSTATE, by its first characters (PostgreSQL's appendix A). */
const states: readonly (readonly [string, DatabaseErrorCode])[] = [
  // What a pooler says of a client that sets a session's parameters.
  ['08P01 unsupported startup parameter', 'DATABASE_REFUSED'],
  ['08', 'DATABASE_UNREACHABLE'],
  ['57P01', 'DATABASE_UNREACHABLE'],
  ['57P02', 'DATABASE_UNREACHABLE'],
  ['57P03', 'DATABASE_UNREACHABLE'],
  ['57P05', 'DATABASE_UNREACHABLE'],
  ['25P03', 'DATABASE_UNREACHABLE'],
  ['40001', 'DATABASE_CONFLICT'],
  ['40P01', 'DATABASE_CONFLICT'],
  ['55P03', 'DATABASE_CONFLICT'],
  ['53', 'DATABASE_EXHAUSTED'],
  ['28', 'DATABASE_REFUSED'],
  ['42501 permission denied for database', 'DATABASE_REFUSED'],
  ['3D000', 'DATABASE_REFUSED'],
];

const remedies: Record<DatabaseErrorCode, string> = {
  DATABASE_UNREACHABLE: 'is PostgreSQL running, and does DATABASE_URL name it?',
  DATABASE_CONFLICT: 'it is tried again',
  DATABASE_EXHAUSTED: 'give PostgreSQL more of what it lacks',
  DATABASE_REFUSED: 'check user, password and database name in DATABASE_URL',
};

/** Refusals whose remedy is another. */
const remedyOfRefusal: readonly (readonly [string, string])[] = [
  ['08P01', 'DATABASE_URL names a pooler: set CORDAGE_DATABASE_POOLER=transaction'],
  ['28P01', 'check user and password in DATABASE_URL; the migrate job makes the logins of CORDAGE_DATABASE_LOGINS'],
  ['28000', 'check the user in DATABASE_URL, and what pg_hba.conf lets in: it may ask for TLS (sslmode=require) or a client certificate'],
  ['3D000', 'check the database name in DATABASE_URL: databases are made by you, only what is in them is made here'],
  ['42501', 'this login lacks a right: migrations are run by the owner of the database, who may make roles (CREATEROLE); rooms have the rights that the last migration gave'],
  // Its message says it.
  ['DATABASE_TLS', ''],
];

const codeOf = (error: unknown): DatabaseErrorCode | undefined => {
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'string') return undefined;
  const { code } = error;
  if (connectionCodes.has(code)) return 'DATABASE_UNREACHABLE';
  if (code === 'DATABASE_TLS') return 'DATABASE_REFUSED';
  const said = `${code} ${error instanceof Error ? error.message : ''}`;
  return states.find(([prefix]) => said.startsWith(prefix))?.[1];
};

const stateOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '');

/** What to do about an error of the server, by its SQLSTATE; also about those that are no operational ones. */
export const remedyOf = (error: unknown, code?: DatabaseErrorCode): string => {
  const state = stateOf(error);
  const special = code === undefined || code === 'DATABASE_REFUSED' ? remedyOfRefusal.find(([prefix]) => state === prefix)?.[1] : undefined;
  return special ?? (code === undefined ? '' : remedies[code]);
};

/** The operational error that this one is, or the same error. */
export const translateError = (error: unknown): unknown => {
  if (error instanceof DatabaseError) return error;
  const code = codeOf(error);
  if (code === undefined) return error;
  const message = error instanceof Error ? error.message : String(error);
  const remedy = remedyOf(error, code);
  return new DatabaseError(code, remedy === '' ? message : `${message}; ${remedy}`, { cause: error });
};

/** Runs the work and translates what it throws. */
export const translated = async <Result>(work: () => PromiseLike<Result>): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    throw translateError(error);
  }
};
