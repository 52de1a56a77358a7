/** What every implementation of the entity repository promises. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EntityCall, EntityResult } from '../../../src/workers/db/db-tx.ts';
import type { DbTx } from '../../../src/workers/db/worker.ts';

export type EntityWorld = {
  transact<Result>(work: (tx: DbTx) => Promise<Result>): Promise<Result>;
  /** A virtual node with an empty vault: its short hash. */
  vault(): Promise<string>;
  close(): Promise<void>;
};

type Operation = EntityCall['operation'];

const json = (value: unknown): string => JSON.stringify(value);
const items = (...ids: readonly string[]) => ids.map((id) => ({ id, json: json({ name: id }) }));
const persist = (...ids: readonly string[]): Operation => ({ type: 'persist', entity: 'Cat', items: items(...ids) });
const find = (...ids: readonly string[]): Operation => ({ type: 'find', entity: 'Cat', ids: [...ids] });
const remove = (...ids: readonly string[]): Operation => ({ type: 'remove', entity: 'Cat', ids: [...ids] });
const merge = (id: string, value: unknown): Operation => ({ type: 'merge', entity: 'Cat', items: [{ id, json: json(value) }] });
const query = (where: Record<string, string | number | boolean | null>, countMax = 100, after?: string): Operation => ({
  type: 'query',
  entity: 'Cat',
  where,
  countMax,
  ...(after === undefined ? {} : { after }),
});

const foundIds = (result: EntityResult | undefined): string[] => (result?.type === 'done' ? result.reply.items.map(({ id }) => id) : [json(result)]);
const sortedIds = (result: EntityResult | undefined): string[] => foundIds(result).sort();

export const entityContract = (name: string, open: () => Promise<EntityWorld>): void => {
  describe(`entities in ${name}`, () => {
    let world: EntityWorld;
    beforeAll(async () => {
      world = await open();
    });
    afterAll(() => world.close());

    const apply = (shortHash: string, ...calls: readonly (readonly [flowId: string, operation: Operation])[]): Promise<readonly EntityResult[]> =>
      world.transact((tx) => tx.entities.apply(calls.map(([flowId, operation]) => ({ flowId, shortHash, operation })), 0));

    test('a flow finds in the same batch what it has just persisted, merged and removed', async () => {
      const vault = await world.vault();
      const results = await apply(vault, ['f', persist('a', 'b')], ['f', find('a', 'b', 'c')], ['f', merge('a', { name: 'A' })], ['f', find('a')], ['f', remove('b', 'z')], ['f', find('a', 'b')]);
      expect(sortedIds(results[1])).toEqual(['a', 'b']);
      expect(results[3]).toEqual({ type: 'done', reply: { items: [{ id: 'a', json: json({ name: 'A' }) }] } });
      expect(results[4]).toEqual({ type: 'done', reply: { items: [{ id: 'b', json: json({ name: 'b' }) }] } });
      expect(sortedIds(results[5])).toEqual(['a']);
    });

    test('a persist that meets an id that is there writes none of its items, and the others of its batch go on', async () => {
      const vault = await world.vault();
      await apply(vault, ['f', persist('taken')]);
      const results = await apply(vault, ['f', persist('new-1', 'taken', 'new-2')], ['g', persist('new-3')]);
      expect(results.map(({ type }) => type)).toEqual(['exists', 'done']);
      expect(results[0]).toEqual({ type: 'exists', id: 'taken' });
      expect(sortedIds((await apply(vault, ['f', find('new-1', 'new-2', 'new-3', 'taken')]))[0])).toEqual(['new-3', 'taken']);
    });

    test('of two flows that persist one id in one batch the earlier wins', async () => {
      const vault = await world.vault();
      const results = await apply(vault, ['f', persist('x', 'y')], ['g', persist('y', 'z')], ['h', persist('z')]);
      expect(results.map(({ type }) => type)).toEqual(['done', 'exists', 'done']);
      expect(sortedIds((await apply(vault, ['f', find('x', 'y', 'z')]))[0])).toEqual(['x', 'y', 'z']);
    });

    test('of merges of one id by several flows in one batch the last in order stays', async () => {
      const vault = await world.vault();
      await apply(vault, ['f', merge('a', { n: 1 })], ['g', merge('a', { n: 2 })], ['h', merge('a', { n: 3 })]);
      expect((await apply(vault, ['f', find('a')]))[0]).toEqual({ type: 'done', reply: { items: [{ id: 'a', json: json({ n: 3 }) }] } });
    });

    test('entities of one kind, or of one virtual node, are not seen among another', async () => {
      const [one, other] = [await world.vault(), await world.vault()];
      const call = (shortHash: string, operation: Operation): EntityCall => ({ flowId: 'f', shortHash, operation });
      const dog: Operation = { type: 'find', entity: 'Dog', ids: ['a'] };
      const results = await world.transact((tx) => tx.entities.apply([call(one, persist('a')), call(other, find('a')), call(one, dog), call(one, find('a')), call(other, query({}))], 0));
      expect(results.slice(1).map(foundIds)).toEqual([[], [], ['a'], []]);
    });

    test('what was written comes back character by character', async () => {
      const vault = await world.vault();
      const text = '{ "b": 1.50, "a": [1e2, "\\u00e9é😀", null], "big": 12345678901234567890, "a":  2 }';
      await apply(vault, ['f', { type: 'persist', entity: 'Cat', items: [{ id: 'a', json: text }] }]);
      expect((await apply(vault, ['f', find('a')]))[0]).toEqual({ type: 'done', reply: { items: [{ id: 'a', json: text }] } });
    });

    test('a query matches top-level fields by value and type, and nothing deeper', async () => {
      const vault = await world.vault();
      const values: Record<string, unknown> = {
        a: { k: 1, s: 'x', on: true, none: null },
        b: { k: '1', s: 'x' },
        c: { k: [1], s: 'x' },
        d: { deep: { k: 1 }, s: 'y' },
        e: [{ k: 1 }],
        f: { k: 1.0, s: 'y' },
      };
      await apply(vault, ['f', { type: 'persist', entity: 'Cat', items: Object.entries(values).map(([id, value]) => ({ id, json: json(value) })) }]);
      const results = await apply(vault, ['f', query({ k: 1 })], ['g', query({ k: 1, s: 'x' })], ['h', query({ none: null })], ['i', query({ on: true })], ['j', query({ s: 'y' })], ['k', query({ missing: null })], ['l', query({})]);
      expect(results.map(foundIds)).toEqual([['a', 'f'], ['a'], ['a'], ['a'], ['d', 'f'], [], ['a', 'b', 'c', 'd', 'e', 'f']]);
    });

    test('pages of a query follow one another by cursor, in byte order of the ids, and the last one has none', async () => {
      const vault = await world.vault();
      const ids = ['Z', 'a', 'b', 'é', '\uffff', '😀'];
      await apply(vault, ['f', persist(...ids.toReversed())]);
      for (const where of [{}, { kind: 'x' }] as Record<string, string>[]) {
        if ('kind' in where) for (const id of ids) await apply(vault, ['f', merge(id, where)]);
        const seen: string[] = [];
        let after: string | undefined;
        do {
          const [page] = await apply(vault, ['f', query(where, 2, after)]);
          if (page?.type !== 'done') throw new Error(json(page));
          seen.push(...page.reply.items.map(({ id }) => id));
          after = page.reply.after;
        } while (after !== undefined);
        expect(seen).toEqual(ids);
      }
    });

    test('what would not fit into one answer is not found, and not removed, but comes in pages', async () => {
      const vault = await world.vault();
      const large = (id: string) => ({ id, json: json({ text: 'x'.repeat(300_000) }) });
      const ids = ['a', 'b', 'c', 'd'];
      for (const id of ids) await apply(vault, ['f', { type: 'persist', entity: 'Cat', items: [large(id)] }]);
      const results = await apply(vault, ['f', find(...ids)], ['g', remove(...ids)], ['h', query({})], ['i', find('a', 'b')]);
      expect(results.map(({ type }) => type)).toEqual(['too-large', 'too-large', 'done', 'done']);
      expect(foundIds(results[2])).toEqual(['a', 'b', 'c']);
      expect(results[2]).toMatchObject({ reply: { after: 'c' } });
      expect(foundIds((await apply(vault, ['f', query({}, 10, 'c')]))[0])).toEqual(['d']);
    });

    test('a transaction that fails leaves nothing behind', async () => {
      const vault = await world.vault();
      const failing = world.transact(async (tx) => {
        await tx.entities.apply([{ flowId: 'f', shortHash: vault, operation: persist('a') }], 0);
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(foundIds((await apply(vault, ['f', find('a')]))[0])).toEqual([]);
    });

    describe('by conditions', () => {
      const animals: [string, unknown][] = [
        ['a', { name: 'adder', legs: 0, wild: true }],
        ['b', { name: 'bee', legs: 6, wild: true }],
        ['c', { name: 'cat', legs: 4, wild: false }],
        ['d', { name: 'dog', legs: 4 }],
        ['e', { name: '100%_\\', legs: '4', wild: null }],
        ['f', 'no object'],
        ['g', { name: 'cattle', legs: 4.5, wild: [] }],
      ];
      type Conditions = NonNullable<Extract<Operation, { type: 'query' }>['conditions']>;
      const asked = (conditions: Conditions, more: Partial<Extract<Operation, { type: 'query' }>> = {}): Operation => ({ type: 'query', entity: 'Cat', where: {}, conditions, countMax: 100, ...more });
      let vault: string;
      beforeAll(async () => {
        vault = await world.vault();
        await apply(vault, ['f', { type: 'persist', entity: 'Cat', items: animals.map(([id, value]) => ({ id, json: json(value) })) }], ['f', { type: 'persist', entity: 'Dog', items: items('z') }]);
      });

      test.each<[string, Conditions, string[]]>([
        ['greater', [{ field: 'legs', operator: 'gt', value: 4 }], ['b', 'g']],
        ['at least, less', [{ field: 'legs', operator: 'gte', value: 4 }, { field: 'legs', operator: 'lt', value: 6 }], ['c', 'd', 'g']],
        ['at most, of numbers only', [{ field: 'legs', operator: 'lte', value: 4 }], ['a', 'c', 'd']],
        ['texts compared with texts', [{ field: 'legs', operator: 'gte', value: '0' }], ['e']],
        ['text order', [{ field: 'name', operator: 'gt', value: 'cat' }], ['d', 'g']],
        ['one of several', [{ field: 'wild', operator: 'in', value: [false, null] }], ['c', 'e']],
        ['one of none', [{ field: 'wild', operator: 'in', value: [] }], []],
        ['a prefix', [{ field: 'name', operator: 'prefix', value: 'cat' }], ['c', 'g']],
        ['a prefix of signs that mean something to SQL', [{ field: 'name', operator: 'prefix', value: '100%_\\' }], ['e']],
        ['a prefix that stands for itself', [{ field: 'name', operator: 'prefix', value: '%' }], []],
        ['an absent field', [{ field: 'wings', operator: 'gte', value: 0 }], []],
        ['a field of another name', [{ field: 'constructor', operator: 'in', value: [null] }], []],
      ])('a query finds %s, and a count says how many', async (_, conditions, wanted) => {
        const [found, counted] = await apply(vault, ['f', asked(conditions)], ['f', { type: 'count', entity: 'Cat', where: {}, conditions }]);
        expect(foundIds(found)).toEqual(wanted);
        expect(counted).toEqual({ type: 'done', reply: { items: [], count: wanted.length } });
      });

      test('together with equal fields', async () => {
        const [found, counted] = await apply(vault, ['f', asked([{ field: 'legs', operator: 'gt', value: 0 }], { where: { wild: true } })], ['f', { type: 'count', entity: 'Cat', where: { legs: 4 } }]);
        expect(foundIds(found)).toEqual(['b']);
        expect(counted).toEqual({ type: 'done', reply: { items: [], count: 2 } });
      });

      test.each([
        [false, ['e', 'a', 'c', 'd', 'g', 'b']],
        [true, ['b', 'g', 'd', 'c', 'a', 'e']],
      ])('in order of a field that they have (descending: %s), page by page', async (descending, wanted) => {
        const seen: string[] = [];
        let after: string | undefined;
        do {
          const [page] = await apply(vault, ['f', asked([], { orderBy: { field: 'legs', descending }, countMax: 2, ...(after === undefined ? {} : { after }) })]);
          if (page?.type !== 'done') expect.fail(json(page));
          seen.push(...foundIds(page));
          after = page.reply.after;
        } while (after !== undefined && seen.length < 20);
        expect(seen).toEqual(wanted);
      });

      test('in order of id, page by page', async () => {
        const conditions: Conditions = [{ field: 'legs', operator: 'gte', value: 4 }];
        const [first] = await apply(vault, ['f', asked(conditions, { countMax: 2 })]);
        expect(first).toMatchObject({ type: 'done', reply: { after: 'c' } });
        const [second] = await apply(vault, ['f', asked(conditions, { countMax: 2, after: 'c' })]);
        expect(foundIds(second)).toEqual(['d', 'g']);
        expect(second).not.toHaveProperty('reply.after');
      });

      test('a flow finds by condition what it has just written', async () => {
        const [, found] = await apply(vault, ['f', merge('h', { legs: 100 })], ['f', asked([{ field: 'legs', operator: 'gte', value: 100 }])], ['f', remove('h')]);
        expect(foundIds(found)).toEqual(['h']);
      });
    });

    test('the rest of the transaction is not confined to a vault', async () => {
      const vault = await world.vault();
      const users = await world.transact(async (tx) => {
        await tx.entities.apply([{ flowId: 'f', shortHash: vault, operation: persist('a') }], 0);
        return tx.rbac.listUsers();
      });
      expect(users).toEqual([]);
    });
  });
};
