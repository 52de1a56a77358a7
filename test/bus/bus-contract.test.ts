import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '../../src/bus/bus.ts';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { BrokerStorage, EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createBusAccess } from '../../src/bus/http-server-access.ts';
import { serveBus } from '../../src/bus/http-server-node.ts';
import type { BusServer } from '../../src/bus/http-server-node.ts';
import { createHttpExchange, type HttpExchange } from '../../src/host/http-exchange.ts';
import { silentLog } from '../../src/observability/log.ts';
import { contractTopics, describeBus } from './contract.ts';
import type { BusUnderTest } from './contract.ts';
import { createManualClock } from './manual-clock.ts';

const startInProcess = async (storage: BrokerStorage): Promise<BusUnderTest> => {
  const clock = createManualClock();
  const open = (): Promise<EmbeddedBroker> => openEmbeddedBroker({ storage, topics: contractTopics, clock, log: silentLog });
  let broker = await open();
  const restart = async (): Promise<void> => {
    await broker.close();
    broker = await open();
  };
  return {
    clock,
    connect: () => broker.connect(),
    restart,
    close: async () => {
      await broker.close();
      if (storage.type === 'disk') await rm(storage.directory, { recursive: true });
    },
  };
};

/** One server over a broker on disk; every `connect` is a client of its own, as if in another process. */
const startOverHttp = async (exchange?: HttpExchange): Promise<BusUnderTest> => {
  const directory = await mkdtemp(join(tmpdir(), 'cordage-bus-'));
  const clock = createManualClock();
  const credential = { username: 'flow-worker', password: 'a password', room: 'admin' } as const;
  const access = createBusAccess({ credentials: [credential] });
  const start = async (port: number): Promise<{ broker: EmbeddedBroker; server: BusServer }> => {
    const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory }, topics: contractTopics, clock, log: silentLog });
    return { broker, server: await serveBus({ broker, access, log: silentLog, hostname: '127.0.0.1', port }) };
  };
  const stop = async ({ broker, server }: { broker: EmbeddedBroker; server: BusServer }): Promise<void> => {
    await server.close();
    await broker.close();
  };
  let running = await start(0);
  const buses: Bus[] = [];
  return {
    clock,
    connect: () => {
      const bus = createHttpBus({ url: running.server.url, ...credential, log: silentLog, ...(exchange === undefined ? {} : { exchange }) });
      buses.push(bus);
      return bus;
    },
    restart: async () => {
      await stop(running);
      running = await start(running.server.port);
    },
    close: async () => {
      await Promise.all(buses.map((bus) => bus.close()));
      await stop(running);
      await rm(directory, { recursive: true });
    },
  };
};

describeBus('memory', { durable: false }, () => startInProcess({ type: 'memory' }));
describeBus('disk', { durable: true }, async () => startInProcess({ type: 'disk', directory: await mkdtemp(join(tmpdir(), 'cordage-bus-')) }));
describeBus('HTTP, by fetch', { durable: true }, () => startOverHttp());
describeBus('HTTP, as processes on Node speak it', { durable: true }, () => startOverHttp(createHttpExchange()));
