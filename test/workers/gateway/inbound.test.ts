import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BusError, type Bus } from '../../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { gatewayToLinkManagerLinkIn } from '../../../src/messages/gateway-to-link-manager.link-in.ts';
import { packetRequestBytesMax } from '../../../src/messages/gateway-to-gateway.packet.ts';
import { createLog, silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createGatewayWorker } from '../../../src/workers/gateway/worker.ts';
import { openBroker, readWire, tagOf } from './gateway-fixture.ts';

const gatewayOn = (bus: Pick<Bus, 'publish'>, metrics = createMetrics(), limits = {}) =>
  createGatewayWorker({ bus, clock: systemClock, log: silentLog, metrics, limits });
const headersFor = (body: string): Record<string, string> => ({ 'content-type': 'application/json', 'content-length': String(new TextEncoder().encode(body).length) });
const post = (body: string, headers: Record<string, string> = headersFor(body)): Request => new Request('https://gateway.example/', { method: 'POST', body, headers });
const batchOf = (packets: readonly { tag: string; packet: string }[]): string => JSON.stringify({ v: 1, packets });

describe('packets that come from other clusters', () => {
  let broker: EmbeddedBroker;
  beforeAll(async () => {
    broker = await openBroker();
  });
  afterAll(() => broker.close());

  test('are on the bus, keyed by their tag and in order, when the answer is 200', async () => {
    const gateway = gatewayOn(broker.connect());
    const packets = Array.from({ length: 50 }, (_, i) => ({ tag: tagOf(i % 2 === 0 ? 'a' : 'b'), packet: `packet ${i}` }));
    const response = await gateway.fetch(post(batchOf(packets)));
    expect(response.status).toBe(200);
    const found = await readWire(broker, gatewayToLinkManagerLinkIn, 50);
    for (const letter of ['a', 'b']) {
      const own = found.filter(({ key }) => key === tagOf(letter)).map(({ body }) => body);
      expect(own).toEqual(packets.filter(({ tag }) => tag === tagOf(letter)));
    }
  });

  test('are refused with the code that says what to change, and nothing is published', async () => {
    const published: unknown[] = [];
    const metrics = createMetrics();
    const gateway = gatewayOn({ publish: async (records) => (published.push(...records), []) }, metrics);
    const good = batchOf([{ tag: tagOf('a'), packet: 'p' }]);
    const status = async (request: Request): Promise<number> => (await gateway.fetch(request)).status;
    expect(await status(new Request('https://gateway.example/elsewhere', { method: 'POST', body: good, headers: headersFor(good) }))).toBe(404);
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']) expect(await status(new Request('https://gateway.example/', { method })), method).toBe(501);
    expect(await status(post(good, { ...headersFor(good), 'content-type': 'text/plain' }))).toBe(415);
    expect(await status(post(good, { 'content-length': '2' }))).toBe(415);
    expect(await status(post(good, { 'content-type': 'application/json' }))).toBe(411);
    expect(await status(post(good, { ...headersFor(good), 'content-length': String(packetRequestBytesMax + 1) }))).toBe(413);
    for (const bad of ['', '{', '[]', '{"v":2,"packets":[]}', batchOf([]), batchOf([{ tag: 'short', packet: 'p' }]), batchOf([{ tag: tagOf('a'), packet: '' }]), `{"v":1,"packets":[{"tag":"${tagOf('a')}","packet":"p","more":1}]}`]) {
      expect(await status(post(bad)), bad).toBe(400);
    }
    expect(published).toEqual([]);
    expect(metrics.text()).toContain('cordage_gateway_requests_refused_total{reason="malformed"} 8');
    expect(await status(post(good, { ...headersFor(good), 'content-type': 'application/json; charset=utf-8' }))).toBe(200);
  });

  test('of no session are dropped where one address sends too many in a minute, and neither sessions nor other addresses suffer', async () => {
    const published: string[] = [];
    const metrics = createMetrics();
    const gateway = createGatewayWorker({
      bus: { publish: async (records) => (published.push(...records.map(({ value }) => (JSON.parse(value) as { body: { packet: string } }).body.packet)), []) },
      clock: systemClock, log: silentLog, metrics, limits: { strangerPacketsPerMinuteMax: 2 },
      // The address stands in the tests where the runtime would tell it.
      addressOf: (_request, env) => (env as { address: string }).address,
    });
    const send = async (address: string, names: readonly string[], unauthenticated = true): Promise<void> => {
      const body = JSON.stringify({ v: 1, packets: names.map((packet) => ({ tag: tagOf('a'), packet, ...(unauthenticated ? { unauthenticated } : {}) })) });
      expect((await gateway.fetch(post(body), { address })).status).toBe(200);
    };
    await send('1.1.1.1', ['a', 'b', 'c']);
    await send('1.1.1.1', ['session'], false);
    await send('2.2.2.2', ['d']);
    expect(published).toEqual(['a', 'b', 'session', 'd']);
    expect(metrics.text()).toContain('cordage_gateway_stranger_packets_dropped_total 1');
  });

  test('are asked to come back when the bus does not answer or too much is under way', async () => {
    const down = gatewayOn({ publish: async () => { throw new BusError('BUS_UNREACHABLE', 'no bus'); } });
    const body = batchOf([{ tag: tagOf('a'), packet: 'p' }]);
    const answer = await down.fetch(post(body));
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    let finish = (): void => {};
    const slow = gatewayOn({ publish: () => new Promise((resolve) => { finish = () => resolve([]); }) }, createMetrics(), { inboundBytesMax: body.length + 1 });
    const first = slow.fetch(post(body));
    expect((await slow.fetch(post(body))).status).toBe(503);
    finish();
    expect((await first).status).toBe(200);
    const third = slow.fetch(post(body));
    await new Promise((resolve) => setImmediate(resolve));
    finish();
    expect((await third).status).toBe(200);
  });

  test('meet 413 where a packet is too large for the bus and 500 without a reason where the bus is broken', async () => {
    const lines: string[] = [];
    const failing = (code: 'BUS_RECORD_TOO_LARGE' | 'BUS_REFUSED') =>
      createGatewayWorker({ bus: { publish: async () => { throw new BusError(code, 'secret detail'); } }, clock: systemClock, log: createLog({ level: 'warn', write: (line) => lines.push(line) }), metrics: createMetrics() });
    const body = batchOf([{ tag: tagOf('a'), packet: 'p' }]);
    expect((await failing('BUS_RECORD_TOO_LARGE').fetch(post(body))).status).toBe(413);
    const broken = await failing('BUS_REFUSED').fetch(post(body));
    expect([broken.status, await broken.text()]).toEqual([500, '{"error":"internal error"}']);
    expect(lines.join('\n')).toContain('secret detail');
  });

  test('no body whatsoever ends in anything but 200, 400 or 413', async () => {
    const gateway = gatewayOn({ publish: async () => [] });
    const tag = fc.oneof(fc.string(), fc.constant(tagOf('q')));
    const bodies = fc.oneof(
      fc.string(),
      fc.json(),
      fc.record({ v: fc.oneof(fc.constant(1), fc.jsonValue()), packets: fc.array(fc.record({ tag, packet: fc.oneof(fc.string(), fc.jsonValue()) }), { maxLength: 4 }) }).map((value) => JSON.stringify(value)),
    );
    await fc.assert(fc.asyncProperty(bodies, async (body) => {
      expect([200, 400, 413]).toContain((await gateway.fetch(post(body))).status);
    }));
  });
});
