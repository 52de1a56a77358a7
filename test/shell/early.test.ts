/** Records that a machine hears before they are durable (E1, E2 of batch/early.ts). */
import { describe, expect, test } from 'vitest';
import { streamOf, type HeardRecord, type OutRecord } from '../../src/messages/grammar/record.ts';
import type { Batch } from '../../src/shell/machine-batch.ts';
import type { Machine, StepInput } from '../../src/shell/worker.ts';
import { createBench, type Bench } from './bench.ts';
import { createLedger, record, rightWire, saidIn } from './ledger.ts';

const nextTurns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => void setImmediate(resolve));
};

/** A bench whose records become durable, or are lost, when the test says so. */
const createEarlyBench = () => {
  const bench = createBench();
  const early = (...records: OutRecord[]): { heard: HeardRecord[]; write(): void; lose(): void } => {
    const { promise: durable, resolve, reject } = Promise.withResolvers<void>();
    durable.catch(() => {});
    const heard = bench.append(...records).map((one) => ({ ...one, durable }));
    const lose = (): void => {
      // The bus gives the offset again.
      bench.log.splice(bench.log.length - heard.length);
      reject(Object.assign(new Error('the disk is full'), { operational: true }));
    };
    return { heard, write: resolve, lose };
  };
  return { ...bench, early };
};

const malformed: OutRecord = { topic: rightWire.topic, key: 'm', value: 'not JSON' };
const versionOf = async ({ states }: Pick<Bench, 'states'>, key: string): Promise<number | undefined> => (await states.load([key]))[0]?.version;

describe('before a record is durable', () => {
  test('it is stepped, and nothing is saved, told, published or committed', async () => {
    const bench = createEarlyBench();
    const stepped: string[] = [];
    const ledger = createLedger();
    const machine: Machine<any, any, any> = { ...ledger, step: (inputs, now) => (stepped.push(...inputs.map(({ key }) => key)), ledger.step(inputs, now)) };
    const batch = bench.openBatch(machine);
    const { heard, write } = bench.early(record('left', 'a', 'e1', 'add'));
    const handling = batch.handleBatch(heard);
    await nextTurns();
    expect([stepped, bench.order]).toEqual([['a'], []]);
    write();
    await handling;
    await batch.committed();
    expect(bench.order).toEqual(['save 1', 'publish 1', 'commit']);
    expect([...bench.committed.values()]).toEqual([1]);
  });

  test('an event that changes nothing is not answered, and one that nobody can read is not parked', async () => {
    const bench = createEarlyBench();
    const batch = bench.openBatch(createLedger());
    const [echo, bad] = [bench.early(record('left', 'a', 'e1', 'echo')), bench.early(malformed)];
    const handling = Promise.all([batch.handleBatch(echo.heard), batch.handleBatch(bad.heard)]);
    await nextTurns();
    expect([bench.order, await bench.parking.list(10)]).toEqual([[], []]);
    echo.write();
    bad.write();
    await handling;
    await batch.committed();
    expect(saidIn(bench.published)).toEqual(['a: e1 echoed']);
    expect((await bench.parking.list(10)).map(({ topic }) => topic)).toEqual([rightWire.topic]);
    expect(bench.committed.size).toBe(2);
  });

  test('keys whose records are durable in the same round wait with it, and other rounds do not', async () => {
    const bench = createEarlyBench();
    const batch = bench.openBatch(createLedger());
    const { heard, write } = bench.early(record('left', 'a', 'e1', 'add'));
    const slow = batch.handleBatch(heard);
    await nextTurns();
    await batch.handleBatch(bench.append(record('left', 'b', 'e2', 'add')));
    expect([await versionOf(bench, 'a'), await versionOf(bench, 'b')]).toEqual([undefined, 1]);
    write();
    await slow;
    expect(await versionOf(bench, 'a')).toBe(1);
  });

  test('a step is told so, that it does nothing outside for it', async () => {
    const bench = createEarlyBench();
    const inputs: StepInput<any, any, any>[] = [];
    const ledger = createLedger();
    const batch = bench.openBatch({ ...ledger, step: (given, now) => (inputs.push(...given), ledger.step(given, now)) });
    const { heard, write } = bench.early(record('left', 'a', 'e1', 'add'));
    const handling = batch.handleBatch([...heard, ...bench.append(record('left', 'b', 'e2', 'add'))]);
    await nextTurns();
    const isDurable = (): Promise<boolean> => Promise.race([inputs[0]!.durable!.then(() => true), nextTurns().then(() => false)]);
    expect(await isDurable()).toBe(false);
    expect(inputs.map(({ key, durable }) => [key, durable === undefined])).toEqual([['a', false], ['b', true]]);
    write();
    expect(await isDurable()).toBe(true);
    await handling;
  });
});

describe('a record that could not be written', () => {
  /** Hears what comes with the same offset. */
  const hearAgain = async (bench: ReturnType<typeof createEarlyBench>, batch: Batch, one: OutRecord): Promise<void> => {
    const { heard, write } = bench.early(one);
    write();
    await batch.handleBatch(heard);
    await batch.committed();
  };

  test('was never there: what comes with its offset is another record', async () => {
    const bench = createEarlyBench();
    const forgotten: string[] = [];
    const batch = bench.openBatch({ ...createLedger(), forget: (keys) => void forgotten.push(...keys) });
    const { heard, lose } = bench.early(record('left', 'a', 'e1', 'add'));
    const handling = batch.handleBatch(heard);
    await nextTurns();
    lose();
    await handling;
    await batch.committed();
    expect([bench.order, batch.heldCount(), forgotten]).toEqual([['commit'], 0, ['a']]);
    expect(bench.committed.get(streamOf(heard[0]!))).toBe(0);
    await hearAgain(bench, batch, record('left', 'a', 'e2', 'add'));
    expect(saidIn(bench.published)).toEqual(['a: e2 is left 1']);
    expect(bench.committed.get(streamOf(heard[0]!))).toBe(1);
  });

  test('costs its key a step, and other keys of the round nothing', async () => {
    const bench = createEarlyBench();
    const batch = bench.openBatch(createLedger());
    const { heard, lose } = bench.early(record('left', 'a', 'e2', 'add'));
    const sure = bench.append(record('right', 'a', 'e1', 'add'), record('right', 'b', 'e3', 'add'));
    const handling = batch.handleBatch([...sure, ...heard]);
    await nextTurns();
    lose();
    await handling;
    expect(saidIn(bench.published).toSorted()).toEqual(['a: e1 is right 1', 'b: e3 is right 1']);
    expect(bench.order).toEqual(['save 1', 'publish 1', 'save 1', 'publish 1', 'commit']);
  });

  test('is lost before it is stepped, while its key waits', async () => {
    const bench = createEarlyBench();
    let isLater = true;
    const batch = bench.openBatch(createLedger({ isLater: () => isLater }));
    await batch.handleBatch(bench.append(record('right', 'a', 'e1', 'add')));
    const { heard, lose } = bench.early(record('left', 'a', 'e2', 'add'));
    await batch.handleBatch(heard);
    lose();
    await nextTurns();
    isLater = false;
    bench.clock.pass(60_000);
    await batch.handleBatch([]);
    await batch.handleBatch([]);
    expect([saidIn(bench.published), batch.heldCount()]).toEqual([['a: e1 is right 1'], 0]);
  });

  test('is not parked, whoever could not read it', async () => {
    const bench = createEarlyBench();
    const batch = bench.openBatch(createLedger());
    const { heard, lose } = bench.early(malformed);
    const handling = batch.handleBatch(heard);
    await nextTurns();
    lose();
    await handling;
    expect(await bench.parking.list(10)).toEqual([]);
    await hearAgain(bench, batch, record('right', 'm', 'e1', 'add'));
    expect(saidIn(bench.published)).toEqual(['m: e1 is right 1']);
  });

  test('is counted', async () => {
    const bench = createEarlyBench();
    const batch = bench.openBatch(createLedger());
    const { heard, lose } = bench.early(record('left', 'a', 'e1', 'add'));
    const handling = batch.handleBatch(heard);
    lose();
    await handling;
    expect(bench.metrics.text()).toContain('what="unwritten"} 1');
  });
});
