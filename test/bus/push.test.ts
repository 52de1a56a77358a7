import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { pushSignatureHeader, readPush, writePush } from '../../src/bus/push/push.ts';
import { startPusher, type Pusher, type PusherOptions } from '../../src/bus/push/pusher.ts';
import { systemClock } from '../../src/host/clock.ts';
import { createHttpClient } from '../../src/host/http-client.ts';
import { listen, type Listener } from '../../src/host/http-server.ts';
import type { InRecord } from '../../src/messages/grammar/record.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

const secret = 'a secret that both sides hold';
const topic = 'pushed';
const now = Date.UTC(2026, 0, 1);
const record = (offset: number, value = `value ${offset}`): InRecord => ({ topic, partition: 0, offset, timestamp: now, key: 'key', value });

describe('a push', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.string({ unit: 'binary' }), value: fc.string({ unit: 'binary' }) }), { maxLength: 20 }), (given) => {
        const records = given.map(({ key, value }, offset) => ({ ...record(offset, value), key }));
        const { body, signature } = writePush(records, { secret, now });
        expect(readPush(body, signature, { secret, now })).toEqual({ type: 'records', records: JSON.parse(JSON.stringify(records)) });
      }),
    );
  });

  test('is believed only with the secret, for this body and within five minutes', () => {
    const { body, signature } = writePush([record(1)], { secret, now });
    const read = (given: string, header: string | null, key = secret, at = now): string => readPush(given, header, { secret: key, now: at }).type;
    expect(read(body, signature, secret, now + 300_000)).toBe('records');
    expect(read(body, signature, secret, now + 300_001)).toBe('unsigned');
    expect(read(body, signature, secret, now - 300_001)).toBe('unsigned');
    expect(read(body, signature, 'another secret')).toBe('unsigned');
    expect(read(body.replace('value 1', 'value 2'), signature)).toBe('unsigned');
    expect(read(body, signature.replace(`t=${now}`, `t=${now + 1}`))).toBe('unsigned');
    for (const header of [null, '', 'v1=x', `t=${now}`, `t=${now},v1=${'A'.repeat(42)}`, `t=${now},v1=${'A'.repeat(43)}`, `${signature} `]) expect(read(body, header), String(header)).toBe('unsigned');
  });

  test('that is signed and no push is malformed', () => {
    const sign = (body: unknown): string => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const { signature } = writePush([], { secret, now });
      expect(signature).toContain(`t=${now}`);
      return text;
    };
    for (const body of ['', 'nonsense', { v: 2, records: [] }, { v: 1, records: [{}] }, { v: 1, records: Array.from({ length: 501 }, (_, i) => record(i)) }]) {
      const text = sign(body);
      // What is signed is any text: the signer's own form is not the only one.
      const signature = signatureOf(text);
      expect(readPush(text, signature, { secret, now }).type).toBe('malformed');
    }
  });
});

/** The signature over any text, by the definition in push.ts. */
const signatureOf = (text: string): string => {
  const body = JSON.parse(writePush([], { secret, now }).body) as object;
  expect(body).toEqual({ v: 1, records: [] });
  return `t=${now},v1=${createHmac('sha256', secret).update(`${now}.${text}`).digest('base64url')}`;
};

describe('the pusher', () => {
  let broker: EmbeddedBroker;
  const closing: (() => Promise<unknown>)[] = [];
  beforeEach(async () => {
    broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: [{ topic, partitions: 2, retention: 'log' }], clock: systemClock, log: silentLog });
  });
  afterEach(async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
    await broker.close();
  });

  const start = (url: string, options: Partial<PusherOptions> = {}): Pusher => {
    const pusher = startPusher({
      bus: broker.connect(), subscription: { group: 'group', topics: [topic], url, secret }, instance: 'one',
      httpClient: createHttpClient(), clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { retryMsMin: 1, retryMsMax: 5 }, ...options,
    });
    closing.push(() => pusher.close());
    return pusher;
  };
  const publish = async (from: number, to: number): Promise<void> => {
    const bus = broker.connect();
    await bus.publish(Array.from({ length: to - from }, (_, i) => ({ topic, key: `k${(from + i) % 5}`, value: JSON.stringify(from + i) })));
    await bus.close();
  };

  /** A worker that takes pushes, as long as `refuse` lets it; resolves `all` when it has that many values. */
  const serveWorker = async (count: number, refuse: (request: number) => number | undefined = () => undefined) => {
    const values: number[] = [];
    const orders = new Map<string, number[]>();
    let requests = 0;
    const done = Promise.withResolvers<void>();
    const listener: Listener = await listen({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request) => {
        const pushed = readPush(await request.text(), request.headers.get(pushSignatureHeader), { secret, now: Date.now() });
        if (pushed.type !== 'records') return new Response(pushed.reason, { status: 401 });
        const status = refuse(requests++);
        if (status !== undefined) return new Response('', { status });
        for (const { key, value } of pushed.records) {
          values.push(Number(value));
          orders.set(key, [...(orders.get(key) ?? []), Number(value)]);
        }
        if (values.length >= count) done.resolve();
        return Response.json({});
      },
    });
    closing.push(() => listener.close());
    return { url: `${listener.url}/push`, values, orders, all: done.promise };
  };

  test('hands over every record once while nothing fails, in order of each key', async () => {
    const worker = await serveWorker(2_000);
    await publish(0, 1_000);
    start(worker.url);
    await publish(1_000, 2_000);
    await worker.all;
    expect(worker.values.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
    for (const order of worker.orders.values()) expect(order).toEqual(order.toSorted((one, other) => one - other));
  });

  test('pushes a batch again until it is taken, whatever the worker answers', async () => {
    const worker = await serveWorker(100, (request) => [503, 500, 404, 302, 400][request]);
    start(worker.url);
    await publish(0, 100);
    await worker.all;
    expect(worker.values.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('what was not taken is pushed by whoever comes next, and what was taken is not pushed again', async () => {
    const first = await serveWorker(50);
    const one = start(first.url);
    await publish(0, 50);
    await first.all;
    await one.close();
    const refused = Promise.withResolvers<void>();
    const refusing = await serveWorker(1, () => (refused.resolve(), 503));
    const two = start(refusing.url);
    await publish(50, 60);
    await refused.promise;
    await two.close();
    const last = await serveWorker(10);
    start(last.url);
    await last.all;
    expect(last.values.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 10 }, (_, i) => 50 + i));
  });
});
