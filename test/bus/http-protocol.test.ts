/** The Upstash Kafka REST API, route by route, as bytes on a socket and through the client that its users have. */
import { Kafka } from '@upstash/kafka';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createBusApp } from '../../src/bus/http-server.ts';
import { createBusAccess } from '../../src/bus/http-server-access.ts';
import { silentLog } from '../../src/observability/log.ts';
import { admin, basic, getWithBody, startServed } from './http-served.ts';
import type { Served } from './http-served.ts';

let served: Served;
beforeEach(async () => {
  served = await startServed();
});
afterEach(() => served.close());

const longMs = 50_000;
const success = { result: 'Success', status: 200 };
const produceSome = async (count: number, partition = 0): Promise<void> => {
  const { status } = await served.call('POST', '/produce/plain', { body: Array.from({ length: count }, (_, i) => ({ value: `v${i}`, partition })) });
  expect(status).toBe(200);
};
const valuesOf = (records: { value: string }[]): string[] => records.map(({ value }) => value);
const from = (offset: number, partition = 0) => ({ topic: 'plain', partition, offset });

describe('produce', () => {
  test('takes one record in the URL and answers its metadata', async () => {
    const answer = await served.call('GET', '/produce/plain/some%20message?key=k');
    expect(answer).toMatchObject({ status: 200, body: { topic: 'plain', partition: expect.any(Number), offset: 0, timestamp: served.clock.now() } });
    expect(answer.headers.get('content-type')).toBe('application/json');
    const { body } = await served.call('POST', '/fetch', { body: from(0, answer.body.partition) });
    expect(body).toEqual([{ ...answer.body, key: 'k', value: 'some message', headers: [] }]);
  });

  test('takes one message or an array for a topic, and answers an array in the same order', async () => {
    const one = await served.call('POST', '/produce/plain', { body: { value: 'a', partition: 1 } });
    expect(one.body).toMatchObject([{ topic: 'plain', partition: 1, offset: 0 }]);
    const several = await served.call('POST', '/produce/plain', { body: [{ value: 'b', partition: 1 }, { value: 'c', partition: 0 }, { value: 'd', partition: 1 }] });
    expect(several.body).toMatchObject([{ partition: 1, offset: 1 }, { partition: 0, offset: 0 }, { partition: 1, offset: 2 }]);
  });

  test('takes messages for several topics in one call', async () => {
    const { body } = await served.call('POST', '/produce', { body: [{ topic: 'plain', value: 'a' }, { topic: 'flow-to-rest.status', key: 'k', value: 'b' }] });
    expect(body).toMatchObject([{ topic: 'plain' }, { topic: 'flow-to-rest.status' }]);
    expect((await served.call('POST', '/produce', { body: { topic: 'plain', value: 'a' } })).body).toHaveLength(1);
    expect((await served.call('POST', '/produce', { body: [] })).body).toEqual([]);
  });

  test('takes GET with a body', async () => {
    expect(await getWithBody(served.url, '/produce/plain', { value: 'a', partition: 0 })).toMatchObject({ status: 200, body: [{ offset: 0 }] });
    expect(await getWithBody(served.url, '/fetch', from(0))).toMatchObject({ status: 200, body: [{ value: 'a' }] });
  });

  test('keeps key, timestamp and headers, and gives keyless records to the partitions in turn', async () => {
    const message = { value: 'v', key: 'k', partition: 0, timestamp: 1_234, headers: [{ key: 'h', value: 'x' }, { key: 'h', value: 'y' }] };
    await served.call('POST', '/produce/plain', { body: message });
    expect((await served.call('POST', '/fetch', { body: from(0) })).body).toEqual([{ topic: 'plain', offset: 0, ...message }]);
    const { body } = await served.call('POST', '/produce/plain', { body: [{ value: 'a' }, { value: 'b', key: null }, { value: 'c' }, { value: 'd' }] });
    expect(new Set(body.map(({ partition }: { partition: number }) => partition))).toEqual(new Set([0, 1]));
  });

  test.each([
    ['no JSON', 'POST', '/produce/plain', '{', 400],
    ['no message', 'POST', '/produce/plain', '', 400],
    ['a value that is no string', 'POST', '/produce/plain', { value: 7 }, 400],
    ['a key that is no string', 'POST', '/produce/plain', { value: 'v', key: 7 }, 400],
    ['headers that are none', 'POST', '/produce/plain', { value: 'v', headers: [{ key: 'h' }] }, 400],
    ['a partition that is none', 'POST', '/produce/plain', { value: 'v', partition: -1 }, 400],
    ['a partition that the topic does not have', 'POST', '/produce/plain', { value: 'v', partition: 2 }, 400],
    ['a topic that does not exist', 'POST', '/produce/nowhere', { value: 'v' }, 404],
    ['no topic', 'POST', '/produce', { value: 'v' }, 400],
    ['a compacted topic without a key', 'POST', '/produce/db-to-all.cpi', { value: 'v' }, 400],
    ['a value beyond the bound', 'POST', '/produce/plain', { value: 'x'.repeat(1_000_001) }, 413],
    ['a route that does not exist', 'POST', '/produce/plain/a/b', { value: 'v' }, 404],
    ['a method that it does not have', 'DELETE', '/produce/plain', undefined, 405],
    ['a path that is not well encoded', 'GET', '/produce/plain/%zz', undefined, 400],
  ] as const)('refuses %s', async (_, method, path, body, status) => {
    const answer = await served.call(method, path, { body });
    expect(answer).toMatchObject({ status, body: { error: expect.any(String), status } });
  });

  test('named by its producer is done once, however often it is sent', async () => {
    const body = [{ value: 'a', partition: 0 }];
    const headers = { 'cordage-produce': 'producer/1' };
    const [first, again] = await Promise.all([served.call('POST', '/produce/plain', { body, headers }), served.call('POST', '/produce/plain', { body, headers })]);
    expect(again.body).toEqual(first.body);
    expect((await served.call('POST', '/produce/plain', { body, headers })).body).toEqual(first.body);
    expect((await served.call('POST', '/produce/plain', { body, headers: { 'cordage-produce': 'producer/2' } })).body).toMatchObject([{ offset: 1 }]);
    expect((await served.call('POST', '/produce/plain', { body, headers: { 'cordage-produce': 'no number' } })).status).toBe(400);
  });
});

describe('webhook', () => {
  test('takes any body as the value, other headers as the record’s, and its credential from the query', async () => {
    const response = await fetch(`${served.url}/webhook?topic=plain&key=k&user=admin&pass=admin%20secret`, { method: 'POST', body: 'any <body>', headers: { 'x-event': 'push' } });
    const [metadata] = (await response.json()) as { partition: number }[];
    const { body } = await served.call('POST', '/fetch', { body: from(0, metadata!.partition) });
    expect(body).toMatchObject([{ key: 'k', value: 'any <body>', headers: [{ key: 'x-event', value: 'push' }] }]);
    expect((await fetch(`${served.url}/webhook?topic=plain&user=admin&pass=wrong`, { method: 'POST', body: 'x' })).status).toBe(401);
    expect(served.lines.join()).not.toContain('wrong');
    expect((await fetch(`${served.url}/topics?user=admin&pass=admin%20secret`)).status).toBe(401);
  });
});

describe('fetch', () => {
  test('reads from one position or several, at once when there is something', async () => {
    await produceSome(3, 0);
    await produceSome(2, 1);
    expect(valuesOf((await served.call('POST', '/fetch', { body: from(1) })).body)).toEqual(['v1', 'v2']);
    const several = await served.call('POST', '/fetch', { body: { ...from(2), topicPartitionOffsets: [from(1, 1)] } });
    expect(several.body.map(({ partition, offset }: any) => [partition, offset])).toEqual([[0, 2], [1, 1]]);
  });

  test('waits a second where nothing else is said, and wakes when a record comes', async () => {
    const empty = served.call('POST', '/fetch', { body: from(0) });
    await served.clock.untilAfter(1_000);
    served.clock.advance(1_000);
    expect((await empty).body).toEqual([]);
    const waiting = served.call('POST', '/fetch', { body: { ...from(0), timeout: longMs } });
    await served.clock.untilAfter(longMs);
    await produceSome(1);
    expect(valuesOf((await waiting).body)).toEqual(['v0']);
  });

  test.each([[{}], [{ topic: 'plain', partition: 0 }], [{ topicPartitionOffsets: {} }], [{ topicPartitionOffsets: [] }], [[]], [{ ...from(0), timeout: 'soon' }], [{ ...from(0, 9) }]])('refuses %j', async (body) => {
    expect((await served.call('POST', '/fetch', { body })).status).toBe(400);
  });

  test('can be cancelled by its name, also before it came', async () => {
    const headers = { 'cordage-poll': 'my poll' };
    const waiting = served.call('POST', '/fetch', { body: { ...from(0), timeout: longMs }, headers });
    await served.clock.untilAfter(longMs);
    expect((await served.call('POST', '/cancel/my%20poll')).body).toEqual(success);
    expect((await waiting).body).toEqual([]);
    await served.call('POST', '/cancel/later');
    expect((await served.call('POST', '/fetch', { body: { ...from(0), timeout: longMs }, headers: { 'cordage-poll': 'later' } })).body).toEqual([]);
  });
});

describe('consume', () => {
  const earliest = { 'Kafka-Auto-Offset-Reset': 'earliest', 'Kafka-Enable-Auto-Commit': 'false' };
  const consume = (instance: string, options: { headers?: Record<string, string>; body?: unknown } = {}) =>
    served.call('POST', `/consume/group/${instance}`, { body: { topic: 'plain', timeout: 0 }, headers: earliest, ...options });
  const committed = async (partition = 0): Promise<number> => (await served.call('POST', '/committed/group/any', { body: { topic: 'plain', partition } })).body[0].offset;

  test('takes the topic in the path, in the body, or several', async () => {
    await produceSome(1);
    const inPath = await served.call('GET', '/consume/group/one/plain?timeout=0', { headers: earliest });
    expect(inPath.body).toMatchObject([{ topic: 'plain', partition: 0, offset: 0, value: 'v0', headers: [] }]);
    await produceSome(1);
    expect((await getWithBody(served.url, '/consume/group/one', { topics: ['plain'], timeout: 0 })).body).toMatchObject([{ offset: 1 }]);
  });

  test('begins at the latest record unless told otherwise, and at none refuses', async () => {
    await produceSome(1);
    expect((await consume('one', { headers: {} })).body).toEqual([]);
    await produceSome(1);
    expect((await consume('one', { headers: {} })).body).toMatchObject([{ offset: 1 }]);
    expect((await served.call('POST', '/consume/fresh/one', { body: { topic: 'plain', timeout: 0 }, headers: { 'Kafka-Auto-Offset-Reset': 'none' } })).status).toBe(400);
  });

  test('commits by itself every five seconds unless told otherwise', async () => {
    await produceSome(3);
    await consume('one', { headers: { 'Kafka-Auto-Offset-Reset': 'earliest' } });
    expect(await committed()).toBe(-1);
    served.clock.advance(5_000);
    expect(await committed()).toBe(3);
  });

  test('commits as often as told, or not at all', async () => {
    await produceSome(3);
    await consume('one', { headers: { 'Kafka-Auto-Offset-Reset': 'earliest', 'Kafka-Auto-Commit-Interval': '70' } });
    served.clock.advance(69);
    expect(await committed()).toBe(-1);
    served.clock.advance(1);
    expect(await committed()).toBe(3);
    await produceSome(2);
    await served.call('POST', '/delete-consumer/group/one');
    await consume('two');
    served.clock.advance(60_000);
    expect(await committed()).toBe(3);
  });

  test('commits what it handed out when its consumer is deleted', async () => {
    await produceSome(3);
    await consume('one', { headers: { 'Kafka-Auto-Offset-Reset': 'earliest' } });
    await served.call('POST', '/delete-consumer/group/one');
    expect(await committed()).toBe(3);
  });

  test('keeps a member for its session time-out, two minutes unless told otherwise', async () => {
    await consume('one');
    await consume('two', { headers: { ...earliest, 'Kafka-Session-Timeout-Ms': '200' } });
    const names = async (): Promise<string[]> => (await served.call('GET', '/consumers')).body.flatMap(({ instances }: any) => instances.map(({ name }: any) => name));
    expect(await names()).toEqual(['one', 'two']);
    served.clock.advance(200);
    expect(await names()).toEqual(['one']);
    served.clock.advance(119_800);
    expect(await names()).toEqual([]);
  });

  test('commit takes one position, several, or none at all for everything consumed', async () => {
    await produceSome(5, 0);
    await produceSome(5, 1);
    await consume('one');
    expect((await served.call('POST', '/commit/group/one', { body: from(2) })).body).toEqual(success);
    expect([await committed(0), await committed(1)]).toEqual([2, -1]);
    await served.call('POST', '/commit/group/one', { body: [from(3), from(1, 1)] });
    expect([await committed(0), await committed(1)]).toEqual([3, 1]);
    expect((await served.call('POST', '/commit/group/one')).body).toEqual(success);
    expect([await committed(0), await committed(1)]).toEqual([5, 5]);
    expect((await served.call('POST', '/commit/group/one', { body: [] })).body).toEqual(success);
    expect((await served.call('POST', '/commit/group/one', { body: from(6) })).status).toBe(400);
  });

  test('a group that nobody is in may be set by a tool; a group with members listens to them alone', async () => {
    await produceSome(5);
    await served.call('POST', '/commit/group/tool', { body: from(2) });
    expect(await committed()).toBe(2);
    await consume('one');
    await served.call('POST', '/commit/group/stranger', { body: from(5) });
    expect(await committed()).toBe(2);
  });

  test('delete-consumer, by POST and by DELETE, leaves at once and ends the poll that waits', async () => {
    const waiting = consume('one', { body: { topic: 'plain', timeout: longMs } });
    await served.clock.untilAfter(longMs);
    expect((await served.call('DELETE', '/delete-consumer/group/one')).body).toEqual(success);
    expect((await waiting).body).toEqual([]);
    expect((await served.call('POST', '/delete-consumer/group/one')).body).toEqual(success);
    expect((await served.call('GET', '/consumers')).body).toEqual([]);
  });

  test('a poll whose client has gone is over: from then on the member is silent', async () => {
    const leave = new AbortController();
    const body = JSON.stringify({ topic: 'plain', timeout: longMs });
    const waiting = fetch(`${served.url}/consume/group/one`, { method: 'POST', body, headers: { ...earliest, authorization: basic(admin) }, signal: leave.signal });
    await served.clock.untilAfter(longMs);
    leave.abort();
    await expect(waiting).rejects.toThrow();
    await served.clock.untilAfter(120_000);
    served.clock.advance(120_000);
    expect((await served.call('GET', '/consumers')).body).toEqual([]);
  });

  test('a second poll of the same instance ends the first, and gets the records', async () => {
    const first = consume('one', { body: { topic: 'plain', timeout: longMs } });
    await served.clock.untilAfter(longMs);
    const second = consume('one', { body: { topic: 'plain', timeout: longMs + 1 } });
    expect((await first).body).toEqual([]);
    await served.clock.untilAfter(longMs + 1);
    await produceSome(1);
    expect(valuesOf((await second).body)).toEqual(['v0']);
  });

  test('listening to other topics from now on moves the partitions', async () => {
    await consume('one');
    await consume('one', { body: { topics: ['plain', 'flow-to-rest.status'], timeout: 0 } });
    expect((await served.call('GET', '/consumers')).body).toEqual([
      { name: 'group', instances: [{ name: 'one', topics: [{ topic: 'plain', partitions: [0, 1] }, { topic: 'flow-to-rest.status', partitions: [0, 1, 2, 3] }] }] },
    ]);
  });

  test.each([
    ['no topic', {}, {}],
    ['topics that are none', { topics: 'plain' }, {}],
    ['no topics', { topics: [] }, {}],
    ['an auto-commit that is neither', { topic: 'plain' }, { 'Kafka-Enable-Auto-Commit': 'perhaps' }],
    ['an interval that is no number', { topic: 'plain' }, { 'Kafka-Auto-Commit-Interval': '-5' }],
    ['an unknown reset', { topic: 'plain' }, { 'Kafka-Auto-Offset-Reset': 'middle' }],
  ])('refuses %s', async (_, body, headers) => {
    expect((await consume('one', { body, headers: headers as Record<string, string> })).status).toBe(400);
  });
});

describe('topics and offsets', () => {
  test('topics gives the partitions of each', async () => {
    const { body } = await served.call('GET', '/topics');
    expect(body).toMatchObject({ plain: 2, 'db-to-all.cpi': 4 });
  });

  test('offsets gives the earliest, the next, and the first at or after a time', async () => {
    for (const timestamp of [100, 200, 300, 400]) await served.call('POST', '/produce/plain', { body: { value: 'v', partition: 0, timestamp } });
    const at = async (time: string) => (await served.call('POST', `/offsets/${time}`, { body: { topic: 'plain', partition: 0 } })).body;
    expect(await at('earliest')).toEqual([from(0)]);
    expect(await at('latest')).toEqual([from(4)]);
    expect(await at('200')).toEqual([from(1)]);
    expect(await at('201')).toEqual([from(2)]);
    expect(await at('401')).toEqual([from(4)]);
    expect((await getWithBody(served.url, '/offsets/latest', [{ topic: 'plain', partition: 0 }, { topic: 'plain', partition: 1 }])).body).toEqual([from(4), from(0, 1)]);
    expect((await served.call('POST', '/offsets/yesterday', { body: from(0) })).status).toBe(400);
  });
});

describe('@upstash/kafka', () => {
  test('produces, consumes, commits, fetches, lists and leaves', async () => {
    const kafka = new Kafka({ url: served.url, username: admin.username, password: admin.password });
    const [producer, consumer, adminClient] = [kafka.producer(), kafka.consumer(), kafka.admin()];
    const one = await producer.produce('plain', { some: 'object' }, { key: 'k', partition: 1, headers: [{ key: 'h', value: 'x' }] });
    expect(one).toMatchObject({ topic: 'plain', partition: 1, offset: 0 });
    expect(await producer.produceMany([{ topic: 'plain', value: 'a', partition: 0 }, { topic: 'flow-to-rest.status', value: 'b', key: 'k' }])).toHaveLength(2);
    const group = { consumerGroupId: 'group', instanceId: 'one' };
    const records = await consumer.consume({ ...group, topics: ['plain'], timeout: 0, autoCommit: false, autoOffsetReset: 'earliest' });
    expect(valuesOf(records)).toEqual(['a', '{"some":"object"}']);
    await consumer.commit({ ...group, offset: [from(1)] });
    await consumer.commit({ ...group, offset: from(1, 1) });
    await consumer.commit(group);
    expect(await consumer.committed({ ...group, topicPartitions: [{ topic: 'plain', partition: 0 }, { topic: 'plain', partition: 1 }] })).toEqual([from(1), from(1, 1)]);
    expect(await adminClient.committedOffsets({ ...group, topicPartition: { topic: 'plain', partition: 0 } })).toEqual([from(1)]);
    expect(valuesOf(await consumer.fetch({ ...from(0), topicPartitionOffsets: [from(0, 1)], timeout: 0 }))).toEqual(['{"some":"object"}', 'a']);
    expect(valuesOf(await consumer.fetch({ topicPartitionOffsets: [from(0), from(0, 1)], timeout: 0 }, { parallel: false }))).toEqual(['a', '{"some":"object"}']);
    expect(await adminClient.topics()).toMatchObject({ plain: 2 });
    expect(await adminClient.topicPartitionOffsets({ ...group, timestamp: 'latest', topicPartition: { topic: 'plain', partition: 0 } })).toEqual([from(1)]);
    expect(await adminClient.consumers()).toEqual([{ name: 'group', instances: [{ name: 'one', topics: [{ topic: 'plain', partitions: [0, 1] }] }] }]);
    await adminClient.removeConsumerInstance('group', 'one');
    expect(await adminClient.consumers()).toEqual([]);
  });
});

describe('the server', () => {
  test('tells its health to anybody, and its name to nobody', async () => {
    const response = await fetch(`${served.url}/health`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'UP' }]);
    expect(response.headers.get('server')).toBe(null);
  });

  test('answers 401 with the scheme to use where the credential is missing, wrong, or no credential at all', async () => {
    for (const authorization of [undefined, basic({ username: 'admin', password: 'wrong' }), basic({ username: 'nobody', password: 'admin secret' }), 'Basic ###', 'Bearer token', 'Basic YWRtaW4=']) {
      const response = await fetch(`${served.url}/topics`, authorization === undefined ? {} : { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toMatch(/^Basic/);
      expect(await response.json()).toEqual({ error: 'unknown user name or password', status: 401 });
    }
  });

  test('refuses a body beyond its bound, whether the length is told or not', async () => {
    await served.close();
    served = await startServed({ bodyBytesMax: 10_000 });
    const large = JSON.stringify({ value: 'x'.repeat(200_000) });
    expect((await served.call('POST', '/produce/plain', { body: large })).status).toBe(413);
    const streamed = await fetch(`${served.url}/produce/plain`, { method: 'POST', body: new Blob([large]).stream(), duplex: 'half', headers: { authorization: basic(admin) } } as RequestInit);
    expect(streamed.status).toBe(413);
    expect((await served.call('POST', '/produce/plain', { body: { value: 'fits' } })).status).toBe(200);
  });

  test('ends polls and closes when it is told to', async () => {
    const waiting = served.call('POST', '/fetch', { body: { ...from(0), timeout: longMs } });
    await served.clock.untilAfter(longMs);
    await served.close();
    expect((await waiting).body).toEqual([]);
    served = await startServed();
  });

  test('is a Hono app, too, with the same answers', async () => {
    const app = createBusApp({ broker: served.broker, access: createBusAccess({ credentials: [admin] }), log: silentLog, bodyBytesMax: 1_000 });
    const call = (method: string, path: string, body?: unknown) => app.request(path, { method, headers: { authorization: basic(admin) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    expect(await (await call('POST', '/produce/plain', { value: 'v', partition: 0 })).json()).toMatchObject([{ offset: 0 }]);
    expect(await (await call('GET', '/consume/group/one/plain?timeout=0')).json()).toEqual([]);
    expect(await (await call('POST', '/fetch', from(0))).json()).toMatchObject([{ value: 'v' }]);
    expect((await call('GET', '/nowhere')).status).toBe(404);
    expect((await app.request('/topics')).status).toBe(401);
    expect((await call('POST', '/produce/plain', { value: 'x'.repeat(2_000) })).status).toBe(413);
  });
});
