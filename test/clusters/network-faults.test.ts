/**
 * Two clusters whose gateways reach each other through a network that fails: every flow that began before, during and after the fault
 * ends COMPLETED, once, on both sides.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from './cluster.ts';
import { runFlows } from './flows.ts';
import { makeNetwork } from './network.ts';
import { openTcpProxy, type TcpFault, type TcpProxy } from './tcp-faults.ts';
import { ordersIn } from './vault.ts';

const flows = 60;
const concurrency = 12;

const directory = mkdtempSync(join(tmpdir(), 'cordage-network-'));
const closing: (() => Promise<unknown>)[] = [];

/** A cluster that others reach through a proxy. */
type Reached = { readonly cluster: SeparateCluster; readonly proxy: TcpProxy };
let alice: Reached;
let bob: Reached;
let hashes: { aliceHash: string; bobHash: string; bobName: string };

const openReached = async (name: string, postgresUrl: string, portBase: number): Promise<Reached> => {
  let upstream = 0;
  const proxy = await openTcpProxy(() => upstream);
  closing.push(() => proxy.close());
  const cluster = await openSeparateCluster({ name, directory: join(directory, name), postgresUrl, portBase, gatewayUrl: `https://localhost:${proxy.port}` });
  upstream = cluster.gatewayPort;
  closing.push(() => cluster.stop());
  await startAll(cluster);
  return { cluster, proxy };
};

beforeAll(async () => {
  const postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  closing.push(() => postgres.stop());
  alice = await openReached('alice', postgres.url, 21_400);
  bob = await openReached('bob', postgres.url, 21_500);
  hashes = await makeNetwork(alice.cluster, bob.cluster, join(directory, 'app'));
}, 180_000);

afterAll(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const connectionCount = (): number => alice.proxy.connections() + bob.proxy.connections();

const setFault = (fault: TcpFault): void => {
  for (const { proxy } of [alice, bob]) proxy.set(fault);
};

/** The fault comes after a third of the flows has started and, where it stops the flows, goes after so many milliseconds. */
const runThrough = async (item: string, fault: TcpFault, healAfterMs?: number): Promise<Record<string, number>> => {
  let healed: Promise<void> | undefined;
  const strike = (): void => {
    setFault(fault);
    if (healAfterMs !== undefined) healed = new Promise((resolve) => setTimeout(() => (setFault({ type: 'none' }), resolve()), healAfterMs));
  };
  const { client } = alice.cluster;
  const ends = await runFlows({
    client,
    shortHash: hashes.aliceHash,
    flowClassName: 'com.cordage.samples.PlaceOrder',
    requestBody: { otherMember: hashes.bobName, item, quantity: 1 },
    idPrefix: item,
    count: flows,
    concurrency,
    onStarted: (started) => {
      if (started === flows / 3) strike();
    },
  });
  await healed;
  setFault({ type: 'none' });
  return ends;
};

/** The third: milliseconds after which it heals. */
const faults: [what: string, fault: TcpFault, healAfterMs?: number][] = [
  ['with 50 ms of delay each way', { type: 'delay', ms: 50 }],
  ['that passes 20,000 bytes a second', { type: 'slow', bytesPerSecond: 20_000 }],
  ['that is partitioned for 3 seconds and heals', { type: 'partition' }, 3_000],
  ['whose connections stay open and pass nothing for 3 seconds', { type: 'half-open' }, 3_000],
  ['that cuts every connection after 6,000 bytes', { type: 'truncate', bytes: 6_000 }, 3_000],
  ['that flips a bit in every 4,000 bytes', { type: 'corrupt', everyBytes: 4_000 }, 3_000],
];

describe('a network between clusters', () => {
  test.each(faults)('%s loses no flow and repeats none', async (what, fault, healAfterMs) => {
    const item = `order ${what}`.replaceAll(/[^A-Za-z0-9]+/g, '-').slice(0, 60);
    const before = connectionCount();
    expect(await runThrough(item, fault, healAfterMs)).toEqual({ COMPLETED: flows });
    // What breaks connections was felt: they had to be made anew.
    if (healAfterMs !== undefined) expect(connectionCount()).toBeGreaterThan(before);
    const once = { orders: flows, ids: flows };
    expect(await ordersIn(alice.cluster.databaseUrl, hashes.aliceHash, item)).toEqual(once);
    expect(await ordersIn(bob.cluster.databaseUrl, hashes.bobHash, item)).toEqual(once);
  }, 120_000);
});
