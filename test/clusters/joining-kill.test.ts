/**
 * `kill -9` of member, a process of its own, at every status of a registration: the registering virtual node and the manager of its network
 * live on one cluster, so both sides fall at once. The registration ends as it would have, and nothing happens twice.
 *
 * A gate in the database holds each save of member back until it is let through: so the process can be killed exactly between two saves, after
 * any of them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../src/host/embedded-postgres.ts';
import { silentLog } from '../../src/observability/log.ts';
import type { State } from '../../src/workers/member/state.ts';
import { connect, type BlackBox } from '../workers/rest/black-box/cluster.ts';
import { openMgm, openWorkshop, prepareJoiner, register, seenBy, settled, type Context, type Joiner, type Mgm, type Workshop } from '../workers/rest/black-box/dynamic-network.ts';
import { openSeparateCluster, startAll, type SeparateCluster } from './cluster.ts';

const directory = mkdtempSync(join(tmpdir(), 'cordage-joining-kill-'));
let server: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let cluster: SeparateCluster;
let box: BlackBox;
/** Holds the gate: its session owns the lock. */
let keeper: postgres.Sql;
let watcher: postgres.Sql;
let workshop: Workshop;
let mgm: Mgm;
let policy: string;

const gate = 5_021_977;

beforeAll(async () => {
  server = await startEmbeddedPostgres({ directory: join(directory, 'postgres'), log: silentLog });
  cluster = await openSeparateCluster({ name: 'joining', directory: join(directory, 'joining'), postgresUrl: server.url, portBase: 21_500 });
  await startAll(cluster, 'flow');
  // What the helpers of the black-box tests use of a cluster.
  box = { ...connect(cluster.restUrl, cluster.credentials), gatewayUrl: cluster.gatewayUrl } as BlackBox;
  keeper = postgres(cluster.databaseUrl, { max: 1 });
  watcher = postgres(cluster.databaseUrl, { max: 1 });
  workshop = await openWorkshop();
  mgm = await openMgm(box, { signer: workshop.signer, gatewayUrl: cluster.gatewayUrl });
  policy = await mgm.policy();
  expect((await box.call('POST', `/mgm/${mgm.hash}/approval/rules`, { json: { ruleRegex: '^ext\\.ask' } })).status).toBe(200);
  await watcher.unsafe(`
    create function public.wait_at_gate() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(${gate}); return null; end';
    create trigger gate before insert or update on member.state for each statement execute function public.wait_at_gate();
  `);
}, 180_000);

afterAll(async () => {
  await keeper?.end();
  await watcher?.end();
  await cluster?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const closeGate = () => keeper`select pg_advisory_lock(${gate})`;
const openGate = () => keeper`select pg_advisory_unlock(${gate})`;
/** Those who wait go through; whoever comes then waits in turn. */
const letThrough = () => keeper`select pg_advisory_unlock(${gate}), pg_advisory_lock(${gate})`;

const waiting = async (): Promise<readonly number[]> => (await watcher<{ pid: number }[]>`select pid from pg_locks where locktype = 'advisory' and objid = ${gate} and not granted`).map(({ pid }) => pid);

/** What was saved under a key. */
const savedOf = async (key: string): Promise<State | undefined> => {
  const [row] = await watcher<{ head: string | null }[]>`select head from member.state where key = ${key}`;
  return row?.head === null || row === undefined ? undefined : (JSON.parse(row.head) as State);
};

type Sides = { readonly member: string; readonly manager: string };

const sides = async (joiner: Joiner): Promise<Sides> => {
  const own = await savedOf(joiner.hash);
  const manager = await savedOf(mgm.hash);
  if (own?.type !== 'joining' || manager?.type !== 'mgm') throw new Error('nothing is saved of the two');
  const of = <One extends { readonly x500Name: string }>(all: readonly One[]): readonly One[] => all.filter(({ x500Name }) => x500Name === joiner.x500Name);
  const ended = of(manager.ended)[0];
  return { member: own.registrations[0]?.registrationStatus ?? 'none', manager: ended?.status ?? of(Object.values(manager.requests))[0]?.status ?? 'none' };
};

/** Statuses of either side at which member was killed. */
const killed = new Set<string>();
const finals = ['APPROVED', 'DECLINED', 'INVALID', 'FAILED'];

/** Killed between two saves: what waits at the gate is not saved. */
const killAndStart = async (): Promise<void> => {
  await cluster.kill('member');
  for (const pid of await waiting()) await watcher`select pg_terminate_backend(${pid})`;
  await cluster.start('member');
};

type Played = { readonly ended: Sides; readonly killedAt: readonly string[] };

/**
 * Registers, and kills member after each save that brought one of the two sides to a status at which it was not killed yet. `decide` is called
 * once, when an operator is to decide.
 */
const play = async (joiner: Joiner, context: Context, decide: (registrationId: string) => Promise<unknown>): Promise<Played> => {
  await closeGate();
  const asked: Promise<unknown>[] = [register(box, joiner.hash, context)];
  const killedAt: string[] = [];
  let decided = false;
  for (const deadline = performance.now() + 120_000; ; ) {
    const now = await sides(joiner);
    const isWaiting = (await waiting()).length > 0;
    if (performance.now() > deadline) throw new Error(`${JSON.stringify(now)} after ${killedAt.join(', ')}\n${cluster.logTail('member')}`);
    const fresh = [`member ${now.member}`, `manager ${now.manager}`].filter((status) => !status.endsWith(' none') && !killed.has(status));
    if (fresh.length > 0) {
      for (const status of fresh) killed.add(status);
      killedAt.push(...fresh);
      await killAndStart();
    } else if (!decided && now.manager === 'PENDING_MANUAL_APPROVAL') {
      decided = true;
      const manager = await savedOf(mgm.hash);
      if (manager?.type === 'mgm') asked.push(decide(Object.values(manager.requests).find(({ x500Name }) => x500Name === joiner.x500Name)!.registrationId));
    } else if (isWaiting) await letThrough();
    else if (finals.includes(now.member) && finals.includes(now.manager)) break;
    else await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await openGate();
  await Promise.all(asked);
  return { ended: await sides(joiner), killedAt };
};

const historyOf = async (x500Name: string): Promise<{ readonly registrationStatus: string }[]> =>
  (await box.call('GET', `/mgm/${mgm.hash}/registrations?requestsubjectx500name=${encodeURIComponent(x500Name)}&viewhistoric=true`)).json;

const parkedCount = async (): Promise<number> => (await watcher`select from member.parked`).length;

test('a registration that an operator approves ends APPROVED, wherever member was killed on its way, and is made once', async () => {
  const alice = await prepareJoiner(box, { depot: { ...workshop.depot, groupId: mgm.groupId }, policy, gatewayUrl: cluster.gatewayUrl, x500Name: 'O=Alice, L=London, C=GB' });
  const approve = (registrationId: string) => box.call('POST', `/mgm/${mgm.hash}/approve/${registrationId}`);
  const { ended } = await play(alice, { ...alice.context, 'ext.ask': 'yes' }, approve);
  expect(ended).toEqual({ member: 'APPROVED', manager: 'APPROVED' });
  expect([...killed].sort()).toEqual(expect.arrayContaining([
    'manager APPROVED', 'manager PENDING_MANUAL_APPROVAL', 'manager PENDING_MEMBER_VERIFICATION', 'manager RECEIVED_BY_MGM',
    'member APPROVED', 'member NEW', 'member PENDING_MANUAL_APPROVAL', 'member PENDING_MEMBER_VERIFICATION', 'member SENT_TO_MGM',
  ]));
  expect((await box.call('GET', `/membership/${alice.hash}`)).json).toMatchObject([{ registrationStatus: 'APPROVED', serial: 1 }]);
  expect(await historyOf(alice.x500Name)).toMatchObject([{ registrationStatus: 'APPROVED' }]);
  for (const viewer of [alice.hash, mgm.hash]) expect(await seenBy(box, viewer)).toEqual({ [mgm.x500Name]: 'ACTIVE', [alice.x500Name]: 'ACTIVE' });
  const manager = await savedOf(mgm.hash);
  // The manager's own version, and one for the member.
  expect(manager).toMatchObject({ endedCount: 1, requests: {}, opening: {}, signed: { statement: { version: 2, count: 2 } } });
  expect(await parkedCount()).toBe(0);
  // What comes after goes its way.
  expect(await settled(box, alice.hash, { ...alice.context, 'ext.ask': 'yes', 'corda.serial': '1' })).toMatchObject({ registrationStatus: 'APPROVED', serial: 2 });
}, 180_000);

test('a registration that is declined ends so on both sides, with the reason, and its member registers anew', async () => {
  const bob = await prepareJoiner(box, { depot: { ...workshop.depot, groupId: mgm.groupId }, policy, gatewayUrl: cluster.gatewayUrl, x500Name: 'O=Bob, L=Paris, C=FR' });
  const decline = (registrationId: string) => box.call('POST', `/mgm/${mgm.hash}/decline/${registrationId}`, { json: { reason: 'not of our trade' } });
  const { ended, killedAt } = await play(bob, { ...bob.context, 'ext.ask': 'yes' }, decline);
  expect(ended).toEqual({ member: 'DECLINED', manager: 'DECLINED' });
  expect(killedAt).toEqual(expect.arrayContaining(['manager DECLINED', 'member DECLINED']));
  expect((await box.call('GET', `/membership/${bob.hash}`)).json).toMatchObject([{ registrationStatus: 'DECLINED', reason: 'not of our trade' }]);
  expect(await seenBy(box, mgm.hash)).not.toHaveProperty([bob.x500Name]);
  expect(await settled(box, bob.hash, bob.context)).toMatchObject({ registrationStatus: 'APPROVED', serial: 1 });
  expect(await parkedCount()).toBe(0);
}, 180_000);
