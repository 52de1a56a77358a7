/** What every store of states keeps that saves with another room's work (`saveWith`): all of both, or nothing. Run against memory and PostgreSQL. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JointWork, StateChange, StateStore } from '../../src/shell/store.ts';
import { change } from './store-contract.ts';

export type JointWorld = {
  readonly states: StateStore;
  /** A store of the same states in another process, where there can be one. */
  readonly replica: StateStore;
  /** The other room's work: it puts these names on its list. In its way is a name that is there already. */
  readonly put: (...names: readonly string[]) => JointWork;
  /** What is on the list, in order. */
  readonly listed: () => Promise<readonly string[]>;
};

const item = (position: number, value: unknown = `item ${position}`) => ({ position, value });
const born = (key: string): StateChange => change(key, 0, { head: 'born', itemsAdded: [item(1), item(2)] });

/** All that a store tells of these keys. */
const seen = async (states: StateStore, keys: readonly string[]) => {
  const items = await states.loadItems(keys);
  return {
    states: (await states.load(keys)).toSorted((one, other) => (one.key < other.key ? -1 : 1)),
    items: keys.map((key) => items.get(key)),
    due: await states.due(1_000, 100),
    listed: (await states.list({ scope: 's', countMax: 100 })).map(({ key }) => key).toSorted(),
  };
};

/** `runs`: of the test with random saves. */
export const jointSaveContract = (name: string, open: () => Promise<JointWorld>, { runs = 12 } = {}): void => {
  describe(`${name}: saves with another room's work`, () => {
    test('all is saved and the work is done: births, updates and removals, items and what is owed', async () => {
      const { states, put, listed } = await open();
      await states.save([born('changed'), born('removed'), born('untouched')]);
      const owed = [{ topic: 'some.topic', key: 'k', value: 'effect' }];
      const changes = [
        change('new', 0, { head: { of: 'new' }, handled: { 'a/0': 1 }, owed, dueAt: 7, scope: 's', status: 'RUNNING', itemsAdded: [item(5)] }),
        change('changed', 1, { head: 'changed', itemsAdded: [item(3), item(2, 'again')], itemsRemoved: [1] }),
        change('removed', 1, { head: null, handled: { 'a/0': 2 }, owed }),
      ];
      expect(await states.saveWith!(changes, put('one', 'two'))).toBe(true);
      expect(await listed()).toEqual(['one', 'two']);
      expect(await seen(states, ['changed', 'new', 'removed', 'untouched'])).toEqual({
        states: [
          { key: 'changed', version: 2, head: 'changed', handled: {}, owed: [], dueAt: null },
          { key: 'new', version: 1, head: { of: 'new' }, handled: { 'a/0': 1 }, owed, dueAt: 7 },
          { key: 'removed', version: 2, head: null, handled: { 'a/0': 2 }, owed, dueAt: null },
          { key: 'untouched', version: 1, head: 'born', handled: {}, owed: [], dueAt: null },
        ],
        items: [[item(2, 'again'), item(3)], [item(5)], [], [item(1), item(2)]],
        due: { keys: [{ key: 'new', dueAt: 7 }], nextDueAt: null },
        listed: ['new'],
      });
    });

    const more = { head: 'not this', dueAt: 3, scope: 's', itemsAdded: [item(3)], itemsRemoved: [1] };
    test.each<[string, readonly StateChange[]]>([
      ['a key is there that was to be created', [change('known', 0, more)]],
      ['a removed key is there that was to be created', [change('gone', 0, more)]],
      ['a key stands at another version', [change('known', 1, more)]],
      ['a key is at no version yet', [change('unknown', 1, more)]],
      ['one of several does not stand', [change('new', 0, more), change('known', 2, more), change('other', 2, more)]],
      ['one of several is there already', [change('gone', 2, more), change('new', 0, more), change('other', 0, more)]],
      ['one that was to be removed does not stand', [change('new', 0, more), change('known', 1, { head: null }), change('other', 1, { head: null })]],
    ])('where %s, nothing is saved and no work is done', async (_case, changes) => {
      const { states, put, listed } = await open();
      await states.save([born('known'), born('other'), born('gone')]);
      await states.save([change('known', 1, { head: 'now', itemsAdded: [item(4)] }), change('gone', 1, { head: null })]);
      const keys = ['gone', 'known', 'new', 'other', 'unknown'];
      const before = await seen(states, keys);
      expect(await states.saveWith!(changes, put('one'))).toBe(false);
      expect(await listed()).toEqual([]);
      expect(await seen(states, keys)).toEqual(before);
      // What was refused is in nobody's way.
      const right = [change('known', 2, { ...more, itemsAdded: [item(5)] }), change('new', 0), change('other', 1)];
      expect(await states.saveWith!(right, put('one'))).toBe(true);
      expect([(await states.loadItems(['known'])).get('known'), await listed()]).toEqual([[item(2), item(4), item(5)], ['one']]);
    });

    test('where something is in the way of the work, nothing of it is done and nothing is saved', async () => {
      const { states, put, listed } = await open();
      await states.save([born('known'), born('other')]);
      await states.saveWith!([change('other', 1)], put('taken'));
      const before = await seen(states, ['known', 'new', 'other']);
      const changes = [change('known', 1, more), change('new', 0, more), change('other', 2, { head: null })];
      expect(await states.saveWith!(changes, put('free', 'taken'))).toBe(false);
      expect([await seen(states, ['known', 'new', 'other']), await listed()]).toEqual([before, ['taken']]);
      // The same changes stand by themselves, and with work that nothing is in the way of.
      expect(await states.save(changes.slice(1))).toEqual(new Set(['new', 'other']));
      expect(await states.saveWith!(changes.slice(0, 1), put('free'))).toBe(true);
      expect([(await states.loadItems(['known'])).get('known'), await listed()]).toEqual([[item(2), item(3)], ['free', 'taken']]);
    });

    test('further saves find what such a save has left, short items and long ones, in the same replica and in another', async () => {
      const { states, replica, put } = await open();
      const long = (position: number) => item(position, `${position} `.repeat(1_000));
      const saves: readonly [StateStore, Partial<StateChange>][] = [
        [states, { itemsAdded: [item(1), item(2)] }],
        [states, { itemsAdded: [item(3)] }],
        [states, { itemsAdded: [item(3, 'again')], itemsRemoved: [2] }],
        [replica, { itemsAdded: [long(4)] }],
        [states, { itemsAdded: [item(5)], itemsRemoved: [1] }],
        [states, { itemsAdded: [long(3)], itemsRemoved: [5] }],
      ];
      for (const [version, [by, changed]] of saves.entries()) expect(await by.saveWith!([change('one', version, changed)], put(`${version}`))).toBe(true);
      expect((await states.loadItems(['one'])).get('one')).toEqual([long(3), long(4)]);
      await states.save([change('one', 6, { itemsAdded: [item(6)], itemsRemoved: [3] })]);
      expect((await states.loadItems(['one'])).get('one')).toEqual([long(4), item(6)]);
    });

    test('what was refused is not remembered: what another replica saves instead is what the next save finds', async () => {
      const { states, replica, put } = await open();
      await states.saveWith!([born('one')], put('taken'));
      expect(await states.saveWith!([change('one', 1, { itemsAdded: [item(7)], itemsRemoved: [1] })], put('taken'))).toBe(false);
      expect(await replica.saveWith!([change('one', 1, { itemsAdded: [item(3)] })], put('theirs'))).toBe(true);
      expect(await states.saveWith!([change('one', 1, { itemsAdded: [item(8)], itemsRemoved: [2] })], put('late'))).toBe(false);
      expect(await states.saveWith!([change('one', 2, { itemsAdded: [item(2, 'again')] })], put('free'))).toBe(true);
      expect((await states.loadItems(['one'])).get('one')).toEqual([item(1), item(2, 'again'), item(3)]);
    });

    test('of many who save one version at once, with work or without, one wins, and of the work its own alone is done', async () => {
      const { states, put, listed } = await open();
      for (let version = 0; version < 4; version++) {
        const before = await listed();
        const saves = Array.from({ length: 8 }, async (_, i) => {
          const changes = [change('one', version, { head: i }), change(`other-${version}-${i}`, 0)];
          // An ordinary save leaves out what does not stand.
          if (i % 4 === 3) return (await states.save(changes)).has('one');
          return states.saveWith!(changes, put(`${version}/${i}`, `${version}/${i} too`));
        });
        const winners = (await Promise.all(saves)).flatMap((saved, i) => (saved ? [i] : []));
        expect(winners).toHaveLength(1);
        const winner = winners[0]!;
        expect((await states.load(['one']))[0]).toMatchObject({ version: version + 1, head: winner });
        expect((await listed()).slice(before.length)).toEqual(winner % 4 === 3 ? [] : [`${version}/${winner}`, `${version}/${winner} too`]);
        const others = await states.load(Array.from({ length: 8 }, (_, i) => `other-${version}-${i}`));
        expect(new Set(others.map(({ key }) => key))).toEqual(new Set([3, 7, winner].map((i) => `other-${version}-${i}`)));
      }
    });

    test('of many whose work is in each other\'s way one is saved, with whatever key', async () => {
      const { states, put, listed } = await open();
      const saved = await Promise.all(Array.from({ length: 24 }, (_, i) => states.saveWith!([change(`key-${i}`, 0)], put(`name ${i % 6}`, `own ${i}`))));
      const winners = saved.flatMap((done, i) => (done ? [i] : []));
      expect(winners.map((i) => i % 6).toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
      expect(await listed()).toEqual(winners.flatMap((i) => [`name ${i % 6}`, `own ${i}`]).toSorted());
      const loaded = await states.load(Array.from({ length: 24 }, (_, i) => `key-${i}`));
      expect(new Set(loaded.map(({ key }) => key))).toEqual(new Set(winners.map((i) => `key-${i}`)));
    });

    const positions = fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 3 });
    const oneChange = fc.record({ key: fc.nat(2), behind: fc.nat(15).map((chance) => (chance === 0 ? 1 : 0)), dies: fc.nat(9).map((chance) => chance === 0), rests: fc.boolean(), added: positions, removed: positions, chars: fc.constantFrom(0, 300, 2_500) });
    const oneSave = fc.record({ changes: fc.uniqueArray(oneChange, { selector: ({ key }) => key, minLength: 1, maxLength: 2 }), joint: fc.boolean(), elsewhere: fc.boolean(), taken: fc.nat(9).map((chance) => chance === 0) });

    test('any sequence of saves of two replicas, with work and without, leaves what ordinary saves of those that stand would have left, and further saves build on it', async () => {
      const { states, replica, put, listed } = await open();
      const { states: ordinary } = await open();
      await states.saveWith!([change('first', 0)], put('taken'));
      const done = ['taken'];
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(oneSave, { minLength: 1, maxLength: 10 }), async (saves) => {
          const of = `run-${String(run++).padStart(4, '0')}`;
          const versions = new Map<string, number>();
          for (const [at, { changes: planned, joint, elsewhere, taken }] of saves.entries()) {
            const by = elsewhere ? replica : states;
            const changes = planned.map(({ key, behind, dies, rests, added, removed, chars }) => {
              const before = Math.max(0, (versions.get(`${of}/${key}`) ?? 0) - behind);
              if (dies) return change(`${of}/${key}`, before, { head: null, rests });
              return change(`${of}/${key}`, before, { head: at, rests, scope: of, status: 'S', itemsAdded: added.map((position) => item(position, [at, 'x'.repeat(chars)])), itemsRemoved: removed });
            });
            const stands = changes.every(({ key, versionBefore }) => (versions.get(key) ?? 0) === versionBefore);
            const isSaved = stands && !(joint && taken);
            const work = `${of}/${at}`;
            if (joint) expect(await by.saveWith!(changes, taken ? put(work, 'taken') : put(work))).toBe(isSaved);
            else if (stands) await by.save(changes);
            if (!isSaved) continue;
            await ordinary.save(changes);
            if (joint) done.push(work);
            for (const { key, versionBefore } of changes) versions.set(key, versionBefore + 1);
          }
          const keys = [0, 1, 2].map((key) => `${of}/${key}`);
          expect(await seen(states, keys)).toEqual(await seen(ordinary, keys));
          expect(await listed()).toEqual(done.toSorted());
        }),
        { numRuns: runs },
      );
    });
  });
};
