/** The gateway on Deno: packets that come go straight to the HTTP bus; with CORDAGE_GATEWAY_OUTBOUND=on it sends as well. */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { systemClock } from '../src/host/clock.ts';
import { createFetchClient } from '../src/host/fetch-client.ts';
import { memberToAllGroupParameters } from '../src/messages/member-to-all.group-parameters.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { createMemoryParkingLot } from '../src/shell/memory-store.ts';
import { openView } from '../src/shell/open-view.ts';
import { runWorker } from '../src/shell/run-worker.ts';
import { createGatewayWorker, type GatewayOutboundDeps } from '../src/workers/gateway/worker.ts';
import { environment, serveUntilSignal } from './deno-runtime.deno.ts';
import { readEdgeSettings } from './settings.ts';

const settings = readEdgeSettings(environment());
const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'gateway', instance: settings.CORDAGE_INSTANCE } });
const metrics = createMetrics();
const clock = systemClock;
const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, clock, log });

const openOutbound = async (): Promise<GatewayOutboundDeps> => ({
  httpClient: createFetchClient(),
  groupParameters: await openView({ bus, wire: memberToAllGroupParameters, log }),
  // What Deno trusts is set for the process (DENO_CERT, DENO_TLS_CA_STORE), not for a request.
  trust: 'platform',
});

const sends = settings.CORDAGE_GATEWAY_OUTBOUND === 'on';
const worker = createGatewayWorker({ bus, clock, log, metrics, ...(sends ? { outbound: await openOutbound() } : {}) });
const running = sends ? runWorker({ worker, bus, instance: settings.CORDAGE_INSTANCE, clock, log, metrics, parking: createMemoryParkingLot() }) : undefined;

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
