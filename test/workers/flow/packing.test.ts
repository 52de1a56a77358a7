/** What crosses the border of a sandbox process: it comes out as it went in, and what no guest of ours says is not believed. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import type { GuestOptions } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { packResult, packTurns, unpackResults, unpackTurns } from '../../../src/workers/flow/sandbox/packing.ts';
import type { Completion, Fresh, Turn, TurnResult } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { turnOf } from './world/drive.ts';

const text = fc.string({ maxLength: 20 });
const completion: fc.Arbitrary<Completion> = fc.oneof(
  fc.record({ op: fc.nat(), type: fc.constant('answer' as const), json: text }),
  fc.record({ op: fc.nat(), type: fc.constant('refused' as const), code: text, message: text }),
);
const fresh: fc.Arbitrary<Fresh> = fc
  .record({
    code: fc.constant(''),
    me: fc.record({ x500Name: text, groupId: text, shortHash: text }),
    flowClassName: text,
    flags: fc.array(text, { maxLength: 3 }),
    start: fc.record({ type: fc.constant('input' as const), json: text, context: fc.constant({ one: 'other' }) }),
    journal: fc.array(fc.record({ at: fc.nat(), asked: fc.constant([]) }), { maxLength: 2 }),
    recall: fc.option(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), { nil: undefined }),
  })
  .map(({ recall, ...one }) => (recall === undefined ? one : { ...one, recall }));
const turn: fc.Arbitrary<Turn> = fc
  .record({ flowId: text, compartment: fc.constantFrom('app/alice', 'app/bob'), at: fc.nat(), completions: fc.array(completion, { maxLength: 3 }), fresh: fc.option(fresh, { nil: undefined }), foresees: fc.boolean() })
  .map(({ fresh: given, foresees, ...one }) => ({ ...one, ...(given === undefined ? {} : { fresh: given }), ...(foresees ? { foresees } : {}) }));

const ask = fc.record({ kind: fc.constantFrom('db.find' as const, 'session.open' as const), digest: text, params: text });
const step = fc.oneof(
  fc.record({ asks: fc.array(ask, { maxLength: 3 }), logs: fc.array(fc.record({ level: fc.constant('info' as const), message: text }), { maxLength: 2 }) }),
  fc.constant({ asks: [], logs: [], dropped: true }),
);
const finished = fc.oneof(
  fc.record({ type: fc.constant('result' as const), result: fc.option(text) }),
  fc.record({ type: fc.constant('error' as const), message: text, where: fc.constant([{ line: 1, column: 2 }]) }),
);
const recalled = fc.array(fc.record({ op: fc.nat(), kind: fc.constant('db.find' as const), params: text }), { minLength: 1, maxLength: 2 });
const result: fc.Arbitrary<TurnResult> = fc.oneof(
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { maxLength: 3 }) }),
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { maxLength: 3 }), finished }),
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { maxLength: 3 }), recalled }),
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { maxLength: 3 }), finished, recalled }),
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { minLength: 2, maxLength: 3 }), finished, foreseen: fc.array(fc.nat(), { minLength: 1, maxLength: 2 }) }),
  fc.record({ type: fc.constant('ran' as const), steps: fc.array(step, { minLength: 2, maxLength: 3 }), recalled, foreseen: fc.array(fc.nat(), { minLength: 1, maxLength: 2 }) }),
  fc.constant({ type: 'unforeseen' as const }),
  fc.record({ type: fc.constant('lost' as const), reason: text }),
  fc.record({ type: fc.constant('diverged' as const), message: text }),
  fc.record({ type: fc.constant('fault' as const), code: fc.constant('FLOW_OUT_OF_TURN' as const), message: text }),
);

const crossed = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('turns and their results come out as they went in', () => {
  const turnsCross = fc.property(fc.array(turn, { maxLength: 3 }), (all) => {
    // What crossed is what was packed.
    expect(unpackTurns(crossed(packTurns(all)) as ReturnType<typeof packTurns>)).toEqual(all);
  });
  const resultsCross = fc.property(fc.array(result, { maxLength: 3 }), (all) => {
    expect(unpackResults(crossed(all.map(packResult)), all.length)).toEqual(all);
  });
  fc.assert(turnsCross);
  fc.assert(resultsCross);
});

const strange: readonly (readonly [what: string, results: unknown])[] = [
  ['nothing', undefined],
  ['too few', []],
  ['too many', [[[]], [[]]]],
  ['a number', [1]],
  ['null', [null]],
  ['another kind of end', [{ type: 'ran', steps: [] }]],
  ['an end without a reason', [{ type: 'lost' }]],
  ['a fault without a message', [{ type: 'fault', code: 'FLOW_OUT_OF_TURN', message: {} }]],
  ['steps that are none', [['steps']]],
  ['a step that is none', [[['step']]]],
  ['log lines that are none', [[[['logs']]]]],
  ['half an ask', [[[[0, 'db.find', 'digest']]]]],
  ['parameters that are no text', [[[[0, 'db.find', 'digest', {}]]]]],
  ['a result that is no text', [[[], [{}]]]],
  ['an error without a message', [[[], { type: 'error' }]]],
  ['an operation that is none', [[[], null, 'recalled']]],
  ['a foreseen answer that has no step', [[[], null, 0, [1]]]],
  ['a foreseen answer of no operation', [[[[0]], null, 0, ['1']]]],
];

test.each(strange)('a guest that says %s is not believed: it ends, and its flows are rebuilt elsewhere', async (_, results) => {
  const ended: number[] = [];
  let started = 0;
  const startGuest = ({ onMessage, onExit }: GuestOptions) => {
    const name = ++started;
    return {
      post: (message: unknown) => onMessage({ type: 'ran', batch: (message as { batch: number }).batch, results, spent: {}, heapShare: 0 }),
      terminate: async () => {
        ended.push(name);
        onExit({ type: 'ended' });
      },
    };
  };
  const sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0 } });
  const drive = { flowId: '20000000-0000-8000-8000-000000000000', compartment: 'app/alice', code: '', flowClassName: 'test.Any' };
  expect(await sandbox.run([turnOf(drive)])).toEqual([{ type: 'lost', reason: expect.stringContaining('it said what no guest says') as unknown }]);
  expect(sandbox.holds(drive.flowId)).toBe(false);
  expect(ended).toEqual([1]);
  await sandbox.close();
});
