/**
 * Flows a second through the machine alone (no bus, no database): one that stores and finds an
 * entity, in batches, with the sandbox in a process of its own and inline; and the replay of a long journal.
 */
import { systemClock } from '../../src/host/clock.ts';
import { startGuest } from '../../src/host/guests.ts';
import { flowIdOf } from '../../src/identity/derive.ts';
import type { StepInput, StepOutput, StoredItem } from '../../src/shell/worker.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { requestIdOf } from '../../src/workers/flow/engine/external.ts';
import { createFlowSandbox, createFlowWorker, createTrustingSandbox } from '../../src/workers/flow/worker.ts';
import type { Sandbox } from '../../src/workers/flow/worker.ts';
import { bundleOf } from '../workers/flow/world/bundle.ts';
import { identityOf } from '../workers/flow/world/identities.ts';
import { viewsOf } from '../workers/flow/world/world.ts';
import { cpuMs, descendants } from './processes.ts';

const source = `
const note = entity<{ id: string; text: string }>({ name: 'Note', id: (one) => one.id });
export const flows = [
  startableFlow({ name: 'bench.Two', run: async (ctx, input) => {
    await ctx.db.persist(note, { id: ctx.flowId, text: String(input) });
    return (await ctx.db.find(note, ctx.flowId))?.text;
  } }),
  startableFlow({ name: 'bench.Many', run: async (ctx, input: any) => {
    let sum = 0;
    for (let i = 0; i < input.count; i++) sum += (await ctx.db.find(note, String(i))) === undefined ? 1 : 0;
    return sum;
  } }),
];`;
const flows = ['bench.Two', 'bench.Many'].map((name) => ({ name, kind: 'startable' as const }));

const code = await bundleOf(source);
const alice = identityOf('Alice');

const machineOf = (sandbox: Sandbox, flowsLiveMax = 10_000) =>
  createFlowWorker({ views: viewsOf(['Alice'], [], { code, flows }), sandbox, log: silentLog, metrics: createMetrics(), limits: { flowsLiveMax } }).machine!;

const startOf = (clientRequestId: string, flowClassName: string, input: unknown) => {
  const body = { holdingIdentity: alice, clientRequestId, flowClassName, requestBody: JSON.stringify(input), startedBy: 'admin' };
  const key = flowIdOf(alice.shortHash, clientRequestId);
  return { type: 'start', key, id: clientRequestId, body };
};
const answerOf = (requestId: string, items: unknown[]) => ({ type: 'answer', requestId, outcome: { type: 'done', value: { items } } });

type Next = Extract<StepOutput<any, any>, { type: 'next' }>;
type Machine = ReturnType<typeof machineOf>;

const stepAll = async (machine: Machine, inputs: StepInput<any, any, any>[]): Promise<Next[]> => {
  await machine.prepare?.(inputs.flatMap(({ events }) => events));
  const outputs = await machine.step(inputs, Date.now());
  return outputs.map((output) => {
    if (output.type !== 'next') throw new Error(JSON.stringify(output));
    return output;
  });
};

type Figures = { readonly rate: number; /** Microseconds of all processes for one flow: steadier than the rate on a shared machine. */ readonly cpuUs: number };

/** Milliseconds of processor time of this process and its sandboxes. */
const cpuOfAll = (): number => descendants(process.pid).reduce((sum, pid) => sum + cpuMs(pid), 0);

const runFlows = async (machine: Machine, count: number, batch: number, tag: string): Promise<Figures> => {
  const begun = performance.now();
  const cpuBegun = cpuOfAll();
  for (let from = 0; from < count; from += batch) {
    const events = Array.from({ length: batch }, (_, i) => startOf(`${tag}-${from + i}`, 'bench.Two', 'hello'));
    let inputs: StepInput<any, any, any>[] = events.map((event) => ({ key: event.key, head: undefined, items: undefined, events: [event] }));
    for (let op = 0; op < 3; op++) {
      const outputs = await stepAll(machine, inputs);
      if (op === 2) {
        if (outputs.some(({ head }) => head.status !== 'COMPLETED')) throw new Error(JSON.stringify(outputs[0]!.head));
        break;
      }
      inputs = inputs.map(({ key }, i) => ({ key, head: outputs[i]!.head, items: undefined, events: [answerOf(requestIdOf(outputs[i]!.head, op), [{ id: key, json: '{"id":"x","text":"hello"}' }])] }));
    }
  }
  return { rate: (count / (performance.now() - begun)) * 1000, cpuUs: ((cpuOfAll() - cpuBegun) * 1000) / count };
};

const replay = async (machine: Machine, count: number): Promise<number> => {
  const event = startOf('replay', 'bench.Many', { count: count + 1 });
  const items: StoredItem<any>[] = [];
  let [output] = await stepAll(machine, [{ key: event.key, head: undefined, items: undefined, events: [event] }]);
  for (let op = 0; op < count; op++) {
    items.push(...(output!.itemsAdded ?? []));
    [output] = await stepAll(machine, [{ key: event.key, head: output!.head, items: undefined, events: [answerOf(requestIdOf(output!.head, op), [])] }]);
  }
  items.push(...(output!.itemsAdded ?? []));
  machine.forget?.([event.key]);
  const begun = performance.now();
  await stepAll(machine, [{ key: event.key, head: output!.head, items, events: [answerOf(requestIdOf(output!.head, count), [])] }]);
  return performance.now() - begun;
};

export const run = async (): Promise<void> => {
  const sandboxes: [string, Sandbox][] = [
    ['process', createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() })],
    ['inline', createTrustingSandbox()],
  ];
  for (const [name, sandbox] of sandboxes) {
    const machine = machineOf(sandbox);
    await runFlows(machine, 2_000, 100, `warm-${name}`);
    for (const batch of [1, 16, 100]) {
      const { rate, cpuUs } = await runFlows(machine, batch === 1 ? 3_000 : 30_000 - (30_000 % batch), batch, `${name}-${batch}`);
      console.log(`${name}: ${Math.round(rate)} flows/s in batches of ${batch}, ${cpuUs.toFixed(0)} µs of CPU each`);
    }
    await replay(machine, 100);
    console.log(`${name}: ${(await replay(machine, 1_000)).toFixed(1)} ms to replay a journal of 1,000 operations (wanted ≤ 50 ms, aim ≤ 10 ms)`);
    await sandbox.close();
  }
};

if (import.meta.main) await run();
