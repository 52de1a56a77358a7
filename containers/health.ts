/**
 * `/status`, `/isHealthy`, `/metrics` (Corda's words and port) and the parked records of every room of this process.
 *
 * `/status` is readiness: 200 once the room's views are open and its loops run, and 503 while the bus or the database is away, while it starts
 * and from the moment it is told to end. `/isHealthy` is liveness: 503 only where nothing gets better by itself.
 */
import { Hono } from 'hono';
import { listen, type Listener } from '../src/host/http-server.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import { createWorkerServer } from '../src/shell/worker-server.ts';
import type { Room } from '../src/messages/grammar/wire.ts';
import type { Health, RunningWorker } from '../src/shell/run-worker.ts';
import type { Settings } from './settings.ts';

export type RoomHealth = { readonly room: Room; readonly running: Pick<RunningWorker, 'health' | 'parked' | 'redrive'> };

export type Stage = RoomHealth & {
  /** The room runs: from now on its own health is told. */
  runs(running: RunningWorker): void;
  /** The room is about to end, and takes nothing new. */
  leaves(): void;
};

/** A room before it runs, while it runs, and while it leaves. */
export const createStage = (room: Room): Stage => {
  let current: RunningWorker | undefined;
  let detail = `${room} starts`;
  let ready = false;
  const health = (): Health => (ready && current !== undefined ? current.health() : { status: 'DOWN', detail });
  return {
    room,
    running: { health, parked: async () => (await current?.parked()) ?? [], redrive: async (ids) => (await current?.redrive(ids)) ?? 0 },
    runs: (running) => {
      current = running;
      ready = true;
    },
    leaves: () => {
      ready = false;
      detail = `${room} leaves`;
    },
  };
};

/** One room answers at the root, as a worker does; several answer together there and each under its name. */
const healthApp = (rooms: readonly RoomHealth[], metrics: Metrics): Hono => {
  const [only] = rooms;
  if (only !== undefined && rooms.length === 1) return createWorkerServer({ running: only.running, worker: only, metrics });
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    context.header('Cache-Control', 'no-cache');
  });
  const healths = (): Record<string, Health> => Object.fromEntries(rooms.map(({ room, running }) => [room, running.health()]));
  app.get('/status', (context) => {
    const all = healths();
    return context.json(all, Object.values(all).every(({ status }) => status === 'UP') ? 200 : 503);
  });
  app.get('/isHealthy', (context) => {
    const healthy = Object.values(healths()).every(({ status }) => status !== 'ERROR');
    return context.json({ healthy }, healthy ? 200 : 503);
  });
  app.get('/metrics', (context) => context.text(metrics.text(), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }));
  for (const one of rooms) app.route(`/${one.room}`, createWorkerServer({ running: one.running, worker: one, metrics }));
  return app;
};

export const serveHealth = (rooms: readonly RoomHealth[], metrics: Metrics, settings: Settings): Promise<Listener> => {
  const app = healthApp(rooms, metrics);
  return listen({ fetch: (request) => app.fetch(request), hostname: settings.CORDAGE_HEALTH_HOST, port: settings.CORDAGE_HEALTH_PORT });
};
