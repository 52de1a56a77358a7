/** Batches that overlap, who goes first where not all can, and keys that begin. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/host/clock.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { Batch } from '../../src/shell/machine-batch.ts';
import { runWorker } from '../../src/shell/run-worker.ts';
import type { StateStore } from '../../src/shell/store.ts';
import type { Machine } from '../../src/shell/worker.ts';
import { createBench } from './bench.ts';
import { listen, openBroker } from './broker.ts';
import { createLedger, leftWire, outTopic, record, rightWire, saidIn, wakeWire, type LedgerEvent, type LedgerHead } from './ledger.ts';

const away = Object.assign(new Error('away'), { operational: true });
/** The next turn of the event loop: what can move by itself has moved then. */
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A store whose saves wait until they are let go, in order. */
const heldStore = (): { readonly states: StateStore; readonly held: string[][]; readonly letGo: (() => void)[] } => {
  const states = createMemoryStateStore();
  const held: string[][] = [];
  const letGo: (() => void)[] = [];
  const save: StateStore['save'] = async (changes) => {
    held.push(changes.map(({ key }) => key));
    await new Promise<void>((resolve) => void letGo.push(resolve));
    return states.save(changes);
  };
  return { states: { ...states, save }, held, letGo };
};

describe('batches overlap', () => {
  test.each([1, 2])('as many steps as the machine bears are under way at once: %d', async (stepsAtOnceMax) => {
    const bench = createBench();
    const ledger = createLedger();
    const stepping: string[] = [];
    const letGo: (() => void)[] = [];
    const machine: Machine<any, any, any> = {
      ...ledger,
      stepsAtOnceMax,
      step: async (inputs, now) => {
        stepping.push(inputs.map(({ key }) => key).join());
        await new Promise<void>((resolve) => void letGo.push(resolve));
        return ledger.step(inputs, now);
      },
    };
    const batch = bench.openBatch(machine);
    const handle = async (key: string): Promise<void> => batch.handleBatch(bench.append(record('left', key, `e-${key}`, 'add')));
    const handling = [];
    for (const key of ['a', 'b', 'c']) {
      handling.push(handle(key));
      for (let turn = 0; turn < 5; turn++) await nextTurn();
    }
    expect(stepping).toEqual(['a', 'b', 'c'].slice(0, stepsAtOnceMax));
    const all = Promise.all(handling).then(() => true);
    while (!(await Promise.race([all, nextTurn().then(() => false)]))) for (const go of letGo.splice(0)) go();
    // Whoever waited for its turn has taken all that was ready by then.
    expect(stepping).toEqual(stepsAtOnceMax === 1 ? ['a', 'b,c'] : ['a', 'b', 'c']);
  });

  test('while one is saved, the next is stepped, and its keys are saved beside it', async () => {
    const { states, held, letGo } = heldStore();
    const bench = createBench({ states });
    const batch = bench.openBatch(createLedger());
    const first = batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    while (held.length < 1) await nextTurn();
    const second = batch.handleBatch(bench.append(record('left', 'b', 'e2', 'add')));
    while (held.length < 2) await nextTurn();
    expect(held).toEqual([['a'], ['b']]);
    for (const go of letGo) go();
    await Promise.all([first, second]);
    expect(saidIn(bench.published).toSorted()).toEqual(['a: e1 is left 1', 'b: e2 is left 1']);
  });

  test('a key is in one of them at a time, and nothing of it is committed before its effects are out (M1, M4)', async () => {
    const { states, held, letGo } = heldStore();
    const bench = createBench({ states });
    const batch = bench.openBatch(createLedger());
    const first = batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    while (held.length < 1) await nextTurn();
    await batch.handleBatch(bench.append(record('left', 'a', 'e2', 'add')));
    expect(held).toEqual([['a']]);
    expect([...bench.committed.values()].every((offset) => offset === 0)).toBe(true);
    letGo.shift()!();
    while (held.length < 2) await nextTurn();
    letGo.shift()!();
    await first;
    await batch.committed();
    expect(saidIn(bench.published)).toEqual(['a: e1 is left 1', 'a: e2 is left 2']);
    expect([...bench.committed.values()]).toContain(2);
  });

  test('a batch that fails is heard of while the loop waits for records, and is done again', { timeout: 5_000 }, async () => {
    const broker = await openBroker([leftWire, rightWire, wakeWire, { topic: outTopic, retention: 'log' as const }]);
    const bus = broker.connect();
    const out = await listen(bus, outTopic);
    const states = createMemoryStateStore();
    let failures = 1;
    const save: StateStore['save'] = async (changes) => {
      // Not at once: the loop is to have gone on to its next poll, which is longer than this test may take.
      await nextTurn();
      if (failures-- > 0) throw away;
      return states.save(changes);
    };
    const running = runWorker({
      worker: { room: 'flow', machine: createLedger() },
      bus,
      instance: 'flow-1',
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics(),
      states: { ...states, save },
      parking: createMemoryParkingLot(),
    });
    await bus.publish([record('left', 'a', 'e1', 'add')]);
    expect(saidIn(await out.until(1))).toEqual(['a: e1 is left 1']);
    await running.stop();
    await broker.close();
  });
});

describe('what has little to do while others are under way', () => {
  test.each([
    ['waits a moment for more, where the machine has several steps at once', 2, [['a'], ['b', 'c']]],
    ['waits for nothing, where it has one', 1, [['a'], ['b'], ['c']]],
  ] as const)('%s', async (_name, stepsAtOnceMax, saved) => {
    const broker = await openBroker([leftWire, rightWire, wakeWire, { topic: outTopic, retention: 'log' as const }]);
    const bus = broker.connect();
    const { states, held, letGo } = heldStore();
    const running = runWorker({
      worker: { room: 'flow', machine: { ...createLedger(), stepsAtOnceMax } },
      bus,
      instance: 'flow-1',
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics(),
      states,
      parking: createMemoryParkingLot(),
      limits: { lingerMs: 1_000, batchesAtOnceMax: 3 },
    });
    for (const [i, key] of ['a', 'b', 'c'].entries()) {
      await bus.publish([record('left', key, `e${i}`, 'add')]);
      // The first has nobody to wait for; of the others each is polled before the next comes.
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      if (i === 0) while (held.length < 1) await nextTurn();
    }
    while (held.flat().length < 3) await nextTurn();
    expect(held).toEqual(saved);
    for (const go of letGo) go();
    await running.stop();
    await broker.close();
  });

  test('waits for those that are stepped and saved, not for those that are sent', async () => {
    const bench = createBench();
    const lingers: [string, boolean][] = [];
    const batch: Batch = bench.openBatch({ ...createLedger(), stepsAtOnceMax: 2 }, (point) => void lingers.push([point, batch.lingerMs!() > 0]));
    await batch.handleBatch(bench.append(record('left', 'a', 'e1', 'add')));
    await batch.committed();
    expect(lingers).toEqual([['polled', false], ['stepped', true], ['saved', true], ['published', false], ['committed', false]]);
  });
});

describe('scopes take turns', () => {
  const scopeOf = ({ id }: LedgerEvent): string => id.split('-')[0]!;
  const many = (scope: string, count: number) => Array.from({ length: count }, (_, i) => record('left', `${scope}-${i}`, `${scope}-${i}`, 'add'));

  test('one that brings a thousand keys delays the key of another by no round', async () => {
    const bench = createBench({ limits: { keysPerRoundMax: 10 } });
    await bench.openBatch({ ...createLedger(), scopeOf }).handleBatch(bench.append(...many('busy', 1_000), ...many('quiet', 1)));
    expect(bench.saves).toHaveLength(1_001);
    expect(bench.saves.slice(0, 10).map(({ key }) => key)).toContain('quiet-0');
  });

  test('what goes on has the scope that was saved with its key', async () => {
    const ledger: Machine<LedgerHead, string, LedgerEvent> = createLedger();
    const machine: typeof ledger = {
      ...ledger,
      step: async (inputs, now) => (await ledger.step(inputs, now)).map((output, i) => (output.type === 'next' ? { ...output, scope: inputs[i]!.key.split('-')[0]! } : output)),
    };
    const bench = createBench({ limits: { keysPerRoundMax: 10 } });
    const batch = bench.openBatch(machine);
    await batch.handleBatch(bench.append(...many('busy', 50), ...many('quiet', 1)));
    bench.saves.length = 0;
    await batch.handleBatch(bench.append(...many('busy', 50), ...many('quiet', 1)));
    expect(bench.saves.slice(0, 10).map(({ key }) => key)).toContain('quiet-0');
  });

  test('all keys are stepped in the end, each scope in its own order', async () => {
    const bench = createBench({ limits: { keysPerRoundMax: 3 } });
    await bench.openBatch({ ...createLedger(), scopeOf }).handleBatch(bench.append(...many('a', 7), ...many('b', 2), ...many('c', 4)));
    const keys = bench.saves.map(({ key }) => key);
    for (const [scope, count] of [['a', 7], ['b', 2], ['c', 4]] as const) {
      expect(keys.filter((key) => key.startsWith(scope))).toEqual(Array.from({ length: count }, (_, i) => `${scope}-${i}`));
    }
  });
});

describe('keys that begin', () => {
  const beginning: Machine<LedgerHead, string, LedgerEvent> = { ...createLedger(), isBirth: () => true };
  const countingStore = (): { readonly states: StateStore; readonly loaded: string[] } => {
    const states = createMemoryStateStore();
    const loaded: string[] = [];
    return { loaded, states: { ...states, load: async (keys) => (loaded.push(...keys), states.load(keys)) } };
  };

  test('are not looked for', async () => {
    const { states, loaded } = countingStore();
    const bench = createBench({ states });
    await bench.openBatch(beginning).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    expect(loaded).toEqual([]);
    expect(saidIn(bench.published)).toEqual(['a: e1 is left 1', 'b: e2 is left 1']);
  });

  test('are read when they had begun before, whether the step changes them or not (M5)', async () => {
    const { states, loaded } = countingStore();
    const bench = createBench({ states });
    await bench.openBatch(beginning).handleBatch(bench.append(record('left', 'a', 'e1', 'add'), record('left', 'b', 'e2', 'add')));
    // Another replica, which remembers nothing.
    await bench.openBatch(beginning).handleBatch([...bench.redelivered(), ...bench.append(record('left', 'a', 'e3', 'add'), record('left', 'b', 'e4', 'echo'))]);
    expect(new Set(loaded)).toEqual(new Set(['a', 'b']));
    expect([...new Set(saidIn(bench.published))].toSorted()).toEqual(['a: e1 is left 1', 'a: e3 is left 2', 'b: e2 is left 1', 'b: e4 echoed']);
  });
});
