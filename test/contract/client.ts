/** Installs the generator, makes a client of the contract and checks its types: what `client/steps.ts` runs on. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Installed } from './run.ts';

const run = promisify(execFile);
const folder = join(import.meta.dirname, 'client');
const generated = join(folder, 'generated');
const installMsMax = 120_000;

/** The contract as an OpenAPI document again; its facts stand beside the tests of rest. */
const writeContract = (): string => {
  const { paths, schemas } = JSON.parse(readFileSync(join(import.meta.dirname, '../workers/rest/contract.json'), 'utf8')) as { paths: object; schemas: object };
  mkdirSync(generated, { recursive: true });
  const file = join(generated, 'contract.json');
  writeFileSync(file, JSON.stringify({ openapi: '3.0.1', info: { title: 'Corda REST API', version: 'v5_2' }, servers: [{ url: '/api/v5_2' }], paths, components: { schemas } }));
  return file;
};

/** Installs the packages of `client/package-lock.json`, once. */
export const installClient = async (): Promise<Installed> => {
  if (existsSync(join(folder, 'node_modules/openapi-fetch'))) return { type: 'installed' };
  try {
    await run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder, timeout: installMsMax });
    return { type: 'installed' };
  } catch (error) {
    return { type: 'absent', reason: `the generator of clients cannot be installed here (npm and a package registry are needed): ${error instanceof Error ? error.message.split('\n')[0] : String(error)}` };
  }
};

const tool = (path: string, args: readonly string[]): Promise<unknown> => run(process.execPath, [join(folder, 'node_modules', path), ...args], { cwd: folder });

/** Throws with what the generator or the compiler says. */
export const generateClient = async (): Promise<void> => {
  await tool('openapi-typescript/bin/cli.js', [writeContract(), '--output', join(generated, 'contract.d.ts')]);
  await tool('typescript/bin/tsc', ['--project', folder]).catch((error: { stdout?: string }) => Promise.reject(new Error(`the generated client does not type-check:\n${error.stdout}`)));
};
