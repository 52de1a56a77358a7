import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alice, runInSandbox } from './run-in-sandbox.ts';
import type { SandboxAnswer, SandboxRun } from './sandbox-thread.ts';
import { openVault, type Vault } from './vault.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sdk = join(root, 'src/flow-sdk');

/** The modules of the author's guide. */
const guide = [...readFileSync(join(root, 'docs/flows.md'), 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => ({ name: 'guide', code: code! }));

/** The TypeScript blocks of JSDoc comments, with the name that the comment stands above. */
const commented = readdirSync(sdk)
  .filter((name) => name.endsWith('.ts'))
  .flatMap((file) => {
    const text = readFileSync(join(sdk, file), 'utf8');
    const comments = text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:export (?:const|class|type) )?(\w+)/g);
    return [...comments].flatMap(([, comment, name]) =>
      [...comment!.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => ({ name: name!, code: code!.replace(/^ +\* ?/gm, '') })),
    );
  });

const examples = [...commented, ...guide];

/** What each startable flow of the examples is started with, and what it must answer. */
const expected: Record<string, { input?: unknown; result: unknown }[]> = {
  'com.example.RegisterOnce': [{ result: 'known already' }],
  'com.example.OpenAccount': [{ result: '{"cents":500,"owned":1,"rich":1,"counted":1,"removed":1}' }],
  'com.example.Rename': [{ result: 'Lovelace' }],
  'com.example.TakeStock': [{ result: '[{"item":"tea","pieces":7}]' }],
  'com.example.Arrive': [{ result: '1' }],
  'com.example.AgreeTogether': [{ result: '{"either":true,"both":false,"forged":false,"keys":true,"same":true}' }],
  'com.example.SpellKey': [{ result: '{"children":[{"key":"MCowA","weight":2},{"key":"MCowB","weight":1}],"threshold":2}' }],
  'com.example.Seal': [{ result: expect.stringMatching(/^\{"text":"\{\\"a\\":1,\\"b\\":\[true\]\}","digest":"[0-9A-F]{64}","specs":\["EdDSA"\],"mine":1,"right":true\}$/) }],
  'com.example.WhoIsWho': [{ result: '{"me":"ACTIVE","signer":"CN=Alice, O=Alice, L=London, C=GB","french":1,"epoch":1}' }],
  'com.example.Reread': [{ result: 'VALUE_NOT_JSON; true; not valid' }],
  'guide.Collect': [{ result: 'i-1, i-2; 2 large ones' }],
  'guide.Pay': [{ result: 'Ada 200, Bob 0' }],
  'guide.Attest': [{ result: '{"currency":"EUR","items":["tea"],"total":5} | true | false | true | EdDSA | false' }],
  'guide.LookAround': [{ result: 'ACTIVE among CN=Bob, O=Bob, L=Paris, C=FR in epoch 1' }],
  'com.example.ReadKey': [{ result: '1' }],
  'com.example.ChairOrBoard': [{ result: '[true,false,true]' }],
  'com.example.Ping': [{ result: 'ping, pong' }],
  'com.example.AskDouble': [{ result: '42' }],
  'com.example.Rest': [{ result: 'true' }],
  'com.example.Shout': [
    { input: 'hello', result: 'HELLO' },
    { input: 5, result: 'say something' },
  ],
  'com.example.WhoAmI': [{ result: expect.stringMatching(/^\{"name":"CN=Alice, O=Alice, L=London, C=GB","members":2,"bob":"CN=Bob, O=Bob, L=Paris, C=FR","signature":"[\w-]{86}".*"spec":"EdDSA","lucky":(true|false)\}$/) }],
  'guide.Auction': [{ result: 'sold for 42' }],
  'com.example.Impatient': [{ result: 'got up' }],
  'com.example.EveryHour': [{ result: '2' }],
  'com.example.Traced': [{ result: '{"seen":"a-1","kept":"a-1","account":"account-zero"}' }],
  'com.example.Haggle': [{ result: 'no price: cents: not a number' }],
};

/** Examples that export a list of the same name stand in one project here; an author's project has one of each. */
const listNames = /\bexport const (migrations|entities)\b/g;
const withOwnNames = (code: string, index: number): string => code.replace(listNames, (_, name: string) => `export const ${name}${index}`);
const listsOf = (name: string): string => {
  const having = examples.flatMap(({ code }, index) => (code.includes(`export const ${name}`) ? [index] : []));
  return `\n${having.map((index) => `import { ${name}${index} } from './example-${index}.ts';`).join('\n')}\nexport const ${name} = [${having.map((index) => `...${name}${index}`).join(', ')}];\n`;
};

describe('the examples in the SDK', () => {
  let project: string;
  let answer: SandboxAnswer;
  let vault: Vault;
  const runs: SandboxRun[] = Object.entries(expected).flatMap(([flow, cases]) => cases.map(({ input }) => ({ member: alice, flow, input })));

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), 'cordage-examples-'));
    for (const [index, { code }] of examples.entries()) writeFileSync(join(project, `example-${index}.ts`), withOwnNames(code, index));
    writeFileSync(join(project, 'flows.ts'), examples.map((_, index) => `export * from './example-${index}.ts';`).join('\n') + listsOf('migrations') + listsOf('entities'));
    writeFileSync(join(project, 'cordage.json'), '{ "name": "examples", "version": "1", "entry": "flows.ts" }');
    vault = await openVault(project);
    answer = await runInSandbox(project, { runs }, vault.answerQuery);
  });
  afterAll(async () => {
    await vault.close();
    rmSync(project, { recursive: true, force: true });
  });

  test('every function, and the context and the session, has one', () => {
    expect(examples.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['startableFlow', 'responderFlow', 'subFlow', 'parse', 'entity', 'database', 'migration', 'compositeKey', 'encodeCompositeKey', 'decodeCompositeKey', 'isFulfilledBy', 'FlowCrypto', 'FlowMembers', 'FlowJson', 'guide', 'FlowPlatformError', 'FlowContext', 'FlowSession', 'deadline', 'continueAs', 'FlowProperties']),
    );
  });

  test("type-check in an author's project, strictly and without Node's types", () => {
    const compilerOptions = {
      strict: true, skipLibCheck: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, allowImportingTsExtensions: true,
      target: 'es2022', lib: ['es2022'], types: [], module: 'esnext', moduleResolution: 'bundler', paths: { '@cordage/flow-sdk': [join(sdk, 'flow-sdk.ts')] },
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['flows.ts'] }));
    const complaints = ((): string => {
      try {
        return execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', project], { encoding: 'utf8' });
      } catch (error) {
        return String((error as { stdout?: unknown }).stdout ?? error);
      }
    })();
    expect(complaints).toBe('');
  });

  test('every startable flow in them is run here', () => {
    const startable = answer.flows.filter(({ kind }) => kind === 'startable').map(({ name }) => name);
    expect(startable.sort()).toEqual(Object.keys(expected).sort());
  });

  test('each does what it says, hardened and without powers', () => {
    const wanted = Object.entries(expected).flatMap(([flow, cases]) => cases.map(({ result }) => ({ flow, result })));
    const seen = answer.outcomes.map((outcome, index) => ({ flow: runs[index]!.flow, ...outcome }));
    expect(seen).toEqual(wanted);
  });
});
