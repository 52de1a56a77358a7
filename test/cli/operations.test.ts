/** `cordage <noun> <verb>`: every operation of the REST API, spoken to a rest worker over HTTP. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { runCommandLine } from '../../src/cli/command-line.ts';
import { commonFlags, readOperations } from '../../src/cli/rest/operations.ts';
import { tabledOperations } from '../../src/cli/rest/columns.ts';
import { namedOperations } from '../../src/cli/rest/names.ts';
import { operationUsage } from '../../src/cli/rest/run.ts';
import { readable } from '../../src/cli/rest/table.ts';
import { listen, type Listener } from '../../src/host/http-server.ts';
import { restToDbCertificate } from '../../src/messages/rest-to-db.certificate.ts';
import { restToCryptoTransfer } from '../../src/messages/rest-to-crypto.transfer.ts';
import { restToDbCpi } from '../../src/messages/rest-to-db.cpi.ts';
import { restToDbTransfer } from '../../src/messages/rest-to-db.transfer.ts';
import { routes } from '../../src/workers/rest/worker.ts';
import { aliceHash, openRest, type RestUnderTest } from '../workers/rest/rest-under-test.ts';
import { openFile } from '../../src/workers/rest/transfer/sealed-file.ts';
import { doneWith, refusedWith } from '../workers/rest/rooms.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const node = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));
const contract = JSON.parse(readFileSync(join(import.meta.dirname, '../workers/rest/contract.json'), 'utf8')) as { paths: Record<string, object> };

let rest: RestUnderTest;
let server: Listener;
let folder: string;
beforeAll(async () => {
  rest = await openRest();
  server = await listen({ fetch: rest.worker.fetch, hostname: '127.0.0.1', port: 0 });
  folder = mkdtempSync(join(tmpdir(), 'cordage-cli-'));
});
afterAll(async () => {
  await server.close();
  await rest.close();
  rmSync(folder, { recursive: true, force: true });
});

type Ended = { readonly code: number; readonly out: string; readonly err: string };

/** In this process, one at a time: a process of its own would cost a second. */
const cordage = async (...args: string[]): Promise<Ended> => {
  const said = { out: '', err: '' };
  const log = vi.spyOn(console, 'log').mockImplementation((text: string) => void (said.out += `${text}\n`));
  const error = vi.spyOn(console, 'error').mockImplementation((text: string) => void (said.err += `${text}\n`));
  vi.stubEnv('XDG_CONFIG_HOME', folder).stubEnv('CORDAGE_PASSWORD', 'admin-password');
  try {
    return { code: await runCommandLine(args), ...said };
  } finally {
    log.mockRestore();
    error.mockRestore();
    vi.unstubAllEnvs();
  }
};
const at = (...args: string[]): Promise<Ended> => cordage(...args, '--url', server.url);

describe('commands', () => {
  const operations = readOperations();

  test('there is one for every operation, and no two have one name', () => {
    const documented = routes.filter((route) => !('onlyInV1' in route && route.onlyInV1 === true));
    expect(operations.map(({ name }) => name).sort()).toEqual(documented.map(({ method, path }) => `${method} ${path}`).sort());
    const names = operations.map(({ noun, verb }) => `${noun} ${verb}`);
    expect(names.filter((name, i) => names.indexOf(name) !== i), 'Give one of them another name in src/cli/rest/names.ts.').toEqual([]);
    expect(names.filter((name) => ['flow inspect', 'flow replay', 'package build', 'package cpi'].includes(name))).toEqual([]);
  });

  test('the tables of names and of columns have no operation that neither we nor the contract know', () => {
    const known = new Set([...operations.map(({ name }) => name), ...Object.entries(contract.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`))]);
    expect([...namedOperations, ...tabledOperations].filter((name) => !known.has(name))).toEqual([]);
  });

  test.each(operations.map((operation) => [`${operation.noun} ${operation.verb}`, operation] as const))('%s says what it takes, each flag once', (_, operation) => {
    const flags = operation.options.map(({ flag }) => flag);
    expect(new Set(flags).size).toBe(flags.length);
    expect(flags.filter((flag) => commonFlags.has(flag))).toEqual([]);
    expect(operationUsage(operation)).toContain(`cordage ${operation.noun} ${operation.verb}`);
  });
});

describe('a command', () => {
  test('starts a flow by flags, or by a body, and shows it', async () => {
    const byFlags = await at('flow', 'start', aliceHash, '--client-request-id', 'cli-1', '--flow-class-name', 'com.example.Ping', '--request-body', '{"to":"Bob"}');
    expect([byFlags.code, byFlags.out]).toEqual([0, expect.stringMatching(/^clientRequestId +cli-1\nflowStatus +START_REQUESTED$/m)]);
    writeFileSync(join(folder, 'start.json'), JSON.stringify({ clientRequestId: 'cli-2', flowClassName: 'com.example.Ping', requestBody: 1 }));
    const byBody = await at('flow', 'start', aliceHash, '--body', `@${join(folder, 'start.json')}`, '--client-request-id', 'cli-3', '--json');
    expect(JSON.parse(byBody.out)).toMatchObject({ clientRequestId: 'cli-3', flowId: null });
    const listed = await at('flow', 'list', aliceHash);
    expect(listed.out.split('\n')[0]).toMatch(/^holdingIdentityShortHash +clientRequestId +flowId +flowStatus +timestamp$/);
    expect(listed.out).toMatch(/ cli-1 .* START_REQUESTED /);
  }, 20_000);

  test('waits for the end where it is told to', async () => {
    rest.rooms.flows.onStart = ({ clientRequestId }) => void rest.rooms.flows.move(aliceHash, clientRequestId, 'COMPLETED', { flowResult: '{"greeting":"Hello"}' });
    const ended = await at('flow', 'start', aliceHash, '--client-request-id', 'cli-w', '--flow-class-name', 'com.example.Ping', '--request-body', '{}', '--wait');
    expect([ended.code, ended.out]).toEqual([0, expect.stringMatching(/^json\.greeting +Hello$/m)]);
  }, 20_000);

  test('takes files, several where the operation does', async () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    writeFileSync(join(folder, 'a.pem'), pem);
    writeFileSync(join(folder, 'app.cpi'), 'a package');
    rest.rooms.on(restToDbCertificate, () => doneWith({}));
    rest.rooms.on(restToDbCpi, ({ type }) => doneWith(type === 'status' ? { status: 'OK', cpiFileChecksum: 'AB12CD34EF56' } : {}));
    const imported = await at('certificate', 'import', 'code-signer', join(folder, 'a.pem'), join(folder, 'a.pem'), '--alias', 'mine');
    expect([imported.code, imported.out]).toEqual([0, 'done\n']);
    expect(rest.rooms.heard(restToDbCertificate).at(-1)).toMatchObject({ alias: 'mine', pem: pem + pem });
    const uploaded = await at('cpi', 'upload', join(folder, 'app.cpi'), '--wait');
    expect(uploaded.out).toContain('AB12CD34EF56');
  }, 20_000);

  test('refused ends with the exit code of its kind, and says what can be done', async () => {
    const missing = await at('flow', 'status', aliceHash, 'none');
    const wrong = await at('cpi', 'list', '--user', 'admin', '--password', 'wrong');
    const nobody = await cordage('cpi', 'list', '--url', 'http://127.0.0.1:9');
    const usage = await at('flow', 'start', aliceHash);
    const unknown = await at('flow', 'fly');
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('REST_FLOW_UNKNOWN')]);
    expect([wrong.code, wrong.err]).toEqual([4, expect.stringContaining('give another by --user')]);
    expect([nobody.code, nobody.err]).toEqual([3, expect.stringContaining('is it running?')]);
    expect([usage.code, usage.err]).toEqual([2, expect.stringContaining('needs --client-request-id')]);
    expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('See cordage flow.')]);
  }, 20_000);
});

describe('contexts', () => {
  test('are added, listed without their secrets, used and removed, in a file that nobody else may read', async () => {
    expect((await cordage('hello', 'greet', '--addressee', 'x', '--state', join(folder, 'none'))).code).toBe(2);
    expect((await cordage('context', 'add', 'here', '--url', `${server.url}/`)).out).toContain('used from now on');
    await cordage('context', 'add', 'nowhere', '--url', 'http://127.0.0.1:9', '--token', 'secret-token');
    expect(statSync(join(folder, 'cordage/contexts.json')).mode & 0o777).toBe(0o600);
    const listed = await cordage('context', 'list');
    expect(listed.out).toBe(`* here     ${server.url}  admin\n  nowhere  http://127.0.0.1:9  (token)\n`);
    expect((await cordage('hello', 'greet', '--addressee', 'x')).out).toBe('Hello, x! (from admin)\n');
    expect((await cordage('hello', 'greet', '--addressee', 'x', '--context', 'nowhere')).code).toBe(3);
    await cordage('context', 'use', 'nowhere');
    expect((await cordage('hello', 'greet', '--addressee', 'x')).code).toBe(3);
    await cordage('context', 'remove', 'nowhere');
    expect((await cordage('context', 'use', 'nowhere')).code).toBe(2);
  }, 30_000);
});

test('as a process, cordage ends with the exit code of its command', async () => {
  const ended = new Promise<Ended>((resolve) => execFile(node, [main, 'flow'], (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err })));
  expect(await ended).toMatchObject({ code: 2, out: expect.stringContaining('cordage flow <verb>') });
}, 20_000);

describe('completion', () => {
  const complete = (words: readonly string[]): string =>
    execFileSync('bash', ['-c', `source /dev/stdin <<< "$SCRIPT"; COMP_WORDS=(${words.map((word) => `"${word}"`).join(' ')}); COMP_CWORD=${words.length - 1}; _cordage; echo "\${COMPREPLY[*]}"`], { env: { ...process.env, SCRIPT: script }, encoding: 'utf8' }).trim();
  let script: string;
  beforeAll(async () => {
    script = (await cordage('completion', 'bash')).out;
  });

  test('of bash gives nouns, verbs and flags', () => {
    expect(complete(['cordage', 'fl'])).toBe('flow flowclass');
    expect(complete(['cordage', 'flow', 're']).split(' ').sort()).toEqual(['redrive', 'replay', 'result']);
    expect(complete(['cordage', 'flow', 'start', '--cl'])).toBe('--client-request-id');
    expect(complete(['cordage', 'flow', 'start', aliceHash, '--flow'])).toBe('--flow-class-name');
  });
});

describe('answers for people', () => {
  test('are tables, lines and texts', () => {
    expect(readable([{ a: 1, b: null }, { a: 'two\nlines', b: null }], Infinity)).toBe('a\n1\ntwo lines');
    expect(readable({ list: [] }, Infinity)).toBe('(none)');
    expect(readable({ K1: { alias: 'x' }, K2: { alias: 'y' } }, Infinity)).toBe('    alias\nK1  x\nK2  y');
    expect(readable({ id: { name: 'n' }, at: 1 }, Infinity)).toBe('id.name  n\nat       1');
    expect(readable([{ long: 'x'.repeat(20) }], 5)).toBe('long\nxxxx…');
    expect(readable('-----BEGIN-----\n', Infinity)).toBe('-----BEGIN-----');
    expect(readable(undefined, Infinity)).toBe('done');
    expect(readable(['a', 'b'], Infinity)).toBe('value\na\nb');
    expect(readable({ list: [{ a: { 'b.c': 1 }, d: 2 }] }, Infinity, { shown: ['a', 'b.c'], none: ['x', 'y'] })).toBe('shown\n1');
  });

  test('a file that is an answer is written under its name when it is whole, and not at all when it breaks off', async () => {
    const out = join(folder, 'alice.vnode');
    const keys = { tenant: aliceHash, associations: [], wrappingKeys: [], signingKeys: [] };
    rest.rooms.on(restToCryptoTransfer, () => doneWith({ keys }));
    rest.rooms.on(restToDbTransfer, (body) => (body.type === 'export' ? doneWith({ count: 2 }) : body.type === 'read' ? doneWith({ text: `piece ${body.index}` }) : doneWith({})));
    const args = ['virtualnode', 'export', aliceHash, '--passphrase', 'correct horse battery staple'];
    expect((await at(...args)).err).toContain('--out');
    expect(await at(...args, '--out', out)).toEqual({ code: 0, out: '', err: '' });
    const pieces: string[] = [];
    for await (const piece of openFile('correct horse battery staple', [readFileSync(out)])) pieces.push(piece);
    expect(pieces).toEqual([JSON.stringify(keys), 'piece 0', 'piece 1']);
    rest.rooms.on(restToDbTransfer, (body) => (body.type === 'export' ? doneWith({ count: 2 }) : refusedWith('DB_TRANSFER_UNKNOWN')));
    const broken = join(folder, 'broken.vnode');
    expect((await at(...args, '--out', broken)).code).not.toBe(0);
    expect(existsSync(broken)).toBe(false);
  });
});
