import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bus } from '../../src/bus/bus.ts';
import { listen } from '../../src/host/http-server.ts';
import { encode } from '../../src/messages/grammar/envelope.ts';
import { gatewayToLinkManagerLinkIn } from '../../src/messages/gateway-to-link-manager.link-in.ts';
import { linkManagerToGatewayLinkOut } from '../../src/messages/link-manager-to-gateway.link-out.ts';
import { groupId, makeTlsKey, readWire, tagOf } from '../workers/gateway/gateway-fixture.ts';
import { publishFacts } from '../workers/rest/rest-under-test.ts';
import { openRooms, type Rooms } from '../workers/rest/rooms.ts';
import { describeRoutes, describeSocketFeed } from '../workers/rest/route-suite.ts';
import { describeTokens } from '../workers/rest/token-suite.ts';
import { openSite, packForCloudflare, startOnDeno, startOnWorkerd, type Running, type Site } from './edge-fixture.ts';

const runtimes = [
  { runtime: 'Deno', start: startOnDeno },
  { runtime: 'workerd', start: startOnWorkerd },
] as const;

const postPackets = (url: string, packets: readonly { tag: string; packet: string; unauthenticated?: true }[]): Promise<Response> =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ v: 1, packets }) });

describe.each(runtimes)('the gateway on $runtime', ({ start }) => {
  let site: Site;
  let gateway: Running;
  beforeAll(async () => {
    site = await openSite();
    gateway = await start('gateway', site.environmentFor('gateway'));
  });
  afterAll(async () => {
    await gateway?.close();
    await site?.close();
  });

  test('puts packets on the bus before it answers 200', async () => {
    const packets = Array.from({ length: 20 }, (_, i) => ({ tag: tagOf('e'), packet: `packet ${i}` }));
    expect((await postPackets(gateway.url, packets)).status).toBe(200);
    const found = await readWire(site.broker, gatewayToLinkManagerLinkIn, 20);
    expect(found.map(({ body }) => body)).toEqual(packets);
  });

  test('serves requests at the same time', async () => {
    const before = (await readWire(site.broker, gatewayToLinkManagerLinkIn, 1_000, 300)).length;
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => postPackets(gateway.url, [{ tag: tagOf('f'), packet: `at once ${i}` }])));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(await readWire(site.broker, gatewayToLinkManagerLinkIn, before + 30)).toHaveLength(before + 30);
  });

  test('takes so many packets of no session from one address in a minute, and those of sessions all the same', async () => {
    const strangers = Array.from({ length: 100 }, (_, i) => ({ tag: tagOf('s'), packet: `stranger ${i}`, unauthenticated: true as const }));
    for (let n = 0; n < 3; n++) expect((await postPackets(gateway.url, strangers)).status).toBe(200);
    expect((await postPackets(gateway.url, [{ tag: tagOf('t'), packet: 'of a session' }])).status).toBe(200);
    const taken = (await readWire(site.broker, gatewayToLinkManagerLinkIn, 1_000, 300)).map(({ body }) => body.tag);
    expect(taken.filter((tag) => tag === tagOf('t'))).toHaveLength(1);
    // A minute may end between two requests.
    expect([120, 220, 240]).toContain(taken.filter((tag) => tag === tagOf('s')).length);
  });

  test('refuses what it must with the same codes as on Node', async () => {
    expect((await fetch(`${gateway.url}/elsewhere`, { method: 'POST', body: 'x' })).status).toBe(404);
    expect((await fetch(gateway.url)).status).toBe(501);
    expect((await fetch(gateway.url, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } })).status).toBe(415);
    expect((await postPackets(gateway.url, [])).status).toBe(400);
  });
});

describe('the gateway', () => {
  test('on Deno sends packets out over TLS where it is told to, to whom Deno trusts', async () => {
    const site = await openSite();
    const directory = await mkdtemp(join(tmpdir(), 'cordage-deno-'));
    const tls = await makeTlsKey();
    await writeFile(join(directory, 'roots.pem'), tls.certificateChainPem);
    let arrive = (_packets: unknown): void => {};
    const arrived = new Promise<unknown>((resolve) => { arrive = resolve; });
    const peer = await listen({ hostname: '127.0.0.1', port: 0, tls: [tls], fetch: async (request) => (arrive(await request.json()), Response.json({})) });
    const bus = site.broker.connect();
    await bus.publish([encode(linkManagerToGatewayLinkOut, { key: tagOf('g'), id: 'one', body: { address: `https://localhost:${peer.port}`, groupId, tag: tagOf('g'), packet: 'p' } })]);
    const sender = await startOnDeno('gateway', { ...site.environmentFor('gateway'), CORDAGE_GATEWAY_OUTBOUND: 'pull', DENO_CERT: join(directory, 'roots.pem') });
    expect(await arrived).toEqual({ v: 1, packets: [{ tag: tagOf('g'), packet: 'p' }] });
    await sender.close();
    await peer.close();
    await bus.close();
    await site.close();
    await rm(directory, { recursive: true });
  });

  test('without a bus to speak to asks its peers to come back', async () => {
    const site = await openSite();
    const gateway = await startOnWorkerd('gateway', { ...site.environmentFor('gateway'), CORDAGE_BUS_URL: 'http://127.0.0.1:9' });
    const answer = await postPackets(gateway.url, [{ tag: tagOf('h'), packet: 'p' }]);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    await gateway.close();
    await site.close();
  });
});

describe.each(runtimes)('the REST API on $runtime', ({ runtime, start }) => {
  let site: Site;
  let bus: Bus;
  let rooms: Rooms;
  let rest: Running;
  beforeAll(async () => {
    site = await openSite();
    bus = site.broker.connect();
    await publishFacts(bus);
    rooms = openRooms(bus);
    rest = await start('rest', site.environmentFor('rest'));
  });
  afterAll(async () => {
    await rest?.close();
    await rooms?.close();
    await bus?.close();
    await site?.close();
  });

  const served = () => ({ url: rest.url, rooms });
  describeRoutes(runtime, served);
  describeTokens(runtime, () => ({ url: rest.url, bus }));
  if (runtime === 'Deno') describeSocketFeed(runtime, served);
});

describe('what Cloudflare is sent', () => {
  test.each(['gateway', 'rest'] as const)('the %s worker, as wrangler packs it, stays under 200 KiB gzip', async (entry) => {
    const { gzipKiB } = await packForCloudflare(entry);
    console.log(`${entry} worker: ${gzipKiB} KiB gzip`);
    expect(gzipKiB).toBeGreaterThan(10);
    expect(gzipKiB).toBeLessThan(200);
  });
});
