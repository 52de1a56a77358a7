/** A cluster as a child process: `containers/main.js combined`, its log in a file, its addresses from its ready line. */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type ClusterOptions = {
  readonly name: string;
  /** Where this cluster keeps everything it must remember. */
  readonly directory: string;
  readonly restPort: number;
  readonly gatewayPort: number;
  readonly adminPassword: string;
  /** More settings, by their variables (containers/settings.ts). */
  readonly environment?: Readonly<Record<string, string>>;
};

export type ClusterProcess = {
  readonly name: string;
  readonly pid: number;
  readonly restUrl: string;
  readonly gatewayUrl: string;
  readonly healthUrl: string;
  /** Where the cluster was told to offer its bus over HTTP (CORDAGE_BUS_CREDENTIALS). */
  readonly busUrl: string | undefined;
  readonly logFile: string;
  /** Resolves when the process has gone, with its exit code or signal. */
  readonly gone: Promise<string>;
  /** SIGTERM, then SIGKILL when it does not end in time. */
  stop(): Promise<void>;
};

const stopTimeoutMs = 15_000;
const readyTimeoutMs = 60_000;
const main = fileURLToPath(new URL('../../containers/main.js', import.meta.url));

/** What the end of a log tells of a failure: its last lines, and before them the first errors, which the way out has buried. */
const endOf = (file: string): string => {
  if (!existsSync(file)) return '(no log)';
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  const errors = lines.slice(-200, -8).filter((line) => line.includes('"level":"error"'));
  return [...errors.slice(0, 4), ...lines.slice(-8)].join('\n    ');
};

type ReadyLine = { event: string; restUrl: string; gatewayUrl: string; healthUrl: string; busUrl?: string };
const readyLineOf = (line: string): ReadyLine | undefined => {
  if (!line.includes('"combined.ready"')) return undefined;
  // Written by our own process: containers/combined.ts.
  return JSON.parse(line) as ReadyLine;
};

/** Starts a cluster and resolves when it serves. */
export const startCluster = async (options: ClusterOptions): Promise<ClusterProcess> => {
  const { name, directory } = options;
  const logFile = join(directory, 'cluster.log');
  const log = createWriteStream(logFile, { flags: 'a' });
  const child = spawn(process.execPath, [main, 'combined'], {
    // Its own process group: Ctrl-C in the terminal reaches the CLI alone, which then stops the clusters in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      CORDAGE_STATE_DIR: directory,
      CORDAGE_CLUSTER: name,
      // Compiled code is kept between starts: the second is faster.
      NODE_COMPILE_CACHE: join(directory, 'compile-cache'),
      CORDAGE_REST_PORT: String(options.restPort),
      CORDAGE_GATEWAY_PORT: String(options.gatewayPort),
      // Both clusters are on this machine.
      CORDAGE_GATEWAY_PRIVATE_RANGES: '127.0.0.0/8,::1/128',
      CORDAGE_ADMIN_PASSWORD: options.adminPassword,
      CORDAGE_HEALTH_PORT: '0',
      CORDAGE_PARENT_PID: String(process.pid),
      ...options.environment,
    },
  });
  const gone = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`)));
  child.stderr.on('data', (chunk: Buffer) => log.write(chunk));
  const ready = new Promise<ReadyLine>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      const found = readyLineOf(line);
      if (found !== undefined) resolve(found);
    });
  });
  const timeout = AbortSignal.timeout(readyTimeoutMs);
  const first = await Promise.race([
    ready,
    gone.then((how) => `ended with ${how}`),
    new Promise<string>((resolve) => timeout.addEventListener('abort', () => resolve(`was not ready within ${readyTimeoutMs / 1000} s`), { once: true })),
  ]);
  if (typeof first === 'string') {
    child.kill('SIGKILL');
    throw new Error(`cluster ${name} ${first}. The end of its log, ${logFile}:\n    ${endOf(logFile)}`);
  }
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await gone;
    clearTimeout(timer);
  };
  return { name, pid: child.pid!, restUrl: first.restUrl, gatewayUrl: first.gatewayUrl, healthUrl: first.healthUrl, busUrl: first.busUrl, logFile, gone, stop };
};
