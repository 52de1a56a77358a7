/** How a process ends: in order, in time, or at once; and what it says of itself before it can work. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../src/cli/ports.ts';

const main = fileURLToPath(new URL('../../containers/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'cordage-leave-'));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

type Started = {
  readonly child: ChildProcess;
  readonly gone: Promise<number | null>;
  /** Resolves with the first line of the log that has this event. */
  said(event: string): Promise<Readonly<Record<string, unknown>>>;
};

const start = (kind: string, environment: Record<string, string>): Started => {
  const child = spawn(process.execPath, [main, kind], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...environment, CORDAGE_PARENT_PID: String(process.pid) } });
  children.push(child);
  const lines: string[] = [];
  const hearing = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const hear of hearing) hear();
  });
  return {
    child,
    gone: once(child, 'exit').then(([status]) => status as number | null),
    said: (event) =>
      new Promise((resolve) => {
        const look = (): void => {
          const line = lines.find((one) => one.includes(`"${event}"`));
          if (line === undefined) return;
          hearing.delete(look);
          // The log's lines are JSON objects.
          resolve(JSON.parse(line) as Record<string, unknown>);
        };
        hearing.add(look);
        look();
      }),
  };
};

const brokerEnvironment = (name: string, more: Record<string, string> = {}): Record<string, string> => ({
  CORDAGE_STATE_DIR: join(directory, name),
  CORDAGE_BUS_PORT: '0',
  CORDAGE_BUS_CREDENTIALS: 'flow:flow-password:flow',
  ...more,
});

/** A broker with a request that never ends, for which it waits two seconds. */
const startBusy = async (name: string, more: Record<string, string> = {}): Promise<Started> => {
  const broker = start('broker', brokerEnvironment(name, more));
  const { port } = new URL(String((await broker.said('broker.ready'))['url']));
  const socket = connect(Number(port), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write('POST /produce HTTP/1.1\r\nhost: broker\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n');
  // It is being served once the server has answered that it goes on.
  await once(socket, 'data');
  return broker;
};

describe('a process that is told to end', () => {
  test('ends with 0 when what it had in work is done', async () => {
    const broker = start('broker', brokerEnvironment('idle'));
    await broker.said('broker.ready');
    broker.child.kill('SIGTERM');
    expect(await broker.gone).toBe(0);
    await broker.said('broker.stopped');
  });

  test('waits no longer than it may, and then says that it was late', async () => {
    const broker = await startBusy('late', { CORDAGE_STOP_TIMEOUT_MS: '1000' });
    broker.child.kill('SIGTERM');
    expect(await broker.gone).toBe(1);
    await broker.said('broker.stop-late');
  });

  test('a second signal ends it at once; an echo of the first does not', async () => {
    const broker = await startBusy('twice');
    broker.child.kill('SIGTERM');
    broker.child.kill('SIGINT');
    await broker.said('broker.stopping');
    const again = setInterval(() => broker.child.kill('SIGTERM'), 50);
    expect(await broker.gone).toBe(1);
    clearInterval(again);
    await broker.said('broker.stopped-at-once');
  });
});

describe('a process that cannot work yet', () => {
  test('is healthy and not ready while bus and database are away, and says what it waits for', async () => {
    const healthPort = await freePort(21_950);
    const flow = start('flow', {
      DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none',
      CORDAGE_BUS_URL: 'http://127.0.0.1:1',
      CORDAGE_BUS_USERNAME: 'flow',
      CORDAGE_BUS_PASSWORD: 'flow-password',
      CORDAGE_HEALTH_PORT: String(healthPort),
    });
    const ask = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${healthPort}${path}`);
    await vi.waitFor(() => ask('/isHealthy'), { timeout: 20_000 });
    expect((await ask('/isHealthy')).status).toBe(200);
    const status = await ask('/status');
    expect(status.status).toBe(503);
    expect(await status.json()).toMatchObject({ room: 'flow', status: 'DOWN', detail: 'flow starts' });
    expect(String((await flow.said('migrations-awaited'))['why'])).toMatch(/is PostgreSQL running/);
    flow.child.kill('SIGKILL');
    await flow.gone;
  });

  test('refuses what is wrong by name, and at once', async () => {
    const migrate = start('migrate', { DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none?sslmode=prefer' });
    expect(await migrate.gone).toBe(1);
    expect(JSON.stringify(await migrate.said('migrate.start-failed'))).toMatch(/falls back to plain text/);
  });
});
