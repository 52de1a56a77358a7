/**
 * The gateway on Cloudflare Workers: packets that come go straight to the HTTP bus. Nothing runs there between requests, so packets
 * that leave are pushed to it, and it stays until they are sent.
 */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { systemClock } from '../src/host/clock.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { createGatewayWorker, createStrangers, gatewayLimits } from '../src/workers/gateway/worker.ts';
import { outboundOf, readEdgeSettings } from './settings.ts';

const metrics = createMetrics();
// Counts for as long as the platform keeps this isolate, for the worker below lives for one request.
const mayStranger = createStrangers(systemClock, gatewayLimits);
/** Cloudflare sets this header itself, whatever the client has sent. */
const addressOf = (request: Request): string | undefined => request.headers.get('cf-connecting-ip') ?? undefined;

// Cloudflare demands a default export.
export default {
  fetch: async (request: Request, bindings: unknown, context: { waitUntil(work: Promise<unknown>): void }): Promise<Response> => {
    const settings = readEdgeSettings(bindings);
    const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'gateway', instance: settings.CORDAGE_INSTANCE } });
    // One bus a request: what waits for the network may not be shared between requests there.
    const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, log });
    const outbound = outboundOf(settings);
    const worker = createGatewayWorker({ bus, addressOf, mayStranger, clock: systemClock, log, metrics, ...(outbound === undefined ? {} : { outbound }) });
    const response = await worker.fetch(request);
    context.waitUntil(worker.settled());
    return response;
  },
};
