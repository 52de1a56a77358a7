/**
 * Queries of applications over the tables of their own, in `vnode_vault_<short hash>`.
 *
 * Each runs behind a savepoint as the virtual node's `dml` role, which sees no schema but its vault, with a bound on its time. What
 * it may say was decided before (src/packaging/schema.ts); what it may touch is decided here once more, by the role.
 */
import { queryRowsMax } from '../../../messages/flow-to-db.query.ts';
import { DatabaseError, translateError } from '../../../postgres/database-error.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import { queryMsMax, replyCharsMax } from '../config.ts';
import type { TableCall, TableReply, TableRepository, TableResult } from '../db-tx.ts';
import { cellOf, UnreadableCell } from './cell.ts';
import { compile, typedParameters, type Compiled } from './compile.ts';
import { clusterDoor, liftTimeLimit, limitTime, type VaultDoor } from './vault.ts';

type Statement = TableCall['statement'];
type Refused = Extract<TableResult, { type: 'refused' }>;
type Row = TableReply['rows'][number];

const refused = (code: string, reason: string): Refused => ({ type: 'refused', code, reason });

// ── Refusals of the database ─────────────────────────────────────────────────────────────────────────────────────────

/** SQLSTATE (PostgreSQL's appendix A) of what is the query's own fault; the rest is thrown. */
const faults: readonly (readonly [string, string])[] = [
  ['57014', 'DB_QUERY_TIMEOUT'],
  ['23', 'DB_CONSTRAINT_VIOLATED'],
  ['21', 'DB_QUERY_REFUSED'],
  ['22', 'DB_QUERY_REFUSED'],
  ['42', 'DB_QUERY_REFUSED'],
  ['0A', 'DB_QUERY_REFUSED'],
  ['54', 'DB_QUERY_REFUSED'],
];

/** The application's author reads it: the server's message names tables and columns that are theirs. */
const reasonOf = (error: Error & { readonly constraint_name?: unknown }, code: string): string => {
  if (code === 'DB_QUERY_TIMEOUT') return `the query took longer than ${queryMsMax} ms; give it an index, or ask for less at a time`;
  return typeof error.constraint_name === 'string' ? `${error.constraint_name}: ${error.message}` : error.message;
};

const refusalOf = (error: unknown): Refused | undefined => {
  if (error instanceof UnreadableCell) return refused('DB_QUERY_REFUSED', error.message);
  if (!(error instanceof Error) || !('code' in error) || translateError(error) instanceof DatabaseError) return undefined;
  const state = String(error.code);
  const code = faults.find(([prefix]) => state.startsWith(prefix))?.[1];
  return code === undefined ? undefined : refused(code, reasonOf(error, code));
};

// ── One statement ────────────────────────────────────────────────────────────────────────────────────────────────────

const returnsRows = (statement: Statement): boolean => statement.kind === 'SelectQueryNode' || statement.returning !== undefined;

/**
 * The rows that fit, in the order in which the query gave them, and whether there were more: one row beyond the bound tells. What is
 * longer than an answer never leaves the server. Names that begin with `cordage_` are no application's (Q3).
 */
const boundedText = ({ text }: Compiled): string => `
  with cordage_page as (
    ${text}
  ), cordage_sized as materialized (
    select cordage_page.*, sum(octet_length(cordage_page::text)) over cordage_order as cordage_bytes, row_number() over cordage_order as cordage_position
    from cordage_page window cordage_order as (rows between unbounded preceding and current row) limit ${queryRowsMax + 1}
  )
  select cordage_sized.*, cordage_total.count as cordage_count
  from (select count(*) as count from cordage_sized) as cordage_total
  left join cordage_sized on cordage_bytes <= ${replyCharsMax} and cordage_position <= ${queryRowsMax}
  order by cordage_position`;

/** Columns of ours at the end of each row: bytes, position, count. */
const ourColumns = 3;

/** A row's cells as the server wrote them. */
type RawRow = readonly (Uint8Array | null)[];
type Column = { readonly name: string; readonly type: number };

const decoder = new TextDecoder();

const runForRows = async (sql: Sql, compiled: Compiled): Promise<{ columns: readonly Column[]; rows: RawRow[]; count: number }> => {
  const result = await sql.unsafe(boundedText(compiled), typedParameters(sql, compiled.parameters)).raw();
  // The library's types know `columns` of results and not of raw ones.
  const columns = (result as unknown as { columns: readonly Column[] }).columns;
  const all = result as unknown as RawRow[];
  const count = Number(decoder.decode(all[0]!.at(-1)!));
  const position = columns.length - 2;
  return { columns: columns.slice(0, -ourColumns), rows: all.filter((row) => row[position] !== null), count };
};

/** The rows that fit into one answer as JSON. */
const rowsThatFit = (rows: readonly Row[]): readonly Row[] => {
  let chars = 0;
  const end = rows.findIndex((row) => (chars += JSON.stringify(row).length + 1) > replyCharsMax);
  return end < 0 ? rows : rows.slice(0, end);
};

const answerRows = async (sql: Sql, statement: Statement, compiled: Compiled): Promise<TableResult> => {
  const { columns, rows: raw, count } = await runForRows(sql, compiled);
  const rows = rowsThatFit(raw.map((row) => columns.map(({ name, type }, at) => cellOf(name, type, row[at]!))));
  const more = count > rows.length;
  const isSelect = statement.kind === 'SelectQueryNode';
  if (more && (!isSelect || rows.length === 0)) {
    return refused('DB_QUERY_TOO_LARGE', `the rows are more than one answer carries (${queryRowsMax} rows, ${replyCharsMax} characters); return fewer columns, or change fewer rows at a time`);
  }
  return { type: 'done', reply: { columns: columns.map(({ name }) => name), rows: [...rows], affected: isSelect ? 0 : rows.length, more } };
};

const perform = async (sql: Sql, statement: Statement, compiled: Compiled): Promise<TableResult> => {
  if (returnsRows(statement)) return answerRows(sql, statement, compiled);
  const { count } = await sql.unsafe(compiled.text, typedParameters(sql, compiled.parameters));
  return { type: 'done', reply: { columns: [], rows: [], affected: count, more: false } };
};

/** The compiler refuses what is no PostgreSQL, such as an update with joins and no `from`. */
const compiledOf = (statement: Statement): Compiled | Refused => {
  try {
    return compile(statement);
  } catch (error) {
    return refused('DB_QUERY_INVALID', error instanceof Error ? error.message : String(error));
  }
};

const runOne = async (sql: Sql, statement: Statement): Promise<TableResult> => {
  const compiled = compiledOf(statement);
  if ('type' in compiled) return compiled;
  const saved = sql`savepoint cordage_query`.execute();
  // Not awaited: it and the statement leave together, in this order.
  saved.catch(() => {});
  let result: TableResult;
  try {
    result = await perform(sql, statement, compiled);
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    result = refusal;
  }
  await saved;
  if (result.type === 'refused') await sql`rollback to savepoint cordage_query`;
  await sql`release savepoint cordage_query`;
  return result;
};

export const createPostgresTables = (sql: Sql, door: VaultDoor = clusterDoor): TableRepository => ({
  run: async (calls) => {
    const results: TableResult[] = [];
    await limitTime(sql, queryMsMax);
    let inside: string | undefined;
    for (const { shortHash, statement } of calls) {
      if (shortHash !== inside) await door.enter(sql, shortHash, inside === undefined ? 'outside' : 'vault');
      inside = shortHash;
      results.push(await runOne(sql, statement));
    }
    await door.leave(sql);
    await liftTimeLimit(sql);
    return results;
  },
});
