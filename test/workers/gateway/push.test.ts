import { afterEach, describe, expect, test } from 'vitest';
import { pushSignatureHeader, writePush } from '../../../src/bus/push/push.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { createHttpClient } from '../../../src/host/http-client.ts';
import { listen } from '../../../src/host/http-server.ts';
import type { PacketRequest } from '../../../src/messages/gateway-to-gateway.packet.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { InRecord } from '../../../src/messages/grammar/record.ts';
import { linkManagerToGatewayLinkOut } from '../../../src/messages/link-manager-to-gateway.link-out.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createGatewayWorker, type GatewayWorker } from '../../../src/workers/gateway/worker.ts';
import { groupId, groupView, makeTlsKey, tagOf } from './gateway-fixture.ts';

const secret = 'a secret that both sides hold';
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
});

const key = await makeTlsKey();

/** A gateway that is pushed to, and what its peer got of it. */
const open = async (pushSecret: string | undefined = secret): Promise<{ gateway: GatewayWorker; packets: string[]; recordOf(packet: string): InRecord }> => {
  const packets: string[] = [];
  const peer = await listen({
    hostname: '127.0.0.1',
    port: 0,
    tls: [key],
    fetch: async (request) => {
      packets.push(...((await request.json()) as PacketRequest).packets.map(({ packet }) => packet));
      return Response.json({});
    },
    limits: { closeMsMax: 50 },
  });
  closing.push(() => peer.close());
  const gateway = createGatewayWorker({
    bus: { publish: async () => [] }, clock: systemClock, log: silentLog, metrics: createMetrics(),
    outbound: { httpClient: createHttpClient(), trust: groupView([key.certificateChainPem]), ...(pushSecret === undefined ? {} : { pushSecret }) },
  });
  closing.push(() => gateway.close());
  const recordOf = (packet: string): InRecord => {
    const body = { address: `https://localhost:${peer.port}`, groupId, tag: tagOf('a'), packet };
    return { ...encode(linkManagerToGatewayLinkOut, { key: tagOf('a'), id: packet, body }), partition: 0, offset: 0, timestamp: 0 };
  };
  return { gateway, packets, recordOf };
};

const push = async (gateway: GatewayWorker, records: readonly InRecord[], change: { secret?: string; path?: string; method?: string } = {}): Promise<number> => {
  const { body, signature } = writePush(records, { secret: change.secret ?? secret, now: Date.now() });
  const { path = '/push', method = 'POST' } = change;
  const response = await gateway.fetch(new Request(`https://gateway.example${path}`, { method, headers: { [pushSignatureHeader]: signature }, ...(method === 'POST' ? { body } : {}) }));
  return response.status;
};

describe('a gateway that records are pushed to', () => {
  test('sends their packets in order, and has settled when they have left', async () => {
    const { gateway, packets, recordOf } = await open();
    expect(gateway.pumps).toEqual([]);
    const names = Array.from({ length: 30 }, (_, i) => `packet ${i}`);
    expect(await push(gateway, names.map(recordOf))).toBe(200);
    await gateway.settled();
    expect(packets).toEqual(names);
  });

  test('passes over what it cannot read and sends the rest', async () => {
    const { gateway, packets, recordOf } = await open();
    const foreign = { ...recordOf('x'), topic: 'another.topic' };
    const broken = { ...recordOf('y'), value: '{' };
    expect(await push(gateway, [foreign, recordOf('one'), broken, recordOf('two')])).toBe(200);
    await gateway.settled();
    expect(packets).toEqual(['one', 'two']);
  });

  test('sends nothing that the bus has not signed', async () => {
    const { gateway, packets, recordOf } = await open();
    expect(await push(gateway, [recordOf('forged')], { secret: 'the secret of somebody else' })).toBe(401);
    expect(await push(gateway, [recordOf('asked')], { method: 'GET' })).toBe(405);
    await gateway.settled();
    expect(packets).toEqual([]);
  });

  test('is nothing but a path that is not served where no secret is set', async () => {
    const gateway = createGatewayWorker({
      bus: { publish: async () => [] }, clock: systemClock, log: silentLog, metrics: createMetrics(),
      outbound: { httpClient: createHttpClient(), trust: groupView([]) },
    });
    closing.push(() => gateway.close());
    expect(gateway.pumps).toHaveLength(1);
    expect(await push(gateway, [])).toBe(404);
  });
});
