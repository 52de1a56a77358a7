/**
 * The embedded broker over HTTP: records of 1 KiB produced and consumed by `@upstash/kafka` from another process, 100 to a
 * request, on disk. The floor is the same bodies sent to a bare node:http server that sends them back.
 *
 *     node test/bench/broker.ts
 */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kafka } from '@upstash/kafka';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { createBusAccess } from '../../src/bus/http-server-access.ts';
import { serveBus } from '../../src/bus/http-server-node.ts';
import { systemClock } from '../../src/host/clock.ts';
import { silentLog } from '../../src/observability/log.ts';

const topic = 'bench';
const partitions = 8;
const batch = 100;
const producers = 8;
const consumers = 4;
const runMs = 5_000;
const warmUpMs = 1_000;
const credential = { username: 'bench', password: 'bench', room: 'admin' } as const;

/** A kibibyte of JSON, as wires carry it. */
const value = JSON.stringify({ v: 1, id: '0'.repeat(36), body: { holdingIdentity: 'O=Alice, L=London, C=GB', payload: 'x'.repeat(1024 - 116) } });

type Served = {
  readonly url: string;
  /** Ends the process; says how much processor time it took, in microseconds. */
  readonly stop: () => Promise<number>;
};

/** Runs one of the servers below in a process of its own. */
const startServer = async (name: 'broker' | 'echo', directory: string): Promise<Served> => {
  const child = fork(fileURLToPath(import.meta.url), ['serve', name, directory], { stdio: 'inherit' });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve(String(message)));
    child.once('exit', (code) => reject(new Error(`the ${name} ended with ${code}`)));
  });
  const stop = (): Promise<number> =>
    new Promise((resolve) => {
      let microseconds = 0;
      child.once('message', (message) => void (microseconds = Number(message)));
      child.once('exit', () => resolve(microseconds));
      child.send('stop');
    });
  return { url, stop };
};

const serveBroker = async (directory: string): Promise<void> => {
  const storage = { type: 'disk', directory } as const;
  const limits = { pollRecordsMax: batch };
  const broker = await openEmbeddedBroker({ storage, topics: [{ topic, partitions, retention: 'log' }], clock: systemClock, log: silentLog, limits });
  const server = await serveBus({ broker, access: createBusAccess({ credentials: [credential] }), log: silentLog, hostname: '127.0.0.1', port: 0 });
  process.send?.(server.url);
  process.once('message', () => {
    tellCpu();
    void server.close().then(() => broker.close()).then(() => process.disconnect());
  });
};

const tellCpu = (): void => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
};

const serveEcho = (): void => {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => response.end(Buffer.concat(chunks)));
  });
  // A server that listens on a port has an address of this kind.
  server.listen(0, '127.0.0.1', () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  process.once('message', () => {
    tellCpu();
    server.close();
    server.closeAllConnections();
    process.disconnect();
  });
};

type Rate = { readonly perSecond: number; readonly total: number };

/** Counts what happens between the warm-up and the end. */
const measure = async (work: (running: () => boolean, count: (records: number) => void) => Promise<void>): Promise<Rate> => {
  const startedAt = performance.now();
  const from = startedAt + warmUpMs;
  const until = from + runMs;
  let counted = 0;
  let total = 0;
  const running = (): boolean => performance.now() < until;
  await work(running, (records) => {
    const now = performance.now();
    total += records;
    if (now >= from && now < until) counted += records;
  });
  return { perSecond: Math.round(counted / (runMs / 1000)), total };
};

const batchOf = (round: number): { topic: string; key: string; value: string }[] =>
  Array.from({ length: batch }, (_, i) => ({ topic, key: `key ${(round * batch + i) % 1_000}`, value }));

const times = <Result>(count: number, make: (i: number) => Promise<Result>): Promise<Result[]> => Promise.all(Array.from({ length: count }, (_, i) => make(i)));

/** Produced and consumed at once; what counts is what came out. */
const benchBroker = async (url: string): Promise<{ produced: Rate; consumed: Rate }> => {
  const kafka = new Kafka({ url, username: credential.username, password: credential.password });
  const [producer, consumer] = [kafka.producer(), kafka.consumer()];
  let produced: Rate = { perSecond: 0, total: 0 };
  const producing = measure((running, count) =>
    times(producers, async (i) => {
      for (let round = i; running(); round += producers) {
        await producer.produceMany(batchOf(round));
        count(batch);
      }
    }).then(() => {}),
  ).then((rate) => (produced = rate));
  const consumed = await measure((running, count) =>
    times(consumers, async (i) => {
      while (running()) {
        const records = await consumer.consume({ consumerGroupId: 'bench', instanceId: `i${i}`, topics: [topic], timeout: 500, autoOffsetReset: 'earliest' });
        count(records.length);
      }
    }).then(() => {}),
  );
  await producing;
  return { produced, consumed };
};

const benchEcho = (url: string): Promise<Rate> =>
  measure((running, count) =>
    times(producers, async (i) => {
      for (let round = i; running(); round += producers) {
        const response = await fetch(url, { method: 'POST', body: JSON.stringify(batchOf(round)) });
        count(((await response.json()) as unknown[]).length);
      }
    }).then(() => {}),
  );

export const run = async (): Promise<void> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-bench-'));
  try {
    const echo = await startServer('echo', directory);
    const floor = await benchEcho(echo.url);
    const echoCpu = await echo.stop();
    const broker = await startServer('broker', directory);
    const cpuBefore = process.cpuUsage();
    const { produced, consumed } = await benchBroker(broker.url);
    const client = process.cpuUsage(cpuBefore);
    const brokerCpu = await broker.stop();
    const show = (what: string, { perSecond }: Rate): void => console.log(`  ${what.padEnd(44)} ${String(perSecond).padStart(8)} records/s`);
    console.log(`Embedded broker over HTTP, on disk: ${value.length} B records, ${batch} to a request`);
    show('produced and durable', produced);
    show('consumed at the same time', consumed);
    show('floor: bare node:http echo of the same bodies', floor);
    const perRecord = (microseconds: number, rate: Rate): string => (microseconds / rate.total).toFixed(1);
    console.log(`  processor time a record: broker ${perRecord(brokerCpu, produced)} µs, client ${perRecord(client.user + client.system, produced)} µs, echo server ${perRecord(echoCpu, floor)} µs`);
    console.log(`  ratio of consumed to the floor: ${(consumed.perSecond / floor.perSecond).toFixed(2)}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , command, server, directory = ''] = process.argv;
  if (command !== 'serve') await run();
  else if (server === 'broker') await serveBroker(directory);
  else serveEcho();
}
