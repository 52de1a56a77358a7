/**
 * The server as a child process. Between us and it stands a shell that waits for the end of its standard input: when we
 * close it, or die by whatever signal, the server is told to shut down. It runs in a session of its own, so that Ctrl-C
 * reaches us alone and the workers may finish before their database goes.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pause, systemClock } from '../clock.ts';
import type { ServerLog } from './log.ts';
import type { Account } from './account.ts';
import { EmbeddedPostgresError } from './error.ts';
import { isAlive, isServerOf } from './process.ts';
import { readServerPid } from './lock.ts';

/** Recovery after a crash replays the log since the last checkpoint: seconds, bounded by max_wal_size below. */
const readyMsMax = 120_000;
/** A fast shutdown writes a checkpoint. */
const stopMsMax = 30_000;
/** Lines kept to explain a start that failed. */
const linesKeptMax = 20;

const watchdog = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill -INT "$server") >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$server"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
`;

/** Small and frugal: a developer's machine runs two. Durability is never traded. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  max_connections: '60',
  shared_buffers: '64MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  // No replica will read this log, so it may be short.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '512MB',
  checkpoint_timeout: '15min',
  // Rows are read by key: a page from anywhere costs the same.
  random_page_cost: '1.1',
  jit: 'off',
  // Processes that would only wait.
  io_method: 'sync',
  max_worker_processes: '2',
  max_parallel_workers: '0',
  max_logical_replication_workers: '0',
  autovacuum_max_workers: '1',
  // The first minutes after a start fill empty tables; their statistics should not lag by a minute.
  autovacuum_naptime: '15s',
  log_checkpoints: 'off',
  logging_collector: 'off',
  log_destination: 'stderr',
  lc_messages: 'C',
};

export type ServerOptions = {
  readonly postgres: string;
  readonly data: string;
  readonly port: number;
  readonly account: Account;
  readonly log: ServerLog;
};

export type Server = {
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
};

/** A port that is free now. */
export const findFreePort = async (): Promise<number> => {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('a listening TCP server has no port');
  return address.port;
};

/** Bytes of a Unix socket's path that every system takes. */
const socketPathBytesMax = 100;

/**
 * Where the server listens by a Unix socket too, beside its data, where only its account comes; it costs both sides less than TCP.
 * `undefined` where there is none: the path would be too long, or the system has no such sockets.
 */
export const socketDirectoryOf = (data: string, port: number): string | undefined => {
  const isShort = Buffer.byteLength(join(data, `.s.PGSQL.${port}`)) <= socketPathBytesMax;
  // A comma would divide the setting's list.
  return process.platform !== 'win32' && isShort && !/[,"']/.test(data) ? data : undefined;
};

const spawnServer = ({ postgres, data, port, account }: ServerOptions): ChildProcess => {
  const flags = Object.entries({ ...settings, port: String(port), unix_socket_directories: socketDirectoryOf(data, port) ?? '' }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const command = [...account.prefix, '/bin/sh', '-c', watchdog, 'postgres', postgres, '-D', data, ...flags];
  return spawn(command[0]!, command.slice(1), {
    ...account.spawn,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
    // Nothing of our own environment concerns it, and PG* variables would change it.
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
  });
};

/** `2026-11-22 10:00:00 UTC [42] LOG:  text` */
const levelOf = (line: string): 'debug' | 'warn' | 'error' => {
  if (/\b(FATAL|PANIC):/.test(line)) return 'error';
  return /\b(WARNING|ERROR):/.test(line) ? 'warn' : 'debug';
};

/** Kills at once, by the pid that the server wrote: the last resort of `stop`. */
const killServer = async (data: string): Promise<void> => {
  const pid = await readServerPid(data);
  if (pid !== undefined && (await isServerOf(pid, data)) && isAlive(pid)) process.kill(pid, 'SIGQUIT');
};

const stopServer = async ({ data, log }: ServerOptions, child: ChildProcess, exited: Promise<unknown>): Promise<void> => {
  child.stdin?.end();
  const inTime = new AbortController();
  const stopped = await Promise.race([exited.then(() => true), pause(systemClock, stopMsMax, inTime.signal).then(() => false)]);
  inTime.abort();
  if (stopped) return;
  log.warn('postgres-slow-to-stop', { data, stopMsMax });
  await killServer(data);
  await exited;
};

/** Resolves when the server takes connections. */
export const startServer = async (options: ServerOptions): Promise<Server> => {
  const { data, port, log } = options;
  const child = spawnServer(options);
  const lines: string[] = [];
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const exited = once(child, 'exit').then(([code, signal]) => {
    reject(
      new EmbeddedPostgresError('POSTGRES_START_FAILED', `the database in ${data} ended at once on port ${port} (${code ?? signal}): ${lines.join(' | ') || 'it said nothing'}`),
    );
  });
  child.once('error', (cause) => reject(new EmbeddedPostgresError('POSTGRES_START_FAILED', `the database in ${data} could not be started`, { cause })));
  // The pipe breaks when the server ends before us.
  child.stdin?.on('error', () => {});
  createInterface({ input: child.stderr! }).on('line', (line) => {
    lines.push(line);
    if (lines.length > linesKeptMax) lines.shift();
    log[levelOf(line)]('postgres', { line });
    if (line.includes('database system is ready to accept connections')) resolve();
  });
  const inTime = new AbortController();
  const late = pause(systemClock, readyMsMax, inTime.signal).then(() =>
    reject(new EmbeddedPostgresError('POSTGRES_START_FAILED', `the database in ${data} was not ready within ${readyMsMax} ms: ${lines.join(' | ')}`)),
  );
  try {
    await ready;
  } catch (error) {
    child.stdin?.end();
    throw error;
  } finally {
    inTime.abort();
    await late;
  }
  return { exited, stop: () => stopServer(options, child, exited) };
};
