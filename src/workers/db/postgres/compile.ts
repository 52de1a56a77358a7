/** Compiles checked statements of applications into SQL whose values are parameters. */
import { PostgresQueryCompiler, type RootOperationNode } from 'kysely';
import type { MigrationStep } from '../../../packaging/schema.ts';
import type { TransactionSql as Sql } from '../../../postgres/database.ts';

export type Compiled = { readonly text: string; readonly parameters: readonly (string | null)[] };

/** Read by nobody: the compiler hands it to plugins, and there are none. */
const queryId = { queryId: 'cordage' };

/** As text, which PostgreSQL reads by the type that the place of the parameter has. */
const parameterOf = (value: unknown): string | null => {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

export const compile = (statement: MigrationStep): Compiled => {
  // The check of src/packaging/schema.ts has read the tree into shapes that are kysely's.
  const { sql, parameters } = new PostgresQueryCompiler().compileQuery(statement as unknown as RootOperationNode, queryId);
  return { text: sql, parameters: parameters.map(parameterOf) };
};

/** Texts and quoted names, which may hold what looks like a parameter, and parameters. */
const token = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)/g;

/** The statement with its values in it: literals without a type, so that their places decide it as they do for parameters. */
export const writeStatement = (statement: MigrationStep): string => {
  const { text, parameters } = compile(statement);
  return text.replace(token, (whole, number: string | undefined) => {
    if (number === undefined) return whole;
    const value = parameters[Number(number) - 1];
    return value === null || value === undefined ? 'null' : `'${value.replaceAll("'", "''")}'`;
  });
};

/**
 * PostgreSQL's number of the type `unknown`: the server finds the type of each parameter, and the client writes it as it stands. Without
 * it the client would write a text for a date or a truth value its own way, and throw or lie where it is none.
 */
const unknownType = 705;

/** `Sql` in a transaction has the client's `typed`; only the library's type of a transaction leaves it out. */
type Typed = { readonly typed: (value: string | null, oid: number) => null };

export const typedParameters = (sql: Sql, parameters: Compiled['parameters']): null[] => {
  const { typed } = sql as unknown as Typed;
  return parameters.map((value) => (value === null ? null : typed(value, unknownType)));
};
