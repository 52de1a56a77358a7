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
import { behaviourFlags } from '../../src/workers/flow/engine/behaviour.ts';
import { platformProperties } from '../../src/workers/flow/engine/properties.ts';
import type { Turn } from '../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox, type Sandbox } from '../../src/workers/flow/worker.ts';
import { bundleOf } from '../workers/flow/world/bundle.ts';
import { newFlowId, turnOf } from '../workers/flow/world/drive.ts';
import { identityOf } from '../workers/flow/world/identities.ts';
import { viewsOf } from '../workers/flow/world/world.ts';
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

const { virtualNodes, cpis } = viewsOf(['Alice'], [], { code, flows: [] });
const node = virtualNodes.get(identityOf('Alice').shortHash)!;
const context = platformProperties(node, cpis.get(node.cpiFullChecksum)!);

/** A flow's beginning as REST makes it. */
const beginningOf = (): Turn => {
  const turn = turnOf({ flowId: newFlowId(), compartment: `${'c0ffee'.repeat(10)}/0123456789AB`, code, flowClassName, input: {} });
  return { ...turn, fresh: { ...turn.fresh!, flags: behaviourFlags, start: { type: 'input', json: '{}', context, incarnation: 'q_jTcMn0Rw0' } } };
};

type Drive = {
  /** Flows at once. */
  readonly count: number;
  /** Goes on over foreseen answers: all of a flow is one turn. */
  readonly foresees?: boolean;
  readonly pause?: () => Promise<void>;
};

/** The turns of one flow each, one batch after the other; told how long each batch took. */
const runFlows = async (sandbox: Sandbox, { count, foresees = false, pause }: Drive, onBatch: (tookUs: number) => void): Promise<void> => {
  const beginnings = Array.from({ length: count }, () => ({ ...beginningOf(), foresees }));
  const later = beginnings.map(({ flowId, compartment, at }) => ({ flowId, compartment, at }));
  const opLast = foresees ? -1 : turnsPerFlow - 2;
  for (let op = -1; op <= opLast; op++) {
    await pause?.();
    const turns = op < 0 ? beginnings : later.map((turn) => ({ ...turn, completions: [{ op, type: 'answer' as const, json: answer }] }));
    const begun = performance.now();
    const results = await sandbox.run(turns);
    onBatch((performance.now() - begun) * 1_000);
    const wrong = results.find((result) => result.type !== 'ran' || (op === opLast) !== (result.finished?.type === 'result'));
    if (wrong !== undefined) throw new Error(JSON.stringify(wrong));
  }
};

type Figures = { readonly p50Us: number; readonly hostUs: number; readonly guestUs: number };

const measure = async (sandbox: Sandbox, drive: Drive): Promise<Figures> => {
  const { own, sandbox: guests } = processesBelow(process.pid);
  const took: number[] = [];
  const before = { host: sumOf(own, cpuUs), guest: sumOf(guests, cpuUs) };
  const until = performance.now() + measuredMs;
  while (performance.now() < until) await runFlows(sandbox, drive, (us) => took.push(us));
  const turns = took.length * drive.count;
  const p50Us = took.sort((one, other) => one - other)[Math.floor(took.length / 2)]!;
  return { p50Us, hostUs: (sumOf(own, cpuUs) - before.host) / turns, guestUs: (sumOf(guests, cpuUs) - before.guest) / turns };
};

/** What a cluster does between two turns of a flow that runs alone. */
const shortPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

export const run = async (): Promise<void> => {
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0 } });
  const warmUntil = performance.now() + measuredMs;
  while (performance.now() < warmUntil) await runFlows(sandbox, { count: 64 }, () => {});
  const rows: string[][] = [['turns in a batch', 'batch, p50 µs', 'host, µs a turn', 'guest, µs a turn']];
  const drives: readonly (readonly [string, Drive])[] = [
    ['1', { count: 1 }],
    ['1, after 2 ms', { count: 1, pause: shortPause }],
    ...[16, 64, 256].map((count) => [String(count), { count }] as const),
    ...[16, 64].map((count) => [`${count}, whole flows`, { count, foresees: true }] as const),
  ];
  for (const [name, drive] of drives) {
    const { p50Us, hostUs, guestUs } = await measure(sandbox, drive);
    rows.push([name, p50Us.toFixed(0), hostUs.toFixed(1), guestUs.toFixed(1)]);
  }
  printTable('turns through the sandbox alone (the host: this process, which makes the turns as well)', rows);
  await sandbox.close();
};

if (import.meta.main) await run();
