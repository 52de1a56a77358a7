/**
 * What every worker serves to those who run it, on a port of its own that strangers cannot reach: state for probes, metrics,
 * and its parked records. A worker's own `fetch` (rest, gateway) is served elsewhere, by the host.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import type { Metrics } from '../observability/metrics.ts';
import type { RunningWorker } from './run-worker.ts';
import type { Worker } from './worker.ts';

export type WorkerServerOptions = {
  readonly running: Pick<RunningWorker, 'health' | 'parked' | 'redrive'>;
  readonly worker: Pick<Worker, 'room'>;
  readonly metrics: Metrics;
};

/** Ids in one request to drive records again. */
const redriveIdsMax = 1_000;
const redriveBody = z.strictObject({ ids: z.array(z.string().min(1).max(500)).min(1).max(redriveIdsMax) });

/** Corda's words: `/status` says whether to send work here, `/isHealthy` whether to restart the process. */
export const createWorkerServer = ({ running, worker, metrics }: WorkerServerOptions): Hono => {
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    context.header('Cache-Control', 'no-cache');
  });
  app.get('/status', (context) => {
    const health = running.health();
    return context.json({ room: worker.room, ...health }, health.status === 'UP' ? 200 : 503);
  });
  app.get('/isHealthy', (context) => {
    const { status } = running.health();
    return context.json({ room: worker.room, healthy: status !== 'ERROR' }, status === 'ERROR' ? 503 : 200);
  });
  app.get('/metrics', (context) => context.text(metrics.text(), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }));
  app.get('/parked', async (context) => context.json({ parked: await running.parked() }));
  app.post('/parked/redrive', async (context) => {
    const body = redriveBody.safeParse(await context.req.json().catch(() => undefined));
    if (!body.success) return context.json({ error: `expected {"ids": […]}: ${z.prettifyError(body.error)}` }, 400);
    return context.json({ redriven: await running.redrive(body.data.ids) });
  });
  return app;
};
