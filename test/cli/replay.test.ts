/** Local replay: a process that runs flow code over a journal, says where it stands, and stops at breakpoints in the author's TypeScript. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReplayOrder } from '../../src/cli/flow/replay-main.ts';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { bundleFileOf } from '../../src/testing/evaluate.ts';
import { replayOf, type Stored } from '../../src/workers/flow/engine/journal.ts';
import { askedOf } from '../../src/workers/flow/sandbox/ask.ts';
import type { Completion, Fresh } from '../../src/workers/flow/sandbox/sandbox.ts';
import { createTrustingSandbox } from '../../src/workers/flow/worker.ts';

const main = fileURLToPath(new URL('../../src/cli/flow/replay-main.ts', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'cordage-replay-test-'));
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Line 10 is where the flow goes on after its first sleep, line 11 where it waits; the other flow waits in a sub-flow. */
const source = `import { startableFlow, subFlow } from '@cordage/flow-sdk';

type Input = { readonly times: number };

export const waits = startableFlow({
  name: 'test.Waits',
  run: async (ctx, input) => {
    const { times } = input as Input;
    await ctx.sleep(1_000);
    const doubled = times * 2;
    await ctx.sleep(doubled);
    if (doubled === 6) throw new Error('six is too many');
    return doubled;
  },
});

const pause = subFlow({
  name: 'test.Pause',
  run: async (ctx, milliseconds: number) => {
    await ctx.sleep(milliseconds);
  },
});
export const deep = startableFlow({
  name: 'test.Deep',
  protocol: { name: 'test.protocol', versions: [1] },
  run: async (ctx) => {
    const sessions = [ctx.initiate('CN=Bob, O=B, L=Paris, C=FR')];
    await ctx.sendAll('hello', sessions);
    await ctx.subFlow(pause, 5);
  },
});
`;

const bundleOf = async (text: string): Promise<{ bundle: string; sourceMap: string }> => {
  writeFileSync(join(project, 'flows.ts'), text);
  const { code, sourceMap } = await bundleProject({ name: 'replayed', version: '1', directory: project, entry: join(project, 'flows.ts') });
  return { bundle: new TextDecoder().decode(code), sourceMap: new TextDecoder().decode(sourceMap) };
};

const flowId = '00000000-0000-4000-8000-000000000001';
const me = { x500Name: 'CN=Alice, O=A, L=London, C=GB', groupId: 'g', shortHash: 'AAAAAAAAAAAA' };

/** The journal of a run whose first so many sleeps are over, as the engine would have written it. */
const journalOf = async (bundle: string, input: unknown, sleepsOver: number, flowClassName = 'test.Waits'): Promise<Stored[]> => {
  const sandbox = createTrustingSandbox();
  const start = { type: 'input' as const, json: JSON.stringify(input), context: {} };
  const begun: Stored[] = [{ position: 0, value: { type: 'start', v: 1, at: 1_000, flags: [], start, asked: [] } }];
  const { steps: _steps, ...replay } = replayOf(begun)!;
  const fresh: Fresh = { ...replay, code: bundle, me, flowClassName, journal: [] };
  const completions: Completion[] = Array.from({ length: sleepsOver }, (_, op) => ({ op, type: 'answer', json: '{}' }));
  const [result] = await sandbox.run([{ flowId, compartment: 'test', at: 1_000, fresh, completions }]);
  if (result?.type !== 'ran') throw new Error(JSON.stringify(result));
  return result.steps.map(({ asks }, position): Stored => {
    const asked = asks.map(askedOf);
    if (position === 0) return { position, value: { type: 'start', v: 1, at: 1_000, flags: [], start, asked } };
    return { position, value: { type: 'turn', at: 1_000 + position, op: position - 1, outcome: { type: 'answer', json: '{}' }, asked } };
  });
};

const orderFile = async (code: { bundle: string; sourceMap: string }, items: readonly Stored[], name: string, flowClassName = 'test.Waits'): Promise<string> => {
  const flow: ReplayOrder['flow'] = {
    status: { holdingIdentityShortHash: me.shortHash, clientRequestId: 'r1', flowId, flowStatus: 'RUNNING', flowResult: null, flowError: null, timestamp: 1 },
    flowId,
    kind: 'rest',
    flowClassName,
    ...me,
    startedBy: 'admin',
    cpkHash: 'A'.repeat(64),
    createdAt: 1_000,
    updatedAt: 2_000,
    errorAt: [],
    operationCount: 2,
    itemCount: items.length,
    sessions: [],
    pending: [{ op: 1, type: 'sleep', until: 5_000 }],
  };
  const file = join(project, name);
  const order: ReplayOrder = { flow, items, code, project, filename: bundleFileOf(project) };
  writeFileSync(file, JSON.stringify(order));
  return file;
};

type Child = ChildProcessByStdio<null, Readable, Readable>;
const startReplay = (file: string, flags: readonly string[] = []): Child => spawn(process.execPath, [...flags, main, file], { stdio: ['ignore', 'pipe', 'pipe'], cwd: project });

const ended = async (child: Child): Promise<{ code: number | null; output: string }> => {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
};

let code: { bundle: string; sourceMap: string };
beforeAll(async () => {
  code = await bundleOf(source);
});

describe('a replay', () => {
  test('says where the code stands at the end of its journal, and what it waits for', async () => {
    const { code: status, output } = await ended(startReplay(await orderFile(code, await journalOf(code.bundle, { times: 2 }, 1), 'waiting.json')));
    expect(output).toContain('2 steps replayed, as they were.');
    expect(output).toContain('in ctx.sleep at flows.ts:11:');
    expect(output).toContain('#1 waits for the end of its sleep at 1970-01-01T00:00:05.000Z');
    expect(status).toBe(0);
  });

  test('finds the place in a sub-flow too; sessions stay what the SDK knows them as', async () => {
    const items = await journalOf(code.bundle, {}, 1, 'test.Deep');
    const { code: status, output } = await ended(startReplay(await orderFile(code, items, 'deep.json', 'test.Deep')));
    expect(output).toMatch(/in ctx\.sleep at flows\.ts:20:\d+\n {2}in ctx\.subFlow at flows\.ts:29:/);
    expect(status).toBe(0);
  });

  test('shows what the code returned, or threw and where', async () => {
    const returned = await ended(startReplay(await orderFile(code, await journalOf(code.bundle, { times: 2 }, 2), 'returned.json')));
    expect(returned).toMatchObject({ code: 0, output: expect.stringMatching(/The code returned\n {2}4/) });
    const threw = await ended(startReplay(await orderFile(code, await journalOf(code.bundle, { times: 3 }, 2), 'threw.json')));
    expect(threw.output).toMatch(/The code threw\n {2}Error: six is too many\n {4}at flows\.ts:12:/);
  });

  test('shows where other code parts from the journal', async () => {
    const items = await journalOf(code.bundle, { times: 2 }, 1);
    const other = await bundleOf(source.replace('times * 2', 'times * 3'));
    const { code: status, output } = await ended(startReplay(await orderFile(other, items, 'other.json')));
    expect(output).toMatch(/parts from the journal:\n.*the journal has sleep \{"durationMs":4\}, the code asked for sleep \{"durationMs":6\}/);
    expect(output).toContain('in ctx.sleep at flows.ts:11:');
    expect(status).toBe(1);
  });
});

// ── Under a debugger ─────────────────────────────────────────────────────────────────────────────────────────────────

type Event = { readonly method: string; readonly params: Record<string, any> };

/** The inspector's protocol, as far as a debugger needs it to set a breakpoint. */
const connectDebugger = async (child: Child) => {
  let said = '';
  const url = await new Promise<string>((resolve) =>
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const found = /ws:\/\/\S+/.exec(said)?.[0];
      if (found !== undefined) resolve(found);
    }),
  );
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  const answers = new Map<number, (result: any) => void>();
  const heard: Event[] = [];
  let wanted: { fits: (event: Event) => boolean; resolve: (event: Event) => void } | undefined;
  const look = (): void => {
    const found = wanted === undefined ? -1 : heard.findIndex(wanted.fits);
    if (found >= 0) wanted!.resolve(heard.splice(0, found + 1).at(-1)!);
  };
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Event & { id?: number; result?: unknown };
    if (message.id !== undefined) return answers.get(message.id)?.(message.result);
    heard.push(message);
    look();
  });
  let id = 0;
  return {
    send: (method: string, params: object = {}): Promise<any> =>
      new Promise((resolve) => {
        answers.set(++id, resolve);
        socket.send(JSON.stringify({ id, method, params }));
      }),
    next: (method: string, fits: (params: Event['params']) => boolean = () => true): Promise<Event['params']> =>
      new Promise((resolve) => {
        wanted = { fits: (event) => event.method === method && fits(event.params), resolve: (event) => ((wanted = undefined), resolve(event.params)) };
        look();
      }),
    close: () => socket.close(),
  };
};

/** The map that the debugger was given. */
const mapOf = (sourceMapUrl: string): SourceMap =>
  new SourceMap(JSON.parse(Buffer.from(sourceMapUrl.split(',')[1]!, 'base64').toString()) as ConstructorParameters<typeof SourceMap>[0]);

type Place = { readonly lineNumber: number; readonly columnNumber: number };

const originOf = (map: SourceMap, { lineNumber, columnNumber }: Place): string => {
  const entry = map.findEntry(lineNumber, columnNumber);
  return 'originalSource' in entry ? `${entry.originalSource}:${entry.originalLine + 1}` : 'nowhere';
};

/** Where a line of a source begins in the bundle. */
const generatedPlace = (bundle: string, map: SourceMap, origin: string): Place => {
  for (const [lineNumber, text] of bundle.split('\n').entries()) {
    for (let columnNumber = 0; columnNumber < text.length; columnNumber++) if (originOf(map, { lineNumber, columnNumber }) === origin) return { lineNumber, columnNumber };
  }
  throw new Error(`the map leads to no ${origin}`);
};

describe('under a debugger', () => {
  test('a breakpoint in the TypeScript source stops the replay there, with its values', async () => {
    const child = startReplay(await orderFile(code, await journalOf(code.bundle, { times: 2 }, 1), 'stopped.json'), ['--inspect-wait=127.0.0.1:0']);
    const done = ended(child);
    const inspector = await connectDebugger(child);
    await inspector.send('Runtime.enable');
    await inspector.send('Debugger.enable');
    // As debuggers do, to set breakpoints by a script's map before it runs.
    await inspector.send('Debugger.setInstrumentationBreakpoint', { instrumentation: 'beforeScriptWithSourceMapExecution' });
    await inspector.send('Runtime.runIfWaitingForDebugger');
    const script = await inspector.next('Debugger.scriptParsed', ({ url }) => String(url).endsWith('.cordage/bundle.js'));
    await inspector.next('Debugger.paused', ({ reason }) => reason === 'instrumentation');
    const line11 = `${pathToFileURL(join(project, 'flows.ts')).href}:11`;
    const map = mapOf(String(script['sourceMapURL']));
    const place = generatedPlace(code.bundle, map, line11);
    await inspector.send('Debugger.setBreakpoint', { location: { scriptId: script['scriptId'], ...place } });
    await inspector.send('Debugger.resume');
    const { callFrames, hitBreakpoints } = await inspector.next('Debugger.paused');
    expect(hitBreakpoints).toHaveLength(1);
    const [frame] = callFrames;
    expect(originOf(map, frame.location as Place)).toBe(line11);
    const scopes = (frame.scopeChain as { type: string; object: { objectId: string } }[]).filter(({ type }) => type === 'local' || type === 'block');
    const values = await Promise.all(scopes.map(({ object }) => inspector.send('Runtime.getProperties', { objectId: object.objectId, ownProperties: true })));
    expect(values.flatMap(({ result }) => result as { value?: { value?: unknown } }[]).map(({ value }) => value?.value)).toContain(4);
    await inspector.send('Debugger.resume');
    const { output } = await Promise.race([done, inspector.next('Runtime.executionContextDestroyed').then(() => (inspector.close(), done))]);
    expect(output).toContain('in ctx.sleep at flows.ts:11:');
  }, 30_000);
});
