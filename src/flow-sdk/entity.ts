/** Entities: what a virtual node stores in its vault. */
import type { StandardSchema } from './standard-schema.ts';

/** A kind of entity: its name in the vault, which field or fields identify one, and what one looks like. */
export type Entity<T extends object> = EntityDefinition<T> & { readonly cordageEntity: 1 };

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
  /**
   * Top-level fields that queries compare or sort by. Each virtual node makes an index for each when it applies the application's
   * migrations, provided that the entry exports the entity in its list `entities`. Queries for equal fields need none.
   */
  readonly indexes?: readonly (keyof T & string)[];
  /** Version of the shape, a positive integer; 1 unless given. What is stored carries it as the field `$version`. */
  readonly version?: number;
  /**
   * Turns a value that an older version of the application stored into one of the version after `from`; called until the value is of this
   * version, and then the schema reads it. It must be pure: it runs at every read, and the vault keeps what it has.
   */
  readonly upgrade?: (value: unknown, from: number) => unknown;
};

/**
 * Declares a kind of entity. Values are stored as JSON, so dates are best kept as numbers or ISO 8601 text.
 *
 * @example
 * ```ts
 * import { entity, startableFlow } from '@cordage/flow-sdk';
 *
 * type Account = { iban: string; owner: string; cents: number };
 * const accounts = entity<Account>({ name: 'Account', id: (account) => account.iban, indexes: ['cents'] });
 * // The entry's list of entities whose indexes are to be made.
 * export const entities = [accounts];
 *
 * export const openAccount = startableFlow({
 *   name: 'com.example.OpenAccount',
 *   run: async (ctx) => {
 *     await ctx.db.persist(accounts, { iban: 'GB33', owner: 'Bob', cents: 0 });
 *     await ctx.db.merge(accounts, { iban: 'GB33', owner: 'Bob', cents: 500 });
 *     const found = await ctx.db.find(accounts, 'GB33');
 *     const { values } = await ctx.db.query(accounts, { owner: 'Bob' }, { countMax: 10 });
 *     const rich = await ctx.db.query(accounts, { cents: { gte: 100, lt: 1_000 } }, { orderBy: { field: 'cents', descending: true } });
 *     const counted = await ctx.db.count(accounts, { owner: { in: ['Bob', 'Carol'] }, iban: { prefix: 'GB' } });
 *     const removed = await ctx.db.remove(accounts, 'GB33');
 *     return { cents: found?.cents, owned: values.length, rich: rich.values.length, counted, removed };
 *   },
 * });
 *
 * // A later version of an application keeps people's first names apart, and still reads what the first version stored.
 * type Person = { id: string; first: string; last: string };
 * const people = entity<Person>({
 *   name: 'Person',
 *   id: (person) => person.id,
 *   version: 2,
 *   upgrade: (value) => {
 *     const { id, name } = value as { id: string; name: string };
 *     return { id, first: name.split(' ')[0] ?? '', last: name.split(' ').slice(1).join(' ') };
 *   },
 * });
 * const peopleOfVersion1 = entity<{ id: string; name: string }>({ name: 'Person', id: (person) => person.id });
 *
 * export const rename = startableFlow({
 *   name: 'com.example.Rename',
 *   run: async (ctx) => {
 *     await ctx.db.persist(peopleOfVersion1, { id: 'p1', name: 'Ada Lovelace' });
 *     return (await ctx.db.find(people, 'p1'))?.last;
 *   },
 * });
 * ```
 */
export const entity = <T extends object>(definition: EntityDefinition<T>): Entity<T> => ({ cordageEntity: 1, ...definition });
