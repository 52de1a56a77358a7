/**
 * The db room alone: entity writes from the bus into a vault and their answers back, a broker and PostgreSQL on disk. Each write is
 * a persist of one entity of its own, as in the benchmark `entity-flows`, and its answer is stored with it.
 */
import { join } from 'node:path';
import type { Bus } from '../../src/bus/bus.ts';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { allToFlowAnswer } from '../../src/messages/all-to-flow.answer.ts';
import { flowToDbEntity } from '../../src/messages/flow-to-db.entity.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';
import { silentLog as log } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { runWorker } from '../../src/shell/run-worker.ts';
import { applyMigrations, createDbWorker, createPostgresDbTx, writeAtOnce } from '../../src/workers/db/worker.ts';
import { makeVirtualNode } from '../workers/db/virtual-nodes.ts';
import { benchSeconds, summarise, type Run } from './load.ts';
import { ms, printTable } from './machine.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
import { inScratch, type Scratch } from './scratch.ts';

const measuredMs = benchSeconds(6) * 1_000;
const atOnceCounts = [1, 64, 256] as const;
const connectionsMax = 12;

type DbRoom = { readonly bus: Bus; readonly shortHash: string };

const openDbRoom = async ({ directory, closing }: Scratch): Promise<DbRoom> => {
  const starting = startEmbeddedPostgres({ directory: join(directory, 'postgres'), log });
  closing.add(() => starting.then((one) => one.stop(), () => {}));
  const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory: join(directory, 'broker') }, topics: topicsOf(wires), clock: systemClock, log });
  closing.add(() => broker.close());
  const database = openDatabase({ url: (await starting).url, connectionsMax, log });
  closing.add(() => database.close());
  await applyMigrations(database, log);
  const shortHash = await database.transact((sql) => makeVirtualNode(createPostgresDbTx(sql)));
  const bus = broker.connect();
  closing.add(() => bus.close());
  const stores = { parking: createPostgresParkingLot({ database, schema: 'db' }), answers: createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx, atOnce: writeAtOnce }) };
  const running = runWorker({ worker: createDbWorker({ log }), bus, instance: 'bench', clock: systemClock, log, metrics: createMetrics(), ...stores });
  closing.add(() => running.stop());
  return { bus, shortHash };
};

const writeOf = (shortHash: string, id: string): OutRecord =>
  encode(flowToDbEntity, {
    key: id,
    id,
    replyTo: { topic: allToFlowAnswer.topic, key: id },
    body: { shortHash, operation: { type: 'persist', entity: 'Note', items: [{ id, json: JSON.stringify({ id, text: 'hello' }) }] } },
  });

/** Keeps so many writes under way: as many begin as were answered, together. */
const runWrites = async ({ bus, shortHash }: DbRoom, tag: string, atOnce: number, durationMs: number): Promise<Run> => {
  const follower = bus.follow({ topics: [allToFlowAnswer.topic], from: 'latest' });
  await follower.ready;
  const begun = performance.now();
  const sentAt = new Map<string, number>();
  const latencies: number[] = [];
  let next = 0;
  const send = (count: number): Promise<unknown> => {
    const ids = Array.from({ length: count }, () => `${tag}-${next++}`);
    for (const id of ids) sentAt.set(id, performance.now());
    return bus.publish(ids.map((id) => writeOf(shortHash, id)));
  };
  await send(atOnce);
  while (sentAt.size > 0) {
    const answers = await follower.poll({ timeoutMs: 10_000 });
    const now = performance.now();
    for (const { key, value } of answers) {
      if (!value.includes('"done"')) throw new Error(`a write was refused: ${value}`);
      latencies.push(now - sentAt.get(key)!);
      sentAt.delete(key);
    }
    if (now - begun < durationMs) await send(answers.length);
  }
  await follower.close();
  return summarise(atOnce, latencies, performance.now() - begun);
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    const room = await openDbRoom(scratch);
    await runWrites(room, 'warm', 64, measuredMs / 2);
    const rows: (string | number)[][] = [['at once', 'writes/s', 'p50', 'p99', 'this process µs', 'PostgreSQL µs']];
    for (const atOnce of atOnceCounts) {
      const { own, PostgreSQL } = processesBelow(process.pid);
      const groups = [own, PostgreSQL];
      const before = groups.map((pids) => sumOf(pids, cpuMs));
      const { count, perSecond, p50, p99 } = await runWrites(room, `run-${atOnce}`, atOnce, measuredMs);
      const used = groups.map((pids, i) => (((sumOf(pids, cpuMs) - before[i]!) * 1000) / count).toFixed(0));
      rows.push([atOnce, perSecond.toFixed(0), ms(p50), ms(p99), ...used]);
    }
    printTable('entity writes through the db room (this process: db room, broker, requests)', rows);
  });

if (import.meta.main) await run();
