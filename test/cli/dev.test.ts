/**
 * `cordage dev` as an author meets it, and the flow commands beside it: one start of two clusters, an application that is changed, broken
 * and mended, a flow that is under way meanwhile.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shortHashOf } from '../../src/cli/network.ts';
import { createRestClient, type RestClient } from '../../src/rest-client/rest-client.ts';
import { readStartState } from '../../src/cli/start-state.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'cordage-dev-test-'));
const state = join(project, '.cordage/dev');

/** Line 10 gives back the version that the flow was started with. */
const sourceOf = (version: string): string => `import { entity, startableFlow } from '@cordage/flow-sdk';

const version = '${version}';
const flags = entity<{ id: string }>({ name: 'Flag', id: ({ id }) => id });

export const waits = startableFlow({
  name: 'test.Waits',
  run: async (ctx) => {
    while ((await ctx.db.find(flags, 'go')) === undefined) await ctx.sleep(200);
    return version;
  },
});
export const goes = startableFlow({ name: 'test.Goes', run: async (ctx) => ctx.db.persist(flags, { id: 'go' }) });
export const tells = startableFlow({ name: 'test.Tells', run: async () => version });
`;
const save = (source: string): void => writeFileSync(join(project, 'flows.ts'), source);

let dev: ChildProcess;
let output = '';
let looks: (() => void)[] = [];
/** Resolves when this has been said after everything that was waited for before. */
let readUpTo = 0;
const said = (pattern: RegExp): Promise<string> =>
  new Promise((resolve, reject) => {
    const look = (): void => {
      const found = pattern.exec(output.slice(readUpTo));
      if (found === null) return;
      readUpTo += found.index + found[0].length;
      looks = looks.filter((one) => one !== look);
      resolve(found[0]);
    };
    dev.once('exit', () => reject(new Error(`it ended before it said ${String(pattern)}:\n${output}`)));
    looks.push(look);
    look();
  });

let client: RestClient;
let shortHash: string;
const start = (clientRequestId: string, flowClassName: string) => client.call('POST /flow/{holdingidentityshorthash}', { path: { holdingidentityshorthash: shortHash }, json: { clientRequestId, flowClassName, requestBody: {} } });
const resultOf = async (clientRequestId: string): Promise<unknown> => {
  const { json } = await client.call('GET /flow/{holdingidentityshorthash}/{clientrequestid}/result', { path: { holdingidentityshorthash: shortHash, clientrequestid: clientRequestId }, query: { wait: 20_000 } });
  return json;
};

const cordage = (...args: readonly string[]): Promise<{ code: number; text: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: project }, (error, stdout, stderr) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: stdout + stderr }));
  });

beforeAll(async () => {
  writeFileSync(join(project, 'cordage.json'), JSON.stringify({ name: 'dev-test', version: '1.0.0', entry: 'flows.ts' }));
  save(sourceOf('one'));
  dev = spawn(process.execPath, [main, 'dev', '.', '--run', 'test.Tells', '--input', '{}', '--rest-port', '25888', '--gateway-port', '25080'], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [dev.stdout!, dev.stderr!]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      for (const look of looks) look();
    });
  }
  await said(/test\.Tells: COMPLETED "one"[^]*Watching/);
  const { groupId, clusters } = readStartState(state);
  shortHash = shortHashOf({ name: clusters[0]!.member, groupId });
  client = createRestClient({ url: `http://127.0.0.1:${clusters[0]!.restPort}`, credentials: { login: 'admin', password: clusters[0]!.adminPassword } });
}, 120_000);

afterAll(async () => {
  if (dev.exitCode === null) dev.kill('SIGKILL');
  rmSync(project, { recursive: true, force: true });
});

describe('cordage dev', () => {
  test('runs new code from the save on; a flow under way keeps its own', async () => {
    await start('under-way', 'test.Waits');
    save(sourceOf('two'));
    await said(/new code of dev-test 1\.0\.0 in place after \d+ ms/);
    await said(/test\.Tells: COMPLETED "two"/);
    await start('go', 'test.Goes');
    expect(await resultOf('under-way')).toBe('one');
  }, 60_000);

  test('shows a build error with its line, and the old code keeps running', async () => {
    save(sourceOf('three').replace('return version;', 'return version version;'));
    await said(/flows\.ts:10:\d+: Expected ";" but found "version"\n.*keep running the code they have/);
    await start('meanwhile', 'test.Tells');
    expect(await resultOf('meanwhile')).toBe('two');
    save(sourceOf('four'));
    await said(/test\.Tells: COMPLETED "four"/);
  }, 60_000);
});

describe('cordage flow', () => {
  test('inspect shows what happened, for people and for programs', async () => {
    const people = await cordage('flow', 'inspect', shortHash, 'under-way');
    expect(people).toMatchObject({ code: 0, text: expect.stringMatching(/test\.Waits {2}COMPLETED[^]*▶ #0 db\.find[^]*◀ #0 db\.find[^]*▶ #1 sleep[^]*■ COMPLETED one/) });
    const programs = await cordage('flow', 'inspect', shortHash.toLowerCase(), 'under-way', '--json');
    const { flow, timeline } = JSON.parse(programs.text) as { flow: unknown; timeline: unknown[] };
    expect(flow).toMatchObject({ flowClassName: 'test.Waits' });
    expect(timeline.slice(0, 4)).toMatchObject([{ type: 'started' }, { type: 'asked', op: 0, kind: 'db.find' }, { type: 'answered', op: 0 }, { type: 'asked', op: 1, kind: 'sleep' }]);
  }, 30_000);

  test('replay runs the very code of the flow, and says that the sources are other ones by now', async () => {
    const { code, text } = await cordage('flow', 'replay', shortHash, 'under-way');
    expect(text).toContain('are not those that the flow runs');
    expect(text).toMatch(/steps replayed, as they were\.\nThe code returned\n {2}one\n/);
    expect(code).toBe(0);
  }, 30_000);

  test('says what is wrong, and what to do', async () => {
    expect(await cordage('flow', 'inspect', shortHash, 'nobody')).toMatchObject({ code: 1, text: expect.stringContaining('has the client request id nobody') });
    expect(await cordage('flow', 'inspect', '0123456789AB', 'r')).toMatchObject({ code: 2, text: expect.stringMatching(/hosts the virtual node 0123456789AB; name another with --state or --url/) });
    expect(await cordage('flow', 'inspect', 'alice', 'r')).toMatchObject({ code: 2, text: expect.stringContaining('12 hex digits') });
    expect(await cordage('flow', 'replay', shortHash)).toMatchObject({ code: 2, text: expect.stringContaining('flow replay takes') });
  }, 30_000);
});

describe('at the end', () => {
  test('dev stops both clusters, and the flow commands say that nobody answers', async () => {
    dev.kill('SIGINT');
    await said(/Both clusters stopped/);
    expect(await cordage('flow', 'inspect', shortHash, 'under-way')).toMatchObject({ code: 3, text: expect.stringContaining('the cluster does not answer; is it running?') });
  }, 30_000);
});
