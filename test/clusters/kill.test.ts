/**
 * Two clusters, every worker a process of its own, brokers apart, and `kill -9` of each kind of process in the middle of
 * a thousand two-party flows: each flow ends COMPLETED, once.
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

const flowsPerKind = Number(process.env['CORDAGE_KILL_FLOWS'] ?? 1_000);
const concurrency = 24;

const directory = mkdtempSync(join(tmpdir(), 'cordage-kill-'));
let postgres: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let alice: SeparateCluster;
let bob: SeparateCluster;
let aliceHash: string;
let bobName: string;

beforeAll(async () => {
  postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  alice = await openSeparateCluster({ name: 'alice', directory: join(directory, 'alice'), postgresUrl: postgres.url, portBase: 21_000 });
  bob = await openSeparateCluster({ name: 'bob', directory: join(directory, 'bob'), postgresUrl: postgres.url, portBase: 21_100 });
  await startAll(alice);
  await startAll(bob);
  ({ aliceHash, bobName } = await makeNetwork(alice, bob, join(directory, 'app')));
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
    flowClassName: 'com.cordage.samples.Greet',
    requestBody: { otherMember: bobName },
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
      // Each flow is one flow: the list holds every client request id once.
      const { flowStatusResponses } = (await alice.client.call('GET', `/flow/${aliceHash}?status=COMPLETED`)) as { flowStatusResponses: { clientRequestId: string }[] };
      const ids = flowStatusResponses.map(({ clientRequestId }) => clientRequestId).filter((id) => id.startsWith(`kill-${kind}-`));
      expect(new Set(ids).size).toBe(ids.length);
    },
    300_000,
  );
});
