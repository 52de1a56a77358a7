/**
 * The engines measured beside Cordage: Restate (server and SDK) and DBOS Transact. They are no dependency of the project: they live
 * in test/bench/peers with a manifest and a lock of their own, and are installed when a benchmark first needs them.
 */
import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { request } from 'undici';
import { freePort } from '../../src/cli/ports.ts';
import { until } from '../../src/rest-client/waits.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openHttpLoad } from './http-load.ts';
import { runFor, summarise, type Run } from './load.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';
import type { Scratch } from './scratch.ts';

const folder = fileURLToPath(new URL('./peers', import.meta.url));
const modules = join(folder, 'node_modules');

/** In Restate's favour: of 1, 4 and 24 (its default), 1 takes the least processor time on two cores. */
const restatePartitions = 1;
const startTimeoutMs = 30_000;
const installTimeoutMs = 120_000;

export type Peer = {
  /** Callers that start a workflow and wait for its end, one after another, for a while. */
  run(callers: number, durationMs: number, prefix: string): Promise<Run>;
  /** Processor time so far of each of its processes, in milliseconds. */
  cpuMs(): Record<string, number>;
};

/** What was installed is what the lock names now. */
const isInstalled = (): boolean => {
  const [wanted, there] = [join(folder, 'package-lock.json'), join(modules, '.cordage-lock')];
  return existsSync(there) && readFileSync(there, 'utf8') === readFileSync(wanted, 'utf8');
};

/** Throws where the registry or the platform lacks them. Install scripts stay off: one of them reports home. */
export const installPeers = async (): Promise<void> => {
  if (isInstalled()) return;
  console.log('  npm ci in test/bench/peers (Restate server and SDK, DBOS): about 250 MB, once');
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder, timeout: installTimeoutMs });
  writeFileSync(join(modules, '.cordage-lock'), readFileSync(join(folder, 'package-lock.json')));
};

const nextMessage = (child: ChildProcess, what: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`${what} ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message);
    });
  });

const ended = (child: ChildProcess): Promise<void> => (child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => child.once('exit', () => resolve())));

const forkPeer = ({ closing }: Scratch, file: string, args: readonly string[]): ChildProcess => {
  const child = fork(join(folder, file), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
  closing.add(() => {
    // It leaves when its parent hangs up.
    if (child.connected) child.disconnect();
    return ended(child);
  });
  return child;
};

// ── Restate ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const restateBinary = join(modules, '@restatedev', `restate-server-${process.platform}-${process.arch}`, 'bin', 'restate-server');

type RestatePorts = { readonly node: number; readonly ingress: number; readonly admin: number };

/** Restate's own defaults but for ports and partitions: every write-ahead log is synced to the disk (`disable-wal-fsync = false`). */
const restateConfiguration = ({ node, ingress, admin }: RestatePorts): string => `
bind-ip = "127.0.0.1"
bind-port = ${node}
advertised-host = "127.0.0.1"
listen-mode = "tcp"
default-num-partitions = ${restatePartitions}
disable-telemetry = true
log-filter = "off"
shutdown-timeout = "5s"
[ingress]
bind-port = ${ingress}
[admin]
bind-port = ${admin}
disable-web-ui = true
[bifrost.local]
rocksdb-disable-wal-fsync = false
[log-server]
rocksdb-disable-wal-fsync = false
`;

const startRestateServer = async ({ directory, closing }: Scratch): Promise<{ pid: number; ports: RestatePorts }> => {
  const node = await freePort(15_122);
  const ingress = await freePort(node + 1);
  const ports = { node, ingress, admin: await freePort(ingress + 1) };
  const base = join(directory, 'restate');
  mkdirSync(base);
  const file = join(base, 'restate.toml');
  writeFileSync(file, restateConfiguration(ports));
  const child = spawn(restateBinary, ['--config-file', file, '--base-dir', base, '--no-logo'], { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  closing.add(() => {
    child.kill('SIGTERM');
    return ended(child);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  return { pid: child.pid!, ports };
};

/** The server answers for some moments before its partitions do: a registration counts when it is accepted. */
const registerService = (admin: number, uri: string): Promise<unknown> =>
  until('the registration of the service with Restate', async () => {
    const answer = await request(`http://127.0.0.1:${admin}/deployments`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ uri }) }).catch(() => undefined);
    const text = await answer?.body.text();
    return answer !== undefined && answer.statusCode < 300 ? text : undefined;
  }, startTimeoutMs);

export const startRestate = async (scratch: Scratch): Promise<Peer> => {
  const { pid, ports } = await startRestateServer(scratch);
  const service = forkPeer(scratch, 'restate-service.mjs', []);
  await registerService(ports.admin, String(await nextMessage(service, 'the Restate service')));
  return {
    run: async (callers, durationMs, prefix) => {
      const http = openHttpLoad(`http://127.0.0.1:${ports.ingress}`, callers);
      const call = async (index: number): Promise<void> => {
        const id = `${prefix}-${index}`;
        const { status, text } = await http.ask({ method: 'POST', path: '/two/run', headers: { 'content-type': 'application/json', 'idempotency-key': id }, body: JSON.stringify(id) });
        if (status !== 200 || JSON.parse(text) !== id) throw new Error(`Restate answered ${status}: ${text}`);
      };
      try {
        return await runFor(callers, durationMs, call);
      } finally {
        await http.close();
      }
    },
    cpuMs: () => ({ client: cpuMs(process.pid), 'Restate server': cpuMs(pid), 'SDK service': cpuMs(service.pid!) }),
  };
};

// ── DBOS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type DbosForm = 'rows' | 'outcomes';

/** A PostgreSQL of the same package as Cordage's, and DBOS with its callers in one process. */
export const startDbos = async (scratch: Scratch, form: DbosForm): Promise<Peer> => {
  const starting = startEmbeddedPostgres({ directory: join(scratch.directory, 'dbos'), log: silentLog });
  scratch.closing.add(() => starting.then((one) => one.stop(), () => {}));
  const { url } = await starting;
  const child = forkPeer(scratch, 'dbos.mjs', [url, form]);
  await nextMessage(child, 'DBOS');
  return {
    run: async (callers, durationMs, prefix) => {
      child.send({ callers, durationMs, prefix });
      // dbos.mjs answers a run with this.
      const { latencies, elapsedMs } = (await nextMessage(child, 'DBOS')) as { latencies: number[]; elapsedMs: number };
      return summarise(callers, latencies, elapsedMs);
    },
    cpuMs: () => ({
      'DBOS process': cpuMs(child.pid!),
      PostgreSQL: sumOf(processesBelow(process.pid).PostgreSQL, cpuMs),
    }),
  };
};
