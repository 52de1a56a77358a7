/** The sandbox port: one suite for both implementations, and what the hardened one adds. */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { flowLimitsDefault } from '../../../src/workers/flow/config.ts';
import { askedOf } from '../../../src/workers/flow/sandbox/ask.ts';
import type { Completion, Fresh, ReplayStep, Sandbox, Turn, TurnResult } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox, createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';

const source = `
const note = entity<{ id: string }>({ name: 'Note', id: (one) => one.id });
let shared: any;
// Runs a program of operations, some of them at once.
const follow = async (ctx: any, program: any[], out: any[]): Promise<void> => {
  for (const step of program) {
    if (step === 'tick') await null;
    else if (step === 'draw') out.push(ctx.random(), ctx.uuid(), ctx.now());
    else if (step === 'log') ctx.log.info('here', { at: out.length });
    else if (step === 'open') out.push(ctx.initiate('CN=Bob, O=Bob, L=London, C=GB', 'test') !== undefined);
    else if (step === 'race') out.push(await Promise.race([ctx.db.find(note, 'left'), ctx.sleep(5).then(() => 'slept')]));
    else if (Array.isArray(step)) await Promise.all(step.map((part) => follow(ctx, [part], out)));
    else if (step.startsWith('write')) out.push(await ctx.db.persist(note, { id: step }));
    else {
      try {
        out.push(await ctx.db.find(note, step));
      } catch (error: any) {
        out.push(error.code);
      }
    }
  }
};
export const flows = [
  startableFlow({ name: 'test.Follow', run: async (ctx, input: any) => { const out: any[] = []; await follow(ctx, input, out); return out; } }),
  startableFlow({ name: 'test.Echo', run: async (_, input) => input }),
  startableFlow({ name: 'test.Trace', run: async (ctx, input: any) => {
    const { all } = ctx.properties;
    try { (all() as any).one = 'changed'; (ctx.me as any).x500Name = 'changed'; } catch { /* frozen */ }
    const before = { ...all() };
    ctx.properties.put('trace', input);
    ctx.properties.put('one', input);
    await ctx.db.find(note, 'x');
    return { before, after: all(), me: ctx.me.x500Name };
  } }),
  startableFlow({ name: 'test.Throw', run: async () => { throw new Error('no way'); } }),
  startableFlow({ name: 'test.ThrowHostile', run: async () => { throw { get message(): string { throw 1; } }; } }),
  startableFlow({ name: 'test.ThrowNothing', run: async () => { throw undefined; } }),
  startableFlow({ name: 'test.Cycle', run: async () => { const cycle: any = {}; cycle.self = cycle; return cycle; } }),
  startableFlow({ name: 'test.Leave', run: async (ctx) => { shared = () => ctx.sleep(1); await ctx.sleep(1); } }),
  startableFlow({ name: 'test.Take', run: async () => { try { await shared(); } catch (error) { return String(error); } } }),
  startableFlow({ name: 'test.Flood', run: async (ctx) => { for (let i = 0; i < 2_000; i++) void ctx.sleep(1); await ctx.sleep(1); } }),
  startableFlow({ name: 'test.Large', run: async (ctx, input: any) => { try { await ctx.db.find(note, 'x'.repeat(input)); } catch (error: any) { return error.code; } } }),
  startableFlow({ name: 'test.LargeResult', run: async (_, input: any) => 'x'.repeat(input) }),
  startableFlow({ name: 'test.WriteLarge', run: async (ctx, input: any) => { await ctx.db.persist(note, { id: 'one' }); return 'x'.repeat(input); } }),
  startableFlow({ name: 'test.LargeError', run: async () => { throw new Error('x'.repeat(1_000_000)); } }),
  startableFlow({ name: 'test.LargeStep', run: async (ctx, input: any) => { for (let i = 0; i < input; i++) void ctx.db.find(note, 'x'.repeat(1_000_000)).catch(() => {}); await ctx.sleep(1); } }),
  startableFlow({ name: 'test.Chatter', run: async (ctx) => { for (let i = 0; i < 1000; i++) ctx.log.info('x'.repeat(9000), { i }); } }),
];`;

let code: string;
beforeAll(async () => void (code = await bundleOf(source)));

const me = { x500Name: 'CN=Alice, O=Alice, L=London, C=GB', groupId: 'g', shortHash: 'A'.repeat(12) };
let flowCount = 0;
const newFlowId = (): string => `00000000-0000-8000-8000-${String(++flowCount).padStart(12, '0')}`;

const freshOf = (flowClassName: string, input: unknown, journal: readonly ReplayStep[] = []): Fresh => ({
  code,
  me,
  flowClassName,
  flags: [],
  start: { type: 'input', json: JSON.stringify(input), context: {} },
  journal,
});

const begin = (flowClassName: string, input: unknown = null, flowId = newFlowId()): Turn => ({ flowId, compartment: 'c', at: 1, fresh: freshOf(flowClassName, input), completions: [] });

const ranOf = (result: TurnResult | undefined): Extract<TurnResult, { type: 'ran' }> => {
  if (result?.type !== 'ran') throw new Error(`not ran: ${JSON.stringify(result)}`);
  return result;
};

const implementations: [string, () => Sandbox][] = [
  ['inline', () => createTrustingSandbox()],
  ['process', () => createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() })],
];

type Program = (string | Program)[];
const program: fc.Arbitrary<Program> = fc.letrec<{ program: Program; part: string | Program }>((tie) => ({
  program: fc.array(tie('part'), { maxLength: 5 }),
  part: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constantFrom('tick', 'draw', 'log', 'open', 'race', 'a', 'b'), tie('program')),
})).program;
/** Mostly writes, one after the other and at once. */
const writing: fc.Arbitrary<Program> = fc.array(
  fc.oneof({ arbitrary: fc.constantFrom('write a', 'write b', 'draw'), weight: 4 }, { arbitrary: fc.array(fc.constantFrom('write c', 'write d', 'tick'), { maxLength: 3 }), weight: 2 }, { arbitrary: program, weight: 1 }),
  { minLength: 1, maxLength: 6 },
);

/** Places in the code are for people: V8 tells more or fewer of the callers that wait. */
const withoutPlaces = (result: TurnResult): unknown => JSON.parse(JSON.stringify(result, (key, value: unknown) => (key === 'where' ? undefined : value)));

/** Runs a program to its end; the choices say which pending operation completes next, and how. */
type Run = { readonly journal: ReplayStep[]; readonly result: TurnResult };
const choices = fc.infiniteStream(fc.nat());

const runProgram = async (sandbox: Sandbox, flowId: string, input: Program, choose: Iterator<number>, evictAt: (step: number) => boolean): Promise<Run> => {
  const journal: ReplayStep[] = [];
  const pending: number[] = [];
  let operations = 0;
  let completion: Completion | undefined;
  let at = 1;
  for (let step = 0; ; step++) {
    if (evictAt(step)) sandbox.forget([flowId]);
    const isHeld = sandbox.holds(flowId);
    const turn: Turn = {
      flowId,
      compartment: 'c',
      at,
      ...(isHeld ? {} : { fresh: freshOf('test.Follow', input, journal) }),
      completions: completion === undefined ? [] : [completion],
    };
    const [result] = await sandbox.run([turn]);
    const ran = ranOf(result);
    const last = ran.steps.at(-1)!;
    journal.push({ at, ...(completion === undefined ? {} : { completion }), asked: last.asks.map(askedOf) });
    for (const { kind } of last.asks) if (kind !== 'session.open') pending.push(operations++);
    if (ran.finished !== undefined || pending.length === 0) return { journal, result: ran };
    const [op] = pending.splice(choose.next().value % pending.length, 1);
    at += 7;
    const refused = choose.next().value % 4 === 0;
    completion = refused ? { op: op!, type: 'refused', code: 'DB_REFUSED', message: 'no' } : { op: op!, type: 'answer', json: '{"items":[]}' };
  }
};

describe.each(implementations)('the %s sandbox', (_, create) => {
  let sandbox: Sandbox;
  beforeAll(() => void (sandbox = create()));
  afterAll(() => sandbox.close());

  const runOne = async (turn: Turn): Promise<TurnResult> => (await sandbox.run([turn]))[0]!;

  test('F4: flows that begin with the same properties in one batch do not meet in them', async () => {
    const context = Object.freeze({ 'corda.account': 'account-zero', one: 'one' });
    const turns = ['a', 'b'].map((input): Turn => {
      const turn = begin('test.Trace', input);
      return { ...turn, fresh: { ...turn.fresh!, start: { type: 'input', json: JSON.stringify(input), context } } };
    });
    await sandbox.run(turns);
    const results = await sandbox.run(turns.map(({ flowId, compartment, at }) => ({ flowId, compartment, at, completions: [{ op: 0, type: 'answer', json: '{"items":[]}' }] })));
    const expected = (input: string) => ({ before: context, after: { ...context, trace: input, one: input }, me: me.x500Name });
    expect(results.map((result) => JSON.parse((ranOf(result).finished as { result: string }).result) as unknown)).toEqual([expected('a'), expected('b')]);
  });

  test('F1: a flow that is thrown out of memory at any time asks for the same and ends the same', async () => {
    await fc.assert(
      fc.asyncProperty(program, choices, fc.array(fc.boolean(), { maxLength: 20 }), async (input, stream, evictions) => {
        const drawn = [...Array(200)].map(() => stream.next().value as number);
        const flowId = newFlowId();
        const live = await runProgram(sandbox, flowId, input, drawn[Symbol.iterator](), () => false);
        sandbox.forget([flowId]);
        const evicted = await runProgram(sandbox, flowId, input, drawn[Symbol.iterator](), (step) => evictions[step] === true);
        sandbox.forget([flowId]);
        expect(evicted.journal).toEqual(live.journal);
        expect(withoutPlaces(evicted.result)).toEqual(withoutPlaces(live.result));
      }),
      { numRuns: 60 },
    );
  });

  test('F1: several completions in one turn are the same as one turn each', async () => {
    const flowId = newFlowId();
    const begun = ranOf(await runOne({ ...begin('test.Follow', [['a', 'b', 'race']]), flowId }));
    expect(begun.steps[0]!.asks.map(({ kind }) => kind)).toEqual(['db.find', 'db.find', 'db.find', 'sleep']);
    const completions = [3, 0, 2, 1].map((op): Completion => ({ op, type: 'answer', json: '{"items":[]}' }));
    const ran = ranOf(await runOne({ flowId, compartment: 'c', at: 2, completions }));
    expect(ran.steps).toHaveLength(4);
    expect(ran.finished).toEqual({ type: 'result', result: '["slept",null,null]' });
  });

  /** As one who delivers each answer in its time does it, the oldest first, while the flow waits for nothing but writes. */
  const writeByWrite = async (turn: Turn, countMax: number): Promise<TurnResult> => {
    const begun = ranOf(await runOne(turn));
    const steps = [...begun.steps];
    const pending: { op: number; isWrite: boolean }[] = [];
    let operations = 0;
    const note = (asks: (typeof steps)[number]['asks']): void => {
      for (const { kind } of asks) if (kind !== 'session.open') pending.push({ op: operations++, isWrite: kind === 'db.persist' });
    };
    note(begun.steps[0]!.asks);
    let last = begun;
    const told: number[] = [];
    while (last.finished === undefined && pending.length > 0 && pending.every(({ isWrite }) => isWrite) && told.length < countMax) {
      const { op } = pending.shift()!;
      last = ranOf(await runOne({ flowId: turn.flowId, compartment: 'c', at: turn.at, completions: [{ op, type: 'answer', json: '{}' }] }));
      steps.push(...last.steps);
      told.push(op);
      note(last.steps[0]!.asks);
    }
    return { ...last, steps, ...(told.length === 0 ? {} : { foreseen: told }) };
  };

  test('F6: a turn that foresees does what one does that is told each write in its time', async () => {
    let foreseen = 0;
    await fc.assert(
      fc.asyncProperty(writing, async (input) => {
        const turn = begin('test.Follow', input);
        const slowly = await writeByWrite(turn, flowLimitsDefault.foreseenMax);
        sandbox.forget([turn.flowId]);
        const atOnce = await runOne({ ...turn, foresees: true });
        sandbox.forget([turn.flowId]);
        foreseen += ranOf(atOnce).foreseen?.length ?? 0;
        expect(withoutPlaces(atOnce)).toEqual(withoutPlaces(slowly));
      }),
      { numRuns: 60 },
    );
    expect(foreseen).toBeGreaterThan(10);
  });

  test('F6: it goes on over so many answers only, and then from there', async () => {
    const { foreseenMax, foreseenCharsMax } = flowLimitsDefault;
    const turn = begin('test.Follow', Array.from({ length: foreseenMax + 2 }, (_, i) => `write ${i}`));
    const begun = ranOf(await runOne({ ...turn, foresees: true }));
    expect(begun.foreseen).toEqual(Array.from({ length: foreseenMax }, (_, i) => i));
    const { fresh: _, ...more } = turn;
    const ended = ranOf(await runOne({ ...more, foresees: true, completions: [{ op: foreseenMax, type: 'answer', json: '{}' }] }));
    expect([ended.foreseen, ended.finished?.type]).toEqual([[foreseenMax + 1], 'result']);

    const long = begin('test.Follow', ['write one', `write ${'x'.repeat(foreseenCharsMax)}`, 'write two']);
    const first = ranOf(await runOne({ ...long, foresees: true }));
    expect(first.foreseen).toEqual([0]);
    sandbox.forget([long.flowId]);
  });

  test('F6: what breaks a bound after a foreseen answer is to be run again without', async () => {
    const turn = begin('test.WriteLarge', flowLimitsDefault.resultCharsMax + 1);
    expect(await runOne({ ...turn, foresees: true })).toEqual({ type: 'unforeseen' });
    expect(sandbox.holds(turn.flowId)).toBe(false);
    expect(await runOne({ ...begin('test.LargeResult', flowLimitsDefault.resultCharsMax + 1), foresees: true })).toMatchObject({ type: 'fault', code: 'FLOW_RESULT_TOO_LARGE' });
  });

  test('F2: results stand in the order of the turns, whatever becomes of each', async () => {
    const results = await sandbox.run([begin('test.Echo', 'one'), begin('test.Throw'), begin('test.Missing'), begin('test.Follow', ['a']), begin('test.Echo', { two: 2 })]);
    expect(results.map((result) => (result.type === 'ran' ? (result.finished ?? 'waits') : result.type))).toMatchObject([
      { type: 'result', result: 'one' },
      { type: 'error', message: 'no way' },
      'fault',
      'waits',
      { type: 'result', result: '{"two":2}' },
    ]);
  });

  test('F2: whatever a flow throws is described', async () => {
    const results = await sandbox.run([begin('test.ThrowHostile'), begin('test.ThrowNothing'), begin('test.Cycle')]);
    const messages = results.map((result) => ranOf(result).finished);
    expect(messages[0]).toEqual({ type: 'error', message: 'an error that cannot be read' });
    expect(messages[1]).toEqual({ type: 'error', message: 'undefined' });
    expect(messages[2]).toMatchObject({ type: 'error', message: expect.stringMatching(/^VALUE_NOT_JSON: the result of the flow cannot be written as JSON/) as unknown });
  });

  test('F2: a flow that asks without end is stopped', async () => {
    expect(await runOne(begin('test.Flood'))).toMatchObject({ type: 'fault', code: 'FLOW_OPERATIONS_EXCEEDED' });
    expect(ranOf(await runOne(begin('test.Echo', 'still here'))).finished).toEqual({ type: 'result', result: 'still here' });
  });

  test('F2: a flow that acts through another one is refused, and both are named', async () => {
    const left = newFlowId();
    await runOne({ ...begin('test.Leave'), flowId: left });
    const taken = ranOf(await runOne(begin('test.Take')));
    expect(taken.finished).toMatchObject({ result: expect.stringContaining('own turn') as unknown });
    expect(await runOne({ flowId: left, compartment: 'c', at: 3, completions: [{ op: 0, type: 'answer', json: '{}' }] })).toMatchObject({ type: 'fault', code: 'FLOW_OUT_OF_TURN' });
  });

  test('F3: other code than the journal was written by is told where they part', async () => {
    const asked = [{ kind: 'db.find' as const, digest: 'other', sketch: '{"entity":"Note","ids":["z"]}' }];
    const replaced = await runOne({ ...begin('test.Follow', ['a']), fresh: freshOf('test.Follow', ['a'], [{ at: 1, asked }]) });
    expect(replaced).toMatchObject({
      type: 'diverged',
      message: 'at operation 0 the journal has db.find {"entity":"Note","ids":["z"]}, the code asked for db.find {"entity":"Note","ids":["a"]}',
    });
    const silent = await runOne({ ...begin('test.Echo', 1), fresh: freshOf('test.Echo', 1, [{ at: 1, asked }]) });
    expect(silent).toMatchObject({ type: 'diverged', message: expect.stringContaining('the code asked for nothing') as unknown });
    const early = await runOne({ ...begin('test.Echo', 1), fresh: freshOf('test.Echo', 1, [{ at: 1, asked: [] }, { at: 1, completion: { op: 0, type: 'answer', json: '{}' }, asked: [] }]) });
    expect(early).toMatchObject({ type: 'diverged', message: expect.stringContaining('the code returned') as unknown });
  });

  test('F3: a journal that completes what nobody waits for is corrupt', async () => {
    const flowId = newFlowId();
    await runOne({ ...begin('test.Follow', ['a']), flowId });
    expect(await runOne({ flowId, compartment: 'c', at: 2, completions: [{ op: 7, type: 'answer', json: '{}' }] })).toMatchObject({ type: 'fault', code: 'FLOW_JOURNAL_CORRUPT' });
    expect(sandbox.holds(flowId)).toBe(false);
  });

  test('a flow that is not held is lost, not guessed', async () => {
    expect(await runOne({ flowId: newFlowId(), compartment: 'c', at: 1, completions: [] })).toMatchObject({ type: 'lost' });
  });

  test('F5: a result, an error and a step are bounded, and what is beyond a bound does not come out', async () => {
    const { resultCharsMax, errorCharsMax, stepCharsMax } = flowLimitsDefault;
    expect(ranOf(await runOne(begin('test.LargeResult', resultCharsMax))).finished).toMatchObject({ type: 'result' });
    expect(await runOne(begin('test.LargeResult', resultCharsMax + 1))).toMatchObject({ type: 'fault', code: 'FLOW_RESULT_TOO_LARGE' });
    expect(ranOf(await runOne(begin('test.LargeError'))).finished).toMatchObject({ message: 'x'.repeat(errorCharsMax) });
    const count = Math.floor(stepCharsMax / 1_000_000);
    expect(ranOf(await runOne(begin('test.LargeStep', count - 1))).steps[0]!.asks).toHaveLength(count);
    expect(await runOne(begin('test.LargeStep', count + 1))).toMatchObject({ type: 'fault', code: 'FLOW_OPERATIONS_EXCEEDED' });
  });

  test('F5: a call that is too large is refused to the flow and asks nothing', async () => {
    const ran = ranOf(await runOne(begin('test.Large', flowLimitsDefault.operationCharsMax)));
    expect(ran).toMatchObject({ finished: { result: 'OPERATION_INVALID' }, steps: [{ asks: [] }] });
  });

  test('F5: logs are bounded in lines and length', async () => {
    const { logs } = ranOf(await runOne(begin('test.Chatter'))).steps[0]!;
    expect(logs).toHaveLength(flowLimitsDefault.logLinesMax);
    expect(logs[0]!.message).toHaveLength(flowLimitsDefault.logCharsMax);
  });

  test('code that is no application is a fault of its flows', async () => {
    const turn = (text: string): Turn => ({ ...begin('test.Echo'), compartment: text, fresh: { ...freshOf('test.Echo', 1), code: text } });
    const results = await sandbox.run(['var cordageApp = 1;', 'var cordageApp = { flows: [{}] };', 'throw new Error("at load")', 'not JavaScript'].map(turn));
    expect(results.map((result) => (result.type === 'fault' ? result.code : result))).toEqual(Array(4).fill('FLOW_CODE_REFUSED'));
    // And it is the same fault the next time.
    expect(await runOne(turn('throw new Error("at load")'))).toEqual(results[2]);
  });
});
