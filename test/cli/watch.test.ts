/** Which changes of a project are seen: however an editor writes them, and wherever. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchProject, type Watch } from '../../src/cli/watch.ts';

let folder: string;
let watch: Watch;
let changes: number;
let heard: () => void;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cordage-watch-'));
  mkdirSync(join(folder, 'inner'));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['flows.ts', 'inner/part.ts', 'node_modules/other.ts']) writeFileSync(join(folder, name), '1');
  changes = 0;
  heard = () => {};
  watch = watchProject(folder, async () => {
    changes += 1;
    heard();
  });
});
afterEach(() => {
  watch.close();
  rmSync(folder, { recursive: true, force: true });
});

const next = (): Promise<void> => new Promise((resolve) => (heard = resolve));
const write = (name: string): void => writeFileSync(join(folder, name), String(Math.random()));
/** As editors save: a new file takes the place of the old. */
const replace = (name: string): void => {
  write(`${name}.swp`);
  renameSync(join(folder, `${name}.swp`), join(folder, name));
};

describe('a watched project', () => {
  test('a file that is replaced again and again is seen each time', async () => {
    for (let i = 0; i < 3; i++) {
      const seen = next();
      replace('flows.ts');
      await seen;
    }
    const inner = next();
    replace('inner/part.ts');
    await inner;
    expect(changes).toBe(4);
  });

  test('folders that come later are watched too', async () => {
    const made = next();
    mkdirSync(join(folder, 'later/deep'), { recursive: true });
    write('flows.ts');
    await made;
    const seen = next();
    write('later/deep/new.ts');
    await seen;
  });

  test('several files saved together are one change, and what is no source is none', async () => {
    const seen = next();
    write('node_modules/other.ts');
    write('notes.txt');
    write('flows.ts');
    write('inner/part.ts');
    await seen;
    expect(changes).toBe(1);
  });
});
