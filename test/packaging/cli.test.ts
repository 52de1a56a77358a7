import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCpi } from '../../src/packaging/open-cpi.ts';
import { policyText } from './samples.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'src/cli/main.ts');
const sample = join(root, 'test/apps/ping-pong');

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'cordage-cli-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

type Run = { readonly status: number; readonly out: string; readonly err: string };
const cordage = (...args: string[]): Promise<Run> =>
  new Promise((resolve) => {
    const child = execFile(join(root, 'node_modules/.bin/node'), [main, ...args], { cwd: directory }, (_, out, err) => resolve({ status: child.exitCode ?? -1, out, err }));
  });

describe('cordage package build', () => {
  test('writes CPK, CPB and CPI, says where, and says which certificate to import', async () => {
    writeFileSync(join(directory, 'GroupPolicy.json'), policyText);
    const { status, out, err } = await cordage('package', 'build', sample, '--group-policy', 'GroupPolicy.json', '--out', 'packages', '--key', 'key');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    const files = ['cpb', 'cpi', 'cpk'].map((kind) => `cordage-sample-ping-pong-1.0.0.${kind}`);
    expect(readdirSync(join(directory, 'packages')).sort()).toEqual(files);
    for (const file of files) expect(out).toContain(join('packages', file));
    expect(out).toMatch(/startable +com\.cordage\.samples\.Greet, protocol com\.cordage\.samples\.greeting version 1/);
    expect(out).toContain(join('key', 'signing-certificate.pem'));
    const cpi = new Uint8Array(readFileSync(join(directory, 'packages', files[1]!)));
    const trustedSigners = [readFileSync(join(directory, 'key/signing-certificate.pem'), 'utf8')];
    expect(await openCpi(cpi, { trustedSigners, now: Date.now() })).toMatchObject({ type: 'cpi', groupPolicyText: policyText });
  });

  test('run again writes the same bytes, and without a policy no CPI', async () => {
    const build = () => cordage('package', 'build', sample, '--out', 'packages', '--key', 'key');
    const first = await build();
    expect(first.out).toMatch(/no CPI +give --group-policy/);
    const read = () => Object.fromEntries(readdirSync(join(directory, 'packages')).map((name) => [name, readFileSync(join(directory, 'packages', name), 'hex')]));
    const before = read();
    expect(Object.keys(before)).toHaveLength(2);
    expect((await build()).status).toBe(0);
    expect(read()).toEqual(before);
  });

  test.each<[string, string[], number, RegExp]>([
    ['no project', [], 2, /needs the folder of a project[\s\S]*cordage package build <project>/],
    ['two projects', ['a', 'b'], 2, /takes one project, not also b/],
    ['an option that there is not', [sample, '--sign'], 2, /Unknown option '--sign'[\s\S]*cordage package build <project>/],
    ['a project that is not there', ['nowhere'], 1, /^cordage: there is no folder .*nowhere; give the folder of the application\n$/],
    ['a policy that is not there', [sample, '--group-policy', 'nothing.json'], 1, /^cordage: the group policy nothing.json cannot be read/],
  ])('with %s says what to do, and writes nothing', async (_, args, status, message) => {
    const run = await cordage('package', 'build', ...args, '--out', 'packages');
    expect(run).toMatchObject({ status, out: '', err: expect.stringMatching(message) });
    expect(existsSync(join(directory, 'packages'))).toBe(false);
  });
});

describe('cordage', () => {
  test('shows all commands, or one', async () => {
    const help = await cordage('--help');
    expect(help).toMatchObject({ status: 0, err: '' });
    for (const usage of ['cordage start', 'cordage package build']) expect(help.out).toContain(usage);
    const one = await cordage('package', 'build', '--help');
    expect(one).toMatchObject({ status: 0, err: '' });
    expect(one.out).not.toContain('cordage start');
  });

  test('refuses a command that it does not know and says where the known ones stand', async () => {
    for (const args of [['frobnicate'], ['package'], ['package', 'frobnicate']]) {
      expect(await cordage(...args)).toEqual({ status: 2, out: '', err: `cordage: there is no command "${args.join(' ')}". See cordage --help.\n` });
    }
    expect(await cordage()).toMatchObject({ status: 2, out: expect.stringContaining('cordage start') });
  });
});

describe('cordage package cpi', () => {
  test("makes a CPI of somebody's CPB, whose signatures stay", async () => {
    writeFileSync(join(directory, 'GroupPolicy.json'), policyText);
    await cordage('package', 'build', sample, '--out', 'packages', '--key', 'vendor');
    const cpb = join('packages', 'cordage-sample-ping-pong-1.0.0.cpb');
    const made = await cordage('package', 'cpi', '--cpb', cpb, '--group-policy', 'GroupPolicy.json', '--name', 'ours', '--out', 'made', '--key', 'operator');
    expect(made).toMatchObject({ status: 0, err: '' });
    const cpi = new Uint8Array(readFileSync(join(directory, 'made', 'ours-1.0.0.cpi')));
    const [vendor, operator] = ['vendor', 'operator'].map((key) => readFileSync(join(directory, key, 'signing-certificate.pem'), 'utf8')) as [string, string];
    expect(await openCpi(cpi, { trustedSigners: [vendor, operator], now: Date.now() })).toMatchObject({ type: 'cpi', id: { name: 'ours' }, cpks: [{ id: { name: 'cordage-sample-ping-pong' } }] });
    expect(await openCpi(cpi, { trustedSigners: [operator], now: Date.now() })).toMatchObject({ code: 'PACKAGE_SIGNER_UNTRUSTED' });
  });

  test.each<[string, string[], number, RegExp]>([
    ['no bundle', ['--group-policy', 'GroupPolicy.json'], 2, /needs --cpb and --group-policy[\s\S]*cordage package cpi/],
    ['a bundle that is not there', ['--cpb', 'nothing.cpb', '--group-policy', 'GroupPolicy.json'], 1, /nothing.cpb cannot be read/],
    ['a file that is no bundle', ['--cpb', 'GroupPolicy.json', '--group-policy', 'GroupPolicy.json'], 1, /the file is no CPB \(PACKAGE_NOT_ZIP\)/],
    ['a policy that is none', ['--cpb', 'GroupPolicy.json', '--group-policy', 'wrong.json'], 1, /the group policy is refused/],
  ])('with %s says what to do, and writes nothing', async (_, args, status, message) => {
    writeFileSync(join(directory, 'GroupPolicy.json'), policyText);
    writeFileSync(join(directory, 'wrong.json'), '{}');
    expect(await cordage('package', 'cpi', ...args, '--out', 'made')).toMatchObject({ status, err: expect.stringMatching(message) });
    expect(existsSync(join(directory, 'made'))).toBe(false);
  });
});
