/** Applications that take too much, beside others on the same process: each harms its own flows and nobody else's. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { FlowLimits } from '../../../src/workers/flow/config.ts';
import type { Sandbox } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { driveFlow, newFlowId, outcomeOf, turnOf } from './world/drive.ts';

/** What each bad flow does, and what must become of it. */
const bad: readonly (readonly [name: string, body: string, outcome: RegExp])[] = [
  ['an endless loop', 'for (;;) {}', /^FLOW_TIME_EXCEEDED$/],
  ['a flood of microtasks', 'for (;;) await null;', /^FLOW_TIME_EXCEEDED$/],
  ['a flood of promises that nobody keeps', 'for (;;) void Promise.resolve().then(() => {});', /^FLOW_(TIME|MEMORY)_EXCEEDED$/],
  ['a chain of promises without an end', 'const next = (): any => Promise.resolve().then(next); await next();', /^FLOW_(TIME|MEMORY)_EXCEEDED$/],
  ['an asynchronous generator without an end', 'for await (const one of (async function* () { for (;;) yield 1; })()) void one;', /^FLOW_TIME_EXCEEDED$/],
  ['a catastrophic regular expression', "/(x+x+)+y/.test('x'.repeat(60));", /^FLOW_TIME_EXCEEDED$/],
  ['a comparator that never ends', '[2, 1].sort(() => { for (;;) {} });', /^FLOW_TIME_EXCEEDED$/],
  ['a trap that never returns', "JSON.stringify(new Proxy({}, { ownKeys: () => { for (;;) {} } }));", /^FLOW_TIME_EXCEEDED$/],
  ['a toJSON that never returns', "await ctx.db.persist(note, { id: 'x', toJSON: () => { for (;;) {} } });", /^FLOW_TIME_EXCEEDED$/],
  ['a thenable that never settles itself', 'return { then: () => { for (;;) {} } };', /^FLOW_TIME_EXCEEDED$/],
  ['a log field that never ends', "ctx.log.info('x', { get trap() { for (;;) {} } });", /^FLOW_TIME_EXCEEDED$/],
  ['a thrown value that cannot be read', 'throw { get message() { for (;;) {} } };', /^FLOW_TIME_EXCEEDED$/],
  ['a built-in loop that cannot be interrupted', 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1);', /^FLOW_TIME_EXCEEDED$/],
  ['a number that grows without end', 'let b = 3n; for (;;) b = b * b;', /^FLOW_TIME_EXCEEDED$|^FLOW_MEMORY_EXCEEDED$|^threw /],
  ['a hole as large as an array can be', 'new Array(2 ** 32 - 1).fill(0);', /^FLOW_(TIME|MEMORY)_EXCEEDED$/],
  ['JSON of a few references', 'let bomb: any[] = []; for (let i = 0; i < 30; i++) bomb = [bomb, bomb]; return bomb;', /^FLOW_(TIME|MEMORY)_EXCEEDED$/],
  ['a list that grows one by one', 'const list: number[] = []; for (;;) list.push(1);', /^FLOW_(MEMORY|TIME)_EXCEEDED$/],
  ['a request that V8 ends its process for', 'Array.prototype.sort.call({ length: 2 ** 53 - 1 });', /^FLOW_MEMORY_EXCEEDED$/],
  ['a buffer outside of the heap', 'new Uint8Array(2 ** 33).fill(1);', /^FLOW_(MEMORY|TIME)_EXCEEDED$|^threw /],
  ['a text as long as a text can be', "const text = 'a'.repeat(2 ** 29 - 24); return /b/.test(text) ? 1 : text;", /^FLOW_(MEMORY|TIME)_EXCEEDED$|^FLOW_RESULT_TOO_LARGE$/],
  ['a text longer than that', "return 'a'.repeat(2 ** 29);", /^threw Invalid string length$/],
  ['a recursion without an end', 'const deeper = (): number => deeper() + 1; return deeper();', /^threw Maximum call stack size exceeded$/],
  ['an answer that is too large', "return 'x'.repeat(300_000);", /^FLOW_RESULT_TOO_LARGE$/],
  ['a flood of large messages', "for (let i = 0; i < 100; i++) void ctx.db.find(note, 'x'.repeat(1_000_000)); await ctx.sleep(1);", /^FLOW_OPERATIONS_EXCEEDED$/],
  ['a flood of small messages', 'for (let i = 0; i < 10_000; i++) void ctx.sleep(1); await ctx.sleep(1);', /^FLOW_OPERATIONS_EXCEEDED$/],
  ['a flood of log lines', "for (let i = 0; i < 100_000; i++) ctx.log.info('x'.repeat(10_000)); return 'said';", /^said$/],
  ['a prototype that it poisons', 'Object.prototype.toString = () => "x";', /^threw /],
  ['an exception', "throw new Error('on purpose');", /^threw on purpose$/],
];

const sources = `
const note = entity<any>({ name: 'Note', id: (one) => one.id });
export const flows = [
  ${bad.map(([, body], i) => `startableFlow({ name: 'test.Bad${i}', run: async (ctx: any): Promise<any> => { ${body} } }),`).join('\n  ')}
  startableFlow({ name: 'test.Good', run: async (ctx, input: any) => {
    let found = 0;
    for (let i = 0; i < input.steps; i++) found += (await ctx.db.find(note, String(i))) === undefined ? 0 : 1;
    return [found, input.steps, ctx.me.x500Name.length, ctx.uuid()].join();
  } }),
  startableFlow({ name: 'test.Slow', run: async (ctx, input: any) => {
    let sum = 0;
    for (let i = 0; i < input.rounds; i++) sum = Math.sin(sum + i);
    return sum === 2 ? 'never' : 'done';
  } }),
];`;

let code: string;
beforeAll(async () => void (code = await bundleOf(sources)));

const create = (limits: Partial<FlowLimits> = {}): Sandbox =>
  createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 150, patienceMs: 50, guestHeapMbMax: 128, guestResidentMbMax: 400, ...limits } });

const of = (flowClassName: string, compartment: string, input: unknown = null) => ({ flowId: newFlowId(), compartment, code, flowClassName, input });

describe('an application that takes too much', () => {
  let sandbox: Sandbox;
  beforeAll(() => void (sandbox = create()));
  afterAll(() => sandbox.close());

  test('fails with its reason, each flow alone, while the flows of another virtual node go on and end right', { timeout: 240_000 }, async () => {
    let over = false;
    const others: string[] = [];
    // Neighbours come as long as the bad ones are about.
    const neighbours = async (): Promise<void> => {
      while (!over) {
        others.push(outcomeOf(await driveFlow(sandbox, of('test.Good', 'app/bob', { steps: 3 }))));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const good = Promise.all([neighbours(), neighbours()]);
    const outcomes: string[] = [];
    for (const [i] of bad.entries()) outcomes.push(outcomeOf(await driveFlow(sandbox, of(`test.Bad${i}`, 'app/alice'))));
    over = true;
    await good;
    const wrong = bad.flatMap(([name, , expected], i) => (expected.test(outcomes[i]!) ? [] : [`${name}: ${outcomes[i]!.slice(0, 200)}`]));
    expect(wrong).toEqual([]);
    expect(others.length).toBeGreaterThan(bad.length);
    expect(others.filter((outcome) => !/^0,3,33,[0-9a-f-]{36}$/.test(outcome))).toEqual([]);
    expect(new Set(others).size).toBe(others.length);
  });

  test('leaves its own good flows in peace as well', async () => {
    expect(outcomeOf(await driveFlow(sandbox, of('test.Good', 'app/alice', { steps: 2 })))).toMatch(/^0,2,/);
  });
});

describe('a flow that runs apart', () => {
  test('keeps no batch waiting', { timeout: 60_000 }, async () => {
    const sandbox = create({ turnMsMax: 1_000 });
    const spinner = of('test.Bad0', 'app/alice');
    expect((await sandbox.run([turnOf(spinner)]))[0]).toMatchObject({ type: 'lost' });
    // Its trial takes a second; the batch has what it came for before that.
    const [spins, goes] = await sandbox.run([turnOf(spinner), turnOf(of('test.Good', 'app/bob', { steps: 0 }))]);
    expect(spins).toMatchObject({ type: 'lost' });
    expect(outcomeOf(goes!)).toMatch(/^0,0,/);
    expect(outcomeOf(await driveFlow(sandbox, spinner))).toBe('FLOW_TIME_EXCEEDED');
    await sandbox.close();
  });

  test('goes on there when it is innocent, however long it takes within its time', async () => {
    const sandbox = create({ turnMsMax: 2_000, patienceMs: 0 });
    const fatal = of(`test.Bad${bad.findIndex(([name]) => name.startsWith('a request that V8'))}`, 'app/alice');
    const innocent = of('test.Good', 'app/bob', { steps: 3 });
    // V8 ends the process without a word who it was: both are suspects.
    const results = await sandbox.run([turnOf(fatal), turnOf(innocent)]);
    expect(results.map(({ type }) => type)).toEqual(['lost', 'lost']);
    const [guilty, good] = await Promise.all([driveFlow(sandbox, fatal), driveFlow(sandbox, innocent)]);
    expect([outcomeOf(guilty), outcomeOf(good).slice(0, 4)]).toEqual(['FLOW_MEMORY_EXCEEDED', '0,3,']);
    await sandbox.close();
  });
});

describe('an application that is merely slow', () => {
  test('shares a batch with others: its flows beyond its slice come again, and all end', { timeout: 60_000 }, async () => {
    const sandbox = create({ sliceMsMax: 60, debtMsMax: 50, turnMsMax: 5_000 });
    const slow = Array.from({ length: 4 }, () => of('test.Slow', 'app/alice', { rounds: 4e6 }));
    const good = Array.from({ length: 4 }, () => of('test.Good', 'app/bob', { steps: 0 }));
    const first = await sandbox.run([...slow, ...good].map((drive) => turnOf(drive)));
    expect(first.map(({ type }) => type)).toEqual(['ran', 'lost', 'lost', 'lost', 'ran', 'ran', 'ran', 'ran']);
    const rest = await Promise.all(slow.slice(1).map((drive) => driveFlow(sandbox, drive)));
    expect(rest.map(outcomeOf)).toEqual(['done', 'done', 'done']);
    await sandbox.close();
  });
});
