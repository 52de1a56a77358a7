/**
 * The flow engine alone, with everything durable: the flow room in its shell, a broker on disk, PostgreSQL, the sandbox's processes; no
 * REST. Starts come from the bus. In one form the real db room is in this process, as in the combined form, and is asked directly: each
 * step is an entity in a vault. In the other a stub of it answers each request at once on the bus, so that the flow's state is saved at
 * each step. Then the memory of flows that are live at the same time.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bus } from '../../src/bus/bus.ts';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { startGuest } from '../../src/host/guests.ts';
import { flowIdOf } from '../../src/identity/derive.ts';
import { flowToDbEntity } from '../../src/messages/flow-to-db.entity.ts';
import { flowToRestStatus } from '../../src/messages/flow-to-rest.status.ts';
import { answerTo, decode, encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';
import { restToFlowStart } from '../../src/messages/rest-to-flow.start.ts';
import { silentLog as log } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../src/postgres/answer-store.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../src/postgres/state-store.ts';
import type { DirectWays } from '../../src/shell/direct.ts';
import { runWorker } from '../../src/shell/run-worker.ts';
import { newVirtualNode } from '../../src/workers/db/virtual-node.ts';
import { applyMigrations, createDbWorker, createPostgresDbTx, writeAtOnce, writeJointly } from '../../src/workers/db/worker.ts';
import { noWays } from '../../src/workers/flow/engine/direct.ts';
import { createFlowSandbox, createFlowWorker } from '../../src/workers/flow/worker.ts';
import { testCode, testCpi } from '../workers/db/virtual-nodes.ts';
import { bundleOf } from '../workers/flow/world/bundle.ts';
import { identityOf } from '../workers/flow/world/identities.ts';
import { viewsOf } from '../workers/flow/world/world.ts';
import { benchSeconds } from './load.ts';
import { printTable } from './machine.ts';
import { cpuMs, processesBelow, pssMiB, sumOf } from './processes.ts';
import { inScratch, type Scratch } from './scratch.ts';

const measuredMs = benchSeconds(8) * 1_000;
const warmUpMs = measuredMs / 2;
const atOnceCounts = [64, 256, 1_024] as const;
const liveCount = 10_000;
const connectionsMax = 12;

const alice = identityOf('Alice');
const flows = ['bench.WriteTwo', 'bench.Sleep'].map((name) => ({ name, kind: 'startable' as const }));

const startOf = (clientRequestId: string, flowClassName: string): OutRecord =>
  encode(restToFlowStart, {
    key: flowIdOf(alice.shortHash, clientRequestId),
    id: clientRequestId,
    body: { holdingIdentity: alice, clientRequestId, flowClassName, requestBody: '{}', startedBy: 'bench' },
  });

/** The db room's part: every write is done, at once. */
const answerEntities = async (bus: Bus, signal: AbortSignal): Promise<void> => {
  const consumer = bus.consume({ group: 'db', instance: 'bench', topics: [flowToDbEntity.topic] });
  while (!signal.aborted) {
    const records = await consumer.poll({ timeoutMs: 1_000, recordsMax: 1_000, signal });
    const answers = records.flatMap((record) => {
      const decoded = decode(flowToDbEntity, record);
      if (decoded.type !== 'message') throw new Error(`unreadable: ${JSON.stringify(decoded)}`);
      const { operation } = decoded.delivery.body;
      return answerTo(decoded.delivery, { type: 'done', value: { items: 'items' in operation ? operation.items : [] } }) ?? [];
    });
    if (answers.length > 0) await bus.publish(answers);
  }
  await consumer.close();
};

type Engine = {
  readonly bus: Bus;
  /** Calls back for every flow that has come to this status. */
  onStatus(hear: (flowId: string, status: string) => void): void;
};

type Form = 'direct' | 'by the bus';

/** The db room, with Alice's vault; gives what it may be asked directly. */
const runDbRoom = async ({ closing }: Scratch, database: Database, bus: Bus): Promise<DirectWays> => {
  await database.transact(async (sql) => {
    const tx = createPostgresDbTx(sql);
    const cpi = testCpi(0);
    await tx.cpis.put(cpi, testCode(cpi));
    await tx.virtualNodes.create(newVirtualNode(alice, cpi, Date.now()), []);
  });
  const answers = createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx, atOnce: writeAtOnce, jointly: writeJointly });
  const parking = createPostgresParkingLot({ database, schema: 'db' });
  const running = runWorker({ worker: createDbWorker({ log }), bus, instance: 'bench', clock: systemClock, log, metrics: createMetrics(), answers, parking });
  closing.add(() => running.stop());
  return running.direct;
};

const openEngine = async (scratch: Scratch, form: Form): Promise<Engine> => {
  const { directory, closing } = scratch;
  const starting = startEmbeddedPostgres({ directory: join(directory, 'postgres'), log });
  closing.add(() => starting.then((one) => one.stop(), () => {}));
  const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory: join(directory, 'broker') }, topics: topicsOf(wires), clock: systemClock, log });
  closing.add(() => broker.close());
  const database = openDatabase({ url: (await starting).url, connectionsMax, log });
  closing.add(() => database.close());
  await applyMigrations(database, log);
  const bus = broker.connect();
  closing.add(() => bus.close());
  const app = fileURLToPath(new URL('./app/flows.ts', import.meta.url));
  const code = await bundleOf(`import * as all from ${JSON.stringify(app)};\nexport const flows = Object.values(all);`);
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log, metrics: createMetrics() });
  const direct = form === 'direct' ? await runDbRoom(scratch, database, bus) : noWays;
  const worker = createFlowWorker({ direct, views: viewsOf(['Alice'], [], { code, flows }), sandbox, log, metrics: createMetrics() });
  const stores = { states: createPostgresStateStore({ database, schema: 'flow' }), parking: createPostgresParkingLot({ database, schema: 'flow' }) };
  const running = runWorker({ worker, bus, instance: 'bench', clock: systemClock, log, metrics: createMetrics(), ...stores });
  closing.add(() => running.stop());
  const ending = new AbortController();
  const answering = form === 'direct' ? undefined : answerEntities(bus, ending.signal);
  let hear: (flowId: string, status: string) => void = () => {};
  const following = followStatuses(bus, ending.signal, (flowId, status) => hear(flowId, status));
  closing.add(() => {
    ending.abort();
    return Promise.allSettled([answering, following]);
  });
  return { bus, onStatus: (listener) => void (hear = listener) };
};

const followStatuses = async (bus: Bus, signal: AbortSignal, hear: (flowId: string, status: string) => void): Promise<void> => {
  const follower = bus.follow({ topics: [flowToRestStatus.topic], from: 'latest' });
  await follower.ready;
  while (!signal.aborted) {
    for (const record of await follower.poll({ timeoutMs: 1_000, signal })) {
      const decoded = decode(flowToRestStatus, record);
      if (decoded.type === 'message') hear(record.key, decoded.delivery.body.flowStatus);
    }
  }
  await follower.close();
};

type Figures = { readonly count: number; readonly perSecond: number };

/** Keeps so many flows under way: as many begin as have ended, together. */
const runFlows = async ({ bus, onStatus }: Engine, tag: string, atOnce: number, durationMs: number): Promise<Figures> => {
  const begun = performance.now();
  let started = 0;
  let ended = 0;
  let wanted = 0;
  let publishing: Promise<void> = Promise.resolve();
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const startWanted = async (): Promise<void> => {
    const count = wanted;
    wanted = 0;
    if (count > 0) await bus.publish(Array.from({ length: count }, () => startOf(`${tag}-${started++}`, 'bench.WriteTwo')));
  };
  const start = (count: number): void => {
    wanted += count;
    publishing = publishing.then(startWanted);
  };
  onStatus((_, status) => {
    if (status === 'FAILED') throw new Error('a flow of the benchmark failed');
    if (status !== 'COMPLETED') return;
    ended++;
    if (performance.now() - begun < durationMs) start(1);
    else if (ended === started + wanted) resolve();
  });
  start(atOnce);
  await over;
  return { count: ended, perSecond: (ended / (performance.now() - begun)) * 1000 };
};

const measureRates = async (engine: Engine, form: Form): Promise<void> => {
  await runFlows(engine, 'warm', 256, warmUpMs);
  const rows: (string | number)[][] = [['flows at once', 'flows/s', 'wanted', 'aim', 'this process µs', 'sandbox µs', 'PostgreSQL µs']];
  for (const atOnce of atOnceCounts) {
    const { own, sandbox, PostgreSQL } = processesBelow(process.pid);
    const groups = [own, sandbox, PostgreSQL];
    const before = groups.map((pids) => sumOf(pids, cpuMs));
    const { count, perSecond } = await runFlows(engine, `run-${atOnce}`, atOnce, measuredMs);
    const used = groups.map((pids, i) => (((sumOf(pids, cpuMs) - before[i]!) * 1000) / count).toFixed(0));
    rows.push([atOnce, perSecond.toFixed(0), '≥ 6,000', '12,000', ...used]);
  }
  const own = form === 'direct' ? 'flow room, db room, broker, starts' : 'flow room, broker, stub of db, starts';
  printTable(`the engine alone, two journaled steps, ${form}, broker and PostgreSQL on disk (this process: ${own})`, rows);
};

const collectGarbage = (): void => {
  setFlagsFromString('--expose-gc');
  // V8 puts it there when told so.
  const gc = runInNewContext('gc') as () => void;
  gc();
  gc();
};

/** What is left after a collection here, and after a rest in the sandbox, whose garbage nobody else can collect. */
const memoryKiB = async (): Promise<{ heap: number; own: number; sandbox: number }> => {
  await pause(3_000);
  collectGarbage();
  const { own, sandbox } = processesBelow(process.pid);
  return { heap: process.memoryUsage().heapUsed / 1024, own: sumOf(own, pssMiB) * 1024, sandbox: sumOf(sandbox, pssMiB) * 1024 };
};

const measureMemory = async ({ bus, onStatus }: Engine): Promise<void> => {
  await runFlows({ bus, onStatus }, 'warm', 64, 1_000);
  const before = await memoryKiB();
  const waiting = new Set(Array.from({ length: liveCount }, (_, i) => flowIdOf(alice.shortHash, `live-${i}`)));
  const { promise: allLive, resolve } = Promise.withResolvers<void>();
  onStatus((flowId, status) => {
    if (status === 'RUNNING') waiting.delete(flowId);
    if (waiting.size === 0) resolve();
  });
  for (let from = 0; from < liveCount; from += 500) await bus.publish(Array.from({ length: 500 }, (_, i) => startOf(`live-${from + i}`, 'bench.Sleep')));
  await allLive;
  const after = await memoryKiB();
  const each = (part: 'heap' | 'own' | 'sandbox'): number => (after[part] - before[part]) / liveCount;
  printTable(`memory of one live flow in KiB (${liveCount} that sleep, live at once)`, [
    ['', 'wanted', 'aim', 'this run'],
    ['heap of this process, after a collection', '', '', each('heap').toFixed(1)],
    ['resident, this process', '', '', each('own').toFixed(1)],
    ['resident, sandbox', '', '', each('sandbox').toFixed(1)],
    ['heap here and resident in the sandbox', '≤ 40', '≤ 15', (each('heap') + each('sandbox')).toFixed(1)],
  ]);
};

/** Memory in an engine of its own: what earlier flows left free would be used again and not be seen. */
export const run = async (): Promise<void> => {
  for (const form of ['direct', 'by the bus'] as const) await inScratch(async (scratch) => measureRates(await openEngine(scratch, form), form));
  await inScratch(async (scratch) => measureMemory(await openEngine(scratch, 'by the bus')));
};

if (import.meta.main) await run();
