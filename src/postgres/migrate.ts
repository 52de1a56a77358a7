/**
 * Numbered migrations, applied once each, in order, under an advisory lock. What was applied is remembered with its checksum:
 *
 *     migrations.applied (name, checksum, applied_at)
 *
 * Repeatable ones (who may touch what) come last, each time. An older program leaves a newer schema as it is, and works with it: what is
 * new in one release may only be relied upon, and what is old taken away, in the next.
 *
 * All that are missing are applied in one transaction, so that a start that fails leaves the schema as it was. A room that does
 * not own the schema waits for it (`waitForMigrations`).
 */
import { pause, systemClock, type Clock } from '../host/clock.ts';
import { utf8, toHex } from '../cipher/bytes.ts';
import { sha256 } from '../cipher/digest.ts';
import type { Log } from '../observability/log.ts';
import type { Database, TransactionSql } from './database.ts';
import { DatabaseError, remedyOf, translated } from './database-error.ts';

export type Migration = {
  /** Begins with its number: `0001-state`. */
  readonly name: string;
  readonly sql: string;
  /** Applied after all others, and again whenever one of them or it itself is new: it may be edited, and must bear to be run twice. */
  readonly repeatable?: boolean;
};

export type MigrationErrorCode = 'MIGRATION_CHANGED' | 'MIGRATION_OUT_OF_ORDER' | 'MIGRATION_FAILED' | 'MIGRATION_MISSING';

export class MigrationError extends Error {
  readonly code: MigrationErrorCode;
  constructor(code: MigrationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MigrationError';
    this.code = code;
  }
}

/** Any number that no other lock of ours has. */
const lockId = 7_215_400_118;
/** A change of a large table takes minutes. */
const migrateMsMax = 3_600_000;
/** How long a room waits for another to bring the schema up to date, how often it looks, and how often it says why it waits. */
const waitMsMaxDefault = 300_000;
const lookMsMin = 25;
const lookMsMax = 1_000;
const sayMsMin = 10_000;

const journal = `create schema if not exists migrations;
create table if not exists migrations.applied (name text primary key, checksum text not null, applied_at timestamptz not null default now());`;

/** Line ends are not content: a checkout may have changed them. */
const checksumOf = ({ sql }: Migration): string => toHex(sha256(utf8(sql.replaceAll('\r\n', '\n'))));

type Applied = ReadonlyMap<string, string>;

const readApplied = async (sql: TransactionSql): Promise<Applied> => {
  const [found] = await sql<{ there: boolean }[]>`select to_regclass('migrations.applied') is not null as there`;
  if (found?.there !== true) return new Map();
  const rows = await sql<{ name: string; checksum: string }[]>`select name, checksum from migrations.applied`;
  return new Map(rows.map(({ name, checksum }) => [name, checksum]));
};

/** Those still to be applied. Throws when history was rewritten. */
const findNumbered = (all: readonly Migration[], applied: Applied): readonly Migration[] => {
  const migrations = all.filter(({ repeatable }) => repeatable !== true);
  for (const migration of migrations) {
    const checksum = applied.get(migration.name);
    if (checksum !== undefined && checksum !== checksumOf(migration)) {
      throw new MigrationError(
        'MIGRATION_CHANGED',
        `migration ${migration.name} was edited after it had been applied to this database; undo the edit and write a new migration instead (or, where the data may go, begin with an empty database)`,
      );
    }
  }
  const missing = migrations.filter(({ name }) => !applied.has(name));
  const first = migrations.findIndex(({ name }) => !applied.has(name));
  const later = migrations.slice(first + 1).find(({ name }) => applied.has(name));
  if (first >= 0 && later !== undefined) {
    throw new MigrationError(
      'MIGRATION_OUT_OF_ORDER',
      `migration ${migrations[first]!.name} is new, but ${later.name}, which comes after it, was applied before; give the new one a later number (or, where the data may go, begin with an empty database)`,
    );
  }
  return missing;
};

const isOlderThan = (applied: Applied, migrations: readonly Migration[]): boolean => {
  const known = new Set(migrations.map(({ name }) => name));
  return [...applied.keys()].some((name) => !known.has(name));
};

/** What is to be applied, in order. */
const findMissing = (migrations: readonly Migration[], applied: Applied): readonly Migration[] => {
  const numbered = findNumbered(migrations, applied);
  const repeatable = migrations.filter((one) => one.repeatable === true && (numbered.length > 0 || applied.get(one.name) !== checksumOf(one)));
  return [...numbered, ...(isOlderThan(applied, migrations) ? [] : repeatable)];
};

/** Whether a room can work: another release's repeatable ones serve as well. */
const isComplete = (migrations: readonly Migration[], applied: Applied): boolean =>
  findNumbered(migrations, applied).length === 0 && migrations.every(({ name }) => applied.has(name));

const apply = async (sql: TransactionSql, { name, sql: text }: Migration, checksum: string): Promise<void> => {
  try {
    await sql.unsafe(text);
  } catch (cause) {
    const remedy = remedyOf(cause);
    throw new MigrationError('MIGRATION_FAILED', `migration ${name}: ${cause instanceof Error ? cause.message : String(cause)}; nothing was changed${remedy === '' ? '' : `; ${remedy}`}`, { cause });
  }
  await sql`
    insert into migrations.applied (name, checksum) values (${name}, ${checksum})
    on conflict (name) do update set checksum = excluded.checksum, applied_at = now()`;
};

export type MigrateOptions = { readonly database: Database; readonly migrations: readonly Migration[]; readonly log: Log };

/** Brings the schema up to date. Safe to run from several processes at once, and again. */
export const migrate = async ({ database, migrations, log }: MigrateOptions): Promise<void> => {
  if (findMissing(migrations, await translated(() => readApplied(database.sql))).length === 0) return;
  await database.transact(async (sql) => {
    // Another process may be at it: it is waited for, however long it takes.
    await sql`select set_config(name, '0', true) from unnest(${['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']}::text[]) as t (name)`;
    await sql`select pg_advisory_xact_lock(${lockId})`;
    await sql.unsafe(journal);
    for (const migration of findMissing(migrations, await readApplied(sql))) {
      await apply(sql, migration, checksumOf(migration));
      log.info('migration-applied', { name: migration.name });
    }
  }, { timeMsMax: migrateMsMax });
};

export type WaitOptions = {
  readonly database: Database;
  /** All of these must have been applied, as they are here. */
  readonly migrations: readonly Migration[];
  readonly log: Log;
  readonly clock?: Clock;
  readonly waitMsMax?: number;
  readonly signal?: AbortSignal;
};

/** Why the room cannot work yet; `undefined` when it can. */
const findLack = async ({ database, migrations }: WaitOptions): Promise<string | undefined> => {
  try {
    const applied = await translated(() => readApplied(database.sql));
    if (isComplete(migrations, applied)) return undefined;
    const lacking = migrations.filter(({ name }) => !applied.has(name)).map(({ name }) => name);
    return `the schema lacks ${lacking.join(', ')}; the process kind migrate applies it, or the db room with CORDAGE_MIGRATE=apply`;
  } catch (error) {
    // The login may be made by the very job that is awaited.
    if (error instanceof DatabaseError) return error.message;
    throw error;
  }
};

/** Resolves when whoever owns the schema has brought it this far. */
export const waitForMigrations = async (options: WaitOptions): Promise<void> => {
  const { log, clock = systemClock, waitMsMax = waitMsMaxDefault, signal } = options;
  const until = clock.now() + waitMsMax;
  let said: { readonly why: string; readonly at: number } | undefined;
  for (let delayMs = lookMsMin; ; delayMs = Math.min(delayMs * 2, lookMsMax)) {
    const why = await findLack(options);
    if (why === undefined) return;
    if (signal?.aborted === true || clock.now() >= until) throw new MigrationError('MIGRATION_MISSING', `the database was not ready within ${waitMsMax} ms: ${why}`);
    if (said === undefined || said.why !== why || clock.now() - said.at >= sayMsMin) {
      log.warn('migrations-awaited', { why });
      said = { why, at: clock.now() };
    }
    await pause(clock, delayMs, signal);
  }
};
