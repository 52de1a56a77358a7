/** `npm start -- --once` from installed dependencies: first and second start, and the memory of two idle clusters. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { printTable } from './machine.ts';
import { descendants, pssMiB } from './processes.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const ports = ['--rest-port', '28888', '--gateway-port', '28080'];

type Timed = { readonly readySeconds: number; readonly exchangeSeconds: number; readonly totalSeconds: number };

const timeOnce = (state: string): Promise<Timed> =>
  new Promise((resolve, reject) => {
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    const child = spawn(process.execPath, [main, 'start', '--once', '--state', state, ...ports], { stdio: ['ignore', 'pipe', 'inherit'] });
    let readySeconds = Number.NaN;
    let exchangeSeconds = Number.NaN;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('Two clusters')) readySeconds = seconds();
      if (line.includes('A flow at Alice')) exchangeSeconds = seconds();
    });
    child.once('exit', (code) => (code === 0 ? resolve({ readySeconds, exchangeSeconds, totalSeconds: seconds() }) : reject(new Error(`cordage start ended with ${code}`))));
  });

const idleMemory = async (state: string): Promise<number> => {
  const child = spawn(process.execPath, [main, 'start', '--state', state, ...ports], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  await new Promise<void>((resolve) => lines.on('line', (line) => line.includes('Running.') && resolve()));
  // Idle means idle for a while: garbage of the start has been collected.
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const clusters = descendants(child.pid!).filter((pid) => pid !== child.pid);
  const total = clusters.reduce((sum, pid) => sum + pssMiB(pid), 0);
  child.kill('SIGINT');
  await new Promise((resolve) => child.once('exit', resolve));
  return total;
};

export const run = async (): Promise<void> => {
  const state = mkdtempSync(join(tmpdir(), 'cordage-start-'));
  try {
    const rows: (string | number)[][] = [['', 'two clusters ready', 'exchange done', 'all stopped']];
    for (const name of ['first start', 'second start', 'third start']) {
      const { readySeconds, exchangeSeconds, totalSeconds } = await timeOnce(state);
      rows.push([name, `${readySeconds.toFixed(2)} s`, `${exchangeSeconds.toFixed(2)} s`, `${totalSeconds.toFixed(2)} s`]);
    }
    printTable('cordage start --once', rows);
    console.log(`\n  both clusters idle, all their processes: ${(await idleMemory(state)).toFixed(0)} MiB (proportional set size)`);
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
};

if (import.meta.main) await run();
