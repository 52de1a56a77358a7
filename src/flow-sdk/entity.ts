/** Entities: what a virtual node stores in its vault. */
import type { StandardSchema } from './standard-schema.ts';

/** A kind of entity: its name in the vault, which field or fields identify one, and what one looks like. */
export type Entity<T extends object> = {
  readonly cordageEntity: 1;
  readonly name: string;
  readonly id: (value: T) => string;
  readonly schema?: StandardSchema<T>;
};

export type EntityDefinition<T extends object> = {
  /** Letters, digits, `_` and `.`, beginning with a letter; 100 characters at most. Shared by all flows of the CPI. */
  readonly name: string;
  /** The id of a value: 1 to 300 characters, unique for this name in one virtual node. */
  readonly id: (value: T) => string;
  /**
   * Reads a stored value. Without it, what the vault holds is trusted to be a `T`: state it when the shape of the entity may
   * change between versions of the application.
   */
  readonly schema?: StandardSchema<T>;
};

/**
 * Declares a kind of entity. Values are stored as JSON, so dates are best kept as numbers or ISO 8601 text.
 *
 * @example
 * ```ts
 * import { entity, startableFlow } from '@cordage/flow-sdk';
 *
 * type Account = { iban: string; owner: string; cents: number };
 * const accounts = entity<Account>({ name: 'Account', id: (account) => account.iban });
 *
 * export const openAccount = startableFlow({
 *   name: 'com.example.OpenAccount',
 *   run: async (ctx) => {
 *     await ctx.db.persist(accounts, { iban: 'GB33', owner: 'Bob', cents: 0 });
 *     await ctx.db.merge(accounts, { iban: 'GB33', owner: 'Bob', cents: 500 });
 *     const found = await ctx.db.find(accounts, 'GB33');
 *     const { values } = await ctx.db.query(accounts, { owner: 'Bob' }, { countMax: 10 });
 *     const removed = await ctx.db.remove(accounts, 'GB33');
 *     return { cents: found?.cents, owned: values.length, removed };
 *   },
 * });
 * ```
 */
export const entity = <T extends object>(definition: EntityDefinition<T>): Entity<T> => ({ cordageEntity: 1, ...definition });
