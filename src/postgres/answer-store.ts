/**
 * Answers in PostgreSQL (table: `tables.ts`), written in the transaction of the work that they answer.
 *
 * A transaction that lost to another is run again at once, a few times: its work must bear that, as the shell's does.
 */
import type { OutRecord } from '../messages/grammar/record.ts';
import type { Outcome } from '../messages/grammar/envelope.ts';
import type { AnswerStore, StoredAnswer, StoredAnswers } from '../shell/store.ts';
import type { Database, TransactionSql } from './database.ts';
import { DatabaseError, translateError } from './database-error.ts';
import type { JointStatement, PostgresJoint } from './joint.ts';
import { jsonArraySql, jsonColumn, schemaName, textArray, type Parameter } from './statement.ts';

export type PostgresAnswerStoreOptions<Tx> = {
  readonly database: Pick<Database, 'transact' | 'byKey' | 'log'>;
  readonly schema: string;
  /** Default: `answer`. */
  readonly table?: string;
  readonly makeTx: (sql: TransactionSql) => Tx;
  readonly atOnce?: AtOnce;
  /** The same work as part of another room's save. */
  readonly jointly?: JointStatement<any>;
};

/** A statement that does a whole work and stores its answers, or neither. It gives one row, whose column `done` says which. */
export type AtOnce = {
  /** Its last parameters are the answers': ids, outcomes, effects and digests. */
  readonly text: string;
  // Of what the room foresees; the shell hands it on unseen.
  readonly parametersOf: (write: any) => readonly Parameter[];
};

/** A repeat comes seconds after a crash, or after an outage; nobody asks the same again after a week. */
const answerKeepDays = 7;
/** Old answers deleted in one statement, and how often it is looked. */
const answersPerCleanMax = 500;
const cleanIntervalMs = 60_000;
const conflictTriesMax = 5;
const answersPerInsertMax = 512;

type Row = { request_id: string; outcome: string; effects: string | null; digest: string | null };

const answerOf = ({ request_id, outcome, effects, digest }: Row): StoredAnswer => ({
  requestId: request_id,
  // Written below from values of these types.
  outcome: JSON.parse(outcome) as Outcome,
  effects: effects === null ? [] : (JSON.parse(effects) as OutRecord[]),
  ...(digest === null ? {} : { digest }),
});

/** Columns of answers. */
const columnsOf = (answers: readonly StoredAnswer[]): string[] => [
  textArray(answers.map(({ requestId }) => requestId)),
  jsonColumn(answers.map(({ outcome }) => JSON.stringify(outcome))),
  jsonColumn(answers.map(({ effects: owed }) => (owed.length === 0 ? 'null' : JSON.stringify(owed)))),
  textArray(answers.map(({ digest = null }) => digest)),
];

/**
 * Answers are sent and not waited for: they and the commit leave together. If one of them fails, so does the commit, and `onFault`
 * has heard why before that.
 */
const answersIn = (sql: TransactionSql, table: string, onFault: (error: unknown) => void): StoredAnswers => {
  const insert = (answers: readonly StoredAnswer[]): void => {
    const text = `insert into ${table} (request_id, outcome, effects, digest)
      select * from unnest($1::text[], ${jsonArraySql(2)}, ${jsonArraySql(3)}, $4::text[])`;
    sql.unsafe(text, columnsOf(answers), { prepare: true }).execute().catch(onFault);
  };
  return {
    find: async (requestIds) => {
      if (requestIds.length === 0) return [];
      const text = `select request_id, outcome, effects, digest from ${table} where request_id = any($1::text[])`;
      const rows = await sql.unsafe<Row[]>(text, [textArray(requestIds)], { prepare: true });
      return rows.map(answerOf);
    },
    add: async (answers) => {
      for (let from = 0; from < answers.length; from += answersPerInsertMax) insert(answers.slice(from, from + answersPerInsertMax));
    },
  };
};

/** Deletes answers that nobody asks for any more, a page at a time, at most once an interval. */
const createCleaner = ({ byKey, log }: Pick<Database, 'byKey' | 'log'>, table: string): (() => void) => {
  let cleanedAt = -Infinity;
  const clean = async (): Promise<void> => {
    const old = `select request_id from ${table} where created_at < now() - make_interval(days => $1::integer) order by created_at limit $2`;
    const text = `delete from ${table} where request_id in (${old}) returning 1`;
    for (;;) {
      const deleted = await byKey(text, [answerKeepDays, answersPerCleanMax]);
      if (deleted.length < answersPerCleanMax) return;
    }
  };
  return () => {
    const now = performance.now();
    if (now - cleanedAt < cleanIntervalMs) return;
    cleanedAt = now;
    clean().catch((error: unknown) => log.warn('answers-not-cleaned', { table, error }));
  };
};

const isConflict = (error: unknown, primaryKey: string): boolean =>
  error instanceof DatabaseError
    ? error.code === 'DATABASE_CONFLICT'
    : // Another replica has stored the same answer since we looked: the next try finds it.
      typeof error === 'object' && error !== null && 'constraint_name' in error && error.constraint_name === primaryKey;

/** Two that wait for each other, or an answer that comes in between: the ordinary way tells. */
const isInTheWay = (error: unknown): boolean => error instanceof DatabaseError && error.code === 'DATABASE_CONFLICT';

export const createPostgresAnswerStore = <Tx>({ database, schema, table: tableName = 'answer', makeTx, atOnce, jointly }: PostgresAnswerStoreOptions<Tx>): AnswerStore<Tx> => {
  const table = `${schemaName(schema)}.${schemaName(tableName)}`;
  const cleanNowAndThen = createCleaner(database, table);
  const doAtOnce = async ({ text, parametersOf }: AtOnce, write: unknown, answers: readonly StoredAnswer[]): Promise<boolean> => {
    cleanNowAndThen();
    try {
      // The column of its statement.
      const [row] = (await database.byKey(text, [...parametersOf(write), ...columnsOf(answers)])) as readonly { readonly done: boolean }[];
      return row!.done;
    } catch (error) {
      if (isInTheWay(error)) return false;
      throw error;
    }
  };
  return {
    ...(jointly === undefined ? {} : { joint: (write) => ({ joint: { database, statement: jointly, write } satisfies PostgresJoint }) }),
    ...(atOnce === undefined ? {} : { atOnce: (write, answers) => doAtOnce(atOnce, write, answers) }),
    transact: async (work) => {
      cleanNowAndThen();
      for (let tries = 1; ; tries++) {
        let fault: unknown;
        try {
          return await database.transact((sql) => work(makeTx(sql), answersIn(sql, table, (error) => (fault ??= error))));
        } catch (error) {
          const cause = fault === undefined ? error : translateError(fault);
          if (!isConflict(cause, `${tableName}_pkey`) || tries >= conflictTriesMax) throw cause;
        }
      }
    },
  };
};
