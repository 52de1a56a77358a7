/** The REST API on Deno, over the HTTP bus. */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { readSwaggerFile } from '../src/host/swagger-files.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { acceptDenoWebSocket, addressOfDeno, environment, serveUntilSignal } from './deno-runtime.deno.ts';
import { openRest } from './rest-room.ts';
import { readEdgeSettings } from './settings.ts';

const settings = readEdgeSettings(environment());
const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'rest', instance: settings.CORDAGE_INSTANCE } });
const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, log });
const { worker, close } = await openRest({
  bus,
  instance: settings.CORDAGE_INSTANCE,
  log,
  metrics: createMetrics(),
  followsStatuses: true,
  powers: { acceptWebSocket: acceptDenoWebSocket, addressOf: addressOfDeno, readSwaggerFile },
});

serveUntilSignal({ hostname: settings.CORDAGE_REST_HOST, port: settings.CORDAGE_REST_PORT, fetch: (request, peer) => worker.fetch(request, peer), log, close });
