/** Work of another room that is done with the save of whom it is for, and neither without the other. */
import { describe, expect, test } from 'vitest';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { StateStore } from '../../src/shell/store.ts';
import type { Machine, StepInput } from '../../src/shell/worker.ts';
import { Crash, crashAt, createBench } from './bench.ts';
import { askedIn, createOtherRoom, joining, type OtherRoom } from './joining.ts';
import { createLedger, outTopic, record, saidIn, type LedgerEvent, type LedgerHead } from './ledger.ts';

const away = Object.assign(new Error('the database is away'), { operational: true });
const said = (records: readonly OutRecord[]): string[] => saidIn(records.filter(({ topic }) => topic === outTopic));
const adds = (...keys: string[]): OutRecord[] => keys.map((key) => record('left', key, `${key}1`, 'add'));
/** Keys x1 and x2 are of one joint, y1 of another; the others name none. */
const scopeOf = (key: string): string | undefined => (key.length > 1 ? key[0] : undefined);

type Opened = ReturnType<typeof open>;

/** A bench whose ports and machine tell in one list what happens. */
const open = (given: { room?: OtherRoom; states?: Partial<StateStore>; isBirth?: boolean; nameOf?: (key: string) => string | undefined } = {}) => {
  const told: string[] = [];
  const { room = createOtherRoom(), nameOf = scopeOf, isBirth = false } = given;
  const inner = { ...createMemoryStateStore(), ...given.states };
  const keysOf = (changes: readonly { readonly key: string }[]): string => changes.map(({ key }) => key).join();
  const states: StateStore = {
    ...inner,
    load: (keys) => (told.push(`load ${keys.join()}`), inner.load(keys)),
    save: (changes) => (told.push(`save ${keysOf(changes)}`), inner.save(changes)),
    saveWith: (changes, work) => (told.push(`save with ${keysOf(changes)}`), inner.saveWith!(changes, work)),
  };
  const bench = createBench({ states });
  const openMachine = (): Machine<LedgerHead, string, LedgerEvent> => {
    const onStep = (inputs: readonly StepInput<LedgerHead, string, LedgerEvent>[]): void => void told.push(`step ${keysOf(inputs)}`);
    const ledger = createLedger({ onStep, forget: (keys) => void told.push(`forget ${keys.join()}`) });
    const ended = (name: string, isDone: boolean): void => void told.push(`${name} ${isDone ? 'done' : 'not done'}`);
    return { ...joining(ledger, { room, nameOf: ({ key }) => nameOf(key), ended }), isBirth: () => isBirth };
  };
  return { told, room, bench, inner, openMachine, batch: bench.openBatch(openMachine()) };
};

const versions = async ({ inner }: Opened, ...keys: string[]): Promise<number[]> => {
  const found = new Map((await inner.load(keys)).map(({ key, version }) => [key, version]));
  return keys.map((key) => found.get(key) ?? 0);
};
const about = ({ told }: Opened, ...words: string[]): string[] => told.filter((what) => words.some((word) => what.startsWith(word)));

describe('joint work', () => {
  test('is done with the saves that name it, each work with its own; the others are saved beside', async () => {
    const opened = open();
    const { bench, batch, room } = opened;
    await batch.handleBatch(bench.append(...adds('x1', 'a', 'y1', 'x2', 'b')));
    await batch.committed();
    expect(about(opened, 'save')).toEqual(['save a,b', 'save with x1,x2', 'save with y1']);
    expect(about(opened, 'x ', 'y ')).toEqual(['x done', 'y done']);
    expect(room.done.toSorted()).toEqual(['x11', 'x21', 'y11']);
    expect(askedIn(bench.published)).toEqual(['a1', 'b1']);
    expect(said(bench.published)).toHaveLength(5);
    expect(bench.redelivered()).toEqual([]);
  });

  test('that is refused is done for none of its keys; nothing of theirs leaves, and those beside are not touched', async () => {
    const atRefusal: string[] = [];
    const opened = open({ room: createOtherRoom((ids) => !ids.includes('x11')) });
    const { bench, batch, room, told } = opened;
    bench.faults.publish = (records) => void atRefusal.push(...records.map(({ key }) => key));
    await batch.handleBatch(bench.append(...adds('x1', 'a', 'y1', 'x2')));
    await batch.committed();
    expect(about(opened, 'save')).toEqual(['save a', 'save with x1,x2', 'save with y1', 'save x1,x2']);
    expect(new Set(atRefusal.slice(0, 3))).toEqual(new Set(['a', 'y1']));
    expect(told.slice(told.indexOf('x not done'))).toEqual(expect.arrayContaining(['forget x1', 'forget x2']));
    expect(told.findLastIndex((what) => what.startsWith('forget'))).toBeLessThan(told.indexOf('load x1,x2'));
    expect(told.slice(-3)).toEqual(['load x1,x2', 'step x1,x2', 'save x1,x2']);
    expect(await versions(opened, 'x1', 'x2', 'y1', 'a')).toEqual([1, 1, 1, 1]);
    expect([room.done, askedIn(bench.published)]).toEqual([['y11'], ['a1', 'x11', 'x21']]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('is not done where another replica has changed one of its keys; all of them are read and stepped again', async () => {
    const opened = open();
    const { bench, batch, room, openMachine } = opened;
    await batch.handleBatch(bench.append(...adds('x1', 'x2')));
    await bench.openBatch(openMachine()).handleBatch(bench.append(record('left', 'x2', 'other', 'add')));
    opened.told.length = 0;
    await batch.handleBatch(bench.append(record('left', 'x1', 'x12', 'add'), record('left', 'x2', 'x22', 'add')));
    await batch.committed();
    expect(opened.told).toEqual(['step x1,x2', 'save with x1,x2', 'x not done', 'forget x1', 'forget x2', 'load x1,x2', 'step x1,x2', 'save x1,x2']);
    expect((await opened.inner.load(['x1', 'x2'])).map(({ head }) => head)).toMatchObject([{ left: ['x11', 'x12'] }, { left: ['x21', 'other', 'x22'] }]);
    expect([room.done, askedIn(bench.published)]).toEqual([['x11', 'x21', 'other'], ['x12', 'x22']]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('is not done again for a key that had begun before, as far as that could not be told; its companions come to their end', async () => {
    const opened = open({ isBirth: true });
    const { bench, batch, room, openMachine } = opened;
    const dying = bench.openBatch(openMachine(), crashAt('saved'));
    await expect(dying.handleBatch(bench.append(...adds('x1')))).rejects.toThrow(Crash);
    bench.append(...adds('x2'));
    await batch.handleBatch(bench.redelivered());
    await batch.committed();
    expect(await versions(opened, 'x1', 'x2')).toEqual([1, 1]);
    expect([room.done, askedIn(bench.published)]).toEqual([['x11'], ['x21']]);
    expect(said(bench.published)).toEqual(['x1: x11 is left 1', 'x2: x21 is left 1']);
    expect(bench.redelivered()).toEqual([]);
  });

  test('keeps no order from its keys: what came while it was refused is stepped behind', async () => {
    const more: Promise<void>[] = [];
    const opened: Opened = open({
      room: createOtherRoom(() => {
        more.push(opened.batch.handleBatch(opened.bench.append(record('left', 'x1', 'x12', 'add'))));
        return false;
      }),
    });
    await opened.batch.handleBatch(opened.bench.append(...adds('x1', 'x2')));
    await Promise.all(more);
    await opened.batch.committed();
    expect((await opened.inner.load(['x1']))[0]).toMatchObject({ head: { left: ['x11', 'x12'] } });
    expect(askedIn(opened.bench.published)).toEqual(['x11', 'x12', 'x21']);
    expect(opened.bench.redelivered()).toEqual([]);
  });

  test('can be named anew once a key has moved on, for what waited behind it', async () => {
    const states = createMemoryStateStore();
    const more: Promise<void>[] = [];
    let refusals = 1;
    const opened: Opened = open({
      room: createOtherRoom(() => refusals-- <= 0),
      states: {
        ...states,
        save: async (changes) => {
          if (more.length === 0) more.push(opened.batch.handleBatch(opened.bench.append(record('left', 'x1', 'x12', 'add'))));
          return states.save(changes);
        },
      },
    });
    await opened.batch.handleBatch(opened.bench.append(...adds('x1')));
    await Promise.all(more);
    expect(about(opened, 'save')).toEqual(['save with x1', 'save x1', 'save with x1']);
    expect([opened.room.done, askedIn(opened.bench.published)]).toEqual([['x12'], ['x11']]);
  });
});

describe('a store that fails under joint work', () => {
  const failing = (times: 'before' | 'after'): { states: Partial<StateStore> } => {
    const states = createMemoryStateStore();
    let failures = 1;
    const saveWith: StateStore['saveWith'] = async (changes, work) => {
      if (!changes.some(({ key }) => key === 'x1') || failures-- <= 0) return states.saveWith!(changes, work);
      if (times === 'after') await states.saveWith!(changes, work);
      throw away;
    };
    return { states: { ...states, saveWith } };
  };

  test.each(['before', 'after'] as const)('and passes, %s it was done: all of it is read again, nothing is lost or done twice', async (times) => {
    const opened = open({ ...failing(times), isBirth: true });
    const { bench, batch, room, told } = opened;
    await expect(batch.handleBatch(bench.append(...adds('x1', 'a', 'y1', 'x2')))).rejects.toBe(away);
    expect(bench.published).toEqual([]);
    expect(about(opened, 'x ', 'y ')).toEqual(['y done']);
    told.length = 0;
    await batch.handleBatch([]);
    await batch.committed();
    expect(about(opened, 'load')).toEqual(['load x1,a,y1,x2']);
    expect(await versions(opened, 'x1', 'a', 'y1', 'x2')).toEqual([1, 1, 1, 1]);
    expect([...room.done, ...askedIn(bench.published)].toSorted()).toEqual(['a1', 'x11', 'x21', 'y11']);
    expect(said(bench.published)).toHaveLength(4);
    expect(bench.redelivered()).toEqual([]);
  });

  test('for one of its keys for ever: that one is parked, and the others are saved (W5)', async () => {
    const states = createMemoryStateStore();
    const check = (changes: readonly { readonly key: string }[]): void => {
      if (changes.some(({ key }) => key === 'x2')) throw new Error('invalid byte sequence');
    };
    const opened = open({
      states: {
        ...states,
        save: async (changes) => (check(changes), states.save(changes)),
        saveWith: async (changes, work) => (check(changes), states.saveWith!(changes, work)),
      },
    });
    const { bench, batch, room } = opened;
    await batch.handleBatch(bench.append(...adds('x1', 'x2', 'x3', 'y1')));
    await batch.committed();
    expect(about(opened, 'x ', 'y ')).toEqual(['x not done', 'y done']);
    expect(await versions(opened, 'x1', 'x2', 'x3', 'y1')).toEqual([1, 0, 1, 1]);
    expect([room.done, askedIn(bench.published)]).toEqual([['y11'], ['x11', 'x31']]);
    expect((await bench.parking.list(10)).map(({ key, reason }) => [key, reason])).toEqual([['x2', 'step threw the store refused: invalid byte sequence']]);
    expect(bench.redelivered()).toEqual([]);
  });
});

describe('a machine that names joint work', () => {
  const reasons = async ({ bench }: Opened): Promise<string[]> => (await bench.parking.list(10)).map(({ reason }) => reason);

  test('for a key of which nothing is saved is at fault: it would not be done', async () => {
    const opened = open();
    const { bench, room, openMachine } = opened;
    const machine = openMachine();
    const saving: typeof machine = { ...machine, step: async (inputs, now) => (await machine.step(inputs, now)).map((output) => (output.type === 'next' && output.joint !== undefined ? { ...output, head: undefined } : output)) };
    await bench.openBatch(saving).handleBatch(bench.append(...adds('x1', 'a')));
    expect(await reasons(opened)).toEqual(['step threw step named joint work for x1, of which nothing is saved']);
    expect([room.done, await versions(opened, 'x1', 'a')]).toEqual([[], [0, 1]]);
  });

  test('again for a key that is stepped again is at fault: it could hold others up for ever', async () => {
    const opened = open({ room: createOtherRoom(() => false) });
    const { bench, openMachine } = opened;
    const machine = openMachine();
    const stubborn: typeof machine = { ...machine, step: (inputs, now) => machine.step(inputs.map(({ key, head, items, events }) => ({ key, head, items, events })), now) };
    await bench.openBatch(stubborn).handleBatch(bench.append(...adds('x1', 'a')));
    expect(await reasons(opened)).toEqual(['step threw step named joint work for x1, which is stepped again']);
    expect(await versions(opened, 'x1', 'a')).toEqual([0, 1]);
  });
});
