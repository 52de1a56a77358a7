import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { BrokerStorage, EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
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

describeBus('memory', { durable: false }, () => startInProcess({ type: 'memory' }));
describeBus('disk', { durable: true }, async () => startInProcess({ type: 'disk', directory: await mkdtemp(join(tmpdir(), 'cordage-bus-')) }));
