/** Several batches under way on one sandbox process: room is made all the same, and not where one of them runs. */
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import type { GuestOptions } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import type { FlowLimits } from '../../../src/workers/flow/worker.ts';
import { newFlowId, turnOf } from './world/drive.ts';

type Said = { readonly type: string; readonly batch?: number; readonly turns?: { readonly turns: readonly unknown[] }; readonly flowIds?: readonly string[]; readonly compartment?: string };

/** A guest that answers when it is told to, with a heap as full as it is told. */
const open = (limits: Partial<FlowLimits> = {}) => {
  const said: Said[] = [];
  const guests: { readonly hear: GuestOptions['onMessage']; isEnded: boolean }[] = [];
  const startGuest = ({ onMessage, onExit }: GuestOptions) => {
    const guest = { hear: onMessage, isEnded: false };
    guests.push(guest);
    return {
      // Only lane.ts speaks to it.
      post: (message: unknown) => void said.push(message as Said),
      terminate: async () => {
        guest.isEnded = true;
        onExit({ type: 'ended' });
      },
    };
  };
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0, ...limits } });
  const answer = (batch: number, heapShare: number): void => {
    const count = said.find((one) => one.batch === batch)!.turns!.turns.length;
    guests.at(-1)!.hear({ type: 'ran', batch, results: Array.from({ length: count }, () => [[]]), spent: {}, heapShare });
  };
  const run = (compartment: string, ...flowIds: string[]) => sandbox.run(flowIds.map((flowId) => turnOf({ flowId, compartment, code: '', flowClassName: 'test.Any' })));
  return { sandbox, said, guests, answer, run };
};

test('flows leave a heap that is filling, but not those of a batch under way', async () => {
  const { sandbox, said, answer, run } = open();
  const [first, second, third] = [newFlowId(), newFlowId(), newFlowId()];
  const one = run('app/alice', first, second);
  answer(1, 0);
  await one;
  void sandbox.run([{ flowId: first, compartment: 'app/alice', at: 1, completions: [] }]);
  void run('app/alice', third);
  answer(3, 0.9);
  expect(said.filter(({ type }) => type === 'forget')).toEqual([{ type: 'forget', flowIds: [second] }]);
  await sandbox.close();
});

test('compartments beyond the bound are unloaded, but not those of a batch under way', async () => {
  const { sandbox, said, answer, run } = open({ compartmentsMax: 1 });
  void run('app/alice', newFlowId());
  void run('app/bob', newFlowId());
  void run('app/carol', newFlowId());
  answer(2, 0);
  expect(said.filter(({ type }) => type === 'unload')).toEqual([{ type: 'unload', compartment: 'app/bob' }]);
  await sandbox.close();
});

test('a process whose heap stays full is replaced, and what it had under way comes again', async () => {
  const { sandbox, guests, answer, run } = open({ guestFillingsMax: 1 });
  const under = run('app/alice', newFlowId());
  void run('app/alice', newFlowId());
  void run('app/alice', newFlowId());
  answer(2, 0.9);
  expect(guests[0]!.isEnded).toBe(false);
  answer(3, 0.9);
  expect(guests[0]!.isEnded).toBe(true);
  expect(await under).toEqual([{ type: 'lost', reason: 'the sandbox process was replaced' }]);
  const again = run('app/alice', newFlowId());
  answer(4, 0);
  expect((await again)[0]).toMatchObject({ type: 'ran' });
  await sandbox.close();
});
