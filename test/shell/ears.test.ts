/** What rooms of one process tell each other before the bus does: when it is told, and what becomes of its copy on the bus. */
import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import type { InRecord, OutRecord } from '../../src/messages/grammar/record.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { createEar, type EarOptions, type Tell } from '../../src/shell/ears.ts';
import { createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { StateStore } from '../../src/shell/store.ts';
import { Crash, crashAt, createBench } from './bench.ts';
import { createLedger, outTopic, record, saidIn } from './ledger.ts';

const away = Object.assign(new Error('the database is away'), { operational: true });

/** A store that cannot save until it has come back. */
const createAway = () => {
  const inner = createMemoryStateStore();
  let isAway = true;
  const save: StateStore['save'] = (changes) => (isAway ? Promise.reject(away) : inner.save(changes));
  return { inner, states: { ...inner, save }, comeBack: () => void (isAway = false) };
};

/** A bench with an ear, whose order of things says what was told between the others. */
const openTold = (given: Parameters<typeof createBench>[0] = {}) => {
  const tell = (one: OutRecord): void => void bench.order.push(`told ${saidIn([one]).join()}`);
  const bench = createBench({ ...given, ears: new Map([[outTopic, { hear: tell }]]) });
  return { bench, told: () => bench.order.filter((what) => what.startsWith('told')) };
};

describe('what a saved state owes', () => {
  test('is told after the save and before it is published', async () => {
    const { bench } = openTold();
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    await batch.committed();
    expect(bench.order).toEqual(['save 2', 'told a: e1 is left 1', 'told b: e2 is left 1', 'publish 2', 'commit']);
  });

  test('is told to those alone who have an ear for its topic', async () => {
    const { bench } = openTold();
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'q', 'ask'), record('left', 'b', 'e1', 'add')));
    expect(bench.order).toEqual(['save 2', 'told b: e1 is left 1', 'publish 2', 'commit']);
  });

  test('is not told while it cannot be saved', async () => {
    const { states, comeBack } = createAway();
    const { bench, told } = openTold({ states });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    expect(told()).toEqual([]);
    comeBack();
    await batch.handleBatch([]);
    expect(told()).toEqual(['told a: e1 is left 1']);
  });

  test('is not told where the save conflicts: what was decided on an old state is void', async () => {
    const { bench, told } = openTold();
    const ours = bench.openBatch(createLedger());
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e2', 'add')));
    bench.order.length = 0;
    await ours.handleBatch(bench.append(record('left', 'a', 'e3', 'add'), record('left', 'b', 'e4', 'add')));
    // What the other replica’s state owes goes along.
    expect(told()).toEqual(['told b: e4 is left 1', 'told a: e1 is left 1', 'told a: e2 is left 2', 'told a: e3 is left 3']);
  });

  test('is not told where the store refuses it and its record is parked', async () => {
    const inner = createMemoryStateStore();
    const save: StateStore['save'] = async (changes) => {
      if (changes.some(({ key }) => key === 'a')) throw new Error('invalid byte sequence');
      return inner.save(changes);
    };
    const { bench, told } = openTold({ states: { ...inner, save } });
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    expect(told()).toEqual(['told b: e2 is left 1']);
  });

  test('is told by the next owner, where the first died after the save: nothing rests on being told', async () => {
    const { bench, told } = openTold();
    const records = bench.append(record('left', 'a', 'e1', 'add'));
    await expect(bench.openBatch(createLedger(), crashAt('saved')).handleBatch(records)).rejects.toThrow(Crash);
    expect(told()).toEqual([]);
    await bench.openBatch(createLedger()).handleBatch(records);
    expect(told()).toEqual(['told a: e1 is left 1']);
    expect(saidIn(bench.published)).toEqual(['a: e1 is left 1']);
  });

  test('is told once though it is published in several tries', async () => {
    const { bench, told } = openTold();
    let isAway = true;
    bench.faults.publish = () => {
      if (isAway) throw new BusError('BUS_UNREACHABLE', 'away');
    };
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    isAway = false;
    await batch.handleBatch([]);
    expect(told()).toEqual(['told a: e1 is left 1']);
    expect(saidIn(bench.published)).toEqual(['a: e1 is left 1']);
  });
});

/** A bench where somebody waits for what is said of some keys, and nobody else needs it. */
const openClaimed = (waited: readonly string[], given: Parameters<typeof createBench>[0] = {}) => {
  const claim = (one: OutRecord): Tell | undefined => (waited.includes(one.key) ? () => void bench.order.push(`told ${saidIn([one]).join()}`) : undefined);
  const bench = createBench({ ...given, ears: new Map([[outTopic, { claim }]]) });
  return { bench, told: () => bench.order.filter((what) => what.startsWith('told')) };
};

/** A store whose next save is done, though whoever asked for it is told that the database is away. */
const createCutOff = () => {
  const inner = createMemoryStateStore();
  let isCut = true;
  const save: StateStore['save'] = async (changes) => {
    const saved = await inner.save(changes);
    if (!isCut) return saved;
    isCut = false;
    throw away;
  };
  return { ...inner, save };
};

describe('H3: what only one who waits here needs', () => {
  test('is told after the save, and neither owed nor published', async () => {
    const { bench } = openClaimed(['a']);
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    await batch.committed();
    expect(bench.order).toEqual(['save 2', 'told a: e1 is left 1', 'publish 1', 'commit']);
    expect(saidIn(bench.published)).toEqual(['b: e2 is left 1']);
    expect((await bench.states.load(['a', 'b'])).map(({ key, owed }) => [key, owed.length])).toEqual([['a', 0], ['b', 1]]);
  });

  test('is told where nothing changed, and there is nothing to save or to send', async () => {
    const { bench } = openClaimed(['a']);
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'echo')));
    await batch.committed();
    expect(bench.order).toEqual(['told a: e1 echoed', 'commit']);
  });

  test('is told once the save is done, where it had to be made again', async () => {
    const { states, comeBack } = createAway();
    const { bench, told } = openClaimed(['a'], { states });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    expect(told()).toEqual([]);
    comeBack();
    await batch.handleBatch([]);
    expect(told()).toEqual(['told a: e1 is left 1']);
  });

  test('is told once, where the save has to be made again with what the key has heard since', async () => {
    const { states, comeBack } = createAway();
    const { bench, told } = openClaimed(['a'], { states });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    comeBack();
    await batch.handleBatch(bench.append(record('left', 'a', 'e2', 'add')));
    expect(told()).toEqual(['told a: e1 is left 1', 'told a: e2 is left 2']);
  });

  test('is told when the state is found to be saved, where nobody knew', async () => {
    const { bench, told } = openClaimed(['a'], { states: createCutOff() });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    expect(told()).toEqual([]);
    await batch.handleBatch([]);
    expect(told()).toEqual(['told a: e1 is left 1']);
    expect(bench.published).toEqual([]);
  });

  test('is told when the state is found to be saved, before what the key has heard since', async () => {
    const { bench, told } = openClaimed(['a'], { states: createCutOff() });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    await batch.handleBatch(bench.append(record('left', 'a', 'e2', 'add')));
    expect(told()).toEqual(['told a: e1 is left 1', 'told a: e2 is left 2']);
  });

  test('is not told where another replica has done the step meanwhile, and decided otherwise', async () => {
    const { inner, states, comeBack } = createAway();
    const { bench, told } = openClaimed(['a'], { states });
    const ours = bench.openBatch(createLedger());
    const records = bench.append(record('left', 'a', 'e1', 'add'));
    await expect(ours.handleBatch(records)).rejects.toThrow('away');
    comeBack();
    const theirs = createBench({ states: inner });
    await theirs.openBatch(createLedger()).handleBatch([...theirs.append(record('right', 'a', 'e2', 'add')), ...records]);
    await ours.handleBatch([]);
    await ours.committed();
    expect([told(), bench.order.at(-1)]).toEqual([[], 'commit']);
  });

  test('is not told where the save conflicts, but what is decided then', async () => {
    const { bench, told } = openClaimed(['a']);
    const ours = bench.openBatch(createLedger());
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    const theirs = createBench({ states: bench.states });
    await theirs.openBatch(createLedger()).handleBatch(theirs.append(record('right', 'a', 'e2', 'add')));
    await ours.handleBatch(bench.append(record('left', 'a', 'e3', 'item'), record('left', 'a', 'e4', 'cut')));
    expect(told()).toEqual(['told a: e1 is left 1', 'told a: e4 cut e3']);
  });

  test('goes with who waits for it, where this process dies before it is told', async () => {
    const { bench, told } = openClaimed(['a']);
    const records = bench.append(record('left', 'a', 'e1', 'add'));
    await expect(bench.openBatch(createLedger(), crashAt('saved')).handleBatch(records)).rejects.toThrow(Crash);
    const next = bench.openBatch(createLedger());
    await next.handleBatch(records);
    await next.committed();
    expect([told(), bench.published, bench.order.at(-1)]).toEqual([[], [], 'commit']);
  });

  test('is not told where its step fails in the end', async () => {
    const inner = createMemoryStateStore();
    const save: StateStore['save'] = async (changes) => {
      if (changes.some(({ key }) => key === 'a')) throw new Error('invalid byte sequence');
      return inner.save(changes);
    };
    const { bench, told } = openClaimed(['a', 'b'], { states: { ...inner, save } });
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    expect(told()).toEqual(['told b: e2 is left 1']);
  });
});

const sumWire = wire({ topic: 'test.sum', from: ['flow'], to: ['rest'], key: 'any', retention: 'log', version: 1, body: z.object({ n: z.number() }) });
const sum = (n: number): OutRecord => encode(sumWire, { key: 'a', id: `sum ${n}`, body: { n } });
/** As the bus brings it. */
const copyOf = (one: OutRecord): InRecord => ({ ...one, partition: 0, offset: 0, timestamp: 0 });

const openEar = (more: Partial<EarOptions<{ n: number }>> = {}) => {
  const heard: number[] = [];
  const hear = ({ n }: { n: number }): boolean => heard.push(n) > 0;
  return { heard, ear: createEar({ wire: sumWire, heeds: () => true, hear, log: silentLog, ...more }) };
};

describe('an ear', () => {
  test('H1: passes over the copy of what it heard, once', () => {
    const { ear, heard } = openEar();
    expect(ear.hasHeard(copyOf(sum(1)))).toBe(false);
    ear.hear(sum(1));
    ear.hear(sum(1));
    expect(heard).toEqual([1, 1]);
    expect([sum(2), sum(1), sum(1)].map((one) => ear.hasHeard(copyOf(one)))).toEqual([false, true, false]);
  });

  test('H1: does not read what it does not heed, and passes over no copy of it', () => {
    const { ear, heard } = openEar({ heeds: () => false });
    ear.hear(sum(1));
    expect([heard, ear.hasHeard(copyOf(sum(1)))]).toEqual([[], false]);
  });

  test('H1: passes over no copy of what was of no use when it was told', () => {
    const { ear } = openEar({ hear: () => false });
    ear.hear(sum(1));
    expect(ear.hasHeard(copyOf(sum(1)))).toBe(false);
  });

  test('H2: reads the copies of what it was to forget', () => {
    const { ear } = openEar();
    ear.hear(sum(1));
    ear.forget();
    expect(ear.hasHeard(copyOf(sum(1)))).toBe(false);
    ear.hear(sum(1));
    expect(ear.hasHeard(copyOf(sum(1)))).toBe(true);
  });

  test('throws nothing at who tells: what cannot be read is left to the bus, a fault of its room is logged', () => {
    const logged: string[] = [];
    const log = createLog({ level: 'info', write: (line) => void logged.push(line) });
    const { ear } = openEar({
      log,
      hear: () => {
        throw new Error('a bug of the room');
      },
    });
    const malformed = ['', '{', 'null', '{"v":9,"id":"i","body":{"n":1}}', '{"v":1,"id":"i","body":{"n":"one"}}', '{"v":1,"id":"i","body":null}'].map((value) => ({ ...sum(1), value }));
    for (const one of malformed) ear.hear(one);
    expect(logged).toEqual([]);
    ear.hear(sum(1));
    expect(logged).toEqual([expect.stringContaining('a bug of the room')]);
    expect([...malformed, sum(1)].some((one) => ear.hasHeard(copyOf(one)))).toBe(false);
  });

  test('remembers no more than its bound: of copies that never come the oldest are forgotten, and no others', () => {
    const chars = sum(10).value.length;
    const { ear } = openEar({ toldCharsMax: 16 * chars });
    for (let n = 10; n < 27; n++) ear.hear(sum(n));
    const passedOver = Array.from({ length: 17 }, (_, i) => ear.hasHeard(copyOf(sum(10 + i))));
    expect(passedOver).toEqual([...Array<boolean>(3).fill(false), ...Array<boolean>(14).fill(true)]);
    // What has come makes room again.
    for (let n = 30; n < 46; n++) ear.hear(sum(n));
    expect(ear.hasHeard(copyOf(sum(30)))).toBe(true);
  });
});
