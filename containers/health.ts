/** `/status`, `/isHealthy`, `/metrics` (Corda's words and port) and the parked records of every room of this process. */
import { Hono } from 'hono';
import { listen, type Listener } from '../src/host/http-server.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import { createWorkerServer } from '../src/shell/worker-server.ts';
import type { RunningRoom } from './running-room.ts';
import type { Settings } from './settings.ts';

/** One room answers at the root, as a worker does; several answer together there and each under its name. */
const healthApp = (rooms: readonly RunningRoom[], metrics: Metrics): Hono => {
  const [only] = rooms;
  if (only !== undefined && rooms.length === 1) return createWorkerServer({ running: only.running, worker: only, metrics });
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    context.header('Cache-Control', 'no-cache');
  });
  const healths = (): Record<string, ReturnType<RunningRoom['running']['health']>> => Object.fromEntries(rooms.map(({ room, running }) => [room, running.health()]));
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

export const serveHealth = (rooms: readonly RunningRoom[], metrics: Metrics, settings: Settings): Promise<Listener> => {
  const app = healthApp(rooms, metrics);
  return listen({ fetch: (request) => app.fetch(request), hostname: settings.CORDAGE_HEALTH_HOST, port: settings.CORDAGE_HEALTH_PORT });
};
