/** The bus's contract, kept by a real Kafka through the bridge and HTTP. */
import { afterAll, beforeAll, describe } from 'vitest';
import { contractTopics, describeBus, type BusUnderTest } from '../bus/contract.ts';
import { createManualClock } from '../bus/manual-clock.ts';
import { createTopics, freshPrefix, serveBridge } from './bridge.ts';
import { skipsKafka, startKafka, startMsMax, type Kafka } from './kafka.ts';

const skipped = await skipsKafka('the bus contract on Kafka');
let kafka: Kafka | undefined;
if (!skipped) {
  beforeAll(async () => {
    kafka = await startKafka();
  }, startMsMax);
  afterAll(() => kafka?.close());
}

const startOnKafka = async (): Promise<BusUnderTest> => {
  const { bootstrap } = kafka!;
  const prefix = freshPrefix();
  await createTopics(bootstrap, prefix, contractTopics);
  const clock = createManualClock();
  const start = (port: number) => serveBridge({ brokers: bootstrap, prefix, topics: contractTopics, clock, port });
  let running = await start(0);
  return {
    clock,
    connect: () => running.connect(),
    restart: async () => {
      const { port } = running.server;
      await running.close();
      running = await start(port);
    },
    close: () => running.close(),
  };
};

describe.skipIf(skipped)('Kafka', () => describeBus('Kafka', { durable: true }, startOnKafka));
