/**
 * A broker whose files may not grow beyond a limit that its parent set (ulimit -f), as on a full disk. Publishes until that
 * fails, has the limit raised, publishes on. Writes what was acknowledged, as JSON, to standard output.
 */
import { execFileSync } from 'node:child_process';
import { openOn } from './disk.ts';

// Without a handler the signal ends the process; with one the write fails, as it does when a disk is full.
process.on('SIGXFSZ', () => {});
const [, , directory = ''] = process.argv;
const broker = await openOn(directory, { limits: { zeroAheadBytes: 0 } });
const acknowledged: string[] = [];
const codes = new Set<string>();
const publish = async (value: string): Promise<void> => {
  try {
    await broker.append([{ topic: 'other', key: 'k', value }]);
    acknowledged.push(value);
  } catch (error) {
    codes.add(error instanceof Error && 'code' in error ? String(error.code) : String(error));
  }
};
const many = (name: string): Promise<unknown> => Promise.all(Array.from({ length: 20 }, (_, i) => publish(`${name} ${i} ${'x'.repeat(500)}`)));

for (let round = 0; codes.size === 0; round++) await many(`round ${round}`);
const before = acknowledged.length;
await many('while full');
execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
await publish('after');
await broker.close();
process.stdout.write(JSON.stringify({ before, codes: [...codes], acknowledged }));
