/**
 * What a million parked flows cost: the rate of new flows beside the rate without them, and the time of a start.
 *
 * Two flows are parked for real, one that sleeps most of a year and one that waits for a counterparty's message; the others are made
 * from their rows by statements over many, in the same tables and the same form, with ids of their own. So they could wake: of some
 * that were parked with a due time of now, all must come to their end and say so.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { flowIdOf, responderFlowIdOf, sessionIdOf } from '../../src/identity/derive.ts';
import { until } from '../../src/cli/rest-client.ts';
import type { FlowHead } from '../../src/workers/flow/engine/head.ts';
import { digestOf } from '../../src/workers/flow/sandbox/ask.ts';
import { benchSeconds, runFor, type Run } from './load.ts';
import { ms, printTable } from './machine.ts';
import { alice, bob, clusterCpuMs, databaseUrlOf, openFlows, startOneCluster, type OneCluster } from './one-cluster.ts';
import { inScratch } from './scratch.ts';

const measuredMs = benchSeconds(8) * 1_000;
const callers = 64;
/** CORDAGE_BENCH_PARKED makes it fewer while other work shares the machine. */
const parkedCount = Number(process.env['CORDAGE_BENCH_PARKED'] ?? 1_000_000);
/** Flows are parked for this long at most; then it is said how many they are. */
const parkingMsMax = 100_000;
const rowsPerStatement = 20_000;
const wokenCount = { sleepers: 1_000, waiters: 100 };

type Sql = postgres.Sql<{}>;
type Kind = 'sleeper' | 'waiter';
type Cluster = Awaited<ReturnType<typeof startOneCluster>>;

/** A flow that was parked for real. */
type Template = { readonly key: string; readonly requestId: string; readonly sessionId: string; readonly peerFlowId: string; readonly dueAt: number };

// ── Parking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const isParked = ({ pending }: FlowHead, kind: Kind): boolean => pending.some(({ type }) => type === (kind === 'sleeper' ? 'sleep' : 'receive'));

const parkOne = async (sql: Sql, cluster: OneCluster, kind: Kind): Promise<Template> => {
  const requestId = `template-${kind}`;
  const flows = openFlows(cluster, 1);
  await flows.start(kind === 'sleeper' ? 'bench.Sleep' : 'bench.Wait', requestId, bob);
  await flows.close();
  const key = flowIdOf(cluster.shortHash, requestId);
  return until(`a parked ${kind}`, async () => {
    const [row] = await sql<{ head: string; due_at: string }[]>`select head, due_at from flow.state where key = ${key}`;
    // Written by the flow room: engine/head.ts.
    const head = row === undefined ? undefined : (JSON.parse(row.head) as FlowHead);
    if (row === undefined || head === undefined || !isParked(head, kind)) return undefined;
    const [session] = head.sessions;
    return { key, requestId, sessionId: session?.id ?? '', peerFlowId: session?.peerFlowId ?? '', dueAt: Number(row.due_at) };
  });
};

/** What the waiter asks for before it waits: the journal knows it again by a digest, and it holds the session's id. */
const asksOf = (sessionId: string): string[] => [
  JSON.stringify({ sessionId, counterparty: bob, protocol: { name: 'bench.waiting', versions: [1] } }),
  JSON.stringify({ sessionId, json: '"say something"' }),
];
const digestsOf = (sessionId: string): [string, string] => {
  const [open, send] = asksOf(sessionId);
  return [digestOf(open!), digestOf(send!)];
};

type Copies = { readonly requestIds: string[]; readonly keys: string[]; readonly sessionIds: string[]; readonly peers: string[]; readonly opens: string[]; readonly sends: string[] };

const namesOf = ({ shortHash, groupId }: OneCluster, kind: Kind, prefix: string, from: number, count: number): Copies => {
  const requestIds = Array.from({ length: count }, (_, i) => `${prefix}-${from + i}`);
  const keys = requestIds.map((id) => flowIdOf(shortHash, id));
  const sessionIds = keys.map((key) => (kind === 'waiter' ? sessionIdOf(key, 0) : key));
  const peers = sessionIds.map((id) => (kind === 'waiter' ? responderFlowIdOf(groupId, bob, alice, id) : id));
  const digests = sessionIds.map(digestsOf);
  return { requestIds, keys, sessionIds, peers, opens: digests.map(([open]) => open), sends: digests.map(([, send]) => send) };
};

/** Text in which the names of the template are those of a copy. */
const renamed = (sql: Sql, column: 'head' | 'owed' | 'value', { key, requestId, sessionId, peerFlowId }: Template) => {
  const inner = sql`replace(replace(${sql(column)}, ${key}, c.key), ${requestId}, c.request_id)`;
  if (sessionId === '') return inner;
  const session = sql`replace(replace(${inner}, ${sessionId}, c.session_id), ${peerFlowId}, c.peer)`;
  const [open, send] = digestsOf(sessionId);
  return column === 'value' ? sql`replace(replace(${session}, ${open}, c.open), ${send}, c.send)` : session;
};

/** Parks copies, due later or earlier than their template by `shiftMs`. */
const park = async (sql: Sql, template: Template, { requestIds, keys, sessionIds, peers, opens, sends }: Copies, kind: Kind, shiftMs = 0): Promise<void> => {
  const copies = sql`unnest(${keys}::text[], ${requestIds}::text[], ${sessionIds}::text[], ${peers}::text[], ${opens}::text[], ${sends}::text[])
    as c (key, request_id, session_id, peer, open, send)`;
  const head = renamed(sql, 'head', template);
  // What the due time is made of: the end of a sleep; the last word of a session.
  const field = kind === 'sleeper' ? 'until' : 'activeAt';
  const shifted = sql`regexp_replace(${head}, ${`"${field}":[0-9]+`}, ${`"${field}":`} || ((substring(t.head from ${`"${field}":([0-9]+)`}))::bigint + ${shiftMs}))`;
  await sql`
    insert into flow.state (key, version, head, handled, owed, due_at, scope, status, born_at)
    select c.key, t.version, ${shiftMs === 0 ? head : shifted}, t.handled, t.owed, t.due_at + ${shiftMs}, t.scope, t.status, clock_timestamp()
    from (select * from flow.state where key = ${template.key}) as t cross join ${copies}`;
  await sql`
    insert into flow.item (key, position, value) select c.key, i.position, ${renamed(sql, 'value', template)}
    from (select * from flow.item where key = ${template.key}) as i cross join ${copies}`;
};

const parkMany = async (sql: Sql, cluster: OneCluster, templates: Record<Kind, Template>): Promise<number> => {
  const begun = performance.now();
  let parked = 0;
  for (let round = 0; parked < parkedCount && performance.now() - begun < parkingMsMax; round++) {
    const kind = round % 2 === 0 ? 'sleeper' : 'waiter';
    const count = Math.min(rowsPerStatement, parkedCount - parked);
    await park(sql, templates[kind], namesOf(cluster, kind, `parked-${kind}`, parked, count), kind);
    parked += count;
  }
  await sql`vacuum (analyze) flow.state`;
  await sql`vacuum (analyze) flow.item`;
  await sql`checkpoint`;
  console.log(`  ${parked} flows parked in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  return parked;
};

// ── Waking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Parks flows that are due now and gives how to see that each of them ended as it should. */
const parkDue = async (sql: Sql, cluster: OneCluster, templates: Record<Kind, Template>): Promise<(running: OneCluster) => Promise<void>> => {
  const plans = [
    { kind: 'sleeper', prefix: 'due-sleeper', count: wokenCount.sleepers, word: 'woken' },
    { kind: 'waiter', prefix: 'due-waiter', count: wokenCount.waiters, word: 'silence' },
  ] as const;
  for (const { kind, prefix, count } of plans) {
    await park(sql, templates[kind], namesOf(cluster, kind, prefix, 0, count), kind, Date.now() - templates[kind].dueAt);
  }
  return async (running) => {
    const flows = openFlows(running, callers);
    for (const { prefix, count, word } of plans) {
      await Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const result = await flows.complete(`${prefix}-${i}`);
          const wanted = `${word} ${flowIdOf(cluster.shortHash, `${prefix}-${i}`)}`;
          if (result !== wanted) throw new Error(`${prefix}-${i} ended with ${JSON.stringify(result)} instead of ${wanted}`);
        }),
      );
    }
    await flows.close();
  };
};

// ── Measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Measured = { readonly run: Run; readonly cpuUs: number };

const measureRate = async (cluster: OneCluster, prefix: string): Promise<Measured> => {
  const flows = openFlows(cluster, callers);
  const call = (part: string) => (index: number) => flows.run('bench.WriteTwo', `${prefix}-${part}-${index}`);
  const total = (): number => Object.values(clusterCpuMs(cluster)).reduce((sum, one) => sum + one, 0);
  await runFor(callers, measuredMs / 2, call('warm'));
  const before = total();
  const run = await runFor(callers, measuredMs, call('run'));
  const cpuUs = ((total() - before) * 1000) / run.count;
  await flows.close();
  return { run, cpuUs };
};

const restarted = async (cluster: Cluster, running: OneCluster): Promise<{ running: OneCluster; seconds: number }> => {
  await running.process.stop();
  const begun = performance.now();
  const next = await cluster.restart();
  return { running: next, seconds: (performance.now() - begun) / 1000 };
};

const sizeMb = (directory: string): number =>
  readdirSync(directory, { recursive: true, withFileTypes: true }).reduce((sum, entry) => {
    const stats = entry.isFile() ? statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false }) : undefined;
    return sum + (stats?.size ?? 0) / 1e6;
  }, 0);

/** A connection of our own beside the cluster's: who loads a million rows need not wait for the disk each time. */
const withSql = async <Result>(cluster: OneCluster, work: (sql: Sql) => Promise<Result>): Promise<Result> => {
  const sql = postgres(databaseUrlOf(cluster), { max: 1, connection: { synchronous_commit: 'off' }, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    const cluster = await startOneCluster(scratch);
    const without = await measureRate(cluster, 'without');
    const startWithout = await restarted(cluster, cluster);
    const { templates, parked } = await withSql(startWithout.running, async (sql) => {
      const made = { sleeper: await parkOne(sql, startWithout.running, 'sleeper'), waiter: await parkOne(sql, startWithout.running, 'waiter') };
      return { templates: made, parked: await parkMany(sql, cluster, made) };
    });
    const size = sizeMb(cluster.directory);
    const startWith = await restarted(cluster, startWithout.running);
    const beside = await measureRate(startWith.running, 'beside');
    const seeEnds = await withSql(startWith.running, (sql) => parkDue(sql, cluster, templates));
    const { running } = await restarted(cluster, startWith.running);
    const begun = performance.now();
    await seeEnds(running);
    const wakingMs = performance.now() - begun;
    const line = (what: string, { run: { perSecond, p50, p99 }, cpuUs }: Measured, seconds: number) => [what, perSecond.toFixed(0), ms(p50), ms(p99), cpuUs.toFixed(0), `${seconds.toFixed(2)} s`];
    printTable(`flows with two entity writes, ${callers} callers, half of the parked asleep and half waiting for a message`, [
      ['', 'flows/s', 'p50', 'p99', 'µs of CPU a flow', 'start'],
      line('none parked', without, startWithout.seconds),
      line(`${parked} parked`, beside, startWith.seconds),
    ]);
    console.log(`\n  rate beside none parked: ${(beside.run.perSecond / without.run.perSecond).toFixed(2)} (wanted ≥ 0.8, aim 1.0); the cluster's folder: ${size.toFixed(0)} MB`);
    console.log(`  parked flows that were due: ${wokenCount.sleepers} sleepers and ${wokenCount.waiters} waiters woke and completed within ${(wakingMs / 1000).toFixed(1)} s of a start`);
  });

if (import.meta.main) await run();
