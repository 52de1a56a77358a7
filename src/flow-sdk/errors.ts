/**
 * Errors that flow code may catch. The platform may throw them from another copy of this file than the one bundled with the
 * application, so `instanceof` looks at a brand and not at the prototype.
 */

/** Codes that the platform uses now; a later platform may add others. */
export type FlowErrorCode =
  /** The session was closed, by this side or the other. */
  | 'SESSION_CLOSED'
  /** The counterparty's flow failed or refused the session; the message says what it told us. */
  | 'SESSION_ERROR'
  /** Nothing came from the counterparty for longer than the platform waits. */
  | 'SESSION_TIMEOUT'
  /** `receive` waited as long as it was told to; the session is as it was. */
  | 'RECEIVE_TIMEOUT'
  /** `ctx.deadline`: the work was not done in time. */
  | 'DEADLINE_EXCEEDED'
  /** What is sent is longer than a session message may be. */
  | 'SESSION_DATA_TOO_LARGE'
  /** The message could not be delivered within its lifetime. */
  | 'COUNTERPARTY_UNDELIVERED'
  /** What the counterparty sent does not satisfy the schema given to `receive`. */
  | 'COUNTERPARTY_DATA_INVALID'
  /** The flow has no protocol, so it cannot open a session. */
  | 'PROTOCOL_MISSING'
  /** No active member of this group has that X.500 name. */
  | 'MEMBER_NOT_FOUND'
  /** `persist` met an id that is stored already; nothing of that call was stored. */
  | 'DB_ENTITY_EXISTS'
  /** A stored entity does not satisfy its own schema (an older version of the application wrote it). */
  | 'DB_ENTITY_INVALID'
  /** The query says something that a flow may not ask: raw SQL, a table that is not its own, a function beyond the list. */
  | 'DB_QUERY_INVALID'
  /** The database would not do the query: an unknown column, a value out of range. */
  | 'DB_QUERY_REFUSED'
  /** A primary key, a unique or foreign key, or a required column forbids the row; the message names it. Nothing was changed. */
  | 'DB_CONSTRAINT_VIOLATED'
  /** The query took longer than one may. Nothing was changed. */
  | 'DB_QUERY_TIMEOUT'
  /** A change would return more than an answer carries. Nothing was changed. */
  | 'DB_QUERY_TOO_LARGE'
  /** The database refused the request; the message says why. */
  | 'DB_REFUSED'
  /** The virtual node has no such key, or none at all. */
  | 'CRYPTO_KEY_NOT_FOUND'
  /** The crypto worker refused the request; the message says why. */
  | 'CRYPTO_REFUSED'
  /** A value cannot be written as JSON (undefined, a function, a BigInt, a cycle). */
  | 'VALUE_NOT_JSON'
  /** `parse` met a value that does not satisfy its schema. */
  | 'DATA_INVALID'
  /** A context property has a reserved name or breaks a bound. */
  | 'PROPERTY_INVALID'
  /** Another room did not answer in all the time that the platform waits; what was asked may have been done all the same. */
  | 'OPERATION_UNANSWERED'
  /** A parameter of a context operation is out of its bounds. */
  | 'OPERATION_INVALID';

/** Reads a property of something that may be anything. */
const propertyOf = (value: unknown, name: string): unknown =>
  // Any object may be asked for any property; the answer is unknown.
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

/**
 * The platform refused an operation or could not perform it; flow code may catch it and go on.
 *
 * @example
 * ```ts
 * import { entity, FlowPlatformError, startableFlow } from '@cordage/flow-sdk';
 *
 * const visits = entity<{ guest: string }>({ name: 'Visit', id: (visit) => visit.guest });
 *
 * export const registerOnce = startableFlow({
 *   name: 'com.example.RegisterOnce',
 *   run: async (ctx) => {
 *     await ctx.db.persist(visits, { guest: 'Bob' });
 *     try {
 *       await ctx.db.persist(visits, { guest: 'Bob' });
 *       return 'stored twice';
 *     } catch (error) {
 *       if (error instanceof FlowPlatformError && error.code === 'DB_ENTITY_EXISTS') return 'known already';
 *       throw error;
 *     }
 *   },
 * });
 * ```
 */
export class FlowPlatformError extends Error {
  override readonly name: string = 'FlowPlatformError';
  readonly cordageError = 1;
  readonly code: string;

  constructor(code: FlowErrorCode | (string & {}), message: string) {
    super(message);
    this.code = code;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return propertyOf(value, 'cordageError') === 1;
  }
}

/** What a counterparty sent does not satisfy the schema given to `receive`. Its `code` is `COUNTERPARTY_DATA_INVALID`. */
export class CounterpartyDataError extends FlowPlatformError {
  override readonly name: string = 'CounterpartyDataError';

  constructor(message: string) {
    super('COUNTERPARTY_DATA_INVALID', message);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return propertyOf(value, 'cordageError') === 1 && propertyOf(value, 'code') === 'COUNTERPARTY_DATA_INVALID';
  }
}
