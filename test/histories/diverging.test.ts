/** Changed code over a history: the flow is stopped with a report of where they part, what the journal has, and what the code asked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/host/clock.ts';
import { startGuest } from '../../src/host/guests.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readSourceMap } from '../../src/packaging/source-map.ts';
import { createFlowSandbox } from '../../src/workers/flow/worker.ts';
import type { Sandbox } from '../../src/workers/flow/worker.ts';
import { readHistory } from './history.ts';
import type { History } from './history.ts';
import { replay, stepsOf } from './replay.ts';

let sandbox: Sandbox;
const directories: string[] = [];
beforeAll(() => void (sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() })));
afterAll(async () => {
  await sandbox.close();
  for (const directory of directories) rmSync(directory, { recursive: true });
});

type Change = { readonly from: string; readonly to: string };

/** The application of a history with one change, built by the platform of today. */
const rebuild = async ({ name, sources }: History, { from, to }: Change) => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-history-'));
  directories.push(directory);
  for (const [file, text] of Object.entries(sources)) {
    const changed = file === `${name}.ts` ? text.replace(from, to) : text;
    if (file === `${name}.ts`) expect(changed).not.toBe(text);
    writeFileSync(join(directory, file), changed.replace('../../../src/flow-sdk/flow-sdk.ts', '@cordage/flow-sdk'));
  }
  const { code, sourceMap } = await bundleProject({ name: 'changed', version: '1', directory, entry: join(directory, `${name}.ts`) });
  return { code: new TextDecoder().decode(code), map: readSourceMap(new TextDecoder().decode(sourceMap))! };
};

/** What the first flow of a history comes to over changed code, and the line of its author that parted. */
const replayChanged = async (name: string, change: Change): Promise<{ message: string; line: string | undefined }> => {
  const history = readHistory(name);
  const { code, map } = await rebuild(history, change);
  const flow = history.flows[0]!;
  // A home of its own: the sandbox keeps the code of a compartment.
  const own = { ...flow, head: { ...flow.head, code: { ...flow.head.code, cpkHash: `${change.from}${change.to}` } } };
  const replayed = await replay(sandbox, code, own, stepsOf(flow).length - 1);
  if (replayed.type !== 'diverged') throw new Error(`it did not diverge: ${JSON.stringify(replayed)}`);
  const lines = (replayed.where ?? []).flatMap((position) => map.locate(position) ?? []);
  return { message: replayed.message, line: lines.find((line) => line.startsWith(`${name}.ts`)) };
};

/** The line of a history's source, changed, on which this text stands. */
const lineOf = (name: string, { from, to }: Change, text: string): string => {
  const lines = readHistory(name).sources[`${name}.ts`]!.replace(from, to).split('\n');
  return `${name}.ts:${lines.findIndex((line) => line.includes(text)) + 1}:`;
};

describe('code that is not the code of the journal is told where they part', () => {
  test.each<[string, string, Change, RegExp, string]>([
    ['another operation', 'vault', { from: "await ctx.db.find(accounts, 'GB1')", to: "await ctx.members.find('GB1')" }, /^at operation 3 the journal has db\.find \{.*"GB1".*\}, the code asked for members\.find \{"x500Name":"GB1"\}$/, "ctx.members.find('GB1')"],
    ['other parameters', 'vault', { from: 'cents: 100', to: 'cents: 101' }, /^at operation 2 the journal has db\.merge .*, the code asked for db\.merge /, 'cents: 101'],
    ['an operation less', 'vault', { from: "    const missing = await ctx.db.find(accounts, 'GB9');\n", to: '    const missing = undefined;\n' }, /^at operation 4 the journal has db\.find .*"GB9".*, the code asked for db\.find .*"GB2"/, "['GB2', 'GB3', 'GB9']"],
    ['an operation more', 'clock', { from: '    const members = await', to: "    await ctx.members.find('x');\n    const members = await" }, /^at operation 4 the journal has members\.all \{\}, the code asked for members\.find \{"x500Name":"x"\}$/, "ctx.members.find('x')"],
    ['another order', 'races', { from: "ctx.sleep(1_000), ctx.members.find('nobody')", to: "ctx.members.find('nobody'), ctx.sleep(1_000)" }, /^at operation 5 the journal has sleep \{"durationMs":1000\}, the code asked for members\.find /, "ctx.members.find('nobody')"],
  ])('%s', async (_, name, change, message, line) => {
    const report = await replayChanged(name, change);
    expect(report.message).toMatch(message);
    expect(report.line).toContain(lineOf(name, change, line));
  });

  test('an end where the journal goes on', async () => {
    const { message } = await replayChanged('unread', { from: 'i < 5; i++) heard.push', to: 'i < 0; i++) heard.push' });
    expect(message).toMatch(/^at operation \d+ the journal has session\.receive .*, the code asked for session\.(receive|send|close)/);
    const early = await replayChanged('long', { from: 'i < rounds', to: 'i < 1' });
    expect(early.message).toMatch(/^at operation 2 the journal has db\.merge .*, the code asked for nothing$/);
  });

  test('a throw where the journal goes on', async () => {
    const { message } = await replayChanged('failures', { from: 'const seen = [', to: "if (to !== '') throw new Error('changed my mind');\n    const seen = [" });
    expect(message).toMatch(/^at operation 0 the journal has session\.open .*, the code asked for nothing$/);
  });
});
