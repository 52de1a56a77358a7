/**
 * A real Apache Kafka in KRaft mode on this machine: one broker in seconds, or three that can be killed one by one.
 *
 *     const kafka = await startKafka();                       // or { brokers: 3 }, or { security }
 *     kafka.bootstrap                                          // '127.0.0.1:40001'
 *     await kafka.brokers[0].kill(); await kafka.brokers[0].start();
 *     await kafka.close();
 *
 * `KAFKA_BROKERS` in the environment is used instead of a broker of our own, where the test needs no more than that.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { kafkaClassPath, missingForKafka } from './jars.ts';
import { kafkaId, logProperties, metaProperties, serverProperties, type BrokerPlan, type Ports, type Security } from './properties.ts';

export type KafkaBroker = {
  readonly id: number;
  /** Where clients connect. */
  readonly address: string;
  /** Without security, whatever the clients' listener asks for. */
  readonly internalAddress: string;
  /** Starts it on what it kept; resolves when it serves. */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM, and waits: leaders move first. */
  stop(): Promise<void>;
};

export type Kafka = {
  /** Addresses of all brokers, separated by commas. */
  readonly bootstrap: string;
  /** The same without security, for administration. */
  readonly bootstrapInternal: string;
  /** Empty where `KAFKA_BROKERS` is used: they are not ours to kill. */
  readonly brokers: readonly KafkaBroker[];
  close(): Promise<void>;
};

export type KafkaOptions = {
  /** Default 1. */
  readonly brokers?: number;
  /** SASL/SCRAM-SHA-512 over TLS for clients, with access lists; the internal listener stays open for administration. */
  readonly security?: Security;
  /** An address of this machine for clients elsewhere; default the loopback's. */
  readonly host?: string;
  /** Further lines of server.properties. */
  readonly properties?: Readonly<Record<string, string>>;
};

/** Milliseconds for the hook of a test that starts one: seconds on a machine that does nothing else. */
export const startMsMax = 150_000;

/** Memory of one broker, resident; with less than this to spare for each the machine would swap. */
const brokerBytes = 600 * 1024 * 1024;

const external = process.env['KAFKA_BROKERS'];

/** Why such a Kafka cannot be had here, for `describe.skipIf`; `undefined` where it can. */
export const whyNoKafka = async ({ brokers = 1, security }: KafkaOptions = {}): Promise<string | undefined> => {
  if (external !== undefined && brokers === 1 && security === undefined) return undefined;
  const free = freemem();
  if (free < brokers * brokerBytes) return `${brokers} brokers want ${brokers * brokerBytes} bytes of memory, ${free} are free`;
  return missingForKafka();
};

/** Prints why a suite is skipped, and answers whether it is. */
export const skipsKafka = async (suite: string, options: KafkaOptions = {}): Promise<boolean> => {
  const reason = await whyNoKafka(options);
  if (reason !== undefined) console.warn(`skipped: ${suite}: ${reason}`);
  return reason !== undefined;
};

export const startKafka = async (options: KafkaOptions = {}): Promise<Kafka> => {
  const { brokers: count = 1, security, host = '127.0.0.1', properties = {} } = options;
  if (external !== undefined && count === 1 && security === undefined) return { bootstrap: external, bootstrapInternal: external, brokers: [], close: async () => {} };
  const classPath = await kafkaClassPath();
  const directory = await mkdtemp(join(tmpdir(), 'cordage-kafka-'));
  const clusterId = kafkaId();
  const ports = await freePorts(count);
  const controllers = ports.map(({ controller }, i) => ({ id: i + 1, port: controller }));
  const brokers = await Promise.all(
    ports.map((own, i) => createBroker({ id: i + 1, ports: own, host, controllers, dataDir: join(directory, `data-${i + 1}`), security, properties }, { directory, clusterId, classPath })),
  );
  const close = async (): Promise<void> => {
    await Promise.all(brokers.map((broker) => broker.kill()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await Promise.all(brokers.map((broker) => broker.start()));
  } catch (error) {
    await close();
    throw error;
  }
  const addresses = (name: 'address' | 'internalAddress'): string => brokers.map((broker) => broker[name]).join(',');
  return { bootstrap: addresses('address'), bootstrapInternal: addresses('internalAddress'), brokers, close };
};

type Place = { readonly directory: string; readonly clusterId: string; readonly classPath: string };

const createBroker = async (plan: BrokerPlan, place: Place): Promise<KafkaBroker> => {
  const { id, ports, host, dataDir } = plan;
  const file = (name: string): string => join(place.directory, `${name}-${id}`);
  const [properties, logging, logFile] = [file('server.properties'), `${file('log4j2')}.properties`, file('log')];
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'meta.properties'), metaProperties(place.clusterId, id));
  await writeFile(properties, serverProperties(plan));
  await writeFile(logging, logProperties(logFile));
  let running: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = running;
    running = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
  return {
    id,
    address: `${host}:${ports.client}`,
    internalAddress: `127.0.0.1:${ports.internal}`,
    start: async () => {
      running = spawn('java', [...javaOptions, `-Dlog4j2.configurationFile=${logging}`, '-cp', place.classPath, 'kafka.Kafka', properties], { stdio: ['ignore', 'pipe', 'pipe'] });
      killWithUs.add(running);
      await ready(running, logFile);
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
};

/** Small heaps, and a compiler that is ready soon rather than good: a test's broker lives for a minute. */
const javaOptions = ['-Xms128m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto', '-XX:ReservedCodeCacheSize=64m'];

/** A test that dies without closing leaves no broker behind. */
const killWithUs = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of killWithUs) child.kill('SIGKILL');
});

const ready = async (child: ChildProcess, logFile: string): Promise<void> => {
  let said = '';
  const started = new Promise<void>((resolve, reject) => {
    const listen = (stream: NodeJS.ReadableStream): void =>
      void createInterface({ input: stream }).on('line', (line) => {
        said += `${line}\n`;
        if (line.includes('Kafka Server started')) resolve();
      });
    // Both are pipes, as asked for.
    listen(child.stdout!);
    listen(child.stderr!);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      killWithUs.delete(child);
      const logged = existsSync(logFile) ? readFile(logFile, 'utf8') : Promise.resolve('');
      void logged.then((log) => reject(new Error(`the broker ended (${code ?? signal}) before it was ready:\n${said}${log.slice(-4_000)}`)));
    });
  });
  await started;
};

/** Three for each broker, all different: each is held until all are known. */
const freePorts = async (brokers: number): Promise<Ports[]> => {
  const servers = await Promise.all(Array.from({ length: brokers * 3 }, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  // A server that listens on a port has an address of this kind.
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return Array.from({ length: brokers }, (_, i) => ({ client: ports[i * 3]!, internal: ports[i * 3 + 1]!, controller: ports[i * 3 + 2]! }));
};
