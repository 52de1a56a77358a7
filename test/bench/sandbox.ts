/**
 * The sandbox alone: flows of three turns (their beginning and two answers) through a guest process, nothing else at work. One turn at a time:
 * how long the way there and back takes, at once after the one before and after a pause as a cluster makes it. Many in a batch: what
 * a turn costs on either side.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/host/clock.ts';
import { startGuest } from '../../src/host/guests.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createFlowSandbox, type Sandbox } from '../../src/workers/flow/worker.ts';
import { bundleOf } from '../workers/flow/world/bundle.ts';
import { newFlowId, turnOf } from '../workers/flow/world/drive.ts';
import { benchSeconds } from './load.ts';
import { printTable } from './machine.ts';
import { processesBelow, sumOf } from './processes.ts';

const measuredMs = benchSeconds(4) * 1_000;
const turnsPerFlow = 3;
const flowClassName = 'bench.WriteTwo';
const answer = JSON.stringify({ items: [{ id: 'x', json: '{"id":"x","text":"hello"}' }] });

const app = fileURLToPath(new URL('./app/flows.ts', import.meta.url));
const code = await bundleOf(`import * as all from ${JSON.stringify(app)};\nexport const flows = Object.values(all);`);

/** Microseconds of processor time of a process in all its threads: /proc/<pid>/stat counts in steps of 10 ms, which is coarse here. */
const cpuUs = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1_000, 0);

/** The turns of one flow each, one batch after the other; told how long each batch took. */
const runFlows = async (sandbox: Sandbox, count: number, onBatch: (tookUs: number) => void, pause?: () => Promise<void>): Promise<void> => {
  const beginnings = Array.from({ length: count }, () => turnOf({ flowId: newFlowId(), compartment: `${'c0ffee'.repeat(10)}/0123456789AB`, code, flowClassName, input: {} }));
  const later = beginnings.map(({ flowId, compartment, at }) => ({ flowId, compartment, at }));
  for (let op = -1; op < turnsPerFlow - 1; op++) {
    await pause?.();
    const turns = op < 0 ? beginnings : later.map((turn) => ({ ...turn, completions: [{ op, type: 'answer' as const, json: answer }] }));
    const begun = performance.now();
    const results = await sandbox.run(turns);
    onBatch((performance.now() - begun) * 1_000);
    const wrong = results.find((result) => result.type !== 'ran' || (op === turnsPerFlow - 2) !== (result.finished?.type === 'result'));
    if (wrong !== undefined) throw new Error(JSON.stringify(wrong));
  }
};

type Figures = { readonly p50Us: number; readonly hostUs: number; readonly guestUs: number };

const measure = async (sandbox: Sandbox, batch: number, pause?: () => Promise<void>): Promise<Figures> => {
  const { own, sandbox: guests } = processesBelow(process.pid);
  const took: number[] = [];
  const before = { host: sumOf(own, cpuUs), guest: sumOf(guests, cpuUs) };
  const until = performance.now() + measuredMs;
  while (performance.now() < until) await runFlows(sandbox, batch, (us) => took.push(us), pause);
  const turns = took.length * batch;
  const p50Us = took.sort((one, other) => one - other)[Math.floor(took.length / 2)]!;
  return { p50Us, hostUs: (sumOf(own, cpuUs) - before.host) / turns, guestUs: (sumOf(guests, cpuUs) - before.guest) / turns };
};

/** What a cluster does between two turns of a flow that runs alone. */
const shortPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

export const run = async (): Promise<void> => {
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0 } });
  const warmUntil = performance.now() + measuredMs;
  while (performance.now() < warmUntil) await runFlows(sandbox, 64, () => {});
  const rows: string[][] = [['turns in a batch', 'batch, p50 µs', 'host, µs a turn', 'guest, µs a turn']];
  const kinds: readonly (readonly [string, number, (() => Promise<void>)?])[] = [['1', 1], ['1, after 2 ms', 1, shortPause], ['16', 16], ['64', 64], ['256', 256]];
  for (const [name, batch, pause] of kinds) {
    const { p50Us, hostUs, guestUs } = await measure(sandbox, batch, pause);
    rows.push([name, p50Us.toFixed(0), hostUs.toFixed(1), guestUs.toFixed(1)]);
  }
  printTable('turns through the sandbox alone (the host: this process, which makes the turns as well)', rows);
  await sandbox.close();
};

if (import.meta.main) await run();
