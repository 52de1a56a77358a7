/**
 * The gateway on Deno: packets that come go straight to the HTTP bus; those that leave are pushed to it, or polled for. What Deno
 * trusts is set for the process (DENO_CERT, DENO_TLS_CA_STORE), not for a request.
 */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { systemClock } from '../src/host/clock.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { createMemoryParkingLot } from '../src/shell/memory-store.ts';
import { runWorker } from '../src/shell/run-worker.ts';
import { createGatewayWorker } from '../src/workers/gateway/worker.ts';
import { addressOfDeno, environment, serveUntilSignal } from './deno-runtime.deno.ts';
import { outboundOf, readEdgeSettings } from './settings.ts';

const settings = readEdgeSettings(environment());
const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'gateway', instance: settings.CORDAGE_INSTANCE } });
const metrics = createMetrics();
const clock = systemClock;
const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, clock, log });

const outbound = outboundOf(settings);
const worker = createGatewayWorker({ bus, addressOf: addressOfDeno, clock, log, metrics, ...(outbound === undefined ? {} : { outbound }) });
const polls = settings.CORDAGE_GATEWAY_OUTBOUND === 'pull';
const running = polls ? runWorker({ worker, bus, instance: settings.CORDAGE_INSTANCE, clock, log, metrics, parking: createMemoryParkingLot() }) : undefined;

serveUntilSignal({
  hostname: settings.CORDAGE_GATEWAY_HOST,
  port: settings.CORDAGE_GATEWAY_PORT,
  fetch: worker.fetch,
  log,
  close: async () => {
    await (running === undefined ? worker.close() : running.stop());
    await bus.close();
  },
});
