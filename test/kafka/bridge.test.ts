/** What the bridge does beside the contract: it says how it is, tells what is missing, pushes, leaves in order. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPusher } from '../../src/bus/push/pusher.ts';
import { pushSignatureHeader, readPush } from '../../src/bus/push/push.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { createHttpClient } from '../../src/host/http-client.ts';
import { listen } from '../../src/host/http-server.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createTopics, freshPrefix, serveBridge, testLog, type ServedBridge } from './bridge.ts';
import { skipsKafka, startKafka, startMsMax, type Kafka } from './kafka.ts';

const topic = 'link-manager-to-gateway.link-out';
const topics: readonly TopicConfig[] = [{ topic, partitions: 2, retention: 'log' }];
const skipped = await skipsKafka('the bridge on Kafka');

describe.skipIf(skipped)('the bridge', () => {
  let kafka: Kafka;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    kafka = await startKafka();
  }, startMsMax);
  afterAll(async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
    await kafka?.close();
  });

  const serve = async (options: { prefix: string; brokers?: string }): Promise<ServedBridge> => {
    const served = await serveBridge({ brokers: kafka.bootstrap, topics, ...options });
    closing.push(() => served.close());
    return served;
  };
  const healthOf = async ({ server }: ServedBridge): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${server.url}/health`);
    return { status: response.status, body: await response.json() };
  };

  test('is not ready where Kafka does not answer, and says so', async () => {
    const served = await serve({ prefix: '', brokers: '127.0.0.1:1' });
    expect(await healthOf(served)).toMatchObject({ status: 503, body: { status: 'DOWN', reason: expect.stringContaining('Kafka could not') } });
  });

  test('is not ready until its topics are there, and then serves who waited', async () => {
    const prefix = freshPrefix();
    const served = await serve({ prefix });
    expect(await healthOf(served)).toMatchObject({ status: 503, body: { reason: expect.stringContaining(`${prefix}${topic}`) } });
    const bus = served.connect();
    await expect(bus.publish([{ topic, key: 'k', value: 'v' }])).rejects.toMatchObject({ code: 'BUS_UNREACHABLE' });
    await createTopics(kafka.bootstrap, prefix, topics);
    for (;;) if ((await healthOf(served)).status === 200) break;
    expect(await bus.publish([{ topic, key: 'k', value: 'v' }])).toHaveLength(1);
  });

  test('shows a cluster nothing of another on the same Kafka', async () => {
    const [one, other] = [freshPrefix(), freshPrefix()];
    await Promise.all([one, other].map((prefix) => createTopics(kafka.bootstrap, prefix, topics)));
    const [ours, theirs] = await Promise.all([serve({ prefix: one }), serve({ prefix: other })]);
    await ours.connect().publish([{ topic, key: 'k', value: 'ours' }]);
    await theirs.connect().publish([{ topic, key: 'k', value: 'theirs' }]);
    expect((await theirs.bridge.topics()).map(({ topic: name }) => name)).toEqual([topic]);
    const consumer = theirs.connect().consume({ group: 'gateway', instance: 'one', topics: [topic] });
    expect((await consumer.poll({ timeoutMs: 0, recordsMax: 10 })).map(({ value }) => value)).toEqual(['theirs']);
  });

  test('feeds a pusher to the edge, which commits what was taken', async () => {
    const prefix = freshPrefix();
    const secret = 'a secret that both sides hold';
    await createTopics(kafka.bootstrap, prefix, topics);
    const served = await serve({ prefix });
    const taken: string[] = [];
    const all = Promise.withResolvers<void>();
    const edge = await listen({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request) => {
        const pushed = readPush(await request.text(), request.headers.get(pushSignatureHeader), { secret, now: Date.now() });
        if (pushed.type !== 'records') return new Response('', { status: 401 });
        taken.push(...pushed.records.map(({ value }) => value));
        if (taken.length >= 3) all.resolve();
        return Response.json({});
      },
    });
    closing.push(() => edge.close());
    await served.connect().publish(['a', 'b', 'c'].map((value) => ({ topic, key: 'k', value })));
    const subscription = { group: 'gateway/push', topics: [topic], url: `${edge.url}/push`, secret };
    const pusher = startPusher({ bus: served.connect(), subscription, instance: 'push', httpClient: createHttpClient(), clock: systemClock, log: testLog, metrics: createMetrics() });
    await all.promise;
    await pusher.close();
    expect(taken).toEqual(['a', 'b', 'c']);
    const committed = await served.bridge.committed('gateway/push', [0, 1].map((partition) => ({ topic, partition })));
    expect(committed.map(({ offset }) => offset)).toContain(3);
  });

  test('that is told to end leaves its groups: the others have its partitions before its session is over', async () => {
    const prefix = freshPrefix();
    await createTopics(kafka.bootstrap, prefix, topics);
    const [leaving, stays] = await Promise.all([serve({ prefix }), serve({ prefix })]);
    const [one, other] = [leaving, stays].map((served, i) => served.connect().consume({ group: 'gateway', instance: `instance ${i}`, topics: [topic] }));
    await Promise.all([one!.poll({ timeoutMs: 0, recordsMax: 1 }), other!.poll({ timeoutMs: 0, recordsMax: 1 })]);
    await leaving.server.close();
    await leaving.bridge.close();
    await stays.connect().publish([0, 1].map((partition) => ({ topic, key: 'k', value: `${partition}`, partition })));
    const values = new Set<string>();
    while (values.size < 2) for (const { value } of await other!.poll({ timeoutMs: 1_000, recordsMax: 10 })) values.add(value);
    expect(values).toEqual(new Set(['0', '1']));
  });
});
