/**
 * A broker that is killed: publishes without end and writes `key number` to standard output for each acknowledged publish,
 * `committed <offset>` for each commit of its consumer.
 *
 *     node kill-child.ts <directory> <first number> all|view
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/host/clock.ts';
import { openOn } from './disk.ts';

const [, , directory = '', firstNumber = '0', topics = 'all'] = process.argv;
const publishers = 8;

/** `view` publishes to the compacted topic only, so that segments are cleaned and removed all the time. */
const limits = topics === 'view' ? { segmentBytesMax: 20_000, retentionBytesMax: 60_000 } : { segmentBytesMax: 200_000 };
const broker = await openOn(directory, { clock: systemClock, limits: { ...limits, commitFlushMsMax: 5, zeroAheadBytes: 64 * 1024 } });
const bus = broker.connect();

const publish = async (key: string): Promise<void> => {
  for (let number = Number(firstNumber); ; number++) {
    const value = `${number} ${'x'.repeat((number * 37) % 2_000)}`;
    const view = { topic: 'view', key, value };
    await bus.publish(topics === 'view' ? [view] : [{ topic: 'log', key, value }, { topic: 'other', key, value }, view]);
    writeSync(1, `${key} ${number}\n`);
  }
};

const consume = async (): Promise<void> => {
  const consumer = bus.consume({ group: 'g', instance: 'i', topics: ['other'] });
  for (;;) {
    const records = await consumer.poll({ recordsMax: 50, timeoutMs: 10_000 });
    const last = records.at(-1);
    if (last === undefined) continue;
    await consumer.commit([{ topic: last.topic, partition: last.partition, offset: last.offset + 1 }]);
    writeSync(1, `committed ${last.offset + 1}\n`);
  }
};

const publishing = Array.from({ length: publishers }, (_, i) => publish(`key${i}`));
await Promise.all(topics === 'view' ? publishing : [...publishing, consume()]);
