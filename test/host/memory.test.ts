/** What a burst of work took goes back to the machine, in a real process. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const script = `
  const { giveBackMemory } = await import(process.argv[1]);
  const work = () => Array.from({ length: 400_000 }, (_, i) => ({ i, text: 'text ' + i })).length;
  for (let i = 0; i < 5; i++) work();
  const before = process.memoryUsage.rss();
  giveBackMemory(100);
  const until = Date.now() + 30_000;
  const look = () => {
    const gave = before - process.memoryUsage.rss();
    if (gave > before / 4 || Date.now() > until) console.log(gave / before);
    else setTimeout(look, 100);
  };
  look();`;

test('a quiet process gives back what a burst of work took', async () => {
  const memory = new URL('../../src/host/memory.ts', import.meta.url).href;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, memory]);
  expect(Number(stdout)).toBeGreaterThan(0.25);
}, 60_000);
