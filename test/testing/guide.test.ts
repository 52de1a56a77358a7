/**
 * docs/testing-flows.md, executed: its files make a project outside of this repository that takes Cordage by its path; its tests
 * run there, and its types are checked.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../tidy/source.ts';

const project = mkdtempSync(join(tmpdir(), 'cordage-guide-'));
const run = promisify(execFile);

/** Blocks that begin with the name of their file. */
const filesOf = (markdown: string): Map<string, string> =>
  new Map([...markdown.matchAll(/```(?:ts|json)\n\/\/ (\S+)\n([\s\S]*?)```/g)].map(([, name, text]) => [name!, text!]));

const files = filesOf(readFileSync(join(root, 'docs/testing-flows.md'), 'utf8'));

beforeAll(() => {
  for (const [name, text] of files) writeFileSync(join(project, name), text);
  // What `npm install` makes of the dependencies by path, and of the package that a registry would give.
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, '@cordage'), { recursive: true });
  mkdirSync(join(modules, '@types'), { recursive: true });
  const { devDependencies } = JSON.parse(files.get('package.json')!) as { devDependencies: Record<string, string> };
  for (const [name, place] of Object.entries(devDependencies)) {
    const target = place.startsWith('file:') ? place.replace('file:../cordage', root) : join(root, 'node_modules', name);
    symlinkSync(target, join(modules, name), 'dir');
  }
  symlinkSync(join(root, 'node_modules/@types/node'), join(modules, '@types/node'), 'dir');
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

test('the guide holds an application and its tests', () => {
  expect([...files.keys()]).toEqual(['package.json', 'tsconfig.json', 'flows.ts', 'first.test.ts', 'time.test.ts', 'faults.test.ts']);
});

test('its tests pass in a project that takes Cordage by its path', async () => {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const report = join(project, 'report.json');
  await run(process.execPath, [vitest, 'run', '--reporter', 'json', '--outputFile', report], { cwd: project }).catch(() => {});
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as { testResults: { assertionResults: { title: string; status: string; failureMessages: string[] }[] }[] };
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
  expect(results).toHaveLength(6);
}, 120_000);

test('its types are right', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = await run(process.execPath, [tsc, '--project', project]).catch((error: { stdout: string }) => error);
  expect(stdout).toBe('');
}, 120_000);
