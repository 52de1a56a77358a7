/**
 * Flows with two durable entity writes, started over REST and waited for, beside Restate and DBOS doing two durable steps a
 * workflow. One after another on the same machine, each with its own server processes, durability on for all.
 *
 * - Cordage: a combined cluster as a user starts it; an ordinary REST client with a login and a password starts a flow and waits for
 *   COMPLETED in one call (`?wait=`), as Restate's does; each write is an entity in the vault.
 * - Restate: its server and a service of its SDK; an ingress call that waits; each write is the outcome of a step in its log.
 * - DBOS: its library, in the process that calls it (no HTTP, no login), on the same PostgreSQL; each write is a row, or in a second
 *   form the outcome of a step.
 * - By hand, the floor: a bare Hono server that commits two rows and a result by one statement, on the same PostgreSQL.
 */
import { startByHand } from './by-hand.ts';
import { benchSeconds, runFor, type Run } from './load.ts';
import { ms, printTable } from './machine.ts';
import { clusterCpuMs, openFlows, startOneCluster } from './one-cluster.ts';
import { installPeers, startDbos, startRestate, type DbosForm, type Peer } from './peers.ts';
import { cpuMs } from './processes.ts';
import { inScratch, type Scratch } from './scratch.ts';

/** Of each of the measured runs. */
const measuredMs = benchSeconds(8) * 1_000;
/** Compilers of machine code are still at work after some seconds. */
const warmUpMs = measuredMs;
const warmUpCallers = 64;
const callerCounts = [1, 64, 256] as const;

type Measured = { readonly name: string; readonly runs: readonly Run[]; readonly cpuUs: readonly Record<string, number>[] };

const measure = async (name: string, peer: Peer): Promise<Measured> => {
  await peer.run(warmUpCallers, warmUpMs, 'warm');
  const runs: Run[] = [];
  const cpuUs: Record<string, number>[] = [];
  for (const callers of callerCounts) {
    const before: Record<string, number> = peer.cpuMs();
    const run = await peer.run(callers, measuredMs, `run-${callers}`);
    const after: Record<string, number> = peer.cpuMs();
    runs.push(run);
    cpuUs.push(Object.fromEntries(Object.keys(after).map((one) => [one, ((after[one]! - before[one]!) * 1000) / run.count])));
    console.log(`  ${name}, ${callers} at a time: ${run.perSecond.toFixed(0)}/s, p50 ${ms(run.p50)}, p99 ${ms(run.p99)}`);
  }
  return { name, runs, cpuUs };
};

const startCordage = async (scratch: Scratch): Promise<Peer> => {
  const cluster = await startOneCluster(scratch);
  const flows = openFlows(cluster, Math.max(...callerCounts));
  scratch.closing.add(() => flows.close());
  return {
    run: (callers, durationMs, prefix) => runFor(callers, durationMs, (index) => flows.run('bench.WriteTwo', `${prefix}-${index}`)),
    cpuMs: () => ({ client: cpuMs(process.pid), ...clusterCpuMs(cluster) }),
  };
};

const dbosStarter = (form: DbosForm) => async (scratch: Scratch): Promise<Peer> => {
  await installPeers();
  return startDbos(scratch, form);
};

type Plan = { readonly name: string; readonly word: 'cordage' | 'restate' | 'dbos' | 'by-hand'; readonly start: (scratch: Scratch) => Promise<Peer> };

const plans: readonly Plan[] = [
  { name: 'Cordage', word: 'cordage', start: startCordage },
  {
    name: 'Restate',
    word: 'restate',
    start: async (scratch) => {
      await installPeers();
      return startRestate(scratch);
    },
  },
  { name: 'DBOS, rows', word: 'dbos', start: dbosStarter('rows') },
  { name: 'DBOS, outcomes of steps', word: 'dbos', start: dbosStarter('outcomes') },
  { name: 'by hand', word: 'by-hand', start: startByHand },
];

/** A peer that this platform or registry does not have is named, and the rest is measured. */
const measureAll = async (wanted: readonly string[]): Promise<Measured[]> => {
  const all: Measured[] = [];
  for (const plan of plans) {
    if (wanted.length > 0 && !wanted.includes(plan.word)) continue;
    try {
      await inScratch(async (scratch) => void all.push(await measure(plan.name, await plan.start(scratch))));
    } catch (error) {
      if (plan.word === 'cordage') throw error;
      console.log(`  ${plan.name} was not measured: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return all;
};

const printRates = (all: readonly Measured[]): void => {
  printTable('flows with two durable writes, start to end', [
    ['', ...callerCounts.flatMap((callers) => [`${callers}: /s`, 'p50', 'p99'])],
    ...all.map(({ name, runs }) => [name, ...runs.flatMap(({ perSecond, p50, p99 }) => [perSecond.toFixed(0), ms(p50), ms(p99)])]),
  ]);
  const rows = all.flatMap(({ name, cpuUs }) => Object.keys(cpuUs[0]!).map((process) => [`${name}: ${process}`, ...cpuUs.map((one) => one[process]!.toFixed(0))]));
  printTable('processor time of one flow in µs', [['', ...callerCounts.map(String)], ...rows]);
};

const printRatios = (all: readonly Measured[]): void => {
  const runOf = (name: string, callers: number): Run | undefined => all.find((one) => one.name === name)?.runs.find((run) => run.callers === callers);
  const ratio = (a: number | undefined, b: number | undefined): string => (a === undefined || b === undefined ? '–' : `${(a / b).toFixed(2)} ×`);
  const against = (peer: string): string => ratio(runOf('Cordage', 64)?.perSecond, runOf(peer, 64)?.perSecond);
  const oneByOne = (peer: string): string => ratio(runOf('Cordage', 1)?.p50, runOf(peer, 1)?.p50);
  printTable('beside the peers', [
    ['', 'wanted', 'aim', 'this run'],
    ['64 callers, rate beside Restate', '≥ 2.0 ×', '≥ 4.0 ×', against('Restate')],
    ['64 callers, rate beside DBOS, rows', '≥ 4.0 ×', '', against('DBOS, rows')],
    ['64 callers, rate beside DBOS, outcomes', '', '', against('DBOS, outcomes of steps')],
    ['64 callers, rate beside work by hand', '', '', against('by hand')],
    ['256 callers, flows/s', '≥ 3,500', '≥ 6,000', runOf('Cordage', 256)?.perSecond.toFixed(0) ?? '–'],
    ['256 callers, rate beside Restate', '', '', ratio(runOf('Cordage', 256)?.perSecond, runOf('Restate', 256)?.perSecond)],
    ['256 callers, rate beside work by hand', '', '', ratio(runOf('Cordage', 256)?.perSecond, runOf('by hand', 256)?.perSecond)],
    ['one by one, p50 beside DBOS, rows', '≤ 1.0 ×', '≤ 0.7 ×', oneByOne('DBOS, rows')],
    ['one by one, p50 beside DBOS, outcomes', '', '', oneByOne('DBOS, outcomes of steps')],
    ['one by one, p50 beside Restate', '', '', oneByOne('Restate')],
  ]);
};

export const run = async (wanted: readonly string[] = []): Promise<void> => {
  const all = await measureAll(wanted);
  printRates(all);
  printRatios(all);
};

if (import.meta.main) await run(process.argv.slice(2));
