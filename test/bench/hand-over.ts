/**
 * How long the keys of a flow worker that is killed with -9 wait for the other replica: from the kill to the end of the last flow that was under
 * way. Beside it, the same for one that is told to end (SIGTERM).
 */
import { inScratch } from './scratch.ts';
import { startSeparateClusters, type SeparateClusters } from './separate-clusters.ts';
import { ms, percentile, printTable } from './machine.ts';

const rounds = 5;
const concurrency = 16;

/** Flows all the time; `after` gives the milliseconds from a moment to the end of the last flow that was under way then. */
const startFlows = ({ caller }: SeparateClusters, prefix: string) => {
  let stopping = false;
  let next = 0;
  const underWay = new Set<Promise<unknown>>();
  const one = async (): Promise<void> => {
    while (!stopping) {
      const call = caller.call(`${prefix}-${next++}`);
      underWay.add(call);
      await call.finally(() => underWay.delete(call));
    }
  };
  const callers = Array.from({ length: concurrency }, one);
  return {
    /** Resolves when so many more flows have been started. */
    started: async (count: number): Promise<void> => {
      for (const until = next + count; next < until; ) await Promise.race(underWay);
    },
    lastOfNow: async (): Promise<number> => {
      const begun = performance.now();
      await Promise.all(underWay);
      return performance.now() - begun;
    },
    stop: async (): Promise<void> => {
      stopping = true;
      await Promise.all(callers);
    },
  };
};

const measure = async (clusters: SeparateClusters, signal: 'SIGKILL' | 'SIGTERM'): Promise<readonly number[]> => {
  const { alice } = clusters;
  const waits: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await alice.start('flow', 1);
    const flows = startFlows(clusters, `${signal}-${round}`);
    await flows.started(100);
    const leaving = signal === 'SIGKILL' ? alice.kill('flow', 1) : alice.end('flow', 1);
    waits.push(await flows.lastOfNow());
    await leaving;
    await flows.stop();
  }
  return waits;
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    const clusters = await startSeparateClusters(scratch);
    const rows = [];
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const waits = await measure(clusters, signal);
      rows.push([signal === 'SIGKILL' ? 'killed (-9)' : 'told to end', ms(percentile(waits, 0.5)), ms(Math.max(...waits))]);
    }
    printTable(`one of two flow workers goes, ${concurrency} flows at a time: from there to the end of the last flow under way`, [['', 'p50', `longest of ${rounds}`], ...rows]);
  });

if (import.meta.main) await run();
