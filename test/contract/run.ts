/**
 * schemathesis, driven by an OpenAPI document, against a running cluster: no 5xx, no status and no shape that is not declared.
 *
 *     npm run contract                                   the long form: at least 5,000 generated requests
 *     npm run contract -- --document <corda-rest.json>   driven by that document in place of our own
 *     npm run contract -- --quick                        what the tests run
 *
 * It needs Python 3 with venv and pip, and a package index; where they are absent it says so and leaves.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { createRestClient } from '../../src/rest-client/rest-client.ts';
import { admin, openContractCluster } from './cluster.ts';

const version = '4.32.5';
const environment = resolve(import.meta.dirname, '../../.cordage/contract-venv');
const schemathesis = join(environment, 'bin/schemathesis');
const run = promisify(execFile);
const installMsMax = 120_000;

/** Its own password would be changed at once; a stream of events has no end to wait for. */
const excluded = ['--exclude-path', '/user/selfpassword', '--exclude-path-regex', '/events$'];

/**
 * Not checked: wrong logins (many of them are answered 429, which is another promise) and `Allow` (paths of the contract overlap: POST
 * /flow/getprotocolversion is POST /flow/{holdingidentityshorthash} too).
 */
const checks = 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance';
/** By our own document alone: operations that Cordage adds stand at paths of the contract, under methods that it does not have. */
const ownChecks = `${checks},unsupported_method`;

export type Installed = { readonly type: 'installed' } | { readonly type: 'absent'; readonly reason: string };

/** Makes the environment once. */
export const install = async (): Promise<Installed> => {
  try {
    if (existsSync(schemathesis) && (await run(schemathesis, ['--version'])).stdout.includes(version)) return { type: 'installed' };
    mkdirSync(environment, { recursive: true });
    await run('python3', ['-m', 'venv', environment], { timeout: installMsMax });
    await run(join(environment, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', `schemathesis==${version}`], { timeout: installMsMax });
    return { type: 'installed' };
  } catch (error) {
    return { type: 'absent', reason: `schemathesis ${version} cannot be installed here (Python 3 with venv, pip and a package index are needed): ${error instanceof Error ? error.message.split('\n')[0] : String(error)}` };
  }
};

export type Outcome = { readonly code: number; readonly output: string; /** Generated requests. */ readonly requests: number };
export type RunOptions = { readonly document?: string; readonly examplesMax: number; readonly phases: string };

const spoken = (args: readonly string[], shortHash: string, document: string | undefined): Promise<{ code: number; output: string }> =>
  new Promise((done, fail) => {
    const env = { ...process.env, SCHEMATHESIS_HOOKS: 'hooks', PYTHONPATH: import.meta.dirname, PYTHONDONTWRITEBYTECODE: '1', CORDAGE_SHORT_HASH: shortHash, CORDAGE_DOCUMENT: document === undefined ? 'ours' : 'contract' };
    const directory = mkdtempSync(join(tmpdir(), 'cordage-schemathesis-'));
    const child = spawn(schemathesis, args, { env, cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => (output += String(data)));
    child.stderr.on('data', (data: Buffer) => (output += String(data)));
    child.once('error', fail);
    child.once('exit', (code) => {
      rmSync(directory, { recursive: true, force: true });
      done({ code: code ?? 1, output });
    });
  });

export const runContract = async ({ document, examplesMax, phases }: RunOptions): Promise<Outcome> => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-contract-'));
  const { process: cluster, shortHash } = await openContractCluster(directory);
  try {
    const base = `${cluster.restUrl}/api/v5_2`;
    const where = document === undefined ? [`${base}/swagger.json`] : [resolve(document), '--url', base];
    const args = ['run', ...where, '--auth', `${admin.login}:${admin.password}`, '--header', 'Accept: application/json', '--checks', document === undefined ? ownChecks : checks, '--phases', phases, '--max-examples', String(examplesMax)];
    const ended = await spoken([...args, ...excluded, '--continue-on-failure', '--no-shrink', '--workers', '2', '--warnings', 'off', '--seed', '20'], shortHash, document);
    // Whatever it was asked, the cluster serves on.
    await createRestClient({ url: cluster.restUrl, credentials: admin }).call('GET /cpi');
    return { ...ended, requests: Number(/(\d+) generated/.exec(ended.output)?.[1] ?? 0) };
  } finally {
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  }
};

export const quick: RunOptions = { examplesMax: 3, phases: 'fuzzing' };
export const long: RunOptions = { examplesMax: 60, phases: 'coverage,fuzzing' };

if (import.meta.main) {
  const { values } = parseArgs({ options: { document: { type: 'string' }, quick: { type: 'boolean', default: false } } });
  const installed = await install();
  if (installed.type === 'absent') console.log(`skipped: ${installed.reason}`);
  else {
    const { code, output, requests } = await runContract({ ...(values.quick ? quick : long), ...(values.document === undefined ? {} : { document: values.document }) });
    console.log(output);
    console.log(`${requests} requests generated`);
    process.exitCode = code;
  }
}
