/** A real broker in memory, with the topics that a test names. */
import { openEmbeddedBroker, type EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { partitionCountDefault, type Bus } from '../../src/bus/bus.ts';
import { systemClock } from '../../src/host/clock.ts';
import type { Wire } from '../../src/messages/grammar/wire.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { silentLog } from '../../src/observability/log.ts';

export const openBroker = (wires: readonly Pick<Wire<any, any>, 'topic' | 'retention'>[]): Promise<EmbeddedBroker> =>
  openEmbeddedBroker({
    storage: { type: 'memory' },
    topics: wires.map(({ topic, retention }) => ({ topic, retention, partitions: partitionCountDefault })),
    clock: systemClock,
    log: silentLog,
  });

/** Collects what comes on topics; `until` resolves when so many have come. */
export const listen = async (bus: Bus, ...topics: string[]) => {
  const follower = bus.follow({ topics, from: 'latest' });
  await follower.ready;
  const records: OutRecord[] = [];
  const next = async (): Promise<void> => void records.push(...(await follower.poll({ timeoutMs: 10_000 })));
  return {
    records,
    until: async (count: number): Promise<readonly OutRecord[]> => {
      while (records.length < count) await next();
      return records;
    },
    close: () => follower.close(),
  };
};
