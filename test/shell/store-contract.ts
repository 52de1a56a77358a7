/** What every implementation of the shell's stores keeps. Run against memory and PostgreSQL. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import type { AnswerStore, ParkedRecord, ParkingLot, StateChange, StateStore, StoredAnswer } from '../../src/shell/store.ts';

export const change = (key: string, versionBefore: number, more: Partial<StateChange> = {}): StateChange => ({
  key,
  versionBefore,
  head: { at: versionBefore },
  handled: {},
  owed: [],
  itemsAdded: [],
  itemsRemoved: [],
  dueAt: null,
  scope: null,
  status: null,
  ...more,
});

const effect = (value: string): OutRecord => ({ topic: 'some.topic', key: 'k', value });

/** Texts that databases and encodings trip over. */
const awkward = ['', 'null', '\\', '"', "'", '\n\r\t', '\u0000', '\ud800', 'é', '🧵', '{}', '{"a":1}', '$1', '%', '𝕏'.repeat(50), 'x'.repeat(20_000)];

export const stateStoreContract = (name: string, open: () => Promise<StateStore>): void => {
  describe(`${name}: states`, () => {
    test('what was saved is loaded as it was, with the next version', async () => {
      const store = await open();
      const saved = change('one', 0, {
        head: { texts: awkward, number: 1.5, nested: [null, true, { a: [] }] },
        handled: { 'a.b/3': 17, 'c.d/3': 0 },
        owed: [effect('{"first":"\\u001e"}'), { ...effect('second'), partition: 2 }],
        dueAt: 1_800_000_000_123,
      });
      expect(await store.save([saved])).toEqual(new Set(['one']));
      const { head, handled, owed, dueAt } = saved;
      expect(await store.load(['one', 'unknown'])).toEqual([{ key: 'one', version: 1, head, handled, owed, dueAt }]);
    });

    test('effects of any text are owed as they were', async () => {
      const store = await open();
      const lists = [...awkward.map((text) => [effect(text)]), awkward.map(effect), [effect('\u001e')], [effect('\u001f')], [effect('[]'), effect('null')]];
      await store.save(lists.map((owed, i) => change(`key-${i}`, 0, { owed })));
      const loaded = new Map((await store.load(lists.map((_, i) => `key-${i}`))).map(({ key, owed }) => [key, owed]));
      expect(lists.map((_, i) => loaded.get(`key-${i}`))).toEqual(lists);
    });

    test('keys of any sound text are kept apart', async () => {
      const store = await open();
      const keys = awkward.filter((text) => text.isWellFormed() && !text.includes('\0') && text.length < 1_000);
      await store.save(keys.map((key) => change(key, 0, { head: key, itemsAdded: [{ position: 0, value: key }] })));
      const loaded = await store.load(keys);
      expect(new Map(loaded.map(({ key, head }) => [key, head]))).toEqual(new Map(keys.map((key) => [key, key])));
      const items = await store.loadItems(keys);
      expect(keys.map((key) => items.get(key))).toEqual(keys.map((key) => [{ position: 0, value: key }]));
    });

    test('nothing in, nothing out', async () => {
      const store = await open();
      expect(await store.save([])).toEqual(new Set());
      expect(await store.load([])).toEqual([]);
      expect(await store.loadItems([])).toEqual(new Map());
    });

    test('a save whose version no longer stands is left out, the others are saved (W5)', async () => {
      const store = await open();
      await store.save([change('one', 0), change('two', 0)]);
      await store.save([change('one', 1)]);
      const stale = change('one', 1, { head: 'stale', itemsAdded: [{ position: 1, value: 'stale' }] });
      expect(await store.save([stale, change('two', 1, { head: 'new' }), change('three', 0)])).toEqual(new Set(['two', 'three']));
      expect((await store.load(['one'])).map(({ version, head }) => ({ version, head }))).toEqual([{ version: 2, head: { at: 1 } }]);
      expect((await store.loadItems(['one'])).get('one')).toEqual([]);
    });

    test('a key is created once', async () => {
      const store = await open();
      await store.save([change('one', 0, { head: 'first' })]);
      expect(await store.save([change('one', 0, { head: 'second' })])).toEqual(new Set());
      expect((await store.load(['one']))[0]!.head).toBe('first');
    });

    test('of many who save one version at once, one wins', async () => {
      const store = await open();
      for (let version = 0; version < 5; version++) {
        const results = await Promise.all(Array.from({ length: 8 }, (_, i) => store.save([change('one', version, { head: i }), change(`other-${version}-${i}`, 0)])));
        const winners = results.flatMap((saved, i) => (saved.has('one') ? [i] : []));
        expect(winners).toHaveLength(1);
        expect((await store.load(['one']))[0]).toMatchObject({ version: version + 1, head: winners[0] });
      }
    });

    test('items are added, replaced and removed, and come back in order of position', async () => {
      const store = await open();
      const item = (position: number, value: unknown) => ({ position, value });
      await store.save([change('one', 0, { itemsAdded: [item(10, 'ten'), item(2, 'two'), item(3, { deep: awkward })] }), change('two', 0, { itemsAdded: [item(2, 'theirs')] })]);
      await store.save([change('one', 1, { itemsAdded: [item(11, 'eleven'), item(2, 'two again')], itemsRemoved: [10, 99] })]);
      const items = await store.loadItems(['one', 'two', 'none']);
      expect(items.get('one')).toEqual([item(2, 'two again'), item(3, { deep: awkward }), item(11, 'eleven')]);
      expect(items.get('two')).toEqual([item(2, 'theirs')]);
      expect(items.get('none')).toEqual([]);
    });

    test('any sequence of items added and removed leaves what a map would hold, whole and in ranges, wherever the store keeps them', async () => {
      const store = await open();
      const step = fc.record({
        added: fc.uniqueArray(fc.record({ position: fc.integer({ min: -3, max: 12 }), chars: fc.constantFrom(0, 5, 300, 900, 2_500) }), { selector: ({ position }) => position, maxLength: 4 }),
        removed: fc.uniqueArray(fc.integer({ min: -3, max: 12 }), { maxLength: 4 }),
        dies: fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0),
      });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.integer({ min: -4, max: 12 }), fc.integer({ min: 1, max: 5 }), fc.constantFrom(1, 400, 3_000), async (steps, after, countMax, bytesMax) => {
          const key = `run-${run++}`;
          const model = new Map<number, unknown>();
          for (const [version, { added, removed, dies }] of steps.entries()) {
            const itemsAdded = added.map(({ position, chars }) => ({ position, value: { of: [position, version], text: 'x'.repeat(chars) } }));
            await store.save([change(key, version, dies ? { head: null } : { itemsAdded, itemsRemoved: removed })]);
            if (dies) model.clear();
            else for (const position of removed) model.delete(position);
            if (!dies) for (const { position, value } of itemsAdded) model.set(position, value);
          }
          const all = [...model].map(([position, value]) => ({ position, value })).sort((one, other) => one.position - other.position);
          expect((await store.loadItems([key])).get(key)).toEqual(all);
          let bytes = 0;
          const ranged = all.filter(({ position }) => position > after).slice(0, countMax).filter(({ value }) => (bytes += JSON.stringify(value).length) - JSON.stringify(value).length < bytesMax);
          expect((await store.loadItems([{ key, after, countMax, bytesMax }])).get(key)).toEqual(ranged);
        }),
        { numRuns: 60 },
      );
    });

    test('a range of items is what follows a position, within its bounds of number and size, and one at least', async () => {
      const store = await open();
      const values = ['a', 'bb', 'ccc', 'dddd', 'ü'.repeat(100)];
      const itemsAdded = values.map((value, at) => ({ position: (at + 1) * 10, value }));
      await store.save([change('one', 0, { itemsAdded }), change('two', 0, { itemsAdded }), change('whole', 0, { itemsAdded })]);
      const positions = async (range: { after: number; countMax: number; bytesMax: number }) =>
        (await store.loadItems([{ key: 'one', ...range }])).get('one')!.map(({ position }) => position);
      expect(await positions({ after: 0, countMax: 10, bytesMax: 1_000 })).toEqual([10, 20, 30, 40, 50]);
      expect(await positions({ after: 20, countMax: 2, bytesMax: 1_000 })).toEqual([30, 40]);
      expect(await positions({ after: 50, countMax: 2, bytesMax: 1_000 })).toEqual([]);
      expect(await positions({ after: -100, countMax: 1, bytesMax: 1 })).toEqual([10]);
      // The texts are "a" and "bb" with their quotes: three bytes, then four; the one that crosses the bound still comes.
      expect(await positions({ after: 0, countMax: 10, bytesMax: 3 })).toEqual([10]);
      expect(await positions({ after: 0, countMax: 10, bytesMax: 4 })).toEqual([10, 20]);
      expect(await positions({ after: 30, countMax: 10, bytesMax: 7 })).toEqual([40, 50]);
      const mixed = await store.loadItems(['whole', { key: 'two', after: 10, countMax: 2, bytesMax: 100 }, { key: 'none', after: 0, countMax: 2, bytesMax: 100 }]);
      expect([mixed.get('whole')?.length, mixed.get('two')?.map(({ value }) => value), mixed.get('none')]).toEqual([5, ['bb', 'ccc'], []]);
      const ranges = [{ after: 30, countMax: 5, bytesMax: 1_000 }, { after: 0, countMax: 1, bytesMax: 100 }, { after: 35, countMax: 1, bytesMax: 100 }];
      const several = await store.loadItems(ranges.map((range) => ({ key: 'one', ...range })));
      expect(several.get('one')!.map(({ position }) => position)).toEqual([10, 40, 50]);
    });

    test('a removed key loses head and items and stays known as a tombstone', async () => {
      const store = await open();
      await store.save([change('one', 0, { itemsAdded: [{ position: 1, value: 1 }], dueAt: 5, scope: 's', status: 'S' })]);
      await store.save([change('one', 1, { head: null, handled: { 'a/0': 9 }, owed: [effect('last')] })]);
      expect(await store.load(['one'])).toEqual([{ key: 'one', version: 2, head: null, handled: { 'a/0': 9 }, owed: [effect('last')], dueAt: null }]);
      expect((await store.loadItems(['one'])).get('one')).toEqual([]);
      expect(await store.due(100, 10)).toEqual({ keys: [], nextDueAt: null });
      expect(await store.list({ scope: 's', countMax: 10 })).toEqual([]);
      expect(await store.save([change('one', 0)])).toEqual(new Set());
      expect(await store.save([change('one', 2, { head: 'born again' })])).toEqual(new Set(['one']));
    });

    test('a sweep deletes old tombstones only, a page at a time', async () => {
      const store = await open();
      const keys = ['a', 'b', 'c', 'd'];
      await store.save(keys.map((key) => change(key, 0)));
      await store.save(keys.slice(0, 3).map((key) => change(key, 1, { head: null })));
      expect(await store.sweep(Date.now() - 60_000, 10)).toBe(0);
      const later = Date.now() + 60_000;
      expect(await store.sweep(later, 2)).toBe(2);
      expect(await store.sweep(later, 2)).toBe(1);
      expect((await store.load(keys)).map(({ key }) => key)).toEqual(['d']);
    });

    test('due keys come earliest first, with the time of the next one after them', async () => {
      const store = await open();
      const times = { late: 900, soon: 100, sooner: 50, never: null, soonest: 10 };
      await store.save(Object.entries(times).map(([key, dueAt]) => change(key, 0, { dueAt })));
      const due = (key: 'late' | 'soon' | 'sooner' | 'soonest') => ({ key, dueAt: times[key] });
      expect(await store.due(9, 10)).toEqual({ keys: [], nextDueAt: 10 });
      expect(await store.due(100, 10)).toEqual({ keys: [due('soonest'), due('sooner'), due('soon')], nextDueAt: 900 });
      expect(await store.due(100, 2)).toEqual({ keys: [due('soonest'), due('sooner')], nextDueAt: 100 });
      expect(await store.due(1_000, 4)).toEqual({ keys: [due('soonest'), due('sooner'), due('soon'), due('late')], nextDueAt: null });
    });

    test('lists are by scope and status, the newest born first, bounded', async () => {
      const store = await open();
      for (const key of ['a', 'b', 'c']) await store.save([change(key, 0, { scope: 's', status: key === 'b' ? 'DONE' : 'RUNNING', head: key })]);
      await store.save([change('x', 0, { scope: 'other', status: 'RUNNING' })]);
      await store.save([change('a', 1, { scope: 's', status: 'RUNNING', head: 'a again' })]);
      const heads = async (filter: { status?: string; countMax: number; after?: string }) => (await store.list({ scope: 's', ...filter })).map(({ head }) => head);
      expect(await heads({ countMax: 10 })).toEqual(['c', 'b', 'a again']);
      expect(await heads({ countMax: 2 })).toEqual(['c', 'b']);
      expect(await heads({ status: 'RUNNING', countMax: 10 })).toEqual(['c', 'a again']);
      expect(await heads({ status: 'RUNNING', countMax: 1 })).toEqual(['c']);
      expect(await heads({ status: 'NONE', countMax: 10 })).toEqual([]);
      expect(await heads({ countMax: 1, after: 'c' })).toEqual(['b']);
      expect(await heads({ countMax: 10, after: 'b' })).toEqual(['a again']);
      expect(await heads({ status: 'RUNNING', countMax: 10, after: 'c' })).toEqual(['a again']);
      expect(await heads({ countMax: 10, after: 'a' })).toEqual([]);
      expect(await heads({ countMax: 10, after: 'unknown' })).toEqual([]);
    });

    test('pages of a list give each key once, however many were born in one moment', async () => {
      const store = await open();
      const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
      await store.save(keys.map((key, i) => change(key, 0, { scope: 's', status: i % 3 === 0 ? 'DONE' : 'RUNNING', head: key })));
      for (const filter of [{}, { status: 'RUNNING' }]) {
        const whole = (await store.list({ scope: 's', countMax: 1_000, ...filter })).map(({ key }) => key);
        const paged: string[] = [];
        for (let after: string | undefined; ; after = paged.at(-1)) {
          const page = await store.list({ scope: 's', countMax: 7, ...filter, ...(after === undefined ? {} : { after }) });
          if (page.length === 0) break;
          paged.push(...page.map(({ key }) => key));
        }
        expect(paged).toEqual(whole);
        expect(new Set(paged).size).toBe('status' in filter ? 40 : 60);
      }
    });

    test('saves of every size keep all their keys and items', async () => {
      const store = await open();
      for (const size of [1, 2, 5, 17, 100, 500, 1_500]) {
        const keys = Array.from({ length: size }, (_, i) => `${size}-${i}`);
        const item = (i: number) => ({ position: i, value: `item ${i}` });
        expect((await store.save(keys.map((key, i) => change(key, 0, { head: i, itemsAdded: [item(i), item(i + 1)] })))).size).toBe(size);
        expect((await store.save(keys.map((key, i) => change(key, 1, { head: i, itemsRemoved: [i] })))).size).toBe(size);
        expect((await store.load(keys)).every(({ version }) => version === 2)).toBe(true);
        const items = await store.loadItems(keys);
        expect(keys.every((key, i) => JSON.stringify(items.get(key)) === JSON.stringify([item(i + 1)]))).toBe(true);
      }
    });

    test('any sequence of saves leaves what a simple map would hold', async () => {
      const store = await open();
      const model = new Map<string, { version: number; head: unknown }>();
      const keyOf = (index: number, run: number): string => `${run}:${index}`;
      let run = 0;
      const save = fc.record({ index: fc.nat(3), behind: fc.nat(1), head: fc.oneof(fc.jsonValue(), fc.constant(null)) });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.uniqueArray(save, { selector: ({ index }) => index, minLength: 1 }), { maxLength: 6 }), async (batches) => {
          run++;
          for (const batch of batches) {
            const changes = batch.map(({ index, behind, head }) => change(keyOf(index, run), Math.max(0, (model.get(keyOf(index, run))?.version ?? 0) - behind), { head }));
            const expected = changes.filter(({ key, versionBefore }) => versionBefore === (model.get(key)?.version ?? 0));
            expect(await store.save(changes)).toEqual(new Set(expected.map(({ key }) => key)));
            for (const { key, versionBefore, head } of expected) model.set(key, { version: versionBefore + 1, head: JSON.parse(JSON.stringify(head)) });
          }
          const keys = [0, 1, 2, 3].map((index) => keyOf(index, run));
          const loaded = new Map((await store.load(keys)).map(({ key, version, head }) => [key, { version, head }]));
          expect(loaded).toEqual(new Map([...model].filter(([key]) => keys.includes(key))));
        }),
        { numRuns: 40 },
      );
    });
  });
};

const parked = (id: string, more: Partial<ParkedRecord> = {}): ParkedRecord => ({
  id,
  topic: 'some.topic',
  partition: 3,
  offset: 12_345_678_901,
  key: 'k',
  value: '{}',
  reason: 'why not',
  parkedAt: 1_800_000_000_000,
  ...more,
});

export const parkingLotContract = (name: string, open: () => Promise<ParkingLot>): void => {
  describe(`${name}: parking lot`, () => {
    test('any record can be parked, whatever its texts hold (W4)', async () => {
      const lot = await open();
      const records = awkward.map((text, i) => parked(`id-${i}`, { key: text, value: text, reason: text, parkedAt: i }));
      await lot.park(records);
      expect((await lot.list(100)).toReversed()).toEqual(records);
    });

    test('parking the same record again changes nothing', async () => {
      const lot = await open();
      await lot.park([parked('a', { reason: 'first' })]);
      await lot.park([parked('a', { reason: 'second' }), parked('b')]);
      expect((await lot.find(['a'])).map(({ reason }) => reason)).toEqual(['first']);
      expect(await lot.list(10)).toHaveLength(2);
    });

    test('the list is bounded and begins with the newest', async () => {
      const lot = await open();
      await lot.park(Array.from({ length: 40 }, (_, i) => parked(`id-${i}`, { parkedAt: 1_000 + i })));
      expect((await lot.list(3)).map(({ id }) => id)).toEqual(['id-39', 'id-38', 'id-37']);
    });

    test('found records stay, taken records are gone, and are taken once', async () => {
      const lot = await open();
      await lot.park([parked('a'), parked('b'), parked('"c"\\,{}')]);
      expect((await lot.find(['a', 'x'])).map(({ id }) => id)).toEqual(['a']);
      expect((await lot.take(['a', '"c"\\,{}', 'x'])).map(({ id }) => id).toSorted()).toEqual(['"c"\\,{}', 'a']);
      expect(await lot.take(['a'])).toEqual([]);
      expect((await lot.list(10)).map(({ id }) => id)).toEqual(['b']);
    });
  });
};

export type Counter = { add(name: string): Promise<void>; read(name: string): Promise<number> };

/** The store's transactions are given something of their own to write. */
export const answerStoreContract = (name: string, open: () => Promise<AnswerStore<Counter>>): void => {
  const answered = (requestId: string, value: unknown = 1): StoredAnswer => ({ requestId, outcome: { type: 'done', value }, effects: [effect(requestId)] });

  describe(`${name}: answers`, () => {
    test('an answer is stored together with the work, and found by its request id (W3)', async () => {
      const store = await open();
      await store.transact(async (tx, answers) => {
        await tx.add('x');
        await answers.add([answered('one', awkward), answered('two')]);
      });
      const found = await store.transact(async (tx, answers) => ({ count: await tx.read('x'), stored: await answers.find(['one', 'three']) }));
      expect(found).toEqual({ count: 1, stored: [answered('one', awkward)] });
    });

    test('what the work throws rolls back both the work and the answers, and is thrown again', async () => {
      const store = await open();
      const fault = new Error('no');
      const work = store.transact(async (tx, answers) => {
        await tx.add('x');
        await answers.add([answered('one')]);
        throw fault;
      });
      await expect(work).rejects.toBe(fault);
      expect(await store.transact(async (tx, answers) => [await tx.read('x'), await answers.find(['one'])])).toEqual([0, []]);
    });

    test('an answer that is stored already undoes the work, which is done once more and may find it', async () => {
      const store = await open();
      await store.transact((_tx, answers) => answers.add([answered('one', 'first')]));
      let tries = 0;
      const found = await store.transact(async (tx, answers) => {
        if (tries++ > 0) return answers.find(['one']);
        await tx.add('x');
        await answers.add([answered('two'), answered('one', 'second')]);
        return [];
      });
      expect(found).toEqual([answered('one', 'first')]);
      expect(await store.transact(async (tx, answers) => [await tx.read('x'), await answers.find(['two'])])).toEqual([0, []]);
    });

    test('many transactions at once lose nothing', async () => {
      const store = await open();
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.transact(async (tx, answers) => {
            await tx.add('x');
            await answers.add([answered(`request-${i}`)]);
          }),
        ),
      );
      const ids = Array.from({ length: 20 }, (_, i) => `request-${i}`);
      const [count, found] = await store.transact(async (tx, answers) => [await tx.read('x'), (await answers.find(ids)).length] as const);
      expect({ count, found }).toEqual({ count: 20, found: 20 });
    });

    test('hundreds of answers are stored and found in one transaction', async () => {
      const store = await open();
      const all = Array.from({ length: 700 }, (_, i) => answered(`request-${i}`, i));
      await store.transact((_tx, answers) => answers.add(all));
      const found = await store.transact((_tx, answers) => answers.find(all.map(({ requestId }) => requestId)));
      expect(new Map(found.map((one) => [one.requestId, one]))).toEqual(new Map(all.map((one) => [one.requestId, one])));
    });
  });
};
