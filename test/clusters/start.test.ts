/** `cordage start` as a newcomer meets it: a child process of its own, its output, its exit status, its state afterwards. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const state = mkdtempSync(join(tmpdir(), 'cordage-start-test-'));

afterAll(() => rmSync(state, { recursive: true, force: true }));

type Ended = { readonly code: number | null; readonly output: string };

const run = (...args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('exit', (code) => resolve({ code, output }));
  });

const start = (...args: readonly string[]): Promise<Ended> => run('start', '--once', '--state', state, '--rest-port', '23888', '--gateway-port', '23080', ...args);

describe('cordage start', () => {
  test('makes two clusters and a network, runs the flow, and leaves with status 0', async () => {
    const { code, output } = await start();
    expect(output).toContain('A network founded on the first cluster: manager');
    expect(output).toContain('COMPLETED, "Hello Alice, best wishes from Bob"');
    expect(output).toContain('curl -u admin:');
    expect(code).toBe(0);
  }, 120_000);

  test('finds its state again: no second network, another flow', async () => {
    const { code, output } = await start();
    expect(output).toContain('state found');
    expect(output).not.toContain('built and signed');
    expect(output).not.toContain('founded');
    expect(output).toContain('COMPLETED, "Hello Alice, best wishes from Bob"');
    expect(code).toBe(0);
  }, 120_000);

  test('says what is wrong with an option and how to ask for help', async () => {
    const { code, output } = await run('start', '--rest-port', 'many');
    expect(code).not.toBe(0);
    expect(output).toContain('--rest-port must be a port');
    const unknown = await run('start', '--twice');
    expect(unknown.code).not.toBe(0);
    expect(unknown.output).toContain('--twice');
  });
});
