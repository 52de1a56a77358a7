import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { BusError, type Bus } from '../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../src/host/clock.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts';
import { createMemoryParkingLot, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import { runWorker, type RunningWorker, type RunWorkerOptions } from '../../src/shell/run-worker.ts';
import { createWorkerServer } from '../../src/shell/worker-server.ts';
import type { Worker } from '../../src/shell/worker.ts';
import { listen, openBroker } from './broker.ts';
import { createLedger, leftWire, outTopic, record, rightWire, saidIn, wakeWire } from './ledger.ts';

const request = (topic: string) => wire({ topic, from: ['rest'], to: ['flow'], key: 'any', retention: 'log', version: 1, body: z.object({ n: z.number() }), reply: z.object({ n: z.number() }) });
const slowWire = request('rest-to-flow.slow');
const fastWire = request('rest-to-flow.fast');
const pumpWire = request('test.pumped');
const answerTopic = 'all-to-rest.answer';

let broker: EmbeddedBroker;
let bus: Bus;
let metrics: Metrics;
const running: RunningWorker[] = [];
beforeEach(async () => {
  broker = await openBroker([leftWire, rightWire, wakeWire, slowWire, fastWire, pumpWire, ...[outTopic, answerTopic].map((topic) => ({ topic, retention: 'log' as const }))]);
  bus = broker.connect();
  metrics = createMetrics();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  await broker.close();
});

const states = () => createMemoryStateStore();
const run = (worker: Omit<Worker, 'room'>, options: Partial<RunWorkerOptions> = {}): RunningWorker => {
  const one = runWorker({ worker: { room: 'flow', ...worker }, bus, instance: 'flow-1', clock: systemClock, log: silentLog, metrics, states: states(), parking: createMemoryParkingLot(), ...options });
  running.push(one);
  return one;
};
const ask = (of: typeof slowWire, n: number) => encode(of, { key: `k${n}`, id: `r${n}`, body: { n }, replyTo: { topic: answerTopic, key: 'rest-1', partition: 0 } });

describe('a running worker', () => {
  test('steps its machine on both topics and wakes it when it is due', async () => {
    const out = await listen(bus, outTopic);
    run({ machine: createLedger() });
    await bus.publish([record('left', 'a', 'e1', 'add'), record('right', 'a', 'e2', 'add'), record('left', 'b', 'e3', 'sleep', Date.now() + 30)]);
    expect(saidIn(await out.until(3)).map((what) => what.replace(/\d+$/, ''))).toEqual(['a: e1 is left ', 'a: e2 is right ', 'b: woken for ']);
  });

  test('a slow wire does not delay another', async () => {
    const answers = await listen(bus, answerTopic);
    const { promise: slowness, resolve: relent } = Promise.withResolvers<void>();
    const echo = (waits: Promise<void>) => async (requests: readonly { body: { n: number } }[]) => {
      await waits;
      return requests.map(({ body }) => ({ outcome: { type: 'done' as const, value: body } }));
    };
    const reads = { storesAnswers: false } as const;
    run({ answers: [{ ...reads, wire: slowWire, answer: echo(slowness) }, { ...reads, wire: fastWire, answer: echo(Promise.resolve()) }] });
    await bus.publish([ask(slowWire, 1), ask(fastWire, 2)]);
    const [first] = await answers.until(1);
    expect(first!.value).toContain('"requestId":"r2"');
    relent();
    await answers.until(2);
  });

  test('two replicas share the work; when one stops the other takes it over, and nothing is lost or done twice', async () => {
    const out = await listen(bus, outTopic);
    const store = states();
    const count = 200;
    const one = run({ machine: createLedger() }, { states: store, instance: 'flow-1' });
    run({ machine: createLedger() }, { states: store, instance: 'flow-2' });
    await bus.publish(Array.from({ length: count }, (_, i) => record('left', `k${i}`, `e${i}`, 'add')));
    await one.stop();
    await bus.publish(Array.from({ length: count }, (_, i) => record('left', `k${i}`, `f${i}`, 'add')));
    while (saidIn(out.records).length < 2 * count) await out.until(out.records.length + 1);
    const loaded = await store.load(Array.from({ length: count }, (_, i) => `k${i}`));
    expect(loaded.map(({ head }) => (head as { left: string[] }).left)).toEqual(Array.from({ length: count }, (_, i) => [`e${i}`, `f${i}`]));
  });

  test('stop finishes the batch in work, commits it and leaves', async () => {
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const worker = run({
      machine: createLedger({
        prepare: async () => {
          enter();
          await held;
        },
      }),
    });
    await bus.publish([record('left', 'a', 'e1', 'add')]);
    await entered;
    const stopped = worker.stop();
    release();
    await stopped;
    const partitions = Array.from({ length: 8 }, (_, partition) => ({ topic: leftWire.topic, partition }));
    const committed = broker.committed('flow', partitions).filter(({ offset }) => offset > 0);
    expect(committed.map(({ offset }) => offset)).toEqual([1]);
  });

  test('the worker’s own close is called once, at the end', async () => {
    let closed = 0;
    const worker = run({ close: async () => void closed++ });
    await Promise.all([worker.stop(), worker.stop()]);
    expect(closed).toBe(1);
  });

  test('the bus away is DOWN with its cause; back again it is UP, and nothing was lost', async () => {
    let isAway = true;
    const flaky: Bus = { ...bus, publish: (records) => (isAway ? Promise.reject(new BusError('BUS_UNREACHABLE', 'connection refused')) : bus.publish(records)) };
    const failed = Promise.withResolvers<void>();
    const recovered = Promise.withResolvers<void>();
    const info = (event: string): void => void (event === 'loop-recovered' && recovered.resolve());
    const log = { ...silentLog, with: () => ({ ...silentLog, warn: () => failed.resolve(), info, with: () => silentLog }) };
    const out = await listen(bus, outTopic);
    const worker = run({ machine: createLedger() }, { bus: flaky, log });
    await bus.publish([record('left', 'a', 'e1', 'add')]);
    await failed.promise;
    expect(worker.health()).toMatchObject({ status: 'DOWN', detail: expect.stringContaining('connection refused') });
    isAway = false;
    expect(saidIn(await out.until(1))).toEqual(['a: e1 is left 1']);
    await recovered.promise;
    expect(worker.health()).toEqual({ status: 'UP', detail: 'flow is up' });
  });

  test('a bus that refuses us is an ERROR: somebody must come', async () => {
    const failed = Promise.withResolvers<void>();
    const log = { ...silentLog, with: () => ({ ...silentLog, error: () => failed.resolve(), with: () => silentLog }) };
    const refusing: Bus = {
      ...bus,
      consume: (options) => ({ ...bus.consume(options), poll: () => Promise.reject(new BusError('BUS_REFUSED', 'no such credential')) }),
    };
    const worker = run({ machine: createLedger() }, { bus: refusing, log });
    await failed.promise;
    expect(worker.health()).toMatchObject({ status: 'ERROR', detail: expect.stringContaining('no such credential') });
  });

  test('a pump is fed from its own group', async () => {
    const { promise: moved, resolve } = Promise.withResolvers<number[]>();
    run({ pumps: [{ wire: pumpWire, pump: async (deliveries) => resolve(deliveries.map(({ body }) => body.n)) }] });
    await bus.publish([ask(pumpWire, 7)]);
    expect(await moved).toEqual([7]);
  });

  test('a machine without a state store is a programmer’s error, said at once', () => {
    expect(() => runWorker({ worker: { room: 'flow', machine: createLedger() }, bus, instance: 'i', clock: systemClock, log: silentLog, metrics, parking: createMemoryParkingLot() })).toThrow(/state store/);
  });

  test('W4: parked records are listed, and driven again they are handled', async () => {
    const out = await listen(bus, outTopic);
    let isBroken = true;
    const machine = createLedger();
    const parking = createMemoryParkingLot();
    const worker = run(
      { machine: { ...machine, step: (inputs, now) => (isBroken ? Promise.reject(new Error('a bug')) : machine.step(inputs, now)) } },
      { parking },
    );
    const parkedOnce = Promise.withResolvers<void>();
    const { park } = parking;
    parking.park = async (records) => {
      await park(records);
      if (records.length > 0) parkedOnce.resolve();
    };
    await bus.publish([record('left', 'a', 'e1', 'add')]);
    await parkedOnce.promise;
    const [parked] = await worker.parked();
    expect(parked).toMatchObject({ key: 'a', reason: 'step threw a bug' });
    isBroken = false;
    expect(await worker.redrive([parked!.id, 'unknown'])).toBe(1);
    expect(saidIn(await out.until(1))).toEqual(['a: e1 is left 1']);
    expect(await worker.parked()).toEqual([]);
    expect(await worker.redrive([parked!.id])).toBe(0);
  });
});

describe('the worker’s server', () => {
  const serve = (health: { status: 'UP' | 'DOWN' | 'ERROR'; detail: string }) =>
    createWorkerServer({
      running: { health: () => health, parked: async () => [], redrive: async (ids) => ids.length },
      worker: { room: 'flow' },
      metrics,
    });

  test('/status says whether to send work here, /isHealthy whether to restart', async () => {
    const codes = await Promise.all(
      (['UP', 'DOWN', 'ERROR'] as const).map(async (status) => {
        const app = serve({ status, detail: 'why' });
        return [(await app.request('/status')).status, (await app.request('/isHealthy')).status];
      }),
    );
    expect(codes).toEqual([[200, 200], [503, 200], [503, 503]]);
    expect(await (await serve({ status: 'DOWN', detail: 'why' }).request('/status')).json()).toEqual({ room: 'flow', status: 'DOWN', detail: 'why' });
  });

  test('nothing it says may be cached', async () => {
    const app = serve({ status: 'UP', detail: '' });
    for (const path of ['/status', '/isHealthy', '/metrics', '/parked', '/nowhere']) expect((await app.request(path)).headers.get('cache-control')).toBe('no-cache');
  });

  test('metrics are Prometheus text with what the shell counted', async () => {
    const out = await listen(bus, outTopic);
    const worker = run({ machine: createLedger() });
    await bus.publish([record('left', 'a', 'e1', 'add')]);
    await out.until(1);
    await worker.stop();
    const response = await createWorkerServer({ running: worker, worker: { room: 'flow' }, metrics }).request('/metrics');
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    const text = await response.text();
    expect(text).toContain(`cordage_shell_records_total{room="flow",topic="${leftWire.topic}"} 1`);
    for (const phase of ['load', 'step', 'save', 'publish', 'commit']) expect(text).toMatch(new RegExp(`cordage_shell_phase_seconds_count\\{[^}]*phase="${phase}"\\} \\d`));
  });

  test('records are driven again by id; anything else is a refusal', async () => {
    const app = serve({ status: 'UP', detail: '' });
    const post = (body: string) => app.request('/parked/redrive', { method: 'POST', body });
    expect(await (await post('{"ids":["a","b"]}')).json()).toEqual({ redriven: 2 });
    for (const body of ['', '{', '{}', '{"ids":[]}', '{"ids":[1]}', '{"ids":["a"],"more":1}', JSON.stringify({ ids: Array.from({ length: 1_001 }, String) })]) {
      expect((await post(body)).status).toBe(400);
    }
  });
});
