import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSources, root } from './source.ts';

const linesMax = 500;
const sources = readSources('src', 'edge', 'containers', 'test');

describe('text', () => {
  test(`no file is longer than ${linesMax} lines`, () => {
    const faults = sources.map(({ path, text }) => ({ path, lines: text.split('\n').length })).filter(({ lines }) => lines > linesMax);
    expect(faults, 'Divide the file by what it knows, not by its length.').toEqual([]);
  });

  test('no name says nothing', () => {
    const empty = /(^|[-/])(util|utils|common|helper|helpers|misc|base|impl|service|processor|manager)([-.]|$)/;
    const faults = sources.map(({ path }) => path).filter((path) => empty.test(path.replaceAll('link-manager', 'link')));
    expect(faults, 'Name the file for the one thing it holds.').toEqual([]);
  });

  test('no line promises later work', () => {
    const promise = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`);
    const faults = sources.filter(({ path }) => path.startsWith('src/')).flatMap(({ path, text }) => text.split('\n').flatMap((line, i) => (promise.test(line) ? [`${path}:${i + 1}`] : [])));
    expect(faults, 'Do it, or write an issue.').toEqual([]);
  });

  test('the lock file pins every package and names no registry', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
    const loose = Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] }).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version));
    expect(loose, 'Pin the exact version: an old npm picks old versions silently.').toEqual([]);
    expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/);
  });

  test('the README says what every dependency is for', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const names = Object.keys({ ...manifest['dependencies'], ...manifest['devDependencies'] });
    expect(names.filter((name) => !readme.includes(`\`${name}\``)), 'Add its sentence to the table of dependencies.').toEqual([]);
  });

  test('the linter finds nothing', () => {
    const run = (): string => execFileSync(join(root, 'node_modules/.bin/oxlint'), ['--quiet'], { cwd: root, encoding: 'utf8' });
    expect(run).not.toThrow();
  });
});
