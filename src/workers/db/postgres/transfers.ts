/**
 * Exports and imports of virtual nodes: `config.transfer`, `config.transfer_piece`; see migrations/0011-virtual-node-transfer.sql. And what they carry: the
 * rows of a virtual node's vault and of its uniqueness schema, as JSON texts, one a line:
 *
 *     {"table":"piece","schema":"vault","columns":[["id","character varying(100)"], …]}
 *     ["a","kept", …]                        the cells of a row as PostgreSQL writes them
 *
 * Rows are read through a cursor and written in batches, so that memory does not grow with the vault.
 */
import * as z from 'zod';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import { DatabaseError, translateError } from '../../../postgres/database-error.ts';
import type { TransferRepository } from '../db-tx.ts';
import type { Vaults } from '../vaults/vaults.ts';
import { findConnections, vaultsOf } from './vault-connections.ts';
import { vaultSchemaOf } from './vault.ts';

const isRefusal = (made: object): made is Refusal => 'type' in made && made.type === 'refused';

/** Rows that are in memory at a time. */
const rowsAtOnce = 200;

/** Why the rows of a file cannot be taken. */
export class TransferRefused extends Error {}

type SchemaName = 'vault' | 'uniqueness';
const schemaOf = (shortHash: string, name: SchemaName): string => (name === 'vault' ? vaultSchemaOf(shortHash) : `vnode_uniq_${shortHash.toLowerCase()}`);

const become = async (sql: Sql, schema: string): Promise<void> => {
  await sql`select set_config('search_path', ${schema}, true), set_config('role', config.role_of(${schema}, 'ddl'), true)`;
};
const leave = async (sql: Sql): Promise<void> => {
  await Promise.all([sql`set local role none`, sql`set local search_path to default`]);
};

/** As the owner of the schema, and only for this: lines come from tables that it may not read. */
const within = async <Result>(sql: Sql, schema: string, work: () => Promise<Result>): Promise<Result> => {
  await become(sql, schema);
  const result = await work();
  await leave(sql);
  return result;
};

// ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

type Table = { readonly name: string; readonly columns: readonly (readonly [name: string, type: string])[] };

/** Migrations make no columns that the database fills by itself (src/packaging/schema/nodes.ts). */
const readTables = async (sql: Sql, schema: string, without: readonly string[] = []): Promise<Table[]> => {
  const rows = await sql<{ name: string; columns: [string, string][] }[]>`
    select class.relname as name, json_agg(json_build_array(attname, format_type(atttypid, atttypmod)) order by attnum) as columns
    from pg_catalog.pg_class as class join pg_catalog.pg_attribute as attribute on attrelid = class.oid
    where class.relnamespace = ${schema}::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped and class.relname <> all(${[...without]}::text[])
    group by class.relname order by class.relname`;
  return [...rows];
};

/** Names come from the catalogue, not from the file. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

const tableLine = z.strictObject({ table: z.string(), schema: z.enum(['vault', 'uniqueness']), columns: z.array(z.tuple([z.string(), z.string()])) });
const rowLine = z.array(z.string().nullable());

// ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The rows of one schema, and how they are come by. */
export type Rows = {
  readonly schema: string;
  readonly name: SchemaName;
  readonly become: (sql: Sql) => Promise<void>;
  readonly leave: (sql: Sql) => Promise<void>;
  /** Tables that stay. */
  readonly without?: readonly string[];
};

async function* readRows(sql: Sql, { become: enter, leave: goOut }: Rows, { name, columns }: Table): AsyncGenerator<string> {
  const cells = columns.map(([column]) => `${quoted(column)}::text`).join(', ');
  await enter(sql);
  await sql.unsafe(`declare transfer_rows no scroll cursor for select json_build_array(${cells})::text as line from ${quoted(name)}`);
  // What the cursor may read was decided when it was opened.
  await goOut(sql);
  for (;;) {
    const rows = await sql.unsafe<{ line: string }[]>(`fetch ${rowsAtOnce} from transfer_rows`);
    for (const { line } of rows) yield line;
    if (rows.length < rowsAtOnce) break;
  }
  await sql`close transfer_rows`;
}

export async function* readLinesOf(sql: Sql, rows: Rows): AsyncGenerator<string> {
  for (const table of await readTables(sql, rows.schema, rows.without)) {
    yield JSON.stringify({ table: table.name, schema: rows.name, columns: table.columns });
    yield* readRows(sql, rows, table);
  }
}

/** Of what is here. */
async function* readHere(sql: Sql, shortHash: string, names: readonly SchemaName[]): AsyncGenerator<string> {
  for (const name of names) {
    const schema = schemaOf(shortHash, name);
    yield* readLinesOf(sql, { schema, name, become: () => become(sql, schema), leave });
  }
}

async function* bothOf(first: AsyncIterable<string>, then: AsyncIterable<string>): AsyncGenerator<string> {
  yield* first;
  yield* then;
}

// ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

type ForeignKey = { readonly table: string; readonly name: string; readonly definition: string };

/** Rows come table by table, so what one refers to may come later: keys to other tables are put back at the end, and then checked. */
const takeKeysAway = async (sql: Sql, schema: string): Promise<readonly ForeignKey[]> => {
  const keys = await sql<ForeignKey[]>`
    select relname as "table", conname as name, pg_get_constraintdef(key.oid) as definition
    from pg_catalog.pg_constraint as key join pg_catalog.pg_class as class on class.oid = conrelid
    where relnamespace = ${schema}::regnamespace and contype = 'f'`;
  for (const { table, name } of keys) await sql.unsafe(`alter table ${quoted(table)} drop constraint ${quoted(name)}`);
  return keys;
};

const putKeysBack = async (sql: Sql, keys: readonly ForeignKey[]): Promise<void> => {
  for (const { table, name, definition } of keys) await sql.unsafe(`alter table ${quoted(table)} add constraint ${quoted(name)} ${definition}`);
};

const insertRows = async (sql: Sql, { name, columns }: Table, lines: readonly string[]): Promise<void> => {
  const names = columns.map(([column]) => quoted(column)).join(', ');
  const cells = columns.map(([, type], at) => `(line->>${at})::${type}`).join(', ');
  await sql.unsafe(`insert into ${quoted(name)} (${names}) select ${cells} from json_array_elements($1::text::json) as line`, [`[${lines.join(',')}]`]);
};

const parseLine = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    throw new TransferRefused('a line is not JSON');
  }
};

/** The table as it is here, which must be as it was there. */
const findTable = (tables: readonly Table[], value: unknown): Table => {
  const said = tableLine.safeParse(value);
  if (!said.success) throw new TransferRefused('a line is neither a table nor a row');
  const found = tables.find(({ name }) => name === said.data.table);
  if (found !== undefined && JSON.stringify(found.columns) === JSON.stringify(said.data.columns)) return found;
  throw new TransferRefused(`the table ${said.data.table} of the file is not one that the virtual node's CPI makes here`);
};

const checkRow = (value: unknown, { name, columns }: Table): void => {
  const row = rowLine.safeParse(value);
  if (!row.success || row.data.length !== columns.length) throw new TransferRefused(`a row of ${name} has not its ${columns.length} cells`);
};

/** Takes the lines of one schema, up to the first of another, which it gives back. */
const restoreSchema = async (sql: Sql, shortHash: string, name: SchemaName, lines: AsyncIterator<string>, first: string | undefined): Promise<string | undefined> => {
  const schema = schemaOf(shortHash, name);
  const tables = await readTables(sql, schema);
  const keys = await within(sql, schema, async () => {
    const taken = await takeKeysAway(sql, schema);
    // What migrations have put into them came from the file's own vault too.
    if (tables.length > 0) await sql.unsafe(`truncate ${tables.map((table) => quoted(table.name)).join(', ')}`);
    return taken;
  });
  let current: Table | undefined;
  let waiting: string[] = [];
  const flush = async (): Promise<void> => {
    const [table, rows] = [current, waiting];
    if (table !== undefined && rows.length > 0) await within(sql, schema, () => insertRows(sql, table, rows));
    waiting = [];
  };
  let line = first;
  for (; line !== undefined; line = await nextOf(lines)) {
    const value = parseLine(line);
    if (Array.isArray(value)) {
      if (current === undefined) throw new TransferRefused('a row comes before its table');
      checkRow(value, current);
      if (waiting.push(line) >= rowsAtOnce) await flush();
      continue;
    }
    await flush();
    if ((value as { schema?: unknown } | null)?.schema !== name) break;
    current = findTable(tables, value);
  }
  await flush();
  await within(sql, schema, () => putKeysBack(sql, keys));
  return line;
};

const nextOf = async (lines: AsyncIterator<string>): Promise<string | undefined> => {
  const next = await lines.next();
  return next.done === true ? undefined : next.value;
};

const restore = async (sql: Sql, shortHash: string, lines: AsyncIterable<string>): Promise<void> => {
  const iterator = lines[Symbol.asyncIterator]();
  let line = await nextOf(iterator);
  for (const name of ['vault', 'uniqueness'] as const) line = await restoreSchema(sql, shortHash, name, iterator, line);
  if (line !== undefined) throw new TransferRefused('the file holds more than the schemas of a virtual node');
};

// ── Pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const createPostgresTransfers = (sql: Sql, vaults: Vaults | undefined): TransferRepository => ({
  holdSnapshot: async () => {
    await sql`set transaction isolation level repeatable read`;
  },
  begin: async (id, now) => {
    await sql`insert into config.transfer (id, touched_at) values (${id}, ${new Date(now)}) on conflict (id) do update set touched_at = excluded.touched_at`;
  },
  countOpen: async () => (await sql<{ count: number }[]>`select count(*)::int as count from config.transfer`)[0]!.count,
  write: async (id, index, text) => {
    await sql`insert into config.transfer_piece (transfer_id, index, text) values (${id}, ${index}, ${text}) on conflict (transfer_id, index) do update set text = excluded.text`;
  },
  read: async (id, index) => (await sql<{ text: string }[]>`select text from config.transfer_piece where transfer_id = ${id} and index = ${index}`)[0]?.text,
  forget: async (id) => {
    await sql`delete from config.transfer where id = ${id}`;
  },
  forgetIdle: async (before) => {
    await sql`delete from config.transfer where touched_at < ${new Date(before)}`;
  },
  wholly: async (work) => {
    await sql`savepoint transfer`;
    try {
      const made = await work();
      await (isRefusal(made) ? sql`rollback to savepoint transfer` : sql`release savepoint transfer`);
      return made;
    } catch (error) {
      if (translateError(error) instanceof DatabaseError) throw error;
      await sql`rollback to savepoint transfer`;
      return { type: 'refused', code: 'DB_TRANSFER_INVALID', message: `the file cannot be taken: ${error instanceof Error ? error.message : String(error)}` };
    }
  },
  withLines: async (shortHash, work) => {
    const connections = await findConnections(sql, shortHash);
    if (connections === undefined) return work(readHere(sql, shortHash, ['vault', 'uniqueness']));
    return vaultsOf(vaults).withLines(connections, (lines) => work(bothOf(lines, readHere(sql, shortHash, ['uniqueness']))));
  },
  restore: (shortHash, lines) => restore(sql, shortHash, lines),
});
