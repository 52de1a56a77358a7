/**
 * A broker whose files may not grow beyond a limit that its parent set (ulimit -f), and a consumer that hears early. Publishes until that fails,
 * has the limit raised, publishes on. Writes what was acknowledged and what was heard and became durable, as JSON, to standard output.
 */
import { execFileSync } from 'node:child_process';
import { openOn } from './disk.ts';

// Without a handler the signal ends the process; with one the write fails, as it does when a disk is full.
process.on('SIGXFSZ', () => {});
const [, , directory = ''] = process.argv;
const broker = await openOn(directory, { limits: { zeroAheadBytes: 0 } });
const bus = broker.connect();
const consumer = bus.consume({ group: 'early', instance: 'one', topics: ['other'], early: true });
const acknowledged: string[] = [];
const kept: [number, string][] = [];
let [lost, hasty, failed] = [0, 0, 0];

const heard: Promise<void>[] = [];
const hear = async (): Promise<void> => {
  for (let last = ''; last !== 'after'; ) {
    for (const { offset, value, durable } of await consumer.poll({ timeoutMs: 1_000, recordsMax: 1_000 })) {
      last = value;
      if (durable !== undefined) hasty++;
      heard.push(Promise.resolve(durable).then(() => void kept.push([offset, value]), () => void lost++));
    }
  }
};
const publish = async (value: string): Promise<void> => {
  try {
    await bus.publish([{ topic: 'other', key: 'k', value }]);
    acknowledged.push(value);
  } catch {
    failed++;
  }
};
const many = (name: string): Promise<unknown> => Promise.all(Array.from({ length: 20 }, (_, i) => publish(`${name} ${i} ${'x'.repeat(500)}`)));

const hearing = hear();
for (let round = 0; failed === 0; round++) await many(`round ${round}`);
await many('while full');
execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
await publish('after');
await hearing;
await Promise.all(heard);
await broker.close();
process.stdout.write(JSON.stringify({ acknowledged, kept, lost, hasty }));
