/**
 * Ways out of JavaScript sandboxes that the world has found, tried in ours: by constructors of everything in reach, by
 * prototypes, by what the evaluator takes apart, by what thrown values carry, by chance and clock in disguise.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { Sandbox } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import { walkSource } from './escape/walk.ts';
import { bundleOf } from './world/bundle.ts';
import { newFlowId, outcomeOf, turnOf } from './world/drive.ts';

/** Each is an expression; `refused` stands for anything thrown or undefined. */
const refused = 'refused';
const evaluated: readonly (readonly [name: string, expression: string, expected: unknown])[] = [
  // What a host leaves lying about.
  ...['process', 'require', 'module', 'exports', '__dirname', 'global', 'Buffer', 'Deno', 'Bun', 'window', 'self', 'console', 'fetch', 'setTimeout', 'setImmediate', 'queueMicrotask', 'structuredClone', 'performance', 'crypto', 'navigator', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'WeakRef', 'FinalizationRegistry', 'Intl', 'Compartment', 'lockdown', 'harden', 'Temporal', 'TextDecoder', 'getStackString', 'URL', 'AbortController', 'EventTarget', 'Worker', 'MessageChannel', 'BroadcastChannel', 'ShadowRealm', 'importScripts', 'postMessage', 'close', 'gc', 'Iterator.from.constructor("return process")()'].map((name) => [name, name, refused] as const),
  // By evaluators.
  ['this of a function', '(function () { return this; })()', undefined],
  ['this of an indirect eval', 'typeof (0, eval)("this").process', 'undefined'],
  ['this of a made function', 'typeof new Function("return this")()?.process', 'undefined'],
  ['a body that closes its function', 'new Function("}, process, function () {")', refused],
  ['parameters that close theirs', 'new Function("/*", "*/){ return process")', refused],
  ['a comment that opens', 'new Function("a", "return process //")()', refused],
  ['an HTML comment', '(0, eval)("1 <!-- x")', refused],
  ['an HTML comment that closes', '(0, eval)("\\n--> x")', refused],
  ['import()', '(0, eval)("imp" + "ort(\\"node:fs\\")")', refused],
  ['import() with a comment', '(0, eval)("imp" + "ort/**/(\\"node:fs\\")")', refused],
  ['import.meta', '(0, eval)("imp" + "ort.meta")', refused],
  ['import() in a made function', 'new Function("return imp" + "ort(\\"node:fs\\")")', refused],
  ['with', '(0, eval)("with ({ a: 1 }) a")', refused],
  ['a strict mode left', '(0, eval)("(function () { return this === undefined; })()")', true],
  ['arguments.callee', '(function () { return arguments.callee; })()', refused],
  ['caller of a function', '(function f() { return f.caller; })()', refused],
  ['a global made by assignment', '(0, eval)("made = 1")', refused],
  ['a global made by var', '(0, eval)("var made = 1; typeof globalThis.made")', 'undefined'],
  ['eval replaced', 'globalThis.eval = () => 1', refused],
  ['the scope by Symbol.unscopables', 'Object.defineProperty(globalThis, Symbol.unscopables, { value: { eval: true } })', refused],
  ['the scope by a proxy of the global', 'Object.setPrototypeOf(globalThis, new Proxy({}, { has: () => true }))', refused],
  // By constructors.
  ['Function', '(() => {}).constructor("return process")()', refused],
  ['AsyncFunction', '(async () => {}).constructor("return process")()', refused],
  ['GeneratorFunction', '(function* () {}).constructor("return process")().next()', refused],
  ['AsyncGeneratorFunction', '(async function* () {}).constructor("return process")().next()', refused],
  ['Function by Reflect', 'Reflect.construct(Function, ["return process"])()', refused],
  ['Function under another target', 'Reflect.construct(Function, ["return process"], class {})()', refused],
  ['the constructor of a bound function', '(() => {}).bind().constructor("return process")()', refused],
  ['the constructor of a getter', 'Object.getOwnPropertyDescriptor(RegExp.prototype, "flags").get.constructor("return process")()', refused],
  ['the constructor of a proxy', 'new Proxy(() => {}, {}).constructor("return process")()', refused],
  // By errors and their stacks.
  ['a stack', '/[/\\\\]|:\\d+/.test(String(new Error("x").stack))', false],
  ['a stack captured', '(() => { const o = {}; Error.captureStackTrace?.(o); return /[/\\\\]|:\\d+/.test(String(o.stack)); })()', false],
  ['frames by prepareStackTrace', '(() => { let frames; try { Error.prepareStackTrace = (_, given) => (frames = given); } catch {} void new Error("x").stack; return frames; })()', refused],
  ['frames by a subclass', '(() => { class Mine extends Error { static prepareStackTrace(_, given) { return given; } } return typeof new Mine("x").stack; })()', 'string'],
  ['stackTraceLimit as a note to others', '(() => { const before = Error.stackTraceLimit; try { Error.stackTraceLimit = 77; } catch {} return Error.stackTraceLimit === 77 && before !== 77; })()', false],
  ['an error of the engine', '(() => { try { null.x; } catch (error) { return error.constructor.constructor("return process")(); } })()', refused],
  ['an overflow inside a built-in', '(() => { const f = () => { try { f(); } catch (error) { return error.constructor.constructor("return process")(); } return 0; }; return f(); })()', refused],
  ['a cause', 'new Error("x", { cause: 1 }).cause.constructor.constructor("return process")()', refused],
  ['an aggregate', 'new AggregateError([new Error("x")]).errors[0].constructor.constructor("return process")()', refused],
  // Legacy corners that keep state for everyone.
  ['RegExp.$1', '(() => { /(secret)/.exec("secret"); return RegExp.$1; })()', undefined],
  ['RegExp.lastMatch', '(() => { /(secret)/.exec("secret"); return RegExp.lastMatch; })()', undefined],
  ['RegExp.input', '(() => { try { RegExp.input = "left"; } catch {} return RegExp.input; })()', undefined],
  ['RegExp.prototype.compile', 'RegExp.prototype.compile', undefined],
  ['__defineGetter__ on what is shared', 'Object.prototype.__defineGetter__("left", () => 1)', refused],
  ['__proto__ of what is shared', 'Object.prototype.__proto__ = { left: 1 }', refused],
  ['a registered symbol with properties', 'Object.isFrozen(Symbol.for("x").constructor)', true],
  ['escape and the like', '[typeof globalThis.escape, typeof globalThis.unescape].join()', 'function,function'],
  // Clock, chance and place.
  ['Date.now', 'Date.now()', refused],
  ['new Date', 'new Date()', refused],
  ['Date()', 'Date()', refused],
  ['Date by Reflect', 'Reflect.construct(Date, [])', refused],
  ['Date by its prototype', 'new (new Date(0).constructor)()', refused],
  ['Date by a subclass', 'new (class extends Date {})()', refused],
  ['Math.random', 'Math.random()', refused],
  ['a sort that asks for order', 'Array.from({ length: 30 }, (_, i) => i).sort(() => 0).join()', Array.from({ length: 30 }, (_, i) => i).join()],
  ['local time', '[new Date(2020, 5, 1, 12).getTime(), new Date("2020-06-01T12:00").getTime(), new Date("June 1, 2020 12:00").getTime(), new Date(0).getTimezoneOffset()].join()', '1591012800000,1591012800000,1591012800000,0'],
  ['local time in words', '[new Date(0).toString(), new Date(0).toDateString(), new Date(0).toTimeString(), new Date(0).toLocaleString(), new Date(0).toLocaleDateString("de")].join()', 'Thu, 01 Jan 1970 00:00:00 GMT,Thu, 01 Jan 1970,00:00:00 GMT,Thu, 01 Jan 1970 00:00:00 GMT,Thu, 01 Jan 1970'],
  ['summer time', '[new Date(2020, 2, 29, 2, 30).getTime(), new Date(1585449000000).getHours()].join()', '1585449000000,2'],
  ['numbers in the words of a place', '[(1234.5).toLocaleString(), (1234.5).toLocaleString("de"), 12n.toLocaleString(), [1.5].toLocaleString()].join("|")', '1234.5|1234.5|12|1.5'],
  ['the alphabet of a place', '["z".localeCompare("ä"), "a".localeCompare("B"), "I".toLocaleLowerCase("tr"), "i".toLocaleUpperCase("tr")].join()', '-1,1,i,I'],
  // Powers in disguise.
  ['a promise that tells of the queue', 'typeof Promise.prototype.constructor.any', 'function'],
  ['Array.fromAsync', 'typeof Array.fromAsync?.constructor("return process")', refused],
];

/** Writes of every kind to what is shared; each must fail. */
const shared = ['Object.prototype', 'Function.prototype', 'Array.prototype', 'String.prototype', 'Number.prototype', 'RegExp.prototype', 'Promise.prototype', 'Map.prototype', 'Set.prototype', 'Date.prototype', 'Error.prototype', 'Symbol.prototype', 'Uint8Array.prototype', 'Object.getPrototypeOf(Uint8Array.prototype)', 'ArrayBuffer.prototype', 'Object.getPrototypeOf([][Symbol.iterator]())', 'Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))', 'Object.getPrototypeOf(async function () {})', 'Object.getPrototypeOf(Object.getPrototypeOf((function* () {})()))', 'Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})()))', 'Object', 'Function', 'Array', 'Promise', 'JSON', 'Math', 'Reflect', 'Proxy', 'Symbol', 'globalThis', 'Error', 'TypeError', 'BigInt', 'Date', 'RegExp'];
const poisons: readonly (readonly [name: string, write: string])[] = [
  ['assignment', 'target.poisoned = 1'],
  ['definition', 'Object.defineProperty(target, "poisoned", { value: 1 })'],
  ['a symbol', 'target[Symbol.toPrimitive] = () => 1'],
  ['another prototype', 'Object.setPrototypeOf(target, { poisoned: 1 })'],
  ['deletion', '(() => { const key = Reflect.ownKeys(target)[0]; if (!Reflect.deleteProperty(target, key)) throw new TypeError("refused"); })()'],
  ['replacement', '(() => { for (const key of ["then", "push", "exec", "toString", "next", "stringify", "apply", "constructor"]) if (Object.hasOwn(target, key)) { target[key] = () => "poisoned"; return; } throw new TypeError("has none"); })()'],
];

const source = `
const note = entity<any>({ name: 'Note', id: (one) => one.id });
${walkSource}
// By name, since not everything is there.
const made = (name: string, ...given: any[]): any => {
  try {
    return Reflect.construct((globalThis as any)[name], given);
  } catch {
    return undefined;
  }
};
const attempt = (expression: string): any => {
  try {
    const got = (0, eval)(expression);
    return got === undefined ? undefined : typeof got === 'object' || typeof got === 'function' ? 'got ' + typeof got : got;
  } catch {
    return 'refused';
  }
};
const poison = (of: string, write: string): string => {
  try {
    new Function('target', write)((0, eval)(of));
    return 'written';
  } catch {
    return 'refused';
  }
};
const roots = async (ctx: any): Promise<Record<string, any>> => ({ ...(await everythingOf(ctx)), globalThis, literals: [[], () => {}, /x/, async () => {}, function* () {}, async function* () {}, Promise.resolve(), new Error('x'), new Map(), 1n, Symbol('x'), new TextEncoder(), made('TextDecoder', 'latin1'), made('TextDecoder', 'utf-16le')] });
export const flows = [
  startableFlow({ name: 'test.Evaluate', run: async (_, input: any) => input.map((expression: string) => attempt(expression) ?? null) }),
  startableFlow({ name: 'test.Poison', run: async (_, input: any) => input.map(([of, write]: any) => poison(of, write)) }),
  startableFlow({ name: 'test.Reach', run: async (ctx) => {
    const found = reach(await roots(ctx));
    const forbidden = ['process', 'require', 'mainModule', 'binding', 'Deno'];
    const out: string[] = [];
    for (const { path, value } of found) {
      for (const name of forbidden) {
        let has = false;
        try { has = Object.hasOwn(value, name); } catch {}
        if (has) out.push(path + ' has ' + name);
      }
      if (typeof value !== 'function') continue;
      // A constructor of code gives itself away by what its code sees.
      for (const build of [() => value('return typeof process')(), () => new value('return typeof process')(), () => value.constructor('return typeof process')(), () => value.call.constructor('return typeof process')()]) {
        let sees: any;
        try { sees = build(); } catch {}
        if (sees === 'object') out.push(path + ' builds code that sees process');
      }
    }
    return { count: found.length, out };
  } }),
  startableFlow({ name: 'test.Shared', run: async () => {
    // What a getter makes anew each time is nobody else's.
    const again = new Set(reach({ globalThis }).map(({ value }) => value));
    return reach({ globalThis }).filter(({ value }) => again.has(value) && !Object.isFrozen(value)).map(({ path }) => path);
  } }),
  startableFlow({ name: 'test.Mark', run: async (ctx) => {
    const marked: string[] = [];
    for (const { path, value } of reach(await roots(ctx))) {
      try {
        if (Reflect.defineProperty(value, 'leftBehind', { value: ctx.flowId })) marked.push(path);
      } catch {}
    }
    return marked;
  } }),
  startableFlow({ name: 'test.Marks', run: async (ctx) => reach(await roots(ctx)).filter(({ path, value }) => 'leftBehind' in value).map(({ path }) => path) }),
  startableFlow({ name: 'test.Keep', run: async (ctx) => { (ctx as any).db.find = () => 'mine'; (ctx as any).now = () => 77; return typeof ctx.now(); } }),
  startableFlow({ name: 'test.Thrown', run: async (ctx, input: any) => {
    const self: any = new Error('mine');
    const kinds: Record<string, () => any> = {
      proxy: () => new Proxy(self, { get: (_, key) => { throw new Proxy(self, {}); } }),
      hostile: () => ({ get message() { throw self; }, get name() { throw self; } }),
      revoked: () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; },
      symbol: () => Symbol('x'),
      huge: () => new Error('x'.repeat(5_000_000)),
      pretender: () => ({ cordageError: 1, code: { toString: () => { throw self; } }, message: 'x' }),
      numbers: () => ({ message: 7, name: 8, code: 9, cordageError: 1 }),
      cycle: () => { self.cause = self; return self; },
      nothing: () => undefined,
      empty: () => Object.create(null),
    };
    throw kinds[input]!();
  } }),
];`;

let code: string;
let sandbox: Sandbox;
beforeAll(async () => {
  code = await bundleOf(source);
  sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { guestSpareCount: 0, patienceMs: 20_000 } });
});
afterAll(() => sandbox.close());

const runIn = async (compartment: string, flowClassName: string, input: unknown = null): Promise<string> => {
  const [result] = await sandbox.run([turnOf({ flowId: newFlowId(), compartment, code, flowClassName, input })]);
  return outcomeOf(result!);
};
const answerOf = async (compartment: string, flowClassName: string, input: unknown = null): Promise<unknown> => {
  const outcome = await runIn(compartment, flowClassName, input);
  expect(outcome).toMatch(/^[[{]/);
  return JSON.parse(outcome);
};

describe('flow code', () => {
  test('finds no way out by any expression of the list, and computes the same everywhere', async () => {
    const answers = (await answerOf('app/alice', 'test.Evaluate', evaluated.map(([, expression]) => expression))) as unknown[];
    const got = evaluated.map(([name, , expected], i) => ({ name, got: expected === refused && answers[i] === null ? refused : (answers[i] ?? undefined) }));
    expect(got).toEqual(evaluated.map(([name, , expected]) => ({ name, got: expected })));
  });

  test('writes to nothing that others share', async () => {
    const attempts = shared.flatMap((of) => poisons.map(([name, write]) => ({ of, name, write })));
    const outcomes = (await answerOf('app/alice', 'test.Poison', attempts.map(({ of, write }) => [of, write]))) as string[];
    expect(attempts.filter((_, i) => outcomes[i] !== 'refused').map(({ of, name }) => `${of}: ${name}`)).toEqual([]);
  });

  test('reaches nothing of the host, wherever it goes from what it is given', async () => {
    const { count, out } = (await answerOf('app/alice', 'test.Reach')) as { count: number; out: string[] };
    expect(out).toEqual([]);
    // It did go: a context, its promises and answers, and the whole of the language.
    expect(count).toBeGreaterThan(700);
  });

  test('shares only what is frozen: all that is in reach from its globals', async () => {
    expect(await answerOf('app/alice', 'test.Shared')).toEqual([]);
  });

  test('leaves no mark on anything that another flow meets, in its compartment or another', async () => {
    const marked = (await answerOf('app/alice', 'test.Mark')) as string[];
    // What is made for a flow alone is its own to change.
    expect(marked.length).toBeGreaterThan(10);
    expect(await answerOf('app/alice', 'test.Marks')).toEqual([]);
    expect(await answerOf('app/bob', 'test.Marks')).toEqual([]);
  });

  test('changes its own context for itself alone', async () => {
    expect(await runIn('app/alice', 'test.Keep')).toMatch(/^number$|^threw /);
    expect(await runIn('app/alice', 'test.Marks')).toBe('[]');
  });

  test.each(['proxy', 'hostile', 'revoked', 'symbol', 'huge', 'pretender', 'numbers', 'cycle', 'nothing', 'empty'])('may throw what cannot be read (%s), and fails with a text', async (kind) => {
    const outcome = await runIn('app/alice', 'test.Thrown', kind);
    expect(outcome).toMatch(/^threw ./);
    expect(outcome.length).toBeLessThan(3_000);
  });
});
