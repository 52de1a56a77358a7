/**
 * The bridge to Kafka as a process of its own: beside each worker (loopback), or once for workers at the edge. It serves the bus on
 * `CORDAGE_BUS_PORT`, and `/status`, `/isHealthy`, `/metrics` on `CORDAGE_HEALTH_PORT` as a worker does.
 */
import { Hono } from 'hono';
import { createHttpBus } from '../src/bus/http-bus.ts';
import { accessFor, createBusAccess, type Credential } from '../src/bus/http-server-access.ts';
import { serveBus } from '../src/bus/http-server-node.ts';
import { openKafkaBridge, type KafkaBridge } from '../src/bus/kafka-bridge/kafka-bridge.ts';
import { topicsOf, type TopicConfig } from '../src/bus/topics.ts';
import { listen } from '../src/host/http-server.ts';
import { wires } from '../src/messages/messages.ts';
import type { Metrics } from '../src/observability/metrics.ts';
import { parseCredentials, pushToEdge, type BrokerPowers } from './broker.ts';
import { kafkaAccount } from './kafka.ts';
import type { Closing } from './platform.ts';
import type { Settings } from './settings.ts';

/** The topics that the credentials may touch: those must be there before the bridge says that it is ready. */
const topicsFor = (credentials: readonly Credential[]): readonly TopicConfig[] => {
  const accesses = credentials.map(({ room }) => (room === 'admin' ? undefined : accessFor(room)));
  return topicsOf(wires).filter(({ topic }) => accesses.some((access) => access === undefined || access.mayProduce(topic) || access.mayRead(topic)));
};

/** Ready while Kafka answers and shows the topics; healthy always, since a restart brings back no Kafka. */
const healthApp = (bridge: KafkaBridge, metrics: Metrics): Hono => {
  const app = new Hono();
  app.get('/status', async (context) => {
    const detail = await bridge.ailment();
    return detail === undefined ? context.json({ status: 'UP' }) : context.json({ status: 'DOWN', detail }, 503);
  });
  app.get('/isHealthy', (context) => context.json({ healthy: true }));
  app.get('/metrics', (context) => context.text(metrics.text(), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }));
  return app;
};

export const startBridge = async (settings: Settings, powers: BrokerPowers, closing: Closing): Promise<void> => {
  const { clock, log, metrics } = powers;
  const account = kafkaAccount(settings);
  /** For what this process itself does on the bus; nobody else learns it. */
  const own: Credential = { username: `push-${crypto.randomUUID()}`, password: crypto.randomUUID(), room: 'gateway' };
  const given = parseCredentials(settings.CORDAGE_BUS_CREDENTIALS!);
  const pushes = settings.CORDAGE_BUS_PUSH_URL !== undefined;
  const credentials = pushes ? [...given, own] : given;
  const times = { sessionTimeoutMs: settings.CORDAGE_KAFKA_SESSION_TIMEOUT_MS };
  const bridge = await openKafkaBridge({ ...account, clientId: `cordage-bridge-${settings.CORDAGE_INSTANCE}`, topics: topicsFor(credentials), clock, log, metrics, times });
  closing.add(() => bridge.close());
  const server = await serveBus({ broker: bridge, access: createBusAccess({ credentials }), log, hostname: settings.CORDAGE_BUS_HOST, port: settings.CORDAGE_BUS_PORT });
  closing.add(() => server.close());
  const app = healthApp(bridge, metrics);
  const health = await listen({ fetch: (request) => app.fetch(request), hostname: settings.CORDAGE_HEALTH_HOST, port: settings.CORDAGE_HEALTH_PORT });
  closing.add(() => health.close());
  const pusher = await pushToEdge({ connect: () => createHttpBus({ url: server.url, ...own, log }) }, settings, powers);
  if (pusher !== undefined) closing.add(() => pusher.close());
  log.info('bridge.ready', { url: server.url, healthUrl: health.url, brokers: account.brokers, prefix: account.prefix });
};
