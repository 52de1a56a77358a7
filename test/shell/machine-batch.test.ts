import { describe, expect, test, vi } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import type { StateStore } from '../../src/shell/store.ts';
import type { Machine, StepInput } from '../../src/shell/worker.ts';
import { Crash, crashAt, createBench } from './bench.ts';
import { createLedger, outTopic, record, saidIn, wakeWire, type LedgerEvent, type LedgerHead } from './ledger.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { createMemoryStateStore } from '../../src/shell/memory-store.ts';

const said = (records: readonly OutRecord[]): string[] => saidIn(records.filter(({ topic }) => topic === outTopic));
const away = Object.assign(new Error('the database is away'), { operational: true });

describe('the five points of a batch', () => {
  test('all keys are loaded in one query, saved in one, published in one, then committed', async () => {
    const bench = createBench();
    const loads: number[] = [];
    const { load } = bench.states;
    bench.states.load = (keys) => (loads.push(keys.length), load(keys));
    const steps: number[] = [];
    const batch = bench.openBatch(createLedger({ onStep: (inputs) => void steps.push(inputs.length) }));
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
    const polled = bench.append(...keys.flatMap((key) => [record('left', key, `${key}-1`, 'add'), record('right', key, `${key}-2`, 'add')]));
    await batch.handleBatch(polled);
    await batch.committed();
    expect(loads).toEqual([50]);
    expect(steps).toEqual([50]);
    expect(bench.order).toEqual(['save 50', 'publish 100', 'commit']);
  });

  test('records of one key are stepped in the order in which they came', async () => {
    const bench = createBench();
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(...Array.from({ length: 20 }, (_, i) => record('left', 'a', `e${i}`, 'add'))));
    expect((await bench.states.load(['a']))[0]!.head).toMatchObject({ left: Array.from({ length: 20 }, (_, i) => `e${i}`) });
  });

  test('nothing polled and nothing waiting: no port is touched', async () => {
    const bench = createBench();
    await bench.openBatch(createLedger()).handleBatch([]);
    expect(bench.order).toEqual([]);
  });

  test('W1: state is saved before its effects are published', async () => {
    const bench = createBench();
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e', 'add')));
    expect(bench.order.indexOf('save 1')).toBeLessThan(bench.order.indexOf('publish 1'));
  });

  test('W6: a step is given the time and its inputs and nothing else', async () => {
    const bench = createBench();
    const step = vi.fn(async (inputs: readonly StepInput<unknown, unknown, unknown>[]) => inputs.map(() => ({ type: 'next' as const, head: 1, effects: [] })));
    await bench.openBatch({ ...createLedger(), step }).handleBatch(bench.append(record('left', 'a', 'e', 'add')));
    const events: LedgerEvent[] = [{ side: 'left', id: 'e', does: 'add', n: 0 }];
    expect(step.mock.calls).toEqual([[[{ key: 'a', head: undefined, items: undefined, events }], bench.clock.now()]]);
  });

  test('items are read only for the keys that need them, all in one query', async () => {
    const bench = createBench();
    const inputs: StepInput<LedgerHead, string, LedgerEvent>[] = [];
    const batch = bench.openBatch(createLedger({ onStep: (given) => void inputs.push(...given) }));
    await batch.handleBatch(bench.append(record('left', 'a', 'i1', 'item'), record('left', 'b', 'i2', 'item'), record('left', 'c', 'x', 'add')));
    inputs.length = 0;
    const loadItems = vi.spyOn(bench.states, 'loadItems');
    // A spy on the store under the batch's own: what the batch calls passes through it.
    const again = createBench({ states: bench.states }).openBatch(createLedger({ onStep: (given) => void inputs.push(...given) }));
    await again.handleBatch(bench.append(record('left', 'a', 'c1', 'cut'), record('left', 'b', 'c2', 'cut'), record('left', 'c', 'y', 'add')));
    expect(inputs.map(({ key, items }) => [key, items])).toEqual([
      ['a', [{ position: 0, value: 'i1' }]],
      ['b', [{ position: 0, value: 'i2' }]],
      ['c', undefined],
    ]);
    expect(loadItems.mock.calls).toEqual([[['a', 'b']]]);
    expect((await bench.states.loadItems(['a'])).get('a')).toEqual([]);
  });

  test('a key that rests leaves memory when its effects are on the bus, and what it owed is not sent again when it is read', async () => {
    const bench = createBench();
    const loaded: string[][] = [];
    const states: StateStore = { ...bench.states, load: async (keys) => (loaded.push([...keys]), bench.states.load(keys)) };
    const spied = createBench({ states });
    const batch = spied.openBatch(createLedger());
    // One item more makes its number odd, and the key rests.
    await batch.handleBatch(spied.append(record('left', 'a', 'x', 'add'), record('left', 'b', 'y', 'add'), record('left', 'a', 'i', 'item')));
    const published = spied.published.length;
    await batch.handleBatch(spied.append(record('left', 'a', 'n', 'nothing'), record('left', 'b', 'z', 'nothing')));
    expect(loaded.slice(1)).toEqual([['a'], ['b']]);
    expect(spied.published).toHaveLength(published);
  });

  test('a head that was saved is not read again while it is in memory; over the bound the oldest leave and are forgotten', async () => {
    const bench = createBench({ limits: { headsCachedMax: 2 } });
    const forgotten: string[] = [];
    const loaded: string[][] = [];
    const states: StateStore = { ...bench.states, load: async (keys) => (loaded.push([...keys]), bench.states.load(keys)) };
    const spied = createBench({ states, limits: { headsCachedMax: 2 } });
    const batch = spied.openBatch(createLedger({ forget: (keys) => void forgotten.push(...keys) }));
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await batch.handleBatch(spied.append(record('left', key, `${key}${loaded.length}${spied.log.length}`, 'add')));
    expect(loaded).toEqual([['a'], ['b'], ['c'], ['b']]);
    expect(forgotten).toEqual(['b', 'c']);
  });

  test('effects of a head that left memory are not sent again when it is read back: they are known to be out', async () => {
    const bench = createBench({ limits: { headsCachedMax: 1 } });
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    await batch.handleBatch(bench.append(record('left', 'b', 'e2', 'add')));
    await batch.handleBatch(bench.append(record('left', 'a', 'e3', 'add')));
    expect(bench.published).toHaveLength(3);
  });
});

describe('crashes', () => {
  const points = ['polled', 'stepped', 'saved', 'published', 'committed'] as const;
  for (const point of points) {
    test(`W2, W3: after a crash at "${point}" the next owner ends where a calm run ends`, async () => {
      const bench = createBench();
      bench.append(record('left', 'a', 'e1', 'add'), record('right', 'a', 'e2', 'add'), record('left', 'b', 'e3', 'echo'), record('left', 'c', 'e4', 'open'), record('left', 'c', 'e5', 'shut'));
      const dying = bench.openBatch(createLedger(), crashAt(point));
      const died = (async () => {
        await dying.handleBatch(bench.redelivered());
        await dying.committed();
      })();
      await expect(died).rejects.toThrow(Crash);
      const next = bench.openBatch(createLedger());
      await next.handleBatch(bench.redelivered());
      await next.committed();
      expect((await bench.states.load(['a', 'b', 'c'])).map(({ key, head }) => [key, head])).toEqual([
        ['a', expect.objectContaining({ left: ['e1'], right: ['e2'] })],
        ['c', null],
      ]);
      expect(said(bench.published)).toEqual(['a: e1 is left 1', 'a: e2 is right 1', 'b: e3 echoed', 'c: e4 opened', 'c: e5 shut e4']);
      expect(bench.redelivered()).toEqual([]);
    });
  }

  test('what is fleeting leaves behind the effects of its step once that is saved, and is not owed after a crash', async () => {
    const bench = createBench();
    const saying = (): Machine<any, any, any> => ({
      ...createLedger(),
      step: async (inputs) => inputs.map(() => ({ type: 'next', head: { n: 1 }, effects: [{ topic: outTopic, key: 'a', value: 'owed' }], fleeting: [{ topic: outTopic, key: 'a', value: 'fleeting' }] })),
    });
    await bench.openBatch(saying()).handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    expect(bench.order.slice(0, 2)).toEqual(['save 1', 'publish 2']);
    expect(bench.published.map(({ value }) => value)).toEqual(['owed', 'fleeting']);
    const other = createBench();
    await expect(other.openBatch(saying(), crashAt('saved')).handleBatch(other.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow(Crash);
    await other.openBatch(saying()).handleBatch(other.redelivered());
    expect(other.published.map(({ value }) => value)).toEqual(['owed']);
  });

  test('W2: an effect owed from before a crash is carried by the next save, so that a second crash does not lose it', async () => {
    const bench = createBench();
    bench.append(record('left', 'a', 'e1', 'add'));
    await expect(bench.openBatch(createLedger(), crashAt('saved')).handleBatch(bench.redelivered())).rejects.toThrow(Crash);
    bench.append(record('left', 'a', 'e2', 'add'));
    await expect(bench.openBatch(createLedger(), crashAt('saved')).handleBatch(bench.redelivered())).rejects.toThrow(Crash);
    expect(bench.published).toEqual([]);
    await bench.openBatch(createLedger()).handleBatch(bench.redelivered());
    expect(said(bench.published)).toEqual(['a: e1 is left 1', 'a: e2 is left 2']);
  });

  test('W3: a record that comes again changes nothing and sends the same effects', async () => {
    const bench = createBench();
    const polled = bench.append(record('left', 'a', 'e1', 'add'));
    await bench.openBatch(createLedger()).handleBatch(polled);
    await bench.openBatch(createLedger()).handleBatch(polled);
    expect(bench.published[1]).toEqual(bench.published[0]);
    expect((await bench.states.load(['a']))[0]!.version).toBe(1);
  });

  test('W2: a removed key’s last effects survive a crash, and its record does not bring it back', async () => {
    const bench = createBench();
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e1', 'open')));
    bench.committed.clear();
    bench.append(record('left', 'a', 'e2', 'shut'));
    await expect(bench.openBatch(createLedger(), crashAt('saved', 1)).handleBatch(bench.redelivered())).rejects.toThrow(Crash);
    await bench.openBatch(createLedger()).handleBatch(bench.redelivered());
    expect(said(bench.published)).toEqual(['a: e1 opened', 'a: e2 shut e1']);
    expect((await bench.states.load(['a']))[0]!.head).toBeNull();
  });
});

describe('operational failures', () => {
  test('while the database is away nothing is lost or sent; afterwards the same batch goes on', async () => {
    for (const call of ['load', 'save'] as const) {
      const inner = createMemoryStateStore();
      let isAway = true;
      const guard = <Given extends unknown[], Result>(work: (...given: Given) => Promise<Result>) => (...given: Given): Promise<Result> => (isAway ? Promise.reject(away) : work(...given));
      const bench = createBench({ states: { ...inner, [call]: guard(inner[call] as (...given: unknown[]) => Promise<unknown>) } });
      const batch = bench.openBatch(createLedger());
      await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toBe(away);
      expect(bench.published).toEqual([]);
      expect(bench.committed.size).toBe(0);
      isAway = false;
      await batch.handleBatch([]);
      expect(said(bench.published)).toEqual(['a: e1 is left 1']);
    }
  });

  test('a save whose answer was lost is not repeated but found done', async () => {
    const inner = createMemoryStateStore();
    let lose = true;
    const states: StateStore = {
      ...inner,
      save: async (changes) => {
        const saved = await inner.save(changes);
        if (!lose) return saved;
        lose = false;
        throw away;
      },
    };
    const bench = createBench({ states });
    const batch = bench.openBatch(createLedger());
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toBe(away);
    await batch.handleBatch([]);
    expect((await inner.load(['a']))[0]).toMatchObject({ version: 1, head: { left: ['e1'] } });
    expect(said(bench.published)).toEqual(['a: e1 is left 1']);
  });

  test('while the bus is away effects wait, nothing is committed and nothing newer is saved', async () => {
    const bench = createBench();
    const batch = bench.openBatch(createLedger());
    bench.faults.publish = () => {
      throw new BusError('BUS_UNREACHABLE', 'away');
    };
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')))).rejects.toThrow('away');
    await expect(batch.handleBatch(bench.append(record('left', 'a', 'e2', 'add')))).rejects.toThrow('away');
    expect(bench.order).toEqual(['save 1']);
    delete bench.faults.publish;
    await batch.handleBatch([]);
    await batch.committed();
    expect(bench.order).toEqual(['save 1', 'publish 1', 'save 1', 'publish 1', 'commit']);
  });

  test('a commit that fails is repeated with the next one', async () => {
    const bench = createBench();
    const batch = bench.openBatch(createLedger());
    bench.faults.commit = () => {
      throw new BusError('BUS_UNREACHABLE', 'away');
    };
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    await batch.committed();
    expect(bench.committed.size).toBe(0);
    delete bench.faults.commit;
    await batch.handleBatch([]);
    await batch.committed();
    expect(bench.redelivered()).toEqual([]);
  });
});

describe('wakes', () => {
  const wake = (key: string, dueAt: number): OutRecord => encode(wakeWire, { key, id: `wake-${dueAt}`, body: { dueAt } });

  test('a wake for the time that the key waits for is stepped, once', async () => {
    const bench = createBench();
    const batch = bench.openBatch(createLedger());
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'sleep', 500)));
    expect(bench.saves).toEqual([{ key: 'a', dueAt: 500 }]);
    await batch.handleBatch(bench.append(wake('a', 500), wake('a', 500)));
    await batch.handleBatch(bench.append(wake('a', 500)));
    expect(said(bench.published)).toEqual(['a: woken for 500']);
    expect((await bench.states.load(['a']))[0]).toMatchObject({ dueAt: null, head: { woken: [500] } });
  });

  test('a wake that is out of date, or of a key that is not there, is dropped without a step', async () => {
    const bench = createBench();
    const stepped: string[] = [];
    const batch = bench.openBatch(createLedger({ onStep: (inputs) => void stepped.push(...inputs.map(({ key }) => key)) }));
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'sleep', 500)));
    stepped.length = 0;
    await batch.handleBatch(bench.append(wake('a', 499), wake('b', 500)));
    await batch.committed();
    expect(stepped).toEqual([]);
    expect(bench.redelivered()).toEqual([]);
    expect(bench.metrics.text()).toContain('what="stale-wake"} 2');
  });

  test('a wake is judged by the store’s due time, not by an old one in memory', async () => {
    const bench = createBench();
    const ours = bench.openBatch(createLedger());
    await ours.handleBatch(bench.append(record('left', 'a', 'e1', 'sleep', 500)));
    await bench.openBatch(createLedger()).handleBatch(bench.append(record('left', 'a', 'e2', 'sleep', 300)));
    await ours.handleBatch(bench.append(wake('a', 300)));
    expect(said(bench.published)).toEqual(['a: woken for 300']);
  });
});
