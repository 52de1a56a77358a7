/** What hostile or careless flow code can do in the hardened sandbox: harm itself. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import type { StartGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { Sandbox, Turn, TurnResult } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';

/** Each tries to get out, or to leave something for its neighbours; what it answers says how far it came. */
const escapes = `
const outside = (value: any): string => {
  try {
    const got = typeof value === 'function' ? value() : value;
    return got === undefined ? 'undefined' : 'got ' + String(got).slice(0, 60);
  } catch (error: any) {
    return error.name;
  }
};
const evaluate = (text: string) => () => (0, eval)(text);
const attempts: Record<string, (ctx: any) => string | Promise<string>> = {
  clock: () => outside(() => Date.now()),
  dateWithoutTime: () => outside(() => new Date()),
  dateCalled: () => outside(() => (Date as any)()),
  chance: () => outside(() => Math.random()),
  process: () => outside(evaluate('process')),
  require: () => outside(evaluate('require')),
  fetch: () => outside(evaluate('fetch')),
  timers: () => outside(evaluate('setTimeout')),
  microtasks: () => outside(evaluate('queueMicrotask')),
  crypto: () => outside(evaluate('crypto')),
  performance: () => outside(evaluate('performance')),
  atomics: () => outside(evaluate('Atomics')),
  sharedMemory: () => outside(evaluate('SharedArrayBuffer')),
  weakRef: () => outside(evaluate('WeakRef')),
  finalization: () => outside(evaluate('FinalizationRegistry')),
  webAssembly: () => outside(evaluate('WebAssembly')),
  intl: () => outside(evaluate('Intl')),
  importCall: () => outside(() => (0, eval)(['imp', 'ort("node:fs")'].join(''))),
  compartment: () => outside(evaluate('Compartment')),
  lockdown: () => outside(evaluate('lockdown')),
  functionConstructor: () => outside(() => (() => {}).constructor('return process')()),
  asyncConstructor: () => outside(() => (async () => {}).constructor('return process')()),
  generatorConstructor: () => outside(() => (function* () {}).constructor('return process')()),
  hostFunctionConstructor: (ctx) => outside(() => ctx.now.constructor('return process')()),
  hostMethodConstructor: (ctx) => outside(() => ctx.db.find.constructor('return process')()),
  hostObjectConstructor: (ctx) => outside(() => ctx.me.constructor.constructor('return process')()),
  hostPromiseConstructor: (ctx) => outside(() => ctx.sleep(0).constructor.constructor.constructor('return process')()),
  evaluatedThis: () => outside(() => new Function('return this')()),
  evaluatedProcess: () => outside(() => new Function('return typeof process')() === 'undefined' ? undefined : 'process'),
  errorStackHook: () => outside(() => { (Error as any).prepareStackTrace = (_: unknown, frames: any[]) => frames; const frames = new Error('x').stack as any; return Array.isArray(frames) ? frames[0].getThis() : undefined; }),
  errorStackPaths: () => outside(() => /(\\/|file:)[^ ]*src/.exec(String(new Error('x').stack))?.[0]),
  caller: () => outside(() => (function f(): any { return (f as any).caller; })()),
  argumentsCallee: () => outside(() => (function (this: unknown) { return (arguments as any).callee; })()),
  poisonObject: () => outside(() => { (Object.prototype as any).polluted = 1; return ({} as any).polluted; }),
  poisonArray: () => outside(() => { Array.prototype.push = () => 0; return 1; }),
  poisonPromise: () => outside(() => { Promise.prototype.then = (() => 0) as any; return 1; }),
  poisonJson: () => outside(() => { JSON.stringify = (() => 'x') as any; return 1; }),
  poisonGlobal: () => outside(() => { (globalThis as any).left = 'behind'; return 1; }),
  poisonGlobalJson: () => outside(() => { (globalThis as any).JSON = {}; return 1; }),
  poisonIterator: () => outside(() => { (Object.getPrototypeOf([][Symbol.iterator]()) as any).next = () => ({ done: true }); return 1; }),
  poisonError: async (ctx) => {
    try {
      await ctx.sleep(-1);
      return 'no error';
    } catch (error: any) {
      return outside(() => { error.constructor.prototype.message = 'poisoned'; return 1; });
    }
  },
  poisonBrand: async (ctx) => {
    try {
      await ctx.sleep(-1);
      return 'no error';
    } catch (error: any) {
      return outside(() => { Object.defineProperty(error.constructor, Symbol.hasInstance, { value: () => false }); return 1; });
    }
  },
  poisonMe: (ctx) => outside(() => { ctx.me.x500Name = 'CN=Mallory'; return ctx.me.x500Name; }),
  localTime: () => outside(() => { const date = new Date(2020, 0, 1, 12); return [date.getTime(), date.getHours(), date.getTimezoneOffset(), new Date('2020-01-01T12:00').getTime()].join(); }),
};
export const flows = [
  startableFlow({ name: 'test.Attempt', run: async (ctx, input) => await attempts[String(input)]!(ctx) }),
  startableFlow({ name: 'test.Attempts', run: async () => Object.keys(attempts) }),
  startableFlow({ name: 'test.Intact', run: async (ctx) => {
    const list: number[] = [];
    list.push(1);
    const error = await ctx.sleep(-1).catch((fault: unknown) => fault);
    return [({} as any).polluted, list.length, typeof (globalThis as any).left, JSON.stringify({ a: 1 }), [...[1, 2]].length, error instanceof FlowPlatformError, (error as Error).message.slice(0, 5), ctx.me.x500Name];
  } }),
  startableFlow({ name: 'test.Wait', run: async (ctx) => { await ctx.sleep(1); return 'waited'; } }),
  startableFlow({ name: 'test.Spin', run: async (ctx) => { await ctx.sleep(1); for (;;) {} } }),
  startableFlow({ name: 'test.SpinSoftly', run: async () => { for (;;) await null; } }),
  startableFlow({ name: 'test.SpinInGetter', run: async (ctx) => { ctx.log.info('x', { get trap() { for (;;) {} } }); } }),
  startableFlow({ name: 'test.Hog', run: async () => { const hoard: string[][] = []; for (;;) hoard.push(new Array(100_000).fill('x')); } }),
  startableFlow({ name: 'test.Reject', run: async () => { void Promise.reject(new Error('nobody listens')); return 'fine'; } }),
];`;

const spinsAtLoad = 'for (;;) {} var cordageApp = {};';

let code: string;
beforeAll(async () => void (code = await bundleOf(escapes)));

let flowCount = 0;
const newFlowId = (): string => `10000000-0000-8000-8000-${String(++flowCount).padStart(12, '0')}`;

const begin = (flowClassName: string, input: unknown = null, { compartment = 'app/alice', flowId = newFlowId(), text = code } = {}): Turn => ({
  flowId,
  compartment,
  at: 1,
  fresh: {
    code: text,
    me: { x500Name: 'CN=Alice, O=Alice, L=London, C=GB', groupId: 'g', shortHash: 'A'.repeat(12) },
    flowClassName,
    flags: [],
  start: { type: 'input', json: JSON.stringify(input), context: {} },
    journal: [],
  },
  completions: [],
});

const create = (limits: object = {}): Sandbox =>
  createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 300, patienceMs: 20_000, guestSpareCount: 0, ...limits } });

const resultOf = (result: TurnResult | undefined): unknown => (result?.type === 'ran' ? (result.finished?.type === 'result' ? result.finished.result : (result.finished?.message ?? 'waits')) : result);

describe('flow code that tries to get out', () => {
  let sandbox: Sandbox;
  beforeAll(() => void (sandbox = create()));
  afterAll(() => sandbox.close());

  test('finds no power, and nothing that it changes is changed for others', async () => {
    const [list] = await sandbox.run([begin('test.Attempts')]);
    const names = JSON.parse(resultOf(list) as string) as string[];
    expect(names.length).toBeGreaterThan(40);
    const reached = await sandbox.run(names.map((name) => begin('test.Attempt', name)));
    const outcomes = new Map(names.map((name, i) => [name, resultOf(reached[i])]));
    expect(outcomes.get('localTime')).toBe('got 1577880000000,12,0,1577880000000');
    outcomes.delete('localTime');
    const out = [...outcomes].filter(([, outcome]) => !['undefined', 'TypeError', 'SyntaxError'].includes(String(outcome)));
    expect(out).toEqual([]);
    const intact = await sandbox.run([begin('test.Intact'), begin('test.Intact', null, { compartment: 'app/bob' })]);
    for (const result of intact) {
      expect(JSON.parse(resultOf(result) as string)).toEqual([null, 1, 'undefined', '{"a":1}', 2, true, 'sleep', 'CN=Alice, O=Alice, L=London, C=GB']);
    }
  });

  test('a rejection that nobody hears ends nothing', async () => {
    const results = await sandbox.run([begin('test.Reject'), begin('test.Attempt', 'clock')]);
    expect(results.map(resultOf)).toEqual(['fine', 'TypeError']);
  });

  test('virtual nodes do not share what a module keeps', async () => {
    const counting = await bundleOf(`let count = 0; export const flows = [startableFlow({ name: 'test.Count', run: async () => ++count })];`);
    const at = (compartment: string): Turn => begin('test.Count', null, { compartment, text: counting });
    const results = await sandbox.run([at('count/alice'), at('count/bob'), at('count/alice')]);
    expect(results.map(resultOf)).toEqual(['1', '1', '2']);
  });
});

describe('flow code that takes too much', () => {
  const stopsWith = async (sandbox: Sandbox, make: () => Turn, expected: object): Promise<void> => {
    const turn = make();
    expect((await sandbox.run([turn]))[0]).toMatchObject({ type: 'lost' });
    expect((await sandbox.run([turn]))[0]).toMatchObject(expected);
  };
  const completion = { op: 0, type: 'answer' as const, json: '{}' };

  test.each(['test.SpinSoftly', 'test.SpinInGetter'])('%s is stopped, twice, and named', async (flowClassName) => {
    const sandbox = create();
    await stopsWith(sandbox, () => begin(flowClassName), { type: 'fault', code: 'FLOW_TIME_EXCEEDED' });
    await sandbox.close();
  });

  test('code that spins while it is loaded is stopped as well', async () => {
    const sandbox = create();
    const flowId = newFlowId();
    await stopsWith(sandbox, () => begin('test.Any', null, { compartment: 'spins', text: spinsAtLoad, flowId }), { type: 'fault', code: 'FLOW_TIME_EXCEEDED' });
    await sandbox.close();
  });

  test('a memory hog is stopped and named', async () => {
    const sandbox = create({ guestHeapMbMax: 64, turnMsMax: 10_000 });
    await stopsWith(sandbox, () => begin('test.Hog'), { type: 'fault', code: 'FLOW_MEMORY_EXCEEDED' });
    await sandbox.close();
  });

  test('its neighbours are lost once, come back from their journals, and its kind harms them no more', async () => {
    const sandbox = create();
    const neighbour = begin('test.Wait', null, { compartment: 'app/bob' });
    const spinner = begin('test.Spin');
    const [waits, spins] = await sandbox.run([neighbour, spinner]);
    const journalOf = (result: TurnResult | undefined) => (result?.type === 'ran' ? [{ at: 1, asked: result.steps[0]!.asks.map(({ kind, digest, params }) => ({ kind, digest, sketch: params })) }] : []);
    // The spinner takes its process down, and with it whatever was in the same batch.
    const again = (turn: Turn): Turn => ({ flowId: turn.flowId, compartment: turn.compartment, at: 2, completions: [completion] });
    const lost = await sandbox.run([again(spinner), again(neighbour)]);
    expect(lost.map(({ type }) => type)).toEqual(['lost', 'lost']);
    const rebuilt = (turn: Turn, result: TurnResult | undefined): Turn => ({ ...again(turn), fresh: { ...turn.fresh!, journal: journalOf(result) } });
    // Another of its kind begins in quarantine from now on, where the first stop is proof: the neighbour's process stays.
    const idle = begin('test.Wait', null, { compartment: 'app/bob' });
    await sandbox.run([idle]);
    const spinnerToo = begin('test.SpinSoftly');
    const [first, second, third] = await sandbox.run([rebuilt(spinner, spins), rebuilt(neighbour, waits), spinnerToo]);
    expect(first).toMatchObject({ type: 'fault', code: 'FLOW_TIME_EXCEEDED' });
    expect(resultOf(second)).toBe('waited');
    expect(third).toMatchObject({ type: 'fault', code: 'FLOW_TIME_EXCEEDED' });
    expect(sandbox.holds(idle.flowId)).toBe(true);
    expect(resultOf((await sandbox.run([again(idle)]))[0])).toBe('waited');
    await sandbox.close();
  });

  test('an innocent suspect runs apart and goes on', async () => {
    const sandbox = create();
    const slow = await bundleOf(`
      export const flows = [startableFlow({ name: 'test.Slow', run: async (ctx, input: any) => {
        for (let i = 0, to = input.rounds; i < to; i++) Math.sqrt(i);
        await ctx.sleep(1);
        return 'done';
      } })];`);
    const turn = (rounds: number, flowId: string): Turn => begin('test.Slow', { rounds }, { compartment: 'slow', text: slow, flowId });
    const flowId = newFlowId();
    expect((await sandbox.run([turn(1e12, flowId)]))[0]).toMatchObject({ type: 'lost' });
    expect(resultOf((await sandbox.run([turn(10, flowId)]))[0])).toBe('waits');
    expect(resultOf((await sandbox.run([{ flowId, compartment: 'slow', at: 2, completions: [completion] }]))[0])).toBe('done');
    await sandbox.close();
  });

  test('compartments beyond the bound leave with their flows, longest unused first', async () => {
    const sandbox = create({ compartmentsMax: 2 });
    const turns = ['one', 'two', 'three'].map((compartment) => begin('test.Wait', null, { compartment }));
    for (const turn of turns) await sandbox.run([turn]);
    expect(turns.map(({ flowId }) => sandbox.holds(flowId))).toEqual([false, true, true]);
    expect(resultOf((await sandbox.run([turns[0]!]))[0])).toBe('waits');
    await sandbox.close();
  });

  test('flows leave memory when the heap fills, and are lost to nobody', async () => {
    const sandbox = create({ guestHeapShareMax: 0, guestFillingsMax: 4 });
    const turns = Array.from({ length: 4 }, () => begin('test.Wait'));
    for (const turn of turns) await sandbox.run([turn]);
    expect(sandbox.holds(turns[3]!.flowId)).toBe(true);
    expect(sandbox.holds(turns[0]!.flowId)).toBe(false);
    await sandbox.close();
  });

  test('a heap that stays full though its flows have left is given up with its process, and nobody is suspected', async () => {
    let starts = 0;
    const counting: StartGuest = (options) => {
      starts += 1;
      return startGuest(options);
    };
    const limits = { guestSpareCount: 0, guestHeapShareMax: 0, guestFillingsMax: 1, patienceMs: 20_000 };
    const sandbox = createFlowSandbox({ startGuest: counting, clock: systemClock, log: silentLog, metrics: createMetrics(), limits });
    const turns = Array.from({ length: 3 }, () => begin('test.Wait'));
    for (const turn of turns) expect(resultOf((await sandbox.run([turn]))[0])).toBe('waits');
    expect(starts).toBe(2);
    expect(turns.map(({ flowId }) => sandbox.holds(flowId))).toEqual([false, false, true]);
    await sandbox.close();
  });

  test('a process that was stopped is replaced by one that was started before', async () => {
    const guests: { stop: () => Promise<void> }[] = [];
    const watched: StartGuest = (options) => {
      const guest = startGuest(options);
      guests.push({ stop: () => guest.terminate() });
      return guest;
    };
    const sandbox = createFlowSandbox({ startGuest: watched, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 1 } });
    expect(guests).toHaveLength(1);
    expect(resultOf((await sandbox.run([begin('test.Wait')]))[0])).toBe('waits');
    // The spare is started when there is work, and before it is needed.
    expect(guests).toHaveLength(2);
    const running = sandbox.run([begin('test.Wait')]);
    await guests[0]!.stop();
    await running;
    expect(resultOf((await sandbox.run([begin('test.Wait')]))[0])).toBe('waits');
    // The spare did it, and another stands by.
    expect(guests).toHaveLength(3);
    await sandbox.close();
  });

  test('a process that cannot be started fails no flow: the shell is told to try again', async () => {
    const broken: StartGuest = ({ onExit }) => {
      setImmediate(() => onExit({ type: 'unready', message: 'no more processes' }));
      return { post: () => {}, terminate: async () => {} };
    };
    const sandbox = createFlowSandbox({ startGuest: broken, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0 } });
    for (let i = 0; i < 3; i++) await expect(sandbox.run([begin('test.Wait')])).rejects.toMatchObject({ code: 'FLOW_SANDBOX_NOT_STARTED', operational: true });
    await sandbox.close();
  });

  test('a process that ends by itself is started again, and what ran on it is lost, not failed', async () => {
    let starts = 0;
    const stops: ((exit: { type: 'crash'; message: string }) => void)[] = [];
    const fragile: StartGuest = (options) => {
      starts += 1;
      stops.push(options.onExit);
      return starts === 1 ? { post: () => {}, terminate: async () => {} } : startGuest(options);
    };
    const sandbox = createFlowSandbox({ startGuest: fragile, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0, patienceMs: 20_000 } });
    const turn = begin('test.Wait');
    const running = sandbox.run([turn]);
    stops[0]!({ type: 'crash', message: 'a fault of ours' });
    expect(await running).toEqual([{ type: 'lost', reason: 'the sandbox process ended (a fault of ours)' }]);
    expect(resultOf((await sandbox.run([turn]))[0])).toBe('waits');
    expect(starts).toBe(2);
    await sandbox.close();
  });

  test('a closed sandbox says so', async () => {
    const sandbox = create();
    await sandbox.close();
    await expect(sandbox.run([begin('test.Wait')])).rejects.toMatchObject({ code: 'FLOW_SANDBOX_CLOSED', operational: true });
  });
});
