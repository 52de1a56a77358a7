/**
 * Two-party flows over two combined clusters and HTTPS: one at a time, and 32 at a time, by an ordinary REST client that
 * starts a flow and waits for its result. Then where the time of one goes, hop by hop, from the brokers' time stamps.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { shortHashOf } from '../../src/cli/network.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { openStartState } from '../../src/cli/start-state.ts';
import { adminLogin, buildNetwork, startClusters, type Clusters } from '../../src/cli/two-clusters.ts';
import { ms, percentile, printTable } from './machine.ts';
import { traceHops, traceCredential } from './hops.ts';
import { cpuMs, processesBelow, sumOf } from './processes.ts';

const flowClassName = 'com.cordage.samples.Greet';

export type Caller = { readonly call: (id: string) => Promise<number>; readonly close: () => Promise<void> };

/** A REST client on a keep-alive pool; `call` gives the milliseconds from start to result. */
export const openCaller = (restUrl: string, password: string, shortHash: string, otherMember: string): Caller => {
  const agent = new Agent({ connections: 64, keepAliveTimeout: 60_000 });
  const headers = { authorization: `Basic ${btoa(`${adminLogin}:${password}`)}`, 'content-type': 'application/json', accept: 'application/json' };
  const base = `${restUrl}/api/v5_2/flow/${shortHash}`;
  return {
    close: () => agent.close(),
    call: async (clientRequestId) => {
      const begun = performance.now();
      const start = await request(base, { method: 'POST', dispatcher: agent, headers, body: JSON.stringify({ clientRequestId, flowClassName, requestBody: { otherMember } }) });
      const startText = await start.body.text();
      if (start.statusCode !== 202) throw new Error(`start answered ${start.statusCode}: ${startText}`);
      const result = await request(`${base}/${clientRequestId}/result?wait=30000`, { dispatcher: agent, headers });
      const text = await result.body.text();
      if (result.statusCode !== 200 || !text.includes('COMPLETED')) throw new Error(`result answered ${result.statusCode}: ${text}`);
      return performance.now() - begun;
    },
  };
};

export const runMany = async (caller: Caller, prefix: string, count: number, concurrency: number): Promise<{ perSecond: number; latencies: number[] }> => {
  const latencies: number[] = [];
  let next = 0;
  const begun = performance.now();
  const one = async (): Promise<void> => {
    while (next < count) latencies.push(await caller.call(`${prefix}-${next++}`));
  };
  await Promise.all(Array.from({ length: concurrency }, one));
  return { perSecond: count / ((performance.now() - begun) / 1000), latencies };
};

/** Processor time so far of each cluster's own process, of its sandbox, of its PostgreSQL, and of this client. */
const cpuSoFar = ({ processes }: Clusters): Record<string, number> => {
  const used: Record<string, number> = { client: cpuMs(process.pid) };
  for (const { name, pid } of processes) {
    used[name] = cpuMs(pid);
    const { sandbox, PostgreSQL } = processesBelow(pid);
    used[`${name} sandbox`] = sumOf(sandbox, cpuMs);
    used[`${name} PostgreSQL`] = sumOf(PostgreSQL, cpuMs);
  }
  return used;
};

const measure = async (clusters: Clusters, caller: Caller): Promise<void> => {
  await runMany(caller, 'warm', 1_000, 32);
  const alone = await runMany(caller, 'alone', 300, 1);
  const many = [];
  const before = cpuSoFar(clusters);
  for (const concurrency of [32, 64, 128]) many.push({ concurrency, ...(await runMany(caller, `many-${concurrency}`, 4_000, concurrency)) });
  printTable('two-party flows, start to result over REST', [
    ['', 'flows/s', 'p50', 'p99'],
    ['one at a time', alone.perSecond.toFixed(0), ms(percentile(alone.latencies, 0.5)), ms(percentile(alone.latencies, 0.99))],
    ...many.map(({ concurrency, perSecond, latencies }) => [`${concurrency} at a time`, perSecond.toFixed(0), ms(percentile(latencies, 0.5)), ms(percentile(latencies, 0.99))]),
  ]);
  const after = cpuSoFar(clusters);
  const flows = many.reduce((sum, { latencies }) => sum + latencies.length, 0);
  printTable('processor time of one flow, many at a time', [['', 'ms'], ...Object.keys(after).map((name) => [name, ((after[name]! - before[name]!) / flows).toFixed(2)])]);
  await traceHops(clusters, (id) => caller.call(id));
};

/** Two combined clusters with the sample's network across them. */
export const inCombinedClusters = async (work: (clusters: Clusters, caller: Caller) => Promise<void>): Promise<void> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-bench-'));
  const progress = createProgress();
  try {
    // The brokers let the benchmark read their topics, which ordinary combined clusters do not offer.
    process.env['CORDAGE_BUS_CREDENTIALS'] = traceCredential;
    process.env['CORDAGE_BUS_PORT'] = '0';
    const { state } = await openStartState(directory, { reset: false, ports: { rest: 18_888, gateway: 18_080 } });
    const clusters = await startClusters(state, directory);
    try {
      await buildNetwork(progress, clusters.members, state, directory);
      const [alice, bob] = state.clusters;
      const caller = openCaller(clusters.processes[0]!.restUrl, alice!.adminPassword, shortHashOf(clusters.members[0]!), bob!.member);
      await work(clusters, caller);
      await caller.close();
    } finally {
      await Promise.all(clusters.processes.map((one) => one.stop()));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

export const run = (): Promise<void> => inCombinedClusters(measure);

if (import.meta.main) await run();
