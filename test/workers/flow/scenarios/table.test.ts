/** The table of scenarios names tests that exist, and leaves none without a word. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../../..');
const table = readFileSync(join(here, '../scenarios.md'), 'utf8');

type Row = { readonly number: number; readonly scenario: string; readonly cover: string };
const rows: Row[] = [...table.matchAll(/^\| (\d+) \| (.+?) \| (.+) \|$/gm)].map(([, number, scenario, cover]) => ({ number: Number(number), scenario: scenario!, cover: cover! }));

const texts = new Map<string, string>();
const textOf = (file: string): string => {
  const path = file.startsWith('test/') ? join(root, file) : join(here, '..', file);
  let text = texts.get(path);
  if (text === undefined) texts.set(path, (text = readFileSync(path, 'utf8')));
  return text;
};

/** Tests stand in their files as text: after `test(`, or after the list of a `test.each`. */
const holds = (file: string, name: string): boolean => ["'", '"', '`'].some((quote) => textOf(file).includes(`(${quote}${name}${quote},`));

test('every scenario is numbered in order, once', () => {
  expect(rows.length).toBeGreaterThanOrEqual(140);
  expect(rows.map(({ number }) => number)).toEqual(rows.map((_, i) => i + 1));
});

test('every scenario is kept by tests that exist, or says why it has none', () => {
  const faults = rows.flatMap(({ number, cover }) => {
    if (/^not applicable: .{10}/.test(cover)) return [];
    const named = cover.split('<br>').map((one) => /^`(.+?\.test\.ts) › (.+)`$/.exec(one));
    if (named.some((one) => one === null)) return [`${number}: ${cover}`];
    return named.filter((one) => !holds(one![1]!, one![2]!)).map((one) => `${number}: ${one![1]} has no test "${one![2]}"`);
  });
  expect(faults).toEqual([]);
});
