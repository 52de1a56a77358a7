/**
 * A broker that is killed: publishes without end and writes `key number` to standard output for each acknowledged record,
 * `committed <offset>` for each commit of its consumer.
 */
import { writeSync } from 'node:fs';
import { openOn } from './disk.ts';
import { systemClock } from '../../src/host/clock.ts';

const [, , directory = '', firstNumber = '0'] = process.argv;
const publishers = 8;

const broker = await openOn(directory, { clock: systemClock, limits: { segmentBytesMax: 200_000, commitFlushMsMax: 5, zeroAheadBytes: 64 * 1024 } });
const bus = broker.connect();
const consumer = bus.consume({ group: 'g', instance: 'i', topics: ['other'] });

const publish = async (key: string): Promise<void> => {
  for (let number = Number(firstNumber); ; number++) {
    const value = `${number} ${'x'.repeat((number * 37) % 2_000)}`;
    await bus.publish([{ topic: 'log', key, value }, { topic: 'other', key, value }, { topic: 'view', key, value: String(number) }]);
    writeSync(1, `${key} ${number}\n`);
  }
};

const consume = async (): Promise<void> => {
  for (;;) {
    const records = await consumer.poll({ recordsMax: 50, timeoutMs: 10_000 });
    const last = records.at(-1);
    if (last === undefined) continue;
    await consumer.commit([{ topic: last.topic, partition: last.partition, offset: last.offset + 1 }]);
    writeSync(1, `committed ${last.offset + 1}\n`);
  }
};

await Promise.all([...Array.from({ length: publishers }, (_, i) => publish(`key${i}`)), consume()]);
