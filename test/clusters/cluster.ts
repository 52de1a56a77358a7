/**
 * A cluster of separate processes for tests: one per room or several, the broker apart, PostgreSQL beside them, where each room has its own login.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { databaseRooms } from '../../containers/database-logins.ts';
import type { ProcessKind } from '../../containers/settings.ts';
import { freePort } from '../../src/cli/ports.ts';
import { createRestClient, type RestClient } from '../../src/rest-client/rest-client.ts';
import { rooms, type Room } from '../../src/messages/grammar/wire.ts';

const main = fileURLToPath(new URL('../../containers/main.js', import.meta.url));
const readyTimeoutMs = 60_000;

export const separateKinds = ['broker', ...rooms] as const;
/** Bridges stand in for the broker where there is a Kafka: one beside each replica. */
export type SeparateKind = (typeof separateKinds)[number] | 'bridge';
type JobKind = 'migrate' | 'topics';

type Running = {
  readonly child: ChildProcess;
  /** With its exit status; `null` after a signal. */
  readonly gone: Promise<number | null>;
  /** What it said of itself when it was ready. */
  readonly ready: Ready;
};

type Ready = { readonly url?: string; readonly healthUrl?: string };

export type SeparateCluster = {
  readonly name: string;
  readonly client: RestClient;
  /** Of its administrator. */
  readonly credentials: { readonly login: string; readonly password: string };
  readonly restUrl: string;
  readonly gatewayUrl: string;
  /** Where the cluster's own gateway listens. */
  readonly gatewayPort: number;
  readonly databaseUrl: string;
  /** Where the broker listens, and the password of each room there; its user name is the room. */
  readonly busUrl: string;
  readonly busPassword: string;
  /** Brings the schema up to date and makes the rooms' logins; resolves when that process has ended well. */
  migrate(): Promise<void>;
  /** Starts the broker, or makes the topics in Kafka and starts the first bridge. */
  startBus(): Promise<void>;
  /** Starts a process (a replica of it) and resolves when it says that it is ready. */
  start(kind: SeparateKind, replica?: number): Promise<void>;
  /** Kills a process with SIGKILL and resolves when it is gone. */
  kill(kind: SeparateKind, replica?: number): Promise<void>;
  /** Tells a process to end; resolves with its exit status when it is gone. */
  end(kind: SeparateKind, replica?: number): Promise<number | null>;
  signal(kind: SeparateKind, replica: number, signal: NodeJS.Signals): void;
  /** Resolves with the exit status when this process is gone, for whatever reason. */
  gone(kind: SeparateKind, replica?: number): Promise<number | null>;
  pidOf(kind: SeparateKind, replica?: number): number;
  runs(kind: SeparateKind, replica?: number): boolean;
  /** Where a replica of rest or gateway serves. */
  urlOf(kind: 'rest' | 'gateway', replica?: number): string;
  healthUrlOf(kind: SeparateKind, replica?: number): string;
  /** The end of a process's log, for a failing test to show. */
  logTail(kind: SeparateKind, replica?: number): string;
  /** The whole log of a process. */
  logOf(kind: SeparateKind, replica?: number): string;
  stop(): Promise<void>;
};

const startProcess = async (kind: ProcessKind, environment: Record<string, string>, logFile: string): Promise<Running> => {
  const log = createWriteStream(logFile, { flags: 'a' });
  const child = spawn(process.execPath, [main, kind], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment, CORDAGE_PARENT_PID: String(process.pid) } });
  child.stderr.on('data', (chunk: Buffer) => log.write(chunk));
  const gone = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)));
  const ready = await new Promise<Ready>((resolve, reject) => {
    const fail = (why: string) => (): void => {
      child.kill('SIGKILL');
      reject(new Error(`${kind} ${why}; the end of ${logFile}:\n${readFileSync(logFile, 'utf8').slice(-3_000)}`));
    };
    const timer = setTimeout(fail('was not ready in time'), readyTimeoutMs);
    // After `ready` this rejects nothing any more.
    child.once('exit', fail('ended before it was ready'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      if (!line.includes(`"${kind}.${kind === 'migrate' || kind === 'topics' ? 'done' : 'ready'}"`)) return;
      clearTimeout(timer);
      // The log's lines are JSON; these fields are where the process put them.
      resolve(JSON.parse(line) as Ready);
    });
  });
  return { child, gone, ready };
};

const createDatabase = async (serverUrl: string, name: string): Promise<string> => {
  const sql = postgres(serverUrl, { max: 1, onnotice: () => undefined });
  await sql.unsafe(`create database "${name}"`);
  await sql.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
};

/** Prepares a cluster; nothing runs until `start` is called for each kind. */
export type SeparateClusterOptions = {
  readonly name: string;
  readonly directory: string;
  readonly postgresUrl: string;
  readonly portBase: number;
  /** The same server as its processes are to reach it: by way of a pooler. */
  readonly reachedBy?: (databaseUrl: string) => string;
  /** Where another process than the cluster's own gateway serves. */
  readonly gatewayUrl?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** `host:port`, separated by commas: a Kafka in the place of the cluster's own broker. Its topics begin with the cluster's name. */
  readonly kafka?: string;
};

export const openSeparateCluster = async (options: SeparateClusterOptions): Promise<SeparateCluster> => {
  const { name, directory } = options;
  mkdirSync(directory, { recursive: true });
  const databaseUrl = await createDatabase(options.postgresUrl, name);
  const busPort = await freePort(options.portBase);
  const restPort = await freePort(options.portBase + 1, [busPort]);
  const gatewayPort = await freePort(options.portBase + 2, [busPort, restPort]);
  const secondBusPort = await freePort(options.portBase + 3, [busPort, restPort, gatewayPort]);
  const busPortOf = (replica: number): number => (options.kafka === undefined || replica === 0 ? busPort : secondBusPort);
  const password = 'test-password-1';
  const adminPassword = 'test-admin-password';
  const credentials = { login: 'admin', password: adminPassword };
  const logins = databaseRooms.map((room) => ({ room, user: `${name}_${room}`, password: `password-of-${room}` }));
  /** Replicas beside the first take any port. */
  const portOf = (room: Room, first: number, kind: string, replica: number): string => String(kind === room && replica === 0 ? first : 0);
  const databaseUrlOf = (room: string): string => {
    const login = logins.find((one) => one.room === room);
    const url = new URL(databaseUrl);
    if (login !== undefined) Object.assign(url, { username: login.user, password: login.password });
    return options.reachedBy?.(url.href) ?? url.href;
  };
  const environmentOf = (kind: SeparateKind | JobKind, replica = 0): Record<string, string> => ({
    CORDAGE_CLUSTER: name,
    CORDAGE_INSTANCE: replica === 0 ? `${name}-${kind}` : `${name}-${kind}-${replica}`,
    CORDAGE_MIGRATE: 'wait',
    CORDAGE_STATE_DIR: join(directory, 'broker'),
    CORDAGE_BUS_URL: `http://127.0.0.1:${busPortOf(replica)}`,
    CORDAGE_BUS_PORT: String(busPortOf(replica)),
    CORDAGE_BUS_USERNAME: kind,
    CORDAGE_BUS_PASSWORD: password,
    CORDAGE_BUS_CREDENTIALS: rooms.map((room) => `${room}:${password}:${room}`).join(','),
    DATABASE_URL: kind === 'migrate' ? databaseUrl : databaseUrlOf(kind),
    CORDAGE_DATABASE_LOGINS: logins.map(({ user, password: secret, room }) => `${user}:${secret}:${room}`).join(','),
    CORDAGE_DATABASE_POOLER: options.reachedBy === undefined || kind === 'migrate' ? 'none' : 'transaction',
    CORDAGE_REST_PORT: portOf('rest', restPort, kind, replica),
    CORDAGE_GATEWAY_PORT: portOf('gateway', gatewayPort, kind, replica),
    CORDAGE_GATEWAY_PRIVATE_RANGES: '127.0.0.0/8',
    CORDAGE_HEALTH_PORT: '0',
    CORDAGE_CRYPTO_PASSPHRASE: 'test passphrase',
    CORDAGE_CRYPTO_SALT: 'test salt',
    CORDAGE_LINK_PASSPHRASE: 'test passphrase of links',
    CORDAGE_LINK_SALT: 'test salt of links',
    CORDAGE_ADMIN_PASSWORD: adminPassword,
    ...(options.kafka === undefined ? {} : { KAFKA_BROKERS: options.kafka, CORDAGE_KAFKA_TOPIC_PREFIX: `${name}.` }),
    ...options.environment,
  });
  const running = new Map<string, Running>();
  const idOf = (kind: string, replica = 0): string => (replica === 0 ? kind : `${kind}-${replica}`);
  const logFileOf = (kind: string, replica = 0): string => join(directory, `${idOf(kind, replica)}.log`);
  const find = (kind: SeparateKind, replica = 0): Running => {
    const one = running.get(idOf(kind, replica));
    if (one === undefined) throw new Error(`${idOf(kind, replica)} of ${name} does not run`);
    return one;
  };
  const end = async (kind: SeparateKind, replica: number, signal: NodeJS.Signals): Promise<number | null> => {
    const one = find(kind, replica);
    running.delete(idOf(kind, replica));
    one.child.kill(signal);
    return one.gone;
  };
  const start = async (kind: SeparateKind, replica: number): Promise<void> => {
    running.set(idOf(kind, replica), await startProcess(kind, environmentOf(kind, replica), logFileOf(kind, replica)));
  };
  const runJob = async (kind: JobKind): Promise<void> => {
    const { gone } = await startProcess(kind, environmentOf(kind), logFileOf(kind));
    const status = await gone;
    if (status !== 0) throw new Error(`${kind} ended with ${status}`);
  };
  const restUrl = `http://127.0.0.1:${restPort}`;
  return {
    name,
    restUrl,
    databaseUrl,
    client: createRestClient({ url: restUrl, credentials }),
    credentials,
    gatewayPort,
    gatewayUrl: options.gatewayUrl ?? `https://localhost:${gatewayPort}`,
    busUrl: `http://127.0.0.1:${busPort}`,
    busPassword: password,
    migrate: () => runJob('migrate'),
    startBus: async () => {
      if (options.kafka === undefined) return start('broker', 0);
      await runJob('topics');
      await start('bridge', 0);
    },
    start: (kind, replica = 0) => start(kind, replica),
    kill: async (kind, replica = 0) => void (await end(kind, replica, 'SIGKILL')),
    end: (kind, replica = 0) => end(kind, replica, 'SIGTERM'),
    signal: (kind, replica, signal) => void find(kind, replica).child.kill(signal),
    gone: (kind, replica = 0) => find(kind, replica).gone,
    pidOf: (kind, replica = 0) => find(kind, replica).child.pid!,
    runs: (kind, replica = 0) => running.has(idOf(kind, replica)),
    urlOf: (kind, replica = 0) => find(kind, replica).ready.url!,
    healthUrlOf: (kind, replica = 0) => find(kind, replica).ready.healthUrl!,
    logTail: (kind, replica = 0) => readFileSync(logFileOf(kind, replica), 'utf8').slice(-3_000),
    logOf: (kind, replica = 0) => readFileSync(logFileOf(kind, replica), 'utf8'),
    stop: async () => {
      const endAll = (which: (id: string) => boolean): Promise<unknown> =>
        Promise.all([...running].filter(([id]) => which(id)).map(([id, { child, gone }]) => (running.delete(id), child.kill('SIGTERM'), gone)));
      await endAll((id) => id !== 'broker' && !id.startsWith('bridge'));
      await endAll(() => true);
    },
  };
};

/** Starts every process of a cluster: the bus and the schema, then db, then the others together. */
export const startAll = async (cluster: SeparateCluster, but?: Room): Promise<void> => {
  await Promise.all([cluster.startBus(), cluster.migrate()]);
  await cluster.start('db');
  await Promise.all(rooms.filter((room) => room !== 'db' && room !== but).map((room) => cluster.start(room)));
};
