/**
 * What operators do to a cluster, and what happens to it, while two-party flows run: the database is killed and comes back, a replica is killed,
 * every process is replaced by a new one, one after another. Two clusters of separate processes; Alice's reach PostgreSQL by way of PgBouncer in
 * transaction mode where that is installed, and each room has its own login.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { databaseRooms } from '../../containers/database-logins.ts';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { noPooler, startPgBouncer } from '../postgres/pooler.ts';
import { openSeparateCluster, separateKinds, startAll, type SeparateCluster } from './cluster.ts';
import { runFlows } from './flows.ts';
import { makeNetwork } from './network.ts';
import { createReplicatedRest, type Replica } from './replicated-rest.ts';
import { openTcpProxy } from './tcp-faults.ts';
import { ordersIn } from './vault.ts';

const concurrency = 24;
const directory = mkdtempSync(join(tmpdir(), 'cordage-operations-'));
const closing: (() => Promise<unknown>)[] = [];
let alice: SeparateCluster;
let bob: SeparateCluster;
let hashes: { aliceHash: string; bobHash: string; bobName: string };
/** Where Alice's gateway is at the moment: a service before its replicas. */
let gatewayPort = 0;

beforeAll(async () => {
  const postgres = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  closing.push(() => postgres.stop());
  if (noPooler !== undefined) console.warn(`without a pooler: ${noPooler}`);
  const logins = databaseRooms.map((room) => [`alice_${room}`, `password-of-${room}`] as const);
  const pooler = noPooler === undefined ? await startPgBouncer({ serverUrl: postgres.url, portBase: 21_850, poolSize: 3, logins }) : undefined;
  if (pooler !== undefined) closing.push(() => pooler.stop());
  const proxy = await openTcpProxy(() => gatewayPort);
  closing.push(() => proxy.close());
  const shared = { postgresUrl: postgres.url };
  alice = await openSeparateCluster({
    ...shared,
    name: 'alice',
    directory: join(directory, 'alice'),
    portBase: 21_600,
    gatewayUrl: `https://localhost:${proxy.port}`,
    ...(pooler === undefined ? {} : { reachedBy: pooler.urlOf }),
  });
  gatewayPort = alice.gatewayPort;
  bob = await openSeparateCluster({ ...shared, name: 'bob', directory: join(directory, 'bob'), portBase: 21_700 });
  for (const cluster of [alice, bob]) {
    closing.push(() => cluster.stop());
    await startAll(cluster);
  }
  hashes = await makeNetwork(alice, bob, join(directory, 'app'));
}, 180_000);

afterAll(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const order = (item: string) => ({ otherMember: hashes.bobName, item, quantity: 1 });
const flowClassName = 'com.cordage.samples.PlaceOrder';

const expectOnce = async (item: string, count: number): Promise<void> => {
  const once = { orders: count, ids: count };
  expect(await ordersIn(alice.databaseUrl, hashes.aliceHash, item)).toEqual(once);
  expect(await ordersIn(bob.databaseUrl, hashes.bobHash, item)).toEqual(once);
};

/** Runs flows and does something to the cluster once a third of them has been started. */
const runWhile = async (item: string, count: number, happens: () => Promise<unknown>): Promise<Record<string, number>> => {
  let happening: Promise<unknown> | undefined;
  const ends = await runFlows({
    client: alice.client,
    shortHash: hashes.aliceHash,
    flowClassName,
    requestBody: order(item),
    idPrefix: item,
    count,
    concurrency,
    onStarted: (started) => {
      if (started === Math.ceil(count / 3)) happening = happens();
    },
  });
  await happening;
  return ends;
};

describe('the database', () => {
  test('is killed with -9 and comes back in the middle of flows: every flow ends COMPLETED, once, and no worker ends', async () => {
    const count = 300;
    const pids = (): number[] => [alice, bob].flatMap((cluster) => separateKinds.map((kind) => cluster.pidOf(kind)));
    const before = pids();
    let ended = 0;
    for (const cluster of [alice, bob]) for (const kind of separateKinds) void cluster.gone(kind).then(() => ended++);
    const kill = async (): Promise<void> => {
      const pid = Number(readFileSync(join(directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
      process.kill(pid, 'SIGKILL');
    };
    expect(await runWhile('failover', count, kill)).toEqual({ COMPLETED: count });
    // Somebody was at work with it: which room, chance decides.
    const noticed = [alice, bob].flatMap((cluster) => databaseRooms.filter((room) => cluster.logOf(room).includes('DATABASE_')));
    expect(noticed).not.toEqual([]);
    expect(pids()).toEqual(before);
    expect(ended).toBe(0);
    await expectOnce('failover', count);
    await vi.waitFor(async () => expect((await fetch(`${alice.healthUrlOf('flow')}/status`)).status).toBe(200), { timeout: 15_000 });
  }, 240_000);
});

describe('a replica', () => {
  test('of flow that is killed with -9: its keys are given to the other within ten seconds, and every flow ends COMPLETED, once', async () => {
    await alice.start('flow', 1);
    const count = 60;
    const kill = async (): Promise<void> => {
      await alice.kill('flow', 1);
      const given = (): void => expect(alice.logOf('broker')).toMatch(/session_expired.*"group":"flow","instance":"alice-flow-1"/);
      await vi.waitFor(given, { timeout: 10_000, interval: 50 });
    };
    expect(await runWhile('hand-over', count, kill)).toEqual({ COMPLETED: count });
    await expectOnce('hand-over', count);
  }, 240_000);
});

describe('a rolling restart', () => {
  /** A new process beside the old one, then the old one is told to end. */
  const replace = async (room: (typeof rooms)[number], changed: () => void): Promise<void> => {
    await alice.start(room, 1);
    if (room === 'gateway') gatewayPort = Number(new URL(alice.urlOf(room, 1)).port);
    changed();
    expect(await alice.end(room), room).toBe(0);
    changed();
  };

  test('rest that is told to end says at once that it is not ready, and still answers who comes before they could know', async () => {
    await alice.start('rest', 1);
    const healthUrl = alice.healthUrlOf('rest', 1);
    const url = alice.urlOf('rest', 1);
    const ended = alice.end('rest', 1);
    await vi.waitFor(async () => expect((await fetch(`${healthUrl}/status`)).status).toBe(503), { interval: 10 });
    const answer = await fetch(`${url}/api/v5_2/hello?addressee=door`, { method: 'POST', headers: { authorization: `Basic ${btoa('admin:test-admin-password')}`, connection: 'close' } });
    expect(await answer.text()).toMatch(/door/);
    expect(await ended).toBe(0);
  }, 60_000);

  test('of every room, one process after another, under load: no request fails, every flow ends COMPLETED, once', async () => {
    const rest = createReplicatedRest();
    const replicas = (): Replica[] => [0, 1].filter((replica) => alice.runs('rest', replica)).map((replica) => ({ url: alice.urlOf('rest', replica), healthUrl: alice.healthUrlOf('rest', replica) }));
    rest.use(replicas());
    const path = `/flow/${hashes.aliceHash}`;
    const brokerSaid = alice.logOf('broker').length;
    let rolling = true;
    let started = 0;
    const ends: Record<string, number> = {};
    const caller = async (): Promise<void> => {
      while (rolling || started < 200) {
        const clientRequestId = `rolling-${started++}`;
        const { status } = await rest.ask('POST', path, { clientRequestId, flowClassName, requestBody: order('rolling') });
        expect(status, clientRequestId).toBe(202);
        for (let end = ''; end === ''; ) {
          const { text } = await rest.ask('GET', `${path}/${clientRequestId}/result?wait=10000`);
          end = /"flowStatus":"(COMPLETED|FAILED|KILLED)"/.exec(text)?.[1] ?? '';
          if (end !== '') ends[end] = (ends[end] ?? 0) + 1;
        }
      }
    };
    const callers = Array.from({ length: 8 }, caller);
    const roll = async (): Promise<void> => {
      for (const room of rooms) await replace(room, () => rest.use(replicas()));
    };
    await Promise.race([roll(), Promise.all(callers)]);
    rolling = false;
    await Promise.all(callers);
    await rest.close();
    expect(rest.failed).toEqual([]);
    expect(ends).toEqual({ COMPLETED: started });
    await expectOnce('rolling', started);
    // Who was told to end left its groups: nobody waited for a session to run out.
    expect(alice.logOf('broker').slice(brokerSaid)).not.toMatch(/session_expired/);
  }, 300_000);
});
