/**
 * Two clusters, every worker a process of its own, brokers apart, and `kill -9` of each kind of process in the middle of
 * hundreds of two-party flows: each flow ends COMPLETED, once. The flows sign and store on both sides, so that every room but
 * member is on their way; the vaults tell whether an order was lost or stored twice.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import { openSeparateCluster, separateKinds, startAll, type SeparateCluster, type SeparateKind } from './cluster.ts';
import { runFlows } from './flows.ts';
import { makeNetwork } from './network.ts';
import { ordersIn } from './vault.ts';

/** Of each kind of process; the long form is `CORDAGE_KILL_FLOWS=1000`, and longer ones `npm run proof`. */
const flowsPerKind = Number(process.env['CORDAGE_KILL_FLOWS'] ?? 300);
const concurrency = 24;

const directory = mkdtempSync(join(tmpdir(), 'cordage-kill-'));
let postgres: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let alice: SeparateCluster;
let bob: SeparateCluster;
let aliceHash: string;
let bobHash: string;
let bobName: string;

beforeAll(async () => {
  postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  alice = await openSeparateCluster({ name: 'alice', directory: join(directory, 'alice'), postgresUrl: postgres.url, portBase: 21_000 });
  bob = await openSeparateCluster({ name: 'bob', directory: join(directory, 'bob'), postgresUrl: postgres.url, portBase: 21_100 });
  await startAll(alice);
  await startAll(bob);
  ({ aliceHash, bobHash, bobName } = await makeNetwork(alice, bob, join(directory, 'app')));
}, 180_000);

afterAll(async () => {
  await Promise.all([alice?.stop(), bob?.stop()]);
  await postgres?.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const runWithKill = async (kind: SeparateKind): Promise<Record<string, number>> => {
  let killed: Promise<void> | undefined;
  const killBoth = async (): Promise<void> => {
    await Promise.all([alice.kill(kind), bob.kill(kind)]);
    await Promise.all([alice.start(kind), bob.start(kind)]);
  };
  const ends = await runFlows({
    client: alice.client,
    shortHash: aliceHash,
    flowClassName: 'com.cordage.samples.PlaceOrder',
    requestBody: { otherMember: bobName, item: kind, quantity: 1 },
    idPrefix: `kill-${kind}`,
    count: flowsPerKind,
    concurrency,
    onStarted: (started) => {
      if (started === Math.ceil(flowsPerKind / 3)) killed = killBoth();
    },
  });
  await killed;
  return ends;
};

describe('kill -9', () => {
  test.each(separateKinds)(
    `%s may be killed on both clusters in the middle of ${flowsPerKind} flows: every flow ends COMPLETED, once`,
    async (kind) => {
      expect(await runWithKill(kind)).toEqual({ COMPLETED: flowsPerKind });
      const once = { orders: flowsPerKind, ids: flowsPerKind };
      expect(await ordersIn(alice.databaseUrl, aliceHash, kind)).toEqual(once);
      expect(await ordersIn(bob.databaseUrl, bobHash, kind)).toEqual(once);
    },
    300_000,
  );
});
