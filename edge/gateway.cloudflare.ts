/**
 * The gateway on Cloudflare Workers: packets that come go straight to the HTTP bus. Nothing can run there between requests,
 * so packets are sent out by another gateway of the cluster.
 */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { systemClock } from '../src/host/clock.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { createGatewayWorker } from '../src/workers/gateway/worker.ts';
import { readEdgeSettings } from './settings.ts';

const metrics = createMetrics();

// Cloudflare demands a default export.
export default {
  fetch: async (request: Request, bindings: unknown): Promise<Response> => {
    const settings = readEdgeSettings(bindings);
    const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'gateway', instance: settings.CORDAGE_INSTANCE } });
    // One bus a request: what waits for the network may not be shared between requests there.
    const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, log });
    return createGatewayWorker({ bus, clock: systemClock, log, metrics }).fetch(request);
  },
};
