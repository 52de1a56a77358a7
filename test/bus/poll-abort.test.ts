import { expect, test } from 'vitest';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../src/host/clock.ts';
import { silentLog } from '../../src/observability/log.ts';

test('a poll that is given up just after it began ends at once, not at its time-out', async () => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: [{ topic: 't', partitions: 1, retention: 'log' }], clock: systemClock, log: silentLog });
  const follower = broker.connect().follow({ topics: ['t'], from: 'earliest' });
  await follower.ready;
  const giveUp = new AbortController();
  const polled = follower.poll({ timeoutMs: 60_000, signal: giveUp.signal }).catch(() => []);
  giveUp.abort();
  expect(await polled).toEqual([]);
  await follower.close();
  await broker.close();
});
