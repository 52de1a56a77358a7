/**
 * The shell over a real PostgreSQL and a real broker: at each of its five points the process "dies", a new one starts, and the
 * end must be that of a calm run (W1–W5). The last test loses the database itself in the middle of the work.
 */
import * as z from 'zod';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Bus } from '../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../src/host/clock.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { openDatabase, type TransactionSql } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import { createAnswerBatch } from '../../src/shell/answer-batch.ts';
import { createMachineBatch, machineTopics } from '../../src/shell/machine-batch.ts';
import type { BatchPoint, Probe } from '../../src/shell/operational.ts';
import { runWorker } from '../../src/shell/run-worker.ts';
import type { Answering } from '../../src/shell/worker.ts';
import { Crash, crashAt } from '../shell/bench.ts';
import { listen, openBroker } from '../shell/broker.ts';
import { createLedger, leftWire, outTopic, record, rightWire, saidIn, wakeWire, type LedgerHead } from '../shell/ledger.ts';
import { startTestServer, type TestServer } from './server.ts';

const points: readonly BatchPoint[] = ['polled', 'stepped', 'saved', 'published', 'committed'];
const countWire = wire({ topic: 'rest-to-db.count', from: ['rest'], to: ['db'], key: 'any', retention: 'log', version: 1, body: z.object({ by: z.number() }) });
const answerTopic = 'all-to-rest.answer';

let server: TestServer;
let broker: EmbeddedBroker;
let bus: Bus;
let schema: string;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  schema = await server.makeSchema();
  broker = await openBroker([leftWire, rightWire, wakeWire, countWire, ...[outTopic, answerTopic].map((topic) => ({ topic, retention: 'log' as const }))]);
  bus = broker.connect();
});
afterEach(() => broker.close());

const stores = () => ({ states: createPostgresStateStore({ database: server.database, schema }), parking: createPostgresParkingLot({ database: server.database, schema }) });
const shared = (probe: Probe | undefined) => ({
  room: 'flow' as const,
  publish: bus.publish,
  clock: systemClock,
  log: silentLog,
  metrics: createMetrics(),
  ...(probe === undefined ? {} : { probe }),
});

/** One life of a machine's process: handles until nothing comes any more, or until it dies. */
const live = async (instance: string, probe?: Probe): Promise<void> => {
  const machine = createLedger();
  const consumer = bus.consume({ group: 'flow', instance, topics: machineTopics(machine) });
  const batch = createMachineBatch({ ...shared(probe), ...stores(), machine, commit: (positions) => consumer.commit(positions) });
  try {
    for (let polled = -1; polled !== 0; ) {
      const records = await consumer.poll({ timeoutMs: 20, recordsMax: 7 });
      polled = records.length;
      await batch.handleBatch(records);
      await batch.committed();
    }
  } finally {
    await consumer.close();
  }
};

const work = () =>
  Array.from({ length: 10 }, (_, i) => [
    record('left', `k${i % 4}`, `a${i}`, 'add'),
    record('right', `k${i % 4}`, `b${i}`, 'add'),
    record('left', `k${i % 4}`, `c${i}`, i % 3 === 0 ? 'echo' : 'item'),
    record('left', `x${i % 2}`, `d${i}`, i % 3 === 1 ? 'shut' : 'open'),
    record('left', `k${i % 4}`, `e${i}`, i === 5 ? 'poison' : i === 7 ? 'throw' : 'nothing'),
  ]).flat();

const outcome = async () => {
  const { states, parking } = stores();
  const keys = ['k0', 'k1', 'k2', 'k3', 'x0', 'x1'];
  const out = bus.follow({ topics: [outTopic], from: 'earliest' });
  await out.ready;
  const said = saidIn(await out.drain());
  await out.close();
  const heads = (await states.load(keys)).map(({ key, head }) => [key, head] as const).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return { heads, items: await states.loadItems(keys), said, parked: (await parking.list(100)).map(({ value }) => value).toSorted() };
};

describe('a machine on PostgreSQL and the embedded broker', () => {
  let calm: Awaited<ReturnType<typeof outcome>>;
  beforeAll(async () => {
    schema = await server.makeSchema();
    broker = await openBroker([leftWire, rightWire, wakeWire, { topic: outTopic, retention: 'log' }]);
    bus = broker.connect();
    await bus.publish(work());
    await live('calm');
    calm = await outcome();
    await broker.close();
    expect(calm.said.length).toBeGreaterThan(25);
  });

  for (const point of points) {
    test(`dies at "${point}" again and again, and ends as if it never had`, async () => {
      await bus.publish(work());
      for (let life = 1; life <= 4; life++) {
        const death = await live(`life-${life}`, crashAt(point, 1 + (life % 2))).catch((error: unknown) => error);
        if (death !== undefined) expect(death).toBeInstanceOf(Crash);
      }
      await live('last');
      expect(await outcome()).toEqual(calm);
    });
  }
});

describe('answers on PostgreSQL', () => {
  for (const point of points) {
    test(`dies at "${point}", and every request is done once and answered`, async () => {
      const { sql } = server.database;
      await sql.unsafe(`create table ${schema}.total (key text primary key, total integer not null)`);
      const answers = createPostgresAnswerStore({ database: server.database, schema, makeTx: (tx) => tx });
      const answering: Answering<{ by: number }, unknown, TransactionSql> = {
        wire: countWire,
        answer: async (requests, tx) => {
          for (const { key, body } of requests) {
            await tx.unsafe(`insert into ${schema}.total values ($1, $2) on conflict (key) do update set total = total.total + excluded.total`, [key, body.by]);
          }
          return requests.map(({ id }) => ({ outcome: { type: 'done', value: id } }));
        },
      };
      const heard = await listen(bus, answerTopic);
      await bus.publish(Array.from({ length: 20 }, (_, i) => encode(countWire, { key: `k${i % 3}`, id: `r${i % 15}`, body: { by: 1 }, replyTo: { topic: answerTopic, key: 'r' } })));
      const answer = async (instance: string, probe?: Probe): Promise<void> => {
        const consumer = bus.consume({ group: 'db', instance, topics: [countWire.topic] });
        const batch = createAnswerBatch({ ...shared(probe), answering, answers, parking: stores().parking, commit: (positions) => consumer.commit(positions) });
        try {
          for (let polled = -1; polled !== 0; ) {
            const records = await consumer.poll({ timeoutMs: 20, recordsMax: 6 });
            polled = records.length;
            await batch.handleBatch(records);
            await batch.committed();
          }
        } finally {
          await consumer.close();
        }
      };
      await expect(answer('one', crashAt(point))).rejects.toThrow(Crash);
      await answer('two', crashAt(point, 2)).catch((error: unknown) => expect(error).toBeInstanceOf(Crash));
      await answer('three');
      const [row] = await sql.unsafe<{ sum: string }[]>(`select sum(total) from ${schema}.total`);
      // 20 requests, 5 of them repeats with the same id; keys of repeats differ from run to run, ids do not.
      expect(Number(row!.sum)).toBe(15);
      await heard.until(15);
      const ids = new Set(heard.records.map(({ value }) => (JSON.parse(value) as { body: { requestId: string } }).body.requestId));
      expect(ids.size).toBe(15);
      expect(await stores().parking.list(10)).toEqual([]);
    });
  }
});

test('backends that die under running workers cost retries, nothing else', async () => {
  // A database of its own, so that only its connections are cut.
  const database = openDatabase({ url: server.url, connectionsMax: 8, log: silentLog });
  const states = createPostgresStateStore({ database, schema });
  const parking = createPostgresParkingLot({ database, schema });
  const out = await listen(bus, outTopic);
  const worker = runWorker({ worker: { room: 'flow', machine: createLedger() }, bus, instance: 'flow-1', clock: systemClock, log: silentLog, metrics: createMetrics(), states, parking });
  const rounds = 40;
  for (let round = 0; round < rounds; round++) {
    await bus.publish(Array.from({ length: 5 }, (_, i) => record('left', `k${i}`, `e${round}-${i}`, 'add')));
    if (round % 4 === 0) {
      await server.database.sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend' and query like ${`%${schema}%`}`;
    }
    await out.until(1 + round * 5);
  }
  while (saidIn(out.records).length < rounds * 5) await out.until(out.records.length + 1);
  await worker.stop();
  const heads = await states.load(['k0', 'k1', 'k2', 'k3', 'k4']);
  // What was stored is what was acknowledged: nothing lost, nothing twice, in order.
  expect(heads.map(({ head }) => (head as LedgerHead).left.length)).toEqual([rounds, rounds, rounds, rounds, rounds]);
  expect(await parking.list(10)).toEqual([]);
  await database.close();
});
