/** What flows did once they do again: recorded journals over the code that wrote them, at every place; and over other code, a report. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/host/clock.ts';
import { startGuest } from '../../src/host/guests.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import type { Sandbox } from '../../src/workers/flow/worker.ts';
import { createFlowSandbox, createTrustingSandbox } from '../../src/workers/flow/worker.ts';
import { bundleHashOf, digestOf, readHistory } from './history.ts';
import type { RecordedFlow } from './history.ts';
import { replay, stepsOf } from './replay.ts';

const names = readdirSync(fileURLToPath(new URL('.', import.meta.url)))
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length));

/** Places of a long journal at which it is replayed: its ends, and some between. */
const placesOf = (count: number): number[] => [...Array(count).keys()].filter((place) => place < 10 || place > count - 10 || place % 37 === 0);

const expectedEnd = ({ head }: RecordedFlow): unknown => (head.status === 'COMPLETED' ? { type: 'result', result: head.result } : { type: 'error', message: head.error?.message });

describe.each(names)('the history %s', (name) => {
  const history = readHistory(name);
  const sandbox: Sandbox = createTrustingSandbox();
  afterAll(() => sandbox.close());

  test('is as it was written', () => {
    expect(bundleHashOf(history.bundle)).toBe(history.bundleHash);
    expect(digestOf(history)).toBe(history.digest);
    expect(Object.keys(history.sources)).toContain(`${name}.ts`);
    expect(history.flows.length).toBeGreaterThan(0);
  });

  test.each(history.flows.map((flow) => [`${flow.member}’s ${flow.head.flowClassName}`, flow] as const))('%s asks again for what it asked, and ends as it ended', async (_, flow) => {
    const steps = stepsOf(flow);
    for (const place of placesOf(steps.length)) {
      const replayed = await replay(sandbox, history.bundle, flow, place);
      expect(replayed).toMatchObject({ type: 'ran', asked: steps[place]!.asked });
      const isLast = place === steps.length - 1;
      if (replayed.type === 'ran') expect(replayed.finished).toEqual(isLast ? expect.objectContaining(expectedEnd(flow)) : undefined);
    }
  });
});

test('the hardened sandbox replays them all alike', async () => {
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() });
  for (const name of names) {
    const { bundle, flows } = readHistory(name);
    for (const { member, head, items } of flows) {
      // Each application lives in a compartment of its own.
      const flow = { member, items, head: { ...head, code: { ...head.code, cpkHash: name } } };
      const steps = stepsOf(flow);
      expect(await replay(sandbox, bundle, flow, steps.length - 1)).toMatchObject({ type: 'ran', asked: steps.at(-1)!.asked, finished: expectedEnd(flow) });
    }
  }
  await sandbox.close();
});
