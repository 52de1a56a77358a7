/** What the bus over HTTP does when the network or the broker fails it. What it does else, the contract says. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Bus, Consumer } from '../../src/bus/bus.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createHttpExchange } from '../../src/host/http-exchange.ts';
import { silentLog } from '../../src/observability/log.ts';
import { startFaultyProxy } from './faulty-proxy.ts';
import type { Fault, FaultyProxy } from './faulty-proxy.ts';
import { admin, flow, startServed } from './http-served.ts';
import type { Served } from './http-served.ts';

let served: Served;
let proxy: FaultyProxy;
let bus: Bus;
beforeEach(async () => {
  served = await startServed();
  proxy = await startFaultyProxy(served.url);
  // As processes on Node speak; those at the edge have `fetch`, below.
  bus = createHttpBus({ ...admin, url: proxy.url, log: silentLog, exchange: createHttpExchange() });
});
afterEach(async () => {
  await bus.close();
  await proxy.close();
  await served.close();
});

const topic = 'plain';
const record = (value: string, key = 'k') => ({ topic, key, value });
const stored = async (): Promise<string[]> => (await served.broker.connect().follow({ topics: [topic], from: 'earliest' }).drain()).map(({ value }) => value);
/** The fault befalls the first so many requests to paths that begin so. */
const failFirst = (count: number, path: string, fault: Fault): void => {
  let left = count;
  proxy.fault = (requested) => (requested.startsWith(path) && left-- > 0 ? fault : 'none');
};

describe('publishing', () => {
  test('gathers what comes while a request is under way, and keeps every caller’s order', async () => {
    const values = Array.from({ length: 200 }, (_, i) => `v${i}`);
    const positions = await Promise.all(values.map((value) => bus.publish([record(value)])));
    expect(positions.flat().map(({ offset }) => offset)).toEqual(values.map((_, i) => i));
    expect(await stored()).toEqual(values);
    expect(proxy.paths.length).toBeLessThan(5);
  });

  test('sends each call by itself where the runtime wants that, with the same promises', async () => {
    const edge = createHttpBus({ ...admin, url: proxy.url, log: silentLog, gathersPublishes: false });
    failFirst(1, '/produce', 'lose answer');
    const large = Array.from({ length: 5 }, (_, i) => record(`${i} ${'x'.repeat(900_000)}`, 'one key'));
    const [positions] = await Promise.all([edge.publish(large), edge.publish([{ ...record('a'), partition: 1 }]), edge.publish([{ ...record('b'), partition: 1 }])]);
    expect(positions.map(({ offset }) => offset)).toEqual(positions.map((_, i) => positions[0]!.offset + i));
    const kept = (await stored()).map((value) => value.split(' ')[0]);
    expect(kept.filter((value) => !'ab'.includes(value!))).toEqual(['0', '1', '2', '3', '4']);
    expect(kept).toHaveLength(7);
    await edge.close();
  });

  test.each(['lose request', 'lose answer'] as const)('survives a network that did %s, and writes each record once', async (fault) => {
    failFirst(2, '/produce', fault);
    const [position] = await bus.publish([record('a')]);
    expect(position).toMatchObject({ topic, offset: 0 });
    await bus.publish([record('b')]);
    expect(await stored()).toEqual(['a', 'b']);
  });

  test('gives up within bounds, with the code on which callers try again', async () => {
    failFirst(100, '/produce', 'lose request');
    await expect(bus.publish([record('a')])).rejects.toMatchObject({ code: 'BUS_UNREACHABLE', message: expect.stringContaining(proxy.url) });
    expect(proxy.paths).toHaveLength(3);
    proxy.fault = () => 'none';
    await bus.publish([record('b')]);
    expect(await stored()).toEqual(['b']);
  });

  test('does not let one caller’s refusal fail the others', async () => {
    const outcomes = await Promise.allSettled([
      bus.publish([record('a')]),
      bus.publish([{ topic: 'nowhere', key: 'k', value: 'bad' }]),
      bus.publish([record('b')]),
      bus.publish([{ ...record('bad'), partition: 99 }]),
      bus.publish([record('c')]),
    ]);
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'done' : outcome.reason.code))).toEqual(['done', 'BUS_UNKNOWN_TOPIC', 'done', 'BUS_REFUSED', 'done']);
    expect(await stored()).toEqual(['a', 'b', 'c']);
  });

  test('tells a wrong credential and a forbidden topic at once, without trying again', async () => {
    const stranger = createHttpBus({ ...admin, password: 'wrong', url: proxy.url, log: silentLog });
    await expect(stranger.publish([record('a')])).rejects.toMatchObject({ code: 'BUS_REFUSED', message: expect.stringContaining('unknown user name or password') });
    const room = createHttpBus({ ...flow, url: proxy.url, log: silentLog });
    await expect(room.publish([{ topic: 'db-to-all.cpi', key: 'k', value: 'v' }])).rejects.toMatchObject({ code: 'BUS_REFUSED', message: expect.stringContaining('db-to-all.cpi') });
    await expect(stranger.follow({ topics: [topic], from: 'latest' }).ready).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    expect(proxy.paths).toEqual(['/produce', '/produce', '/topics']);
    await Promise.all([stranger.close(), room.close()]);
  });
});

describe('consuming', () => {
  const consume = (group = 'flow/é 1') => bus.consume({ group, instance: 'a/b c', topics: [topic] });

  test('gives again what an answer held that was lost, before anything behind it', async () => {
    const consumer = consume();
    await bus.publish(Array.from({ length: 10 }, (_, i) => ({ ...record(`v${i}`), partition: 0 })));
    const first = await consumer.poll({ recordsMax: 3, timeoutMs: 0 });
    await consumer.commit([{ topic, partition: 0, offset: 2 }]);
    failFirst(1, '/consume', 'lose answer');
    await expect(consumer.poll({ recordsMax: 3, timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_UNREACHABLE' });
    expect(first.map(({ offset }) => offset)).toEqual([0, 1, 2]);
    expect((await consumer.poll({ recordsMax: 100, timeoutMs: 0 })).map(({ offset }) => offset)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('ends a poll at the broker when its caller gives up, so that the next one need not wait for it', async () => {
    const consumer = consume();
    const giveUp = new AbortController();
    const polling = consumer.poll({ recordsMax: 1, timeoutMs: 50_000, signal: giveUp.signal });
    await served.clock.untilAfter(50_000);
    giveUp.abort();
    expect(await polling).toEqual([]);
    expect(await consumer.poll({ recordsMax: 1, timeoutMs: 0 })).toEqual([]);
    expect(proxy.paths.filter((path) => path.startsWith('/cancel'))).toHaveLength(1);
  });

  test('keeps what a poll brings after its caller gave up', async () => {
    const consumer = consume();
    const giveUp = new AbortController();
    const polling = consumer.poll({ recordsMax: 1, timeoutMs: 50_000, signal: giveUp.signal });
    await served.clock.untilAfter(50_000);
    failFirst(1, '/cancel', 'lose request');
    giveUp.abort();
    expect(await polling).toEqual([]);
    await bus.publish([record('v')]);
    expect((await consumer.poll({ recordsMax: 1, timeoutMs: 0 })).map(({ value }) => value)).toEqual(['v']);
  });

  test('names groups and instances as they are, whatever they hold', async () => {
    await bus.publish([record('v')]);
    await consume().poll({ recordsMax: 1, timeoutMs: 0 });
    expect(served.broker.groups()).toMatchObject([{ name: 'flow/é 1', instances: [{ name: 'a/b c' }] }]);
  });

  test('commits again where the answer was lost', async () => {
    const consumer = consume();
    await bus.publish([{ ...record('v'), partition: 0 }]);
    await consumer.poll({ recordsMax: 1, timeoutMs: 0 });
    failFirst(1, '/commit', 'lose answer');
    await consumer.commit([{ topic, partition: 0, offset: 1 }]);
    expect(served.broker.committed('flow/é 1', [{ topic, partition: 0 }])).toEqual([{ topic, partition: 0, offset: 1 }]);
  });

  test('commits under the life that polled, also after a failed poll', async () => {
    const consumer = consume();
    await bus.publish([{ ...record('v'), partition: 0 }]);
    await consumer.poll({ recordsMax: 1, timeoutMs: 0 });
    failFirst(1, '/consume', 'lose request');
    await expect(consumer.poll({ recordsMax: 1, timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_UNREACHABLE' });
    await consumer.commit([{ topic, partition: 0, offset: 1 }]);
    expect(await consumer.poll({ recordsMax: 1, timeoutMs: 0 })).toEqual([]);
  });

  test('leaves its group when it closes', async () => {
    const consumer = consume();
    await consumer.poll({ recordsMax: 1, timeoutMs: 0 });
    await consumer.close();
    expect(served.broker.groups()).toEqual([]);
  });
});

describe('following', () => {
  test('gives each record once, though answers are lost', async () => {
    const follower = bus.follow({ topics: [topic], from: 'earliest' });
    await bus.publish([record('a')]);
    failFirst(1, '/fetch', 'lose answer');
    await expect(follower.poll({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_UNREACHABLE' });
    expect((await follower.poll({ timeoutMs: 0 })).map(({ value }) => value)).toEqual(['a']);
    expect(await follower.poll({ timeoutMs: 0 })).toEqual([]);
  });

  test('gives a record once where a poll and a drain both brought it', async () => {
    const follower = bus.follow({ topics: [topic], from: 'earliest' });
    await bus.publish([record('a')]);
    failFirst(1, '/fetch', 'hold answer');
    const polling = follower.poll({ timeoutMs: 0 });
    await proxy.held();
    expect((await follower.drain()).map(({ value }) => value)).toEqual(['a']);
    proxy.release();
    expect(await polling).toEqual([]);
  });

  test('waits for a broker that is not there yet', async () => {
    failFirst(4, '/topics', 'lose request');
    const follower = bus.follow({ topics: [topic], from: 'latest' });
    await follower.ready;
    await bus.publish([record('a')]);
    expect((await follower.poll({ timeoutMs: 10_000 })).map(({ value }) => value)).toEqual(['a']);
  });

  test('says which topic there is not', async () => {
    const follower = bus.follow({ topics: ['nowhere'], from: 'latest' });
    await expect(follower.ready).rejects.toMatchObject({ code: 'BUS_UNKNOWN_TOPIC', message: expect.stringContaining('nowhere') });
    await expect(follower.poll({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_UNKNOWN_TOPIC' });
    await expect(bus.follow({ topics: [topic], from: 'earliest', partition: 2 }).ready).rejects.toMatchObject({ code: 'BUS_REFUSED' });
  });
});

test('closes at once though the broker is gone', async () => {
  const consumer = bus.consume({ group: 'g', instance: 'i', topics: [topic] });
  const polling = consumer.poll({ recordsMax: 1, timeoutMs: 50_000 }).catch((error: unknown) => error);
  await served.clock.untilAfter(50_000);
  proxy.fault = () => 'lose request';
  await bus.close();
  expect(await polling).toEqual([]);
});

test('a consumer whose batch takes long keeps its partitions, by saying that it lives; one that is stuck loses them', async () => {
  const beating = createHttpBus({ ...admin, url: proxy.url, clock: served.clock, sessionTimeoutMs: 3_000, log: silentLog });
  const [slow, other] = ['slow', 'other'].map((instance) => beating.consume({ group: 'g', instance, topics: [topic] })) as [Consumer, Consumer];
  const beats = (): number => proxy.paths.filter((path) => path.startsWith('/commit/g/slow')).length;
  await bus.publish([{ ...record('a'), partition: 0 }]);
  expect(await slow.poll({ recordsMax: 1, timeoutMs: 0 })).toHaveLength(1);
  for (let second = 1; second <= 6; second++) {
    served.clock.advance(1_000);
    await vi.waitFor(() => expect(beats()).toBe(second));
    await served.clock.untilAfter(1_000);
  }
  expect(served.lines).toEqual([]);
  // Beyond what a batch may take nothing is said for it any more.
  served.clock.advance(60_000);
  await vi.waitFor(() => expect(served.lines.join()).toMatch(/session_expired.*slow/));
  expect((await other.poll({ recordsMax: 1, timeoutMs: 0 })).map(({ value }) => value)).toEqual(['a']);
  await beating.close();
});
