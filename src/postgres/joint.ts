/** Work of another room that is part of the statement which saves a room's states: both are done, or neither. Both rooms are of one database. */
import type { Database } from './database.ts';
import { DatabaseError, translateError } from './database-error.ts';
import type { Parameter } from './statement.ts';

/** How a room's foreseen work is written: an expression that is true when it was done, and throws when something is in its way. */
export type JointStatement<Write> = {
  /** The expression, whose parameters begin at this number. The same text for the same number. */
  readonly textFrom: (at: number) => string;
  readonly parametersOf: (write: Write) => readonly Parameter[];
};

/** Such work, for the store of states of the same database. */
export type PostgresJoint = { readonly database: Pick<Database, 'byKey'>; readonly statement: JointStatement<any>; readonly write: unknown };

/**
 * SQLSTATEs of what may be in the way: an id or a key that is there already; the vault of a virtual node that was deleted meanwhile (its role,
 * its schema, its table); and what the statement itself throws where not every state could be saved.
 */
const inTheWay: ReadonlySet<string> = new Set(['23505', '22023', '42704', '3F000', '42P01', '22012']);

export const isInTheWay = (error: unknown): boolean => {
  const translated = translateError(error);
  if (translated instanceof DatabaseError) return translated.code === 'DATABASE_CONFLICT';
  return error instanceof Error && 'code' in error && inTheWay.has(String(error.code));
};
