/**
 * A cluster of separate processes beside the combined form, in one run: two-party flows a second, with one flow worker and with two; how fast a
 * backlog is worked off; and the memory of each process, idle and under load.
 */
import type { SeparateKind } from '../clusters/cluster.ts';
import { separateKinds } from '../clusters/cluster.ts';
import { printTable } from './machine.ts';
import { descendants, pssMiB, residentMiB } from './processes.ts';
import { inScratch } from './scratch.ts';
import { startSeparateClusters, type SeparateClusters } from './separate-clusters.ts';
import { inCombinedClusters, runMany, type Caller } from './two-party.ts';

const flows = 1_500;
const concurrency = 64;
const backlog = 500;
/** How often memory is read under load, in milliseconds. */
const lookMs = 200;
/** A process that is quiet gives back what its start took (`src/host/memory.ts` looks every 5 s), in milliseconds. */
const quietMs = 20_000;

const perSecond = async (caller: Caller, prefix: string): Promise<number> => {
  await runMany(caller, `${prefix}-warm`, 300, concurrency);
  return (await runMany(caller, prefix, flows, concurrency)).perSecond;
};

type Memory = { readonly kind: SeparateKind; readonly own: number; readonly proportional: number; readonly guests: number };

const memoryOf = ({ alice }: SeparateClusters): readonly Memory[] =>
  separateKinds.map((kind) => {
    const pid = alice.pidOf(kind);
    const guests = descendants(pid).filter((one) => one !== pid);
    return { kind, own: residentMiB(pid), proportional: pssMiB(pid), guests: guests.reduce((sum, one) => sum + residentMiB(one), 0) };
  });

const highest = (one: readonly Memory[], other: readonly Memory[]): readonly Memory[] =>
  one.map(({ kind, own, proportional, guests }, i) => ({ kind, own: Math.max(own, other[i]!.own), proportional: Math.max(proportional, other[i]!.proportional), guests: Math.max(guests, other[i]!.guests) }));

/** Flows wait for Bob, whose flow workers are away; then these come back. Milliseconds from there to the last end. */
const drain = async ({ bob, caller }: SeparateClusters, workers: number): Promise<number> => {
  await bob.end('flow');
  const calls = runMany(caller, `backlog-${workers}`, backlog, backlog);
  // A start is answered by Alice's flow worker at once; what follows waits.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await Promise.all(Array.from({ length: workers }, (_, replica) => bob.start('flow', replica)));
  const begun = performance.now();
  await calls;
  const took = performance.now() - begun;
  for (let replica = 1; replica < workers; replica++) await bob.end('flow', replica);
  return took;
};

export const run = (): Promise<void> =>
  inScratch(async (scratch) => {
    let combined = 0;
    await inCombinedClusters(async (_clusters, caller) => {
      combined = await perSecond(caller, 'combined');
    });
    const clusters = await startSeparateClusters(scratch);
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    const idle = memoryOf(clusters);
    let loaded = idle;
    const looking = setInterval(() => (loaded = highest(loaded, memoryOf(clusters))), lookMs);
    const one = await perSecond(clusters.caller, 'one');
    clearInterval(looking);
    await Promise.all([clusters.alice.start('flow', 1), clusters.bob.start('flow', 1)]);
    const two = await perSecond(clusters.caller, 'two');
    await Promise.all([clusters.alice.end('flow', 1), clusters.bob.end('flow', 1)]);
    const drained = [await drain(clusters, 1), await drain(clusters, 2)];
    const rate = (value: number): [string, string] => [value.toFixed(0), `${(value / combined).toFixed(2)} ×`];
    printTable(`two-party flows a second, ${concurrency} at a time`, [['', 'flows/s', 'of combined'], ['combined', ...rate(combined)], ['separate, 1 flow worker', ...rate(one)], ['separate, 2 flow workers', ...rate(two)]]);
    printTable(`a backlog of ${backlog} flows`, [['', 'seconds', 'flows/s'], ...drained.map((took, i) => [`${i + 1} flow worker${i > 0 ? 's' : ''}`, (took / 1_000).toFixed(1), ((backlog * 1_000) / took).toFixed(0)])]);
    printTable('memory of each process, MiB', [
      ['', 'idle: resident', 'proportional', 'under load: resident', 'its sandbox, idle', 'under load'],
      ...idle.map(({ kind, own, proportional, guests }, i) => [kind, own.toFixed(0), proportional.toFixed(0), loaded[i]!.own.toFixed(0), ...(guests > 0 ? [guests.toFixed(0), loaded[i]!.guests.toFixed(0)] : ['', ''])]),
    ]);
  });

if (import.meta.main) await run();
