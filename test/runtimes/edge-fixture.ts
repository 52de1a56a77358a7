/** Starts edge entries on the real runtimes, before a real bus over HTTP. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { serveBus, type BusServer } from '../../src/bus/http-server-node.ts';
import { createBusAccess } from '../../src/bus/http-server-access.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openBroker } from '../workers/gateway/gateway-fixture.ts';

const execFileAsync = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const bin = (name: string): string => join(root, 'node_modules/.bin', name);

export type EdgeEntry = 'gateway' | 'rest';
export type Site = { readonly broker: EmbeddedBroker; readonly bus: BusServer; environmentFor(entry: EdgeEntry): Record<string, string>; close(): Promise<void> };

/** A broker over HTTP with a credential for each room that has an edge form. */
export const openSite = async (): Promise<Site> => {
  const broker = await openBroker();
  const access = createBusAccess({ credentials: [{ username: 'gateway', password: 'gateway-secret', room: 'gateway' }, { username: 'rest', password: 'rest-secret', room: 'rest' }] });
  const bus = await serveBus({ broker, access, log: silentLog, hostname: '127.0.0.1', port: 0 });
  return {
    broker,
    bus,
    environmentFor: (entry) => ({ CORDAGE_BUS_URL: bus.url, CORDAGE_BUS_USERNAME: entry, CORDAGE_BUS_PASSWORD: `${entry}-secret` }),
    close: async () => {
      await bus.close();
      await broker.close();
    },
  };
};

export type Running = { readonly url: string; close(): Promise<void> };

/** The first line that says the port; with what was printed until then when the process ends instead. */
const portIn = (stream: Readable, child: ChildProcess, portOf: (line: string) => number | undefined): Promise<number> =>
  new Promise((resolve, reject) => {
    const lines: string[] = [];
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      const port = portOf(line);
      if (port !== undefined) resolve(port);
    });
    child.stderr?.on('data', (data: Buffer) => lines.push(String(data)));
    child.once('exit', (code) => reject(new Error(`the process ended with ${code} before it listened:\n${lines.join('\n')}`)));
  });

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
};

const loggedPort = (line: string): number | undefined => {
  try {
    const fields = JSON.parse(line) as { event?: string; port?: number };
    return fields.event === 'edge.listening' ? fields.port : undefined;
  } catch {
    return undefined;
  }
};

export const startOnDeno = async (entry: EdgeEntry, environment: Record<string, string>): Promise<Running> => {
  const ports = { CORDAGE_GATEWAY_PORT: '0', CORDAGE_REST_PORT: '0' };
  const child = spawn(bin('deno'), ['run', '--no-prompt', '--allow-net', '--allow-env', '--allow-read', `edge/${entry}.deno.ts`], {
    cwd: root, env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', NO_COLOR: '1', ...environment, ...ports }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const port = await portIn(child.stdout, child, loggedPort);
  return { url: `http://127.0.0.1:${port}`, close: () => end(child) };
};

/** The worker as wrangler would send it to Cloudflare: one module, and its size there. */
export const packForCloudflare = async (entry: EdgeEntry): Promise<{ readonly module: string; readonly gzipKiB: number }> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-wrangler-'));
  try {
    const { stdout } = await execFileAsync(
      process.execPath,
      [join(root, 'node_modules/wrangler/bin/wrangler.js'), 'deploy', '--dry-run', '--outdir', directory, '--config', `edge/wrangler.${entry}.jsonc`],
      { cwd: root, env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG_PATH: directory, NO_COLOR: '1', CI: '1' } },
    );
    const [, gzipKiB] = /gzip: ([\d.]+) KiB/.exec(stdout) ?? [];
    if (gzipKiB === undefined) throw new Error(`wrangler did not tell the size:\n${stdout}`);
    return { module: await readFile(join(directory, `${entry}.cloudflare.js`), 'utf8'), gzipKiB: Number(gzipKiB) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

/** Text of a capnp config: JSON's escapes are among those that its strings know. */
const capnpText = (text: string): string => JSON.stringify(text);

const configFor = (bindings: Record<string, string>, trusted: readonly string[]): string => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .edge),
    (name = "network", network = (allow = ["public", "private"], tlsOptions = (trustedCertificates = [${trusted.map(capnpText).join(', ')}]))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const edge :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-09-01",
  globalOutbound = "network",
  bindings = [${Object.entries(bindings).map(([name, text]) => `(name = ${capnpText(name)}, text = ${capnpText(text)})`).join(', ')}],
);
`;

/**
 * @param trusted PEM certificates that outgoing TLS trusts.
 * @param module the packed worker, where it is at hand.
 */
export const startOnWorkerd = async (entry: EdgeEntry, bindings: Record<string, string>, trusted: readonly string[] = [], module?: string): Promise<Running> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-workerd-'));
  await writeFile(join(directory, 'worker.js'), module ?? (await packForCloudflare(entry)).module);
  await writeFile(join(directory, 'config.capnp'), configFor(bindings, trusted));
  const child = spawn(bin('workerd'), ['serve', '--control-fd=3', join(directory, 'config.capnp')], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  // The fourth stream is a pipe, as asked for.
  const control = child.stdio[3] as Readable;
  const port = await portIn(control, child, (line) => {
    const said = JSON.parse(line) as { event: string; port?: number };
    return said.event === 'listen' ? said.port : undefined;
  });
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      await end(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
};
