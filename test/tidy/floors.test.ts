import { describe, expect, test } from 'vitest';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { readSources } from './source.ts';

/** From the ground up. Imports go down, or stay inside one folder. */
const floors: readonly (readonly string[])[] = [
  ['src/host'],
  ['src/cipher', 'src/identity', 'src/observability', 'src/pattern'],
  ['src/messages', 'src/ledger', 'src/packaging'],
  ['src/bus', 'src/postgres'],
  ['src/shell', 'src/flow-sdk'],
  rooms.map((room) => `src/workers/${room}`),
  // The types of rest's routes, and nothing else of it.
  ['src/rest-client'],
  ['edge', 'containers', 'src/testing', 'src/console'],
  // Starts the processes of containers/.
  ['src/cli'],
];

/** `src/postgres` implements the shell's store port, so it names the port's types. */
const typeImportsUpward = [{ from: 'src/postgres', to: 'src/shell' }];

const folderOf = (path: string): string | undefined => floors.flat().find((folder) => path.startsWith(`${folder}/`));
const floorOf = (folder: string): number => floors.findIndex((floor) => floor.includes(folder));

const sources = readSources('src', 'edge', 'containers');

describe('floors', () => {
  test('every source file stands in a room that has a floor', () => {
    const homeless = sources.filter(({ path }) => folderOf(path) === undefined).map(({ path }) => path);
    expect(homeless, 'Move the file into one of the folders that the README lists, or give its folder a floor here.').toEqual([]);
  });

  test('imports go down only', () => {
    const faults = sources.flatMap(({ path, imports }) =>
      imports.flatMap(({ target, typeOnly }) => {
        const from = folderOf(path);
        const to = target === undefined ? undefined : folderOf(target);
        if (from === undefined || to === undefined || from === to || floorOf(to) < floorOf(from)) return [];
        if (typeOnly && typeImportsUpward.some((allowed) => allowed.from === from && allowed.to === to)) return [];
        return [`${path} (floor ${floorOf(from)}) imports ${target} (floor ${floorOf(to)})`];
      }),
    );
    expect(faults, 'What two workers share is a message; what two floors share belongs on a lower one. Move it down, or hand it in as an argument.').toEqual([]);
  });

  test('relative imports lead to files that exist inside src, edge or containers', () => {
    const known = new Set(sources.map(({ path }) => path));
    const faults = sources.flatMap(({ path, imports }) =>
      imports.filter(({ target }) => target !== undefined && target.endsWith('.ts') && !known.has(target)).map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(faults, 'Source code imports source code only; tests and samples stay outside.').toEqual([]);
  });
});

/** Where a platform's own modules may be named. */
const platformAllowed = /^(src\/host\/|containers\/|src\/cli\/|src\/testing\/|src\/packaging\/build|src\/bus\/embedded-broker\/|src\/bus\/kafka-bridge\/|src\/bus\/http-server|edge\/[\w-]+\.deno\.ts$)/;
const namesPlatform = (text: string): boolean => /from 'node:|import\('node:|\bDeno\.|\bBuffer\b|\bprocess\.(env|exit|argv|cwd|on|stdout|stdin|nextTick)\b/.test(text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, ''));

/** Ask the platform at run time for what is quicker there, and are done without it elsewhere. */
const platformAsked = new Set(['src/host/node-crypto.ts', 'src/host/base64url.ts']);

describe('the REST client', () => {
  test('loads nothing of the server', () => {
    const faults = sources.filter(({ path }) => path.startsWith('src/rest-client/')).flatMap(({ path, imports }) => imports.filter(({ target, typeOnly }) => !typeOnly && target?.startsWith('src/rest-client/') !== true).map(({ specifier }) => `${path} imports ${specifier}`));
    expect(faults, 'It runs in browsers: take the type alone.').toEqual([]);
  });
});

describe('platforms', () => {
  test('node:, Deno., Buffer and process appear in src/host, containers, the CLI, the package builder and the bus servers alone', () => {
    const faults = sources.filter(({ path, text }) => !platformAllowed.test(path) && namesPlatform(text)).map(({ path }) => path);
    expect(faults, 'Hand the power in from src/host instead: the file must run on every runtime.').toEqual([]);
  });

  test('everything that the gateway and rest import runs on an edge runtime', () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const reached = new Map<string, string>();
    const visit = (path: string, from: string): void => {
      const source = byPath.get(path);
      if (source === undefined || reached.has(path)) return;
      reached.set(path, from);
      for (const { target, typeOnly } of source.imports) if (target !== undefined && !typeOnly) visit(target, path);
    };
    for (const { path } of sources) if (/^src\/workers\/(gateway|rest)\/|^edge\/.*cloudflare/.test(path)) visit(path, 'entry');
    const faults = [...reached].filter(([path]) => !platformAsked.has(path) && namesPlatform(byPath.get(path)!.text)).map(([path, from]) => `${path} (imported by ${from})`);
    expect(faults, 'An edge runtime has web standards only. Inject what needs Node from containers/.').toEqual([]);
  });
});
