/** One record, one key, one effect that goes wrong, and all others going on (W4, W5). */
import { describe, expect, test } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import type { StateStore } from '../../src/shell/store.ts';
import type { Machine } from '../../src/shell/worker.ts';
import { Crash, crashAt, createBench } from './bench.ts';
import { createLedger, leftWire, outTopic, record, saidIn } from './ledger.ts';
import { createMemoryStateStore } from '../../src/shell/memory-store.ts';

const said = (records: readonly OutRecord[]): string[] => saidIn(records.filter(({ topic }) => topic === outTopic));
const away = Object.assign(new Error('the database is away'), { operational: true });
const reasons = async (bench: ReturnType<typeof createBench>): Promise<string[]> => (await bench.parking.list(100)).map(({ reason }) => reason).toReversed();

describe('W4: a bad record blocks nothing', () => {
  const malformed = (key: string, value: string): OutRecord => ({ topic: leftWire.topic, key, value });

  test('what cannot be read is parked with its reason, the rest is handled, all is committed', async () => {
    const bench = createBench();
    const batch = bench.openBatch(createLedger());
    const values = ['', '{', 'null', '"x"', '{"v":1}', '{"v":1,"id":"i","body":null}', '{"v":9,"id":"i","body":{"does":"add","n":0}}', '{"v":1,"id":"i","body":{"does":"what","n":0}}'];
    await batch.handleBatch(bench.append(...values.map((value) => malformed('a', value)), record('left', 'a', 'e1', 'add')));
    await batch.committed();
    const parked = await bench.parking.list(100);
    expect(parked.map(({ value }) => value).toReversed()).toEqual(values);
    expect(parked.every(({ reason }) => reason.length > 0)).toBe(true);
    expect(said(bench.published)).toEqual(['a: e1 is left 1']);
    expect(bench.redelivered()).toEqual([]);
    expect(bench.metrics.text()).toContain('what="malformed"} 8');
  });

  test('a key that a database cannot hold is parked', async () => {
    const bench = createBench();
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'nul\0', 'e1', 'add'), record('left', 'half \ud800', 'e2', 'add')));
    expect(await reasons(bench)).toHaveLength(2);
  });

  test('an event that cannot be made parks its record', async () => {
    const bench = createBench();
    const ledger = createLedger();
    const machine = {
      ...ledger,
      hearings: ledger.hearings.map((hearing) => ({
        ...hearing,
        toEvent: () => {
          throw new Error('no event');
        },
      })),
    };
    await bench.openBatch(machine).handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    expect(await reasons(bench)).toEqual(['no event could be made of it: no event']);
  });

  test('a poisoned record is parked; those of its key before and after it are stepped', async () => {
    const bench = createBench();
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'a', 'e2', 'poison'), record('left', 'a', 'e3', 'add'), record('left', 'b', 'e4', 'add')));
    expect(await reasons(bench)).toEqual(['poison e2']);
    expect(said(bench.published)).toEqual(['a: e1 is left 1', 'a: e3 is left 2', 'b: e4 is left 1']);
  });

  test('poison that names no event of its key parks them all rather than stepping for ever', async () => {
    const bench = createBench();
    const machine: Machine<any, any, any> = { ...createLedger(), step: async (inputs) => inputs.map(() => ({ type: 'poison', event: 7, reason: 'off by seven' })) };
    await bench.openBatch(machine).handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    expect(await reasons(bench)).toEqual(['step named event 7 of 1: off by seven']);
  });

  test('a step that throws is isolated to its key, then to its record', async () => {
    const bench = createBench();
    const forgotten: string[] = [];
    const batch = bench.openBatch(createLedger({ forget: (keys) => void forgotten.push(...keys) }));
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'a', 'e2', 'throw'), record('left', 'a', 'e3', 'add'), record('left', 'b', 'e4', 'add')));
    await batch.committed();
    expect(await reasons(bench)).toEqual(['step threw a bug in the machine']);
    expect(said(bench.published)).toEqual(['a: e1 is left 1', 'a: e3 is left 2', 'b: e4 is left 1']);
    expect(forgotten).toContain('a');
    expect(bench.redelivered()).toEqual([]);
  });

  test('a preparation that throws is isolated likewise', async () => {
    const bench = createBench();
    const machine = createLedger({
      prepare: async (events) => {
        if (events.some(({ id }) => id === 'bad')) throw new Error('cannot warm');
      },
    });
    await bench.openBatch(machine).handleBatch(bench.append(record('left', 'a', 'bad', 'add'), record('left', 'a', 'e2', 'add'), record('left', 'b', 'e3', 'add')));
    expect(await reasons(bench)).toEqual(['step threw cannot warm']);
    expect(said(bench.published)).toEqual(['a: e2 is left 1', 'b: e3 is left 1']);
  });

  test('a step that answers for the wrong number of keys is a fault, not a mix-up', async () => {
    const bench = createBench();
    const machine: Machine<any, any, any> = { ...createLedger(), step: async () => [] };
    await bench.openBatch(machine).handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    expect(await reasons(bench)).toEqual(['step threw step returned 0 outputs for 1 inputs']);
  });

  test('a state that the store will not take is isolated to its record', async () => {
    const inner = createMemoryStateStore();
    const states: StateStore = {
      ...inner,
      save: async (changes) => {
        if (changes.some(({ head }) => JSON.stringify(head).includes('"e2"'))) throw new Error('invalid byte sequence');
        return inner.save(changes);
      },
    };
    const bench = createBench({ states });
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'a', 'e2', 'add'), record('left', 'a', 'e3', 'add'), record('left', 'b', 'e4', 'add')));
    expect(await reasons(bench)).toEqual(['step threw the store refused: invalid byte sequence']);
    expect(said(bench.published)).toEqual(['a: e1 is left 1', 'a: e3 is left 2', 'b: e4 is left 1']);
  });

  test('an effect that the bus will never take is parked; the others go out in order', async () => {
    const bench = createBench();
    bench.faults.publish = (records) => {
      if (records.some(({ value }) => value.includes('e3 '))) throw new BusError('BUS_RECORD_TOO_LARGE', 'too large');
    };
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(...Array.from({ length: 7 }, (_, i) => record('left', 'a', `e${i}`, 'add'))));
    await batch.committed();
    expect(bench.published.map(({ value }) => (JSON.parse(value) as { body: { what: string } }).body.what)).toEqual([0, 1, 2, 4, 5, 6].map((i) => `e${i} is left ${i + 1}`));
    expect(await bench.parking.list(10)).toMatchObject([{ topic: outTopic, key: 'a', partition: -1, offset: -1, reason: 'BUS_RECORD_TOO_LARGE: too large' }]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('a record is in the lot before it is committed', async () => {
    const bench = createBench();
    const lot = bench.parking;
    let isAway = true;
    const batch = createBench({ parking: { ...lot, park: (records) => (isAway ? Promise.reject(away) : lot.park(records)) } });
    const open = batch.openBatch(createLedger());
    await expect(open.handleBatch(batch.append(record('left', 'a', 'e1', 'poison'), malformed('b', 'x')))).rejects.toBe(away);
    expect(batch.committed.size).toBe(0);
    isAway = false;
    await open.handleBatch([]);
    await open.committed();
    expect(await lot.list(10)).toHaveLength(2);
    expect(batch.redelivered()).toEqual([]);
  });
});

describe('W5: one key’s trouble is its own', () => {
  test('a key that another replica has written is read again and stepped on the newer state', async () => {
    const bench = createBench();
    const forgotten: string[] = [];
    const ours = bench.openBatch(createLedger({ forget: (keys) => void forgotten.push(...keys) }));
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e3', 'add')));
    bench.order.length = 0;
    await ours.handleBatch(bench.append(record('left', 'a', 'e4', 'add'), record('left', 'b', 'e5', 'add')));
    expect((await bench.states.load(['a']))[0]!.head).toMatchObject({ left: ['e1', 'e3', 'e4'] });
    expect(forgotten).toEqual(['a']);
    // What the other replica’s state owes is not known to be out, so it goes along.
    expect(bench.order.filter((what) => what !== 'commit')).toEqual(['save 2', 'publish 1', 'save 1', 'publish 3']);
  });

  test('M5: what was decided on an old head is decided again: an answer to another replica’s question is not ignored', async () => {
    const bench = createBench();
    const ours = bench.openBatch(createLedger());
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    // The partition was elsewhere for a while.
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'q', 'ask')));
    await ours.handleBatch(bench.append(record('right', 'a', 'q/answer', 'answer')));
    expect(said(bench.published)).toContain('a: q was answered');
  });

  test('M5: a record that counts as a repeat by an old head is looked at again before it is committed', async () => {
    const bench = createBench();
    const ours = bench.openBatch(createLedger());
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    const [quiet] = bench.append(record('left', 'a', 'e2', 'echo'));
    await ours.handleBatch([quiet!]);
    // Another owner is given e2 again after something else of this key, and dies between save and publish.
    const other = bench.append(record('right', 'a', 'e3', 'add'));
    await expect(bench.openBatch(createLedger(), crashAt('saved')).handleBatch(other)).rejects.toThrow(Crash);
    bench.published.length = 0;
    await ours.handleBatch([quiet!]);
    expect(said(bench.published)).toContain('a: e3 is right 1');
  });

  test('a key that is not ready waits; others go on, its later records queue behind it, its partition is not committed past it', async () => {
    const bench = createBench();
    let isLate = true;
    const batch = bench.openBatch(createLedger({ isLater: (key) => key === 'a' && isLate }));
    await batch.handleBatch(bench.append(record('left', 'b', 'e0', 'add'), record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    expect(said(bench.published)).toEqual(['b: e0 is left 1', 'b: e2 is left 2']);
    const retryAt = batch.readyAt();
    expect(retryAt).toBeGreaterThan(bench.clock.now());
    await batch.handleBatch(bench.append(record('left', 'a', 'e3', 'add')));
    await batch.committed();
    expect(batch.heldCount()).toBe(2);
    expect(bench.redelivered().filter(({ key }) => key === 'a')).toHaveLength(2);
    isLate = false;
    bench.clock.pass(retryAt! - bench.clock.now());
    await batch.handleBatch([]);
    await batch.committed();
    expect((await bench.states.load(['a']))[0]!.head).toMatchObject({ left: ['e1', 'e3'] });
    expect(batch.heldCount()).toBe(0);
    expect(bench.redelivered()).toEqual([]);
  });

  test('back-offs grow to their bound, and when the window is over the records are parked', async () => {
    const bench = createBench({ limits: { laterDelayMsMin: 10, laterDelayMsMax: 80, laterWindowMs: 500 } });
    const batch = bench.openBatch(createLedger({ isLater: () => true }));
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    const delays: number[] = [];
    for (let at = batch.readyAt(); at !== undefined; at = batch.readyAt()) {
      delays.push(at - bench.clock.now());
      bench.clock.pass(at - bench.clock.now());
      await batch.handleBatch([]);
    }
    await batch.committed();
    expect(delays).toEqual([10, 20, 40, 80, 80, 80, 80, 80, 80]);
    expect(await reasons(bench)).toEqual(['not within 500 ms: a view lags']);
    expect(bench.redelivered()).toEqual([]);
  });

  test('a conflict that never ends does not spin: the key waits, and is parked in the end', async () => {
    const inner = createMemoryStateStore();
    let saves = 0;
    const states: StateStore = { ...inner, save: async (changes) => (saves++, inner.save(changes.filter(({ key }) => key !== 'a'))) };
    const bench = createBench({ states, limits: { laterWindowMs: 1_000, conflictTriesMax: 3 } });
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    expect(saves).toBe(4);
    expect(said(bench.published)).toEqual(['b: e2 is left 1']);
    for (let at = batch.readyAt(); at !== undefined; at = batch.readyAt()) {
      bench.clock.pass(at - bench.clock.now());
      await batch.handleBatch([]);
    }
    expect(await reasons(bench)).toEqual(['for 1000 ms other replicas kept changing this key']);
  });

  test('an operational error of one step makes the whole batch wait, and parks nothing', async () => {
    const bench = createBench();
    let isAway = true;
    const batch = bench.openBatch(createLedger({ prepare: () => (isAway ? Promise.reject(away) : Promise.resolve()) }));
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toBe(away);
    isAway = false;
    await batch.handleBatch([]);
    expect(await reasons(bench)).toEqual([]);
    expect(said(bench.published)).toEqual(['a: e1 is left 1']);
  });
});
