/** What crosses the border of a sandbox process: it comes out as it went in, and what no guest of ours says is not believed. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import type { GuestOptions } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { platformProperties } from '../../../src/workers/flow/engine/properties.ts';
import { packResult, packTurns, unpackResults, unpackTurns } from '../../../src/workers/flow/sandbox/packing.ts';
import type { Completion, FiberStart, Fresh, Properties, Turn, TurnResult } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { turnOf } from './world/drive.ts';
import { identityOf } from './world/identities.ts';
import { viewsOf } from './world/world.ts';

const text = fc.string({ maxLength: 20 });
const completion: fc.Arbitrary<Completion> = fc.oneof(
  fc.record({ op: fc.nat(), type: fc.constant('answer' as const), json: text }),
  fc.record({ op: fc.nat(), type: fc.constant('refused' as const), code: text, message: text }),
);
/** Few of each, so that flows of a batch are of the same kind, of kinds that differ in one thing, or of the same kind told by objects of their own. */
const context: fc.Arbitrary<Properties> = fc.constantFrom('{"one":"1","two":"2"}', '{"one":"1"}', '{"one":"1","two":"other"}', '{"one":"1","other":"2"}', '{"__proto__":"1"}', '{}').map((json) => JSON.parse(json) as Properties);
const incarnation = fc.constant('again');
const counters = fc.constant({ operations: 1, sessions: 2, uuids: 3, chance: 4 });
const start: fc.Arbitrary<FiberStart> = fc.oneof(
  fc.record({ type: fc.constant('input' as const), json: text, context, incarnation, counters }, { requiredKeys: ['type', 'json', 'context'] }),
  fc.record({ type: fc.constant('session' as const), sessionId: text, counterparty: text, protocolVersion: fc.nat(), context, incarnation }, { requiredKeys: ['type', 'sessionId', 'counterparty', 'protocolVersion', 'context'] }),
);
const fresh: fc.Arbitrary<Fresh> = fc
  .record({
    code: fc.constant(''),
    me: fc.record({ x500Name: fc.constantFrom('Alice', 'Bob'), groupId: fc.constantFrom('g', 'h'), shortHash: fc.constantFrom('A', 'B') }),
    flowClassName: fc.constantFrom('one', 'other'),
    flags: fc.subarray(['one', 'two']),
    start,
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
  const turnsCross = fc.property(fc.array(turn, { maxLength: 6 }), (all) => {
    // What crossed is what was packed.
    expect(unpackTurns(crossed(packTurns(all)) as ReturnType<typeof packTurns>)).toEqual(all);
  });
  const resultsCross = fc.property(fc.array(result, { maxLength: 3 }), (all) => {
    expect(unpackResults(crossed(all.map(packResult)), all.length)).toEqual(all);
  });
  fc.assert(turnsCross);
  fc.assert(resultsCross);
});

test('what flows of a batch have in common is said once, whether they bring one object or each their own', () => {
  const known = { 'corda.account': 'account-zero' };
  const begun = (flowId: string, name: string, context: Properties): Turn => {
    const turn = turnOf({ flowId, compartment: 'app/alice', code: '', flowClassName: name });
    return { ...turn, fresh: { ...turn.fresh!, flags: ['as-once'], start: { type: 'input', json: 'null', context } } };
  };
  const { kinds } = packTurns([
    begun('1', 'test.One', known),
    begun('2', 'test.One', known),
    begun('3', 'test.Other', known),
    begun('4', 'test.One', { ...known }),
    begun('5', 'test.Other', known),
    begun('6', 'test.One', { 'corda.account': 'another' }),
  ]);
  expect(kinds.map(([, , , name, flags, context]) => [name, flags, context])).toEqual([
    ['test.One', ['as-once'], known],
    ['test.Other', ['as-once'], known],
    ['test.One', ['as-once'], { 'corda.account': 'another' }],
  ]);
});

const base: Fresh = { code: '', me: { x500Name: 'Alice', groupId: 'g', shortHash: 'A' }, flowClassName: 'test.One', flags: ['one'], start: { type: 'input', json: '', context: { one: '1' } }, journal: [] };
const startIn = (context: Properties): Fresh => ({ ...base, start: { type: 'input', json: '', context } });
const others: readonly (readonly [what: string, fresh: Fresh])[] = [
  ['its name', { ...base, me: { ...base.me, x500Name: 'Bob' } }],
  ['its group', { ...base, me: { ...base.me, groupId: 'h' } }],
  ['its short hash', { ...base, me: { ...base.me, shortHash: 'B' } }],
  ['its class', { ...base, flowClassName: 'test.Other' }],
  ['a flag', { ...base, flags: ['other'] }],
  ['a flag more', { ...base, flags: ['one', 'other'] }],
  ['a property', startIn({ one: '2' })],
  ['a property more', startIn({ one: '1', two: '2' })],
  ['a property less', startIn({})],
];

test.each(others)('a flow that differs from the one before it in %s keeps its own', (_, other) => {
  const turns = [base, other, base].map((given, i): Turn => ({ flowId: String(i), compartment: 'app/alice', at: 0, completions: [], fresh: given }));
  // What crossed is what was packed.
  expect(unpackTurns(crossed(packTurns(turns)) as ReturnType<typeof packTurns>)).toEqual(turns);
});

test('flows of a virtual node begin with one object that nobody can change, until the node or its CPI is another', () => {
  const { virtualNodes, cpis } = viewsOf(['Alice'], [], { code: '', flows: [] });
  const node = virtualNodes.get(identityOf('Alice').shortHash)!;
  const cpi = cpis.get(node.cpiFullChecksum)!;
  const properties = platformProperties(node, cpi);
  expect(platformProperties(node, cpi)).toBe(properties);
  expect(Object.isFrozen(properties)).toBe(true);
  expect(platformProperties({ ...node, cpkHashes: ['BEEF'] }, cpi)['corda.cpkFileChecksum.0']).toBe('BEEF');
  expect(platformProperties(node, { ...cpi, id: { ...cpi.id, version: '9' } })['corda.cpiVersion']).toBe('9');
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
