/** The sandbox on another runtime than Node's: what can differ there. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { bundleOf } from '../workers/flow/world/bundle.ts';

const source = `
const note = entity<any>({ name: 'Note', id: (one) => one.id });
export const flows = [
  startableFlow({ name: 'test.Good', run: async (ctx) => [(await ctx.db.find(note, 'x')) === undefined, ctx.uuid().length, new Date(2020, 0, 1).getTime()].join() }),
  startableFlow({ name: 'test.Globals', run: async () => Reflect.ownKeys(globalThis).map(String).sort().join() }),
  startableFlow({ name: 'test.Spin', run: async () => { for (;;) {} } }),
  startableFlow({ name: 'test.Abort', run: async () => { Array.prototype.sort.call({ length: 2 ** 53 - 1 }); } }),
];`;
const [good, bad] = [['test.Good', 'test.Globals'], ['test.Spin', 'test.Abort']];

test('Deno runs flows as Node does, gives their code the same globals, and ends what takes too much', { timeout: 120_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-sandbox-'));
  const codePath = join(directory, 'bundle.js');
  writeFileSync(codePath, await bundleOf(source));
  const fixture = fileURLToPath(new URL('./sandbox-fixture.ts', import.meta.url));
  const deno = fileURLToPath(new URL('../../node_modules/.bin/deno', import.meta.url));
  const run = async (command: readonly string[], names: readonly string[]): Promise<string[]> => {
    const { stdout } = await promisify(execFile)(command[0]!, [...command.slice(1), fixture, codePath, ...names]);
    return JSON.parse(stdout) as string[];
  };
  const onDeno = await run([deno, 'run', '--quiet', '--allow-all'], [...good, ...bad]);
  const onNode = await run([process.execPath], good);
  rmSync(directory, { recursive: true });
  expect(onNode).toEqual(['true,36,1577836800000', expect.stringContaining('AggregateError') as unknown]);
  // What V8 ends the process for has no name of its own there.
  expect(onDeno).toEqual([...onNode, 'FLOW_TIME_EXCEEDED', expect.stringMatching(/^FLOW_(MEMORY_EXCEEDED|CODE_REFUSED)$/)]);
});
