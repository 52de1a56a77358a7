/**
 * What a million parked flows cost: the rate of new flows beside the rate without them, and the time of a start.
 *
 * Two flows are parked for real, one that sleeps most of a year and one that waits for a counterparty's message; the others are made
 * from their rows by statements over many, in the same tables and the same form, with ids of their own. So they could wake: of some
 * that were parked with a due time of now, all must come to their end and say so.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextMacrotask } from 'node:timers/promises';
import postgres from 'postgres';
import { flowIdOf, originOf, responderFlowIdOf, sessionIdOf } from '../../src/identity/derive.ts';
import { readTail } from '../../src/postgres/tails.ts';
import { until } from '../../src/rest-client/waits.ts';
import type { StoredItem } from '../../src/shell/worker.ts';
import type { FlowHead } from '../../src/workers/flow/engine/head.ts';
import { digestOf } from '../../src/messages/grammar/digest.ts';
import type { Asked } from '../../src/workers/flow/sandbox/sandbox.ts';
import { benchSeconds, runFor, type Run } from './load.ts';
import { ms, printTable } from './machine.ts';
import { alice, bob, clusterCpuMs, databaseUrlOf, openFlows, startOneCluster, type OneCluster } from './one-cluster.ts';
import { inScratch } from './scratch.ts';

const measuredMs = benchSeconds(8) * 1_000;
const callers = 64;
/** CORDAGE_BENCH_PARKED makes it fewer while other work shares the machine. */
const parkedCount = Number(process.env['CORDAGE_BENCH_PARKED'] ?? 1_000_000);
/** Flows are parked for this long at most; then it is said how many they are. */
const parkingMsMax = 80_000;
const rowsPerStatement = 20_000;
/** Of those that are to wake. */
const dueCounts = { sleeper: 1_000, waiter: 100 } as const;

type Sql = postgres.Sql<{}>;
type Kind = 'sleeper' | 'waiter';
type Cluster = Awaited<ReturnType<typeof startOneCluster>>;

/** A flow that was parked for real. */
type Template = {
  readonly kind: Kind;
  readonly key: string;
  /** Of Alice's flow. */
  readonly incarnation: string | undefined;
  /** What only this flow has in its rows: its id, then the others that `namesOf` makes for a copy, in the same order. */
  readonly names: readonly string[];
  /** Parameters in its journal that hold such a name: the journal knows them again by a digest. */
  readonly asked: readonly string[];
  readonly dueAt: number;
};
type Templates = Readonly<Record<Kind, Template>>;

// ── Parking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Names of the flows of one number: Alice's, with its request, and Bob's, which answers its first session. */
const namesOf = (kind: Kind, { shortHash, groupId }: OneCluster, requestId: string, incarnation: string | undefined): readonly string[] => {
  const flowId = flowIdOf(shortHash, requestId);
  if (kind === 'sleeper') return [flowId, requestId];
  const sessionId = sessionIdOf(originOf(flowId, incarnation), 0);
  return [responderFlowIdOf(groupId, bob, alice, sessionId), sessionId, flowId];
};

const isParked = ({ pending, itemCount }: FlowHead, kind: Kind): boolean =>
  kind === 'sleeper' ? pending.some(({ type }) => type === 'sleep') : itemCount > 1 && pending.some(({ type }) => type === 'receive');

/** The parameters by which the journal tells one code from another, and which hold a name. Short ones are kept whole there. */
const askedWith = (items: readonly StoredItem<unknown>[], names: readonly string[]): string[] => {
  // Written by the flow room: engine/journal.ts.
  const asked = items.flatMap(({ value }) => (value as { asked?: readonly Asked[] }).asked ?? []);
  const named = asked.filter(({ sketch }) => names.some((name) => sketch.includes(name)));
  if (named.some(({ digest, sketch }) => digestOf(sketch) !== digest)) throw new Error('these parameters are not whole in the journal: a copy of the flow could not be woken');
  return [...new Set(named.map(({ sketch }) => sketch))];
};

/** As the flow room has derived it from the message of the start, of which nobody else knows the id. */
const incarnationIn = (sql: Sql, flowId: string): Promise<string | undefined> =>
  until('the head of a flow', async () => {
    const [row] = await sql<{ head: string }[]>`select head from flow.state where key = ${flowId}`;
    // Written by the flow room: engine/head.ts.
    return row === undefined ? undefined : (JSON.parse(row.head) as FlowHead).incarnation;
  });

const parkOne = async (sql: Sql, cluster: OneCluster, kind: Kind): Promise<Template> => {
  const requestId = `template-${kind}`;
  const flows = openFlows(cluster, 1);
  await flows.start(kind === 'sleeper' ? 'bench.Sleep' : 'bench.SayOneWord', requestId, bob);
  await flows.close();
  const incarnation = await incarnationIn(sql, flowIdOf(cluster.shortHash, requestId));
  const names = namesOf(kind, cluster, requestId, incarnation);
  const key = names[0]!;
  return until(`a parked ${kind}`, async () => {
    const [row] = await sql<{ head: string; due_at: string; tail: string; items_apart: boolean }[]>`select head, due_at, tail, items_apart from flow.state where key = ${key}`;
    // Written by the flow room: engine/head.ts.
    if (row === undefined || !isParked(JSON.parse(row.head) as FlowHead, kind)) return undefined;
    if (row.items_apart) throw new Error(`the journal of the parked ${kind} is too long for its row, and only rows are copied`);
    return { kind, key, incarnation, names, asked: askedWith(readTail(row.tail), names), dueAt: Number(row.due_at) };
  });
};

/** What stands in the template's texts, and by what it is replaced in each copy: a column for each. */
type Copies = { readonly from: readonly string[]; readonly to: readonly (readonly string[])[] };

const copiesOf = ({ kind, incarnation, names, asked }: Template, cluster: OneCluster, prefix: string, first: number, count: number): Copies => {
  const made = Array.from({ length: count }, (_, i) => namesOf(kind, cluster, `${prefix}-${first + i}`, incarnation));
  const rename = (text: string, given: readonly string[]): string => names.reduce((renamed, name, i) => renamed.replaceAll(name, given[i]!), text);
  const digests = asked.map((sketch) => made.map((given) => digestOf(rename(sketch, given))));
  return { from: [...names, ...asked.map(digestOf)], to: [...names.map((_, i) => made.map((given) => given[i]!)), ...digests] };
};

/** Parks copies, due later or earlier than their template by `shiftMs`. */
const park = async (sql: Sql, { key, kind }: Template, { from, to }: Copies, shiftMs = 0): Promise<void> => {
  const columns = from.map((_, i) => `c${i}`);
  const copies = sql`unnest(${to.reduce((list, column, i) => sql`${list}${i === 0 ? sql`` : sql`, `}${column as string[]}::text[]`, sql``)}) as c (${sql(columns)})`;
  const renamed = (column: 'head' | 'owed' | 'tail') => from.reduce((text, name, i) => sql`replace(${text}, ${name}, c.${sql(columns[i]!)})`, sql`${sql(column)}`);
  // What the due time is made of: the end of a sleep; the last word of a session.
  const field = `"${kind === 'sleeper' ? 'until' : 'activeAt'}":`;
  const shifted = sql`regexp_replace(${renamed('head')}, ${`${field}[0-9]+`}, ${field} || ((substring(t.head from ${`${field}([0-9]+)`}))::bigint + ${shiftMs}))`;
  await sql`
    insert into flow.state (key, version, head, handled, owed, due_at, scope, status, born_at, tail)
    select c.c0, t.version, ${shiftMs === 0 ? renamed('head') : shifted}, t.handled, ${renamed('owed')}, t.due_at + ${shiftMs}, t.scope, t.status, clock_timestamp(), ${renamed('tail')}
    from (select * from flow.state where key = ${key}) as t cross join ${copies}`;
};

const parkMany = async (sql: Sql, cluster: OneCluster, templates: Templates): Promise<number> => {
  const begun = performance.now();
  let parked = 0;
  let parking: Promise<unknown> = Promise.resolve();
  for (let round = 0; parked < parkedCount && performance.now() - begun < parkingMsMax; round++) {
    const template = templates[round % 2 === 0 ? 'sleeper' : 'waiter'];
    const count = Math.min(rowsPerStatement, parkedCount - parked);
    // Made while the server is busy with those before.
    const copies = copiesOf(template, cluster, 'parked', parked, count);
    await parking;
    parking = park(sql, template, copies);
    await nextMacrotask();
    parked += count;
  }
  await parking;
  await sql`vacuum (analyze) flow.state`;
  await sql`checkpoint`;
  console.log(`  ${parked} flows parked in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  return parked;
};

// ── Waking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Parks flows that are due now. */
const parkDue = async (sql: Sql, cluster: OneCluster, templates: Templates): Promise<void> => {
  for (const kind of ['sleeper', 'waiter'] as const) {
    const template = templates[kind];
    await park(sql, template, copiesOf(template, cluster, 'due', 0, dueCounts[kind]), Date.now() - template.dueAt);
  }
};

/** Resolves when all of them have completed: Alice's by REST with their results, Bob's in their room's table. */
const seeEnds = async (running: OneCluster, { waiter }: Templates): Promise<void> => {
  const flows = openFlows(running, callers);
  const sleepers = Array.from({ length: dueCounts.sleeper }, async (_, i) => {
    const wanted = `woken ${flowIdOf(running.shortHash, `due-${i}`)}`;
    const result = await flows.complete(`due-${i}`);
    if (result !== wanted) throw new Error(`due-${i} ended with ${JSON.stringify(result)} instead of ${wanted}`);
  });
  await Promise.all(sleepers);
  await flows.close();
  const waiters = Array.from({ length: dueCounts.waiter }, (_, i) => namesOf('waiter', running, `due-${i}`, waiter.incarnation)[0]!);
  await withSql(running, (sql) =>
    until('the end of all that waited', async () => {
      const [row] = await sql<{ count: string }[]>`select count(*) from flow.state where key = any(${waiters}) and status = 'COMPLETED'`;
      return Number(row!.count) === waiters.length ? true : undefined;
    }),
  );
};

// ── Measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Measured = { readonly run: Run; readonly cpuUs: number; /** What PostgreSQL wrote to its log for a flow. */ readonly walKb: number };

const walBytes = (cluster: OneCluster): Promise<number> =>
  withSql(cluster, async (sql) => Number((await sql<{ bytes: string }[]>`select pg_current_wal_lsn() - '0/0'::pg_lsn as bytes`)[0]!.bytes));

const measureRate = async (cluster: OneCluster, prefix: string): Promise<Measured> => {
  const flows = openFlows(cluster, callers);
  const call = (part: string) => (index: number) => flows.run('bench.WriteTwo', `${prefix}-${part}-${index}`);
  const total = (): number => Object.values(clusterCpuMs(cluster)).reduce((sum, one) => sum + one, 0);
  await runFor(callers, measuredMs / 2, call('warm'));
  const [before, walBefore] = [total(), await walBytes(cluster)];
  const run = await runFor(callers, measuredMs, call('run'));
  const cpuUs = ((total() - before) * 1000) / run.count;
  const walKb = ((await walBytes(cluster)) - walBefore) / run.count / 1e3;
  await flows.close();
  return { run, cpuUs, walKb };
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
    await withSql(startWith.running, (sql) => parkDue(sql, cluster, templates));
    const { running } = await restarted(cluster, startWith.running);
    const begun = performance.now();
    await seeEnds(running, templates);
    const wakingSeconds = (performance.now() - begun) / 1000;
    const line = (what: string, { run: { perSecond, p50, p99 }, cpuUs, walKb }: Measured, seconds: number) => [what, perSecond.toFixed(0), ms(p50), ms(p99), cpuUs.toFixed(0), `${walKb.toFixed(1)} KB`, `${seconds.toFixed(2)} s`];
    printTable(`flows with two entity writes, ${callers} callers, half of the parked asleep and half waiting for a message`, [
      ['', 'flows/s', 'p50', 'p99', 'µs of CPU a flow', 'log a flow', 'start'],
      line('none parked', without, startWithout.seconds),
      line(`${parked} parked`, beside, startWith.seconds),
    ]);
    console.log(`\n  rate beside none parked: ${(beside.run.perSecond / without.run.perSecond).toFixed(2)} (wanted ≥ 0.8, aim 1.0); the cluster's folder: ${size.toFixed(0)} MB`);
    console.log(`  parked flows that were due: ${dueCounts.sleeper} sleepers and ${dueCounts.waiter} waiters woke and completed within ${wakingSeconds.toFixed(1)} s of a start`);
  });

if (import.meta.main) await run();
