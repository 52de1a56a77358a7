import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { createAddressGuard, type AddressGuard } from '../../../src/host/addresses.ts';
import { createHttpClient } from '../../../src/host/http-client.ts';
import { listen, type Listener, type TlsKey } from '../../../src/host/http-server.ts';
import { gatewayToLinkManagerLinkIn } from '../../../src/messages/gateway-to-link-manager.link-in.ts';
import type { PacketRequest } from '../../../src/messages/gateway-to-gateway.packet.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics, type Metrics } from '../../../src/observability/metrics.ts';
import { createGatewayWorker, type GatewayWorker } from '../../../src/workers/gateway/worker.ts';
import { groupView, linkOut, makeTlsKey, openBroker, readWire, tagOf } from './gateway-fixture.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
});
const keep = <Closed extends { close(): Promise<unknown> }>(one: Closed): Closed => {
  closing.push(() => one.close());
  return one;
};

const key = await makeTlsKey();
const otherKey = await makeTlsKey();

type Fetch = (request: Request) => Response | Promise<Response>;
const serve = async (fetch: Fetch, tls: TlsKey = key): Promise<Listener> => keep(await listen({ fetch, hostname: '127.0.0.1', port: 0, tls: [tls], limits: { closeMsMax: 100 } }));

const sender = (options: { roots?: readonly string[]; metrics?: Metrics; limits?: object; allowHttp?: boolean; addresses?: AddressGuard } = {}): GatewayWorker & { send(address: string, ...packets: string[]): Promise<void> } => {
  const { roots = [key.certificateChainPem], metrics = createMetrics(), limits = {}, allowHttp = false, addresses } = options;
  const worker = keep(createGatewayWorker({
    bus: { publish: async () => [] }, clock: systemClock, log: silentLog, metrics, limits: { closeMsMax: 100, ...limits },
    outbound: { httpClient: createHttpClient(addresses === undefined ? {} : { addresses }), trust: groupView(roots), allowHttp },
  }));
  return { ...worker, send: async (address, ...packets) => worker.pumps![0]!.pump(packets.map((packet) => linkOut(address, tagOf('a'), packet))) };
};

/** Resolves when the condition holds; looked at whenever something was heard. */
const createSignal = () => {
  const waiting: (() => void)[] = [];
  return {
    notify: () => {
      for (const wake of waiting.splice(0)) wake();
    },
    until: async (holds: () => boolean): Promise<void> => {
      while (!holds()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
};

describe('packets for other clusters', () => {
  test('cross from one gateway to the bus of the other over TLS 1.3, in order and batched', async () => {
    const broker = await openBroker();
    closing.push(() => broker.close());
    const receiver = keep(createGatewayWorker({ bus: broker.connect(), clock: systemClock, log: silentLog, metrics: createMetrics() }));
    const listener = await serve((request) => receiver.fetch(request));
    const metrics = createMetrics();
    const { send, close } = sender({ metrics });
    const packets = Array.from({ length: 1_200 }, (_, i) => `packet ${i}`);
    await send(`https://localhost:${listener.port}`, ...packets);
    const found = await readWire(broker, gatewayToLinkManagerLinkIn, 1_200);
    expect(found.map(({ body }) => body.packet)).toEqual(packets);
    await close();
    // 500 packets to a request at most.
    expect(metrics.text()).toContain('cordage_gateway_request_packets_count 3');
    expect(metrics.text()).toContain('cordage_gateway_packets_out_total 1200');
  });

  test('what gathers while a request is under way rides in the next one', async () => {
    const signal = createSignal();
    const batches: number[] = [];
    let answer = (): void => {};
    const listener = await serve(async (request) => {
      batches.push(((await request.json()) as PacketRequest).packets.length);
      signal.notify();
      await new Promise<void>((resolve) => { answer = resolve; });
      return Response.json({});
    });
    const { send } = sender();
    const address = `https://localhost:${listener.port}`;
    await send(address, 'first');
    await signal.until(() => batches.length === 1);
    for (let i = 0; i < 20; i++) await send(address, `more ${i}`);
    answer();
    await signal.until(() => batches.length === 2);
    answer();
    expect(batches).toEqual([1, 20]);
  });

  test('a destination that never answers delays no other, and the pump itself never waits', async () => {
    const silent = await serve(() => new Promise<Response>(() => {}));
    const signal = createSignal();
    let arrived = 0;
    const lively = await serve(async (request) => {
      arrived += ((await request.json()) as PacketRequest).packets.length;
      signal.notify();
      return Response.json({});
    });
    const { send } = sender();
    for (let i = 0; i < 50; i++) {
      await send(`https://localhost:${silent.port}`, `to the silent ${i}`);
      await send(`https://localhost:${lively.port}`, `to the lively ${i}`);
    }
    await signal.until(() => arrived === 50);
  });

  test('a server whose certificate does not chain to the roots of the group is given nothing', async () => {
    let asked = 0;
    const listener = await serve(() => (asked++, Response.json({})), otherKey);
    const metrics = createMetrics();
    const { send, close } = sender({ metrics });
    await send(`https://localhost:${listener.port}`, 'secret');
    await close();
    expect(asked).toBe(0);
    expect(metrics.text()).toMatch(/packets_dropped_total\{reason="(unreachable|closing)"\} 1/);
  });

  test('a server whose certificate is for another name is given nothing', async () => {
    const elsewhere = await makeTlsKey(['elsewhere.example']);
    let asked = 0;
    const listener = await serve(() => (asked++, Response.json({})), elsewhere);
    const { send, close } = sender({ roots: [elsewhere.certificateChainPem] });
    await send(`https://localhost:${listener.port}`, 'secret');
    await close();
    expect(asked).toBe(0);
  });

  test('addresses without TLS, with credentials, and groups without roots are refused', async () => {
    const metrics = createMetrics();
    const { send, close } = sender({ metrics, roots: [] });
    await send('http://localhost:1', 'p');
    await send('https://user:password@localhost:1', 'p');
    await send('file:///etc/passwd', 'p');
    await send('https://localhost:1', 'p');
    await close();
    expect(metrics.text()).toContain('packets_dropped_total{reason="address"} 3');
    expect(metrics.text()).toContain('packets_dropped_total{reason="no-trust-roots"} 1');
  });

  test('a batch is tried twice where the peer fails and once where it refuses, then dropped, and what follows still goes', async () => {
    const signal = createSignal();
    const statuses = [500, 502, 400, 200, 200];
    const seen: string[] = [];
    const listener = await serve(async (request) => {
      seen.push(((await request.json()) as PacketRequest).packets.map(({ packet }) => packet).join());
      signal.notify();
      return Response.json({}, { status: statuses.shift() ?? 200 });
    });
    const metrics = createMetrics();
    const { send } = sender({ metrics, limits: { failurePauseMsMin: 1, failurePauseMsMax: 2 } });
    const address = `https://localhost:${listener.port}`;
    await send(address, 'fails');
    await signal.until(() => seen.length === 2);
    await send(address, 'refused');
    await signal.until(() => seen.length === 3);
    await send(address, 'taken');
    await signal.until(() => seen.length === 4);
    expect(seen).toEqual(['fails', 'fails', 'refused', 'taken']);
    expect(metrics.text()).toContain('packets_dropped_total{reason="unreachable"} 1');
    expect(metrics.text()).toContain('packets_dropped_total{reason="refused"} 1');
  });

  test('a full queue drops what comes last and counts it', async () => {
    const listener = await serve(() => new Promise<Response>(() => {}));
    const metrics = createMetrics();
    const { send } = sender({ metrics, limits: { destinationPacketsMax: 10 } });
    for (let i = 0; i < 30; i++) await send(`https://localhost:${listener.port}`, `p${i}`);
    const dropped = Number(/reason="queue-full"\} (\d+)/.exec(metrics.text())?.[1]);
    expect(dropped).toBeGreaterThanOrEqual(10);
    expect(dropped).toBeLessThanOrEqual(20);
  });

  test('a destination that comes up later gets what is sent then', async () => {
    const first = await serve(() => Response.json({}));
    const { port } = first;
    await first.close();
    const metrics = createMetrics();
    const { send } = sender({ metrics, limits: { failurePauseMsMin: 1, failurePauseMsMax: 10 } });
    await send(`https://localhost:${port}`, 'in vain');
    const signal = createSignal();
    const seen: string[] = [];
    const again = keep(await listen({ hostname: '127.0.0.1', port, tls: [key], fetch: async (request) => {
      seen.push(...((await request.json()) as PacketRequest).packets.map(({ packet }) => packet));
      signal.notify();
      return Response.json({});
    } }));
    await send(`https://localhost:${again.port}`, 'at last');
    await signal.until(() => seen.includes('at last'));
  });

  test('to an address inside a network that is not open are dropped and counted, and no connection is tried', async () => {
    let requests = 0;
    const listener = await serve(() => (requests++, Response.json({})));
    const metrics = createMetrics();
    const { send, close } = sender({ metrics, addresses: createAddressGuard() });
    await send(`https://127.0.0.1:${listener.port}`, 'one', 'two');
    await close();
    expect(metrics.text()).toContain('cordage_gateway_packets_dropped_total{reason="address"} 2');
    expect(requests).toBe(0);
  });
});
