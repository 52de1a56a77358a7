/**
 * Two clusters whose gateways run at the edge: Alice's on Deno, Bob's on workerd, each behind a platform's TLS (here: a door that ends
 * it). Packets that leave are pushed to them by the broker. Flows go both ways.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { listen, type Listener } from '../../src/host/http-server.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from '../clusters/cluster.ts';
import { runFlows } from '../clusters/flows.ts';
import { makeNetwork } from '../clusters/network.ts';
import { makeTlsKey } from '../workers/gateway/gateway-fixture.ts';
import { startOnDeno, startOnWorkerd, type Running } from './edge-fixture.ts';

const flows = 100;
const pushSecret = 'what the bus signs pushes with';

const directory = mkdtempSync(join(tmpdir(), 'cordage-edge-'));
const closing: (() => Promise<unknown>)[] = [];

type Edge = { readonly cluster: SeparateCluster; readonly certificatePem: string; upstream: string };

/** What a platform puts before a worker: it ends TLS and hands requests on. The bus pushes through the same door, without TLS. */
const openDoors = async (edge: { upstream: string }) => {
  const key = await makeTlsKey();
  const forward = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    const { method, headers } = request;
    const body = await request.arrayBuffer();
    const inner = new Headers(headers);
    // Those of the connection are the door's own.
    for (const name of ['host', 'connection', 'transfer-encoding']) inner.delete(name);
    const answer = await fetch(`${edge.upstream}${pathname}`, { method, headers: inner, body });
    return new Response(await answer.arrayBuffer(), { status: answer.status });
  };
  const outer: Listener = await listen({ hostname: '127.0.0.1', port: 0, tls: [key], fetch: forward, limits: { closeMsMax: 100 } });
  const inner: Listener = await listen({ hostname: '127.0.0.1', port: 0, fetch: forward, limits: { closeMsMax: 100 } });
  closing.push(() => outer.close(), () => inner.close());
  return { gatewayUrl: `https://localhost:${outer.port}`, pushUrl: `${inner.url}/push`, certificatePem: key.certificateChainPem };
};

const openCluster = async (name: string, postgresUrl: string, portBase: number): Promise<Edge> => {
  const edge = { upstream: '' };
  const { gatewayUrl, pushUrl, certificatePem } = await openDoors(edge);
  const environment = { CORDAGE_BUS_PUSH_URL: pushUrl, CORDAGE_BUS_PUSH_SECRET: pushSecret };
  const cluster = await openSeparateCluster({ name, directory: join(directory, name), postgresUrl, portBase, gatewayUrl, environment });
  closing.push(() => cluster.stop());
  await startAll(cluster, 'gateway');
  // The platform's certificate, as its operator imports it.
  await cluster.client.call('PUT /certificate/cluster/{usage}', { path: { usage: 'p2p-tls' }, form: { alias: 'p2p-tls-cert', certificate: [new Blob([certificatePem])] } });
  return Object.assign(edge, { cluster, certificatePem });
};

const environmentFor = ({ cluster }: Edge): Record<string, string> => ({
  CORDAGE_BUS_URL: cluster.busUrl,
  CORDAGE_BUS_USERNAME: 'gateway',
  CORDAGE_BUS_PASSWORD: cluster.busPassword,
  CORDAGE_GATEWAY_OUTBOUND: 'push',
  CORDAGE_PUSH_SECRET: pushSecret,
});

const serve = (edge: Edge, running: Running): void => {
  edge.upstream = running.url;
  closing.push(() => running.close());
};

let alice: Edge;
let bob: Edge;
let hashes: { aliceHash: string; bobHash: string; bobName: string };
const aliceName = 'CN=Alice, O=Alice Corp, L=London, C=GB';

beforeAll(async () => {
  const postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  closing.push(() => postgres.stop());
  alice = await openCluster('alice', postgres.url, 21_200);
  bob = await openCluster('bob', postgres.url, 21_300);
  const roots = join(directory, 'roots.pem');
  writeFileSync(roots, alice.certificatePem + bob.certificatePem);
  serve(alice, await startOnDeno('gateway', { ...environmentFor(alice), DENO_CERT: roots }));
  serve(bob, await startOnWorkerd('gateway', environmentFor(bob), [alice.certificatePem, bob.certificatePem]));
  hashes = await makeNetwork(alice.cluster, bob.cluster, join(directory, 'app'));
}, 180_000);

afterAll(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

describe('two clusters with gateways on Deno and on workerd', () => {
  test.each([
    ['from Deno to workerd', () => ({ client: alice.cluster.client, shortHash: hashes.aliceHash, otherMember: hashes.bobName })],
    ['from workerd to Deno', () => ({ client: bob.cluster.client, shortHash: hashes.bobHash, otherMember: aliceName })],
  ] as const)('exchange flows %s', async (direction, side) => {
    const { client, shortHash, otherMember } = side();
    const flowClassName = 'com.cordage.samples.Greet';
    const ends = await runFlows({ client, shortHash, flowClassName, requestBody: { otherMember }, idPrefix: direction.replaceAll(' ', '-'), count: flows, concurrency: 8 });
    expect(ends).toEqual({ COMPLETED: flows });
  }, 120_000);
});
