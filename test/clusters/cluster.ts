/** A cluster of separate processes for tests: one per room, the broker apart, PostgreSQL beside them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import type { ProcessKind } from '../../containers/settings.ts';
import { freePort } from '../../src/cli/ports.ts';
import { createRestClient, type RestClient } from '../../src/rest-client/rest-client.ts';
import { rooms, type Room } from '../../src/messages/grammar/wire.ts';

const main = fileURLToPath(new URL('../../containers/main.ts', import.meta.url));
const readyTimeoutMs = 60_000;

export const separateKinds = ['broker', ...rooms] as const;
export type SeparateKind = (typeof separateKinds)[number];

type Running = { readonly child: ChildProcess; readonly gone: Promise<void> };

export type SeparateCluster = {
  readonly name: string;
  readonly client: RestClient;
  readonly restUrl: string;
  readonly gatewayUrl: string;
  /** Where the cluster's own gateway listens. */
  readonly gatewayPort: number;
  readonly databaseUrl: string;
  /** Where the broker listens, and the password of each room there; its user name is the room. */
  readonly busUrl: string;
  readonly busPassword: string;
  /** Starts a process and resolves when it says that it is ready. */
  start(kind: SeparateKind): Promise<void>;
  /** Kills a process with SIGKILL and resolves when it is gone. */
  kill(kind: SeparateKind): Promise<void>;
  /** The end of a process's log, for a failing test to show. */
  logTail(kind: SeparateKind): string;
  stop(): Promise<void>;
};

const startProcess = async (kind: ProcessKind, environment: Record<string, string>, logFile: string): Promise<Running> => {
  const log = createWriteStream(logFile, { flags: 'a' });
  const child = spawn(process.execPath, [main, kind], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment, CORDAGE_PARENT_PID: String(process.pid) } });
  child.stderr.on('data', (chunk: Buffer) => log.write(chunk));
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) => (): void => reject(new Error(`${kind} ${why}; the end of ${logFile}:\n${readFileSync(logFile, 'utf8').slice(-3_000)}`));
    const timer = setTimeout(fail('was not ready in time'), readyTimeoutMs);
    // After `ready` this rejects nothing any more.
    child.once('exit', fail('ended before it was ready'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      if (!line.includes(`"${kind}.ready"`)) return;
      clearTimeout(timer);
      resolve();
    });
  });
  return { child, gone };
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
  /** Where another process than the cluster's own gateway serves. */
  readonly gatewayUrl?: string;
  readonly environment?: Readonly<Record<string, string>>;
};

export const openSeparateCluster = async (options: SeparateClusterOptions): Promise<SeparateCluster> => {
  const { name, directory } = options;
  mkdirSync(directory, { recursive: true });
  const databaseUrl = await createDatabase(options.postgresUrl, name);
  const busPort = await freePort(options.portBase);
  const restPort = await freePort(options.portBase + 1, [busPort]);
  const gatewayPort = await freePort(options.portBase + 2, [busPort, restPort]);
  const password = 'test-password-1';
  const adminPassword = 'test-admin-password';
  const environmentOf = (kind: SeparateKind): Record<string, string> => ({
    CORDAGE_CLUSTER: name,
    CORDAGE_INSTANCE: `${name}-${kind}`,
    CORDAGE_STATE_DIR: join(directory, 'broker'),
    CORDAGE_BUS_URL: `http://127.0.0.1:${busPort}`,
    CORDAGE_BUS_PORT: String(busPort),
    CORDAGE_BUS_USERNAME: kind,
    CORDAGE_BUS_PASSWORD: password,
    CORDAGE_BUS_CREDENTIALS: rooms.map((room) => `${room}:${password}:${room}`).join(','),
    DATABASE_URL: databaseUrl,
    CORDAGE_REST_PORT: String(restPort),
    CORDAGE_GATEWAY_PORT: String(gatewayPort),
    CORDAGE_GATEWAY_PRIVATE_RANGES: '127.0.0.0/8',
    CORDAGE_HEALTH_PORT: '0',
    CORDAGE_CRYPTO_PASSPHRASE: 'test passphrase',
    CORDAGE_CRYPTO_SALT: 'test salt',
    CORDAGE_LINK_PASSPHRASE: 'test passphrase of links',
    CORDAGE_LINK_SALT: 'test salt of links',
    CORDAGE_ADMIN_PASSWORD: adminPassword,
    ...options.environment,
  });
  const running = new Map<SeparateKind, Running>();
  const logFileOf = (kind: SeparateKind): string => join(directory, `${kind}.log`);
  const end = async (kind: SeparateKind, signal: NodeJS.Signals): Promise<void> => {
    const one = running.get(kind);
    if (one === undefined) return;
    running.delete(kind);
    one.child.kill(signal);
    await one.gone;
  };
  const restUrl = `http://127.0.0.1:${restPort}`;
  return {
    name,
    restUrl,
    databaseUrl,
    client: createRestClient({ url: restUrl, credentials: { login: 'admin', password: adminPassword } }),
    gatewayPort,
    gatewayUrl: options.gatewayUrl ?? `https://localhost:${gatewayPort}`,
    busUrl: `http://127.0.0.1:${busPort}`,
    busPassword: password,
    start: async (kind) => {
      running.set(kind, await startProcess(kind, environmentOf(kind), logFileOf(kind)));
    },
    kill: (kind) => end(kind, 'SIGKILL'),
    logTail: (kind) => readFileSync(logFileOf(kind), 'utf8').slice(-3_000),
    stop: async () => {
      await Promise.all(rooms.map((room) => end(room, 'SIGTERM')));
      await end('broker', 'SIGTERM');
    },
  };
};

/** Starts every process of a cluster: the broker, then db (which migrates), then the others together. */
export const startAll = async (cluster: SeparateCluster, but?: Room): Promise<void> => {
  await cluster.start('broker');
  await cluster.start('db');
  await Promise.all(rooms.filter((room) => room !== 'db' && room !== but).map((room) => cluster.start(room)));
};
