import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { textOf } from '../../src/cipher/bytes.ts';
import { buildPackage, type BuildStep } from '../../src/packaging/build.ts';
import type { Signer } from '../../src/packaging/build/containers.ts';
import { openCpi } from '../../src/packaging/open-cpi.ts';
import { issue, now, signerOf } from './keys.ts';
import { policyText } from './samples.ts';

const sample = fileURLToPath(new URL('../apps/ping-pong', import.meta.url));
const developer = await issue({ name: 'CN=Developer, O=Acme, L=London, C=GB' });
const signer: Signer = signerOf(developer);

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'cordage-build-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const settings = { name: 'app', version: '1.0.0', entry: 'flows.ts' };
/** A project of these files, in a folder of its own. */
const project = (files: Record<string, string>, name = 'project'): string => {
  const root = join(directory, name);
  for (const [path, text] of Object.entries({ 'cordage.json': JSON.stringify(settings), ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
};
const build = (root: string, options: Partial<Parameters<typeof buildPackage>[0]> = {}) => buildPackage({ project: root, signer, now, ...options });
const flowNamed = (name: string, more = ''): string => `import { startableFlow } from '@cordage/flow-sdk';\n${more}\nexport const flow = startableFlow({ name: '${name}', run: async () => 'done' });\n`;
const fails = async (root: string, code: string, reason: RegExp, options: Partial<Parameters<typeof buildPackage>[0]> = {}): Promise<void> => {
  await expect(build(root, options)).rejects.toMatchObject({ name: 'PackageBuildError', code, message: expect.stringMatching(reason) });
};

describe('a build', () => {
  test('makes a CPI that a cluster opens, and tells each step', async () => {
    const steps: BuildStep['type'][] = [];
    const { cpi, fileNames, flows } = await build(sample, { groupPolicy: policyText, onStep: ({ type }) => steps.push(type) });
    expect(steps).toEqual(['project', 'bundled', 'declared', 'signed']);
    expect(fileNames).toEqual({ cpk: 'cordage-sample-ping-pong-1.0.0.cpk', cpb: 'cordage-sample-ping-pong-1.0.0.cpb', cpi: 'cordage-sample-ping-pong-1.0.0.cpi' });
    const opened = await openCpi(cpi!, { trustedSigners: [developer.pem], now });
    if (opened.type === 'invalid') expect.fail(opened.reason);
    expect(opened.cpks[0]!.flows).toEqual(flows);
    expect(flows.map(({ name, kind }) => [name, kind])).toEqual([
      ['com.cordage.samples.AcceptOrder', 'responder'],
      ['com.cordage.samples.FindOrders', 'startable'],
      ['com.cordage.samples.Greet', 'startable'],
      ['com.cordage.samples.PlaceOrder', 'startable'],
      ['com.cordage.samples.ReturnGreeting', 'responder'],
    ]);
    expect(textOf(opened.cpks[0]!.bundle).slice(0, 20)).toMatch(/^var cordageApp=/);
  });

  test('puts the entities and migrations that the entry exports into the schema, and nothing where there are none', async () => {
    const root = project({
      'flows.ts': flowNamed('test.One', "export { entities, migrations } from './tables.ts';"),
      'tables.ts': `import { database, entity, migration } from '@cordage/flow-sdk';
        const tables = database<{ stock: { item: string } }>();
        export const entities = [entity<{ id: string; size: number }>({ name: 'A', id: ({ id }) => id, indexes: ['size'] }), entity<{ id: string }>({ name: 'B', id: ({ id }) => id })];
        export const migrations = [migration('0001-stock', [tables.schema.createTable('stock').addColumn('item', 'text')])];`,
    });
    const { cpi } = await build(root, { groupPolicy: policyText });
    const opened = await openCpi(cpi!, { trustedSigners: [developer.pem], now });
    if (opened.type === 'invalid') expect.fail(opened.reason);
    const { schema } = opened.cpks[0]!;
    expect(schema!.entities).toEqual([{ name: 'A', indexes: ['size'] }]);
    expect(schema!.migrations.map(({ name, steps }) => [name, steps.map(({ kind }) => kind)])).toEqual([['0001-stock', ['CreateTableNode']]]);
    expect([...schema!.catalog]).toEqual([['stock', new Set(['item'])]]);
    const plain = await openCpi((await build(project({ 'flows.ts': flowNamed('test.One') }, 'plain'), { groupPolicy: policyText })).cpi!, { trustedSigners: [developer.pem], now });
    expect(plain).not.toHaveProperty('cpks.0.schema');
  });

  test.each([
    ['a list of something else', 'export const migrations = [1];', /lists of what entity\(\) and migration\(\) made/],
    ['no list', "export const entities = 'A';", /lists of what entity\(\) and migration\(\) made/],
    ['what a cluster would not take', "import { database, migration } from '@cordage/flow-sdk'; export const migrations = [migration('1', [database<any>().schema.dropTable('x')])];", /migration 1, step 1: a DropTableNode is not allowed/],
  ])('says what is wrong with a schema of %s', async (_, code, reason) => {
    await fails(project({ 'flows.ts': flowNamed('test.One', code) }), 'BUILD_SCHEMA_INVALID', reason);
  });

  test('makes no CPI without a group policy', async () => {
    expect(await build(sample)).not.toHaveProperty('cpi');
  });

  test('of the same sources gives the same bytes, wherever they lie', async () => {
    const root = project({ 'flows.ts': flowNamed('test.One', "import { two } from './lib/two.ts';\nconsole;two();"), 'lib/two.ts': 'export const two = (): number => 2;' });
    const [first, again] = [await build(root, { groupPolicy: policyText }), await build(root, { groupPolicy: policyText })];
    expect(again.cpi).toEqual(first.cpi);
    const elsewhere = join(directory, 'a', 'quite different', 'place');
    cpSync(root, elsewhere, { recursive: true });
    expect((await build(elsewhere, { groupPolicy: policyText })).cpi).toEqual(first.cpi);
  }, 60_000);

  test('takes name, version and entry from package.json where there is no cordage.json', async () => {
    const root = project({ 'flows.ts': flowNamed('test.One'), 'package.json': JSON.stringify({ name: 'from-package', version: '2.0.0', cordage: { entry: 'flows.ts' } }) });
    rmSync(join(root, 'cordage.json'));
    expect(await build(root)).toMatchObject({ name: 'from-package', version: '2.0.0' });
  });

  test('lists what the entry exports, whatever else it exports', async () => {
    const { flows } = await build(project({ 'flows.ts': `${flowNamed('test.One')}export const limit = 5; export const nothing = null; export default { name: 'x' };` }));
    expect(flows.map(({ name }) => name)).toEqual(['test.One']);
  });
});

describe('a build fails with cause and remedy', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['an entry that is not there', {}, /names the entry flows.ts, but there is no file/],
    ['settings that are not JSON', { 'cordage.json': '{' }, /cannot be read as JSON.*correct it/],
    ['settings without a version', { 'cordage.json': JSON.stringify({ ...settings, version: undefined }) }, /version/],
    ['a name that cannot be a file name', { 'cordage.json': JSON.stringify({ ...settings, name: '@scope/app' }) }, /a package name has/],
    ['a setting that there is not', { 'cordage.json': JSON.stringify({ ...settings, main: 'x' }) }, /main/],
  ])('for %s', async (_, files, reason) => {
    await fails(project(files), 'BUILD_PROJECT_INVALID', reason);
  });

  test('for a folder that is no project', async () => {
    await fails(join(directory, 'nowhere'), 'BUILD_PROJECT_INVALID', /there is no folder .*nowhere/);
    await fails(directory, 'BUILD_PROJECT_INVALID', /Write a cordage.json/);
    writeFileSync(join(directory, 'package.json'), '{ "name": "x", "version": "1" }');
    await fails(directory, 'BUILD_PROJECT_INVALID', /has no "cordage" field/);
  });

  test.each<[string, string, RegExp]>([
    ['an error of syntax', 'export const = 1;', /flows.ts:1:13: .*Expected/],
    ['a module that is not installed', "import 'not-installed-anywhere';", /Could not resolve "not-installed-anywhere" \(install it/],
    ['a module of Node', "import { readFileSync } from 'node:fs'; export const x = readFileSync;", /Could not resolve "node:fs" \(flow code runs in a sandbox/],
  ])('for %s', async (_, text, reason) => {
    await fails(project({ 'flows.ts': text }), 'BUILD_BUNDLE_FAILED', reason);
  });

  test.each<[string, string, RegExp]>([
    ['no flow', 'export const x = 1;', /exports no flow; export what startableFlow/],
    ['a flow with a name that REST cannot say', flowNamed('a flow'), /a flow name has/],
    ['two flows of one name', `${flowNamed('test.One')}export const other = { ...flow };`, /two exported flows are called test.One/],
    ['an error at the top level', `${flowNamed('test.One')}throw new Error('on purpose');`, /on purpose/],
    ['a clock at the top level', `${flowNamed('test.One')}export const at = Date.now();`, /cannot be loaded in the sandbox/],
    ['a platform at the top level', `${flowNamed('test.One')}process.exit(0);`, /cannot be loaded in the sandbox: .*no network and no console there/],
    ['an import at run time', `${flowNamed('test.One')}export const load = (name: string) => import(name);`, /cannot be loaded in the sandbox/],
  ])('for %s', async (_, text, reason) => {
    await fails(project({ 'flows.ts': text }), 'BUILD_FLOWS_INVALID', reason);
  });

  test('for code that never finishes loading', async () => {
    await fails(project({ 'flows.ts': `${flowNamed('test.One')}for (;;);` }), 'BUILD_FLOWS_INVALID', /did not finish loading within 300 ms/, { evaluationMsMax: 300 });
  });

  test('for code that eats memory', async () => {
    await fails(project({ 'flows.ts': `${flowNamed('test.One')}const all: string[][] = []; for (;;) all.push(Array(100_000).fill('x'));` }), 'BUILD_FLOWS_INVALID', /stopped while it was loaded/);
  });

  test('for a group policy that no cluster would take', async () => {
    await fails(sample, 'BUILD_GROUP_POLICY_INVALID', /the policy is not JSON/, { groupPolicy: '{' });
  });

  test('for a certificate that has expired', async () => {
    await fails(sample, 'BUILD_REFUSED', /PACKAGE_CERTIFICATE_INVALID.*expired/, { now: now + 10 * 24 * 60 * 60 * 1000 });
  });
});
