import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { encode, type Delivery } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createPumpBatch } from '../../src/shell/pump-batch.ts';
import { createBench, type Bench } from './bench.ts';

const outWire = wire({ topic: 'test.out', from: ['link-manager'], to: ['gateway'], key: 'any', retention: 'log', version: 1, body: z.object({ n: z.number() }) });
const packet = (n: number): OutRecord => encode(outWire, { key: 'a', id: `p${n}`, body: { n } });

const openPump = (bench: Bench, pump: (deliveries: readonly Delivery<{ n: number }>[]) => Promise<void>) =>
  createPumpBatch({
    room: 'gateway',
    pump: { wire: outWire, pump },
    parking: bench.parking,
    commit: bench.commit,
    clock: bench.clock,
    log: silentLog,
    metrics: bench.metrics,
    limits: bench.limits,
  });

describe('pumps', () => {
  test('records are handed over in order, a batch at a time, and committed afterwards', async () => {
    const bench = createBench();
    const moved: number[][] = [];
    const batch = openPump(bench, async (deliveries) => void moved.push(deliveries.map(({ body }) => body.n)));
    await batch.handleBatch(bench.append(packet(1), packet(2), packet(3)));
    await batch.committed();
    expect(moved).toEqual([[1, 2, 3]]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('nothing is committed before the pump has taken charge', async () => {
    const bench = createBench();
    const { promise, resolve } = Promise.withResolvers<void>();
    const batch = openPump(bench, () => promise);
    const handling = batch.handleBatch(bench.append(packet(1)));
    await batch.committed();
    expect(bench.committed.size).toBe(0);
    resolve();
    await handling;
    await batch.committed();
    expect(bench.redelivered()).toEqual([]);
  });

  test('W4: a record that makes the pump throw is parked, the others are moved', async () => {
    const bench = createBench();
    const moved = new Set<number>();
    const batch = openPump(bench, async (deliveries) => {
      if (deliveries.some(({ body }) => body.n === 3)) throw new Error('a bug in the pump');
      for (const { body } of deliveries) moved.add(body.n);
    });
    await batch.handleBatch(bench.append(...[1, 2, 3, 4, 5].map(packet), { topic: outWire.topic, key: 'a', value: '?' }));
    await batch.committed();
    expect([...moved]).toEqual([1, 2, 4, 5]);
    expect((await bench.parking.list(10)).map(({ reason }) => reason).toSorted()).toEqual(['a bug in the pump', 'value is not JSON']);
    expect(bench.redelivered()).toEqual([]);
  });

  test('an operational error keeps the records for the next try', async () => {
    const bench = createBench();
    let isAway = true;
    const moved: number[] = [];
    const batch = openPump(bench, async (deliveries) => {
      if (isAway) throw Object.assign(new Error('away'), { operational: true });
      for (const { body } of deliveries) moved.push(body.n);
    });
    await expect(batch.handleBatch(bench.append(packet(1)))).rejects.toThrow('away');
    expect(batch.readyAt()).toBe(0);
    isAway = false;
    await batch.handleBatch(bench.append(packet(2)));
    expect(moved).toEqual([1, 2]);
  });
});
