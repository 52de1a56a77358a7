/** A bridge behind the real HTTP server, its topics under a prefix of its own, and clients of it. */
import type { Bus } from '../../src/bus/bus.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createBusAccess, type Credential } from '../../src/bus/http-server-access.ts';
import { serveBus, type BusServer } from '../../src/bus/http-server-node.ts';
import { openKafkaBridge, type KafkaBridge, type KafkaBridgeOptions } from '../../src/bus/kafka-bridge/kafka-bridge.ts';
import { applyTopics, planTopics } from '../../src/bus/kafka-bridge/topics.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { createHttpExchange } from '../../src/host/http-exchange.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';

export const admin: Credential = { username: 'admin', password: 'admin secret', room: 'admin' };

/** Kafka's times as short as its brokers take them. */
export const quickTimes = { sessionTimeoutMs: 3_000, heartbeatMs: 100, rebalanceTimeoutMs: 5_000 } as const;

let prefixes = 0;
/** Never the same twice, so that tests share a broker and nothing on it. */
export const freshPrefix = (): string => `t${process.pid}-${Date.now().toString(36)}-${++prefixes}.`;

export const createTopics = async (brokers: string, prefix: string, topics: readonly TopicConfig[]): Promise<void> => {
  const account = { brokers, prefix };
  await applyTopics(account, await planTopics({ account, topics }));
};

export type ServedBridge = { readonly bridge: KafkaBridge; readonly server: BusServer; connect(): Bus; close(): Promise<void>; abandon(): Promise<void> };

export type ServeBridgeOptions = Pick<KafkaBridgeOptions, 'brokers' | 'topics'> & Partial<KafkaBridgeOptions> & { readonly port?: number };

/** What a bridge says, for who looks for a fault. */
const debugLog = createLog({ level: 'debug', write: (line) => console.error(line) });
export const testLog = process.env['CORDAGE_TEST_LOG'] === undefined ? silentLog : debugLog;

export const serveBridge = async (options: ServeBridgeOptions): Promise<ServedBridge> => {
  const bridge = await openKafkaBridge({ clientId: 'bridge', clock: systemClock, log: testLog, times: quickTimes, ...options });
  const server = await serveBus({ broker: bridge, access: createBusAccess({ credentials: [admin] }), log: testLog, hostname: '127.0.0.1', port: options.port ?? 0 });
  const buses: Bus[] = [];
  const closeBuses = (): Promise<unknown> => Promise.all(buses.map((bus) => bus.close()));
  return {
    bridge,
    server,
    connect: () => {
      const bus = createHttpBus({ url: server.url, ...admin, log: testLog, exchange: createHttpExchange() });
      buses.push(bus);
      return bus;
    },
    close: async () => {
      await closeBuses();
      await server.close();
      await bridge.close();
    },
    abandon: async () => {
      bridge.abandon();
      await server.close();
    },
  };
};
