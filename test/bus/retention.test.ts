import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { diskTopics, makeDirectory, openOn, readAll, removeDirectory, segmentFiles, valuesOf } from './disk.ts';
import { createManualClock } from './manual-clock.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});
afterEach(() => removeDirectory(directory));

/** Small enough that a few publishes fill several segments, and that all of them are too many. */
const limits = { segmentBytesMax: 2_000, retentionBytesMax: 4_000, zeroAheadBytes: 0 };
const dayMs = 24 * 3_600_000;
const removed = (key: string) => ({ topic: 'view', key, value: '{"v":1,"id":"x","body":null}' });

const publishMany = async (broker: EmbeddedBroker, topic: string, count: number, key = (i: number): string => `key ${i}`): Promise<void> => {
  for (let i = 0; i < count; i++) await broker.append([{ topic, key: key(i), value: `${i} ${'x'.repeat(200)}` }]);
};

const consumeAndCommit = async (broker: EmbeddedBroker, topic: string, upTo: number): Promise<void> => {
  const consumer = broker.connect().consume({ group: 'g', instance: 'i', topics: [topic] });
  await consumer.poll({ recordsMax: 1_000, timeoutMs: 0 });
  await consumer.commit([{ topic, partition: 0, offset: upTo }]);
  await consumer.close();
};

describe('R1: records of a log', () => {
  test('go with their segments when the log is too large and every group has committed them, and their offsets are not given again', async () => {
    const broker = await openOn(directory, { limits });
    await consumeAndCommit(broker, 'other', 0);
    await publishMany(broker, 'other', 40);
    const before = await segmentFiles(directory);
    expect(before.length).toBeGreaterThan(4);
    await consumeAndCommit(broker, 'other', 40);
    await broker.applyRetention();
    const after = await segmentFiles(directory);
    expect(after.length).toBeLessThan(before.length);
    const left = await readAll(broker, ['other']);
    expect(left.at(-1)?.offset).toBe(39);
    expect(left[0]!.offset).toBeGreaterThan(10);
    expect(await broker.offsets('earliest', [{ topic: 'other', partition: 0 }])).toEqual([{ topic: 'other', partition: 0, offset: left[0]!.offset }]);
    await broker.close();
    const reopened = await openOn(directory, { limits });
    expect(await readAll(reopened, ['other'])).toEqual(left);
    const [next] = await reopened.append([{ topic: 'other', key: 'k', value: 'v' }]);
    expect(next?.offset).toBe(40);
    await reopened.close();
  });

  test('all gone leave the count of their partition, through a restart', async () => {
    const broker = await openOn(directory, { limits });
    await broker.append([{ topic: 'log', key: 'k', value: 'a', partition: 1 }, { topic: 'log', key: 'k', value: 'b', partition: 1 }]);
    await publishMany(broker, 'other', 60);
    await broker.applyRetention();
    expect(await readAll(broker, ['log'])).toEqual([]);
    await broker.close();
    const reopened = await openOn(directory, { limits });
    const [next] = await reopened.append([{ topic: 'log', key: 'k', value: 'c', partition: 1 }]);
    expect(next?.offset).toBe(2);
    expect((await readAll(reopened, ['log'])).map(({ offset }) => offset)).toEqual([2]);
    await reopened.close();
  });

  test('stay while one group has not committed them, and the log says who holds it', async () => {
    const lines: string[] = [];
    const broker = await openOn(directory, { limits, log: createLog({ level: 'warn', write: (line) => lines.push(line) }) });
    await broker.connect().consume({ group: 'slow', instance: 'i', topics: ['other'] }).poll({ recordsMax: 1, timeoutMs: 0 });
    await publishMany(broker, 'other', 60);
    await consumeAndCommit(broker, 'other', 60);
    await broker.applyRetention();
    expect(await readAll(broker, ['other'])).toHaveLength(60);
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(expect.objectContaining({ event: 'bus.log_pinned', group: 'slow', topic: 'other' }));
    await broker.close();
    // The slow group is known after a restart, though it never committed.
    const reopened = await openOn(directory, { limits });
    await reopened.applyRetention();
    expect(await readAll(reopened, ['other'])).toHaveLength(60);
    await reopened.close();
  });

  test('a segment that one topic still needs keeps no other segment', async () => {
    const broker = await openOn(directory, { limits });
    await broker.connect().consume({ group: 'g', instance: 'i', topics: ['log'] }).poll({ recordsMax: 1, timeoutMs: 0 });
    await broker.append([{ topic: 'log', key: 'k', value: 'still needed' }]);
    const [first] = await segmentFiles(directory);
    await publishMany(broker, 'other', 80);
    await broker.applyRetention();
    const files = await segmentFiles(directory);
    expect(files[0]).toBe(first);
    expect(files.length).toBeLessThan(5);
    await broker.close();
    const reopened = await openOn(directory, { limits });
    expect(valuesOf(await readAll(reopened, ['log']), 'log')).toEqual(['still needed']);
    const offsets = (await readAll(reopened, ['other'])).map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.map((_, i) => offsets[0]! + i));
    expect(offsets.at(-1)).toBe(79);
    await reopened.close();
  });

  test('go by age even when there is room', async () => {
    const clock = createManualClock();
    const broker = await openOn(directory, { limits: { segmentBytesMax: 2_000 }, clock });
    await publishMany(broker, 'other', 40);
    await broker.applyRetention();
    expect(await readAll(broker, ['other'])).toHaveLength(40);
    clock.advance(dayMs + 1);
    await broker.applyRetention();
    expect((await readAll(broker, ['other'])).length).toBeLessThan(15);
    await broker.close();
  });

  test('go by themselves as the log grows', async () => {
    const broker = await openOn(directory, { limits });
    await publishMany(broker, 'other', 200);
    await broker.applyRetention();
    expect((await segmentFiles(directory)).length).toBeLessThan(6);
    await broker.close();
  });

  test('in memory go the same way', async () => {
    const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: diskTopics, clock: createManualClock(), log: silentLog, limits });
    await publishMany(broker, 'other', 40);
    await publishMany(broker, 'view', 40, (i) => `key ${i % 2}`);
    await broker.applyRetention();
    expect((await readAll(broker, ['other'])).length).toBeLessThan(20);
    expect(await readAll(broker, ['view'])).toHaveLength(2);
    await broker.close();
  });

  test('a follower that was behind goes on with what is left', async () => {
    const broker = await openOn(directory, { limits: { ...limits, cacheCharsMax: 0 } });
    const follower = broker.connect().follow({ topics: ['other'], from: 'earliest' });
    await publishMany(broker, 'other', 40);
    await broker.applyRetention();
    const records = await follower.drain();
    expect(records.at(-1)?.offset).toBe(39);
    await broker.close();
  });
});

describe('R2: records of a compacted topic', () => {
  test('the latest of each key outlive their segments, with their offsets and times', async () => {
    const clock = createManualClock();
    const broker = await openOn(directory, { limits, clock });
    const [kept] = await broker.append([{ topic: 'view', key: 'rare', value: 'written once' }]);
    clock.advance(1_000);
    await publishMany(broker, 'view', 100, (i) => `key ${i % 3}`);
    await broker.applyRetention();
    expect((await segmentFiles(directory)).length).toBeLessThan(6);
    const records = await readAll(broker, ['view']);
    expect(records.map(({ offset }) => offset)).toEqual([0, 98, 99, 100]);
    expect(records[0]).toEqual(kept);
    await broker.close();
    const reopened = await openOn(directory, { limits, clock });
    expect(await readAll(reopened, ['view'])).toEqual(records);
    await reopened.close();
  });

  test('a segment whose records mostly live is not written again and again', async () => {
    const broker = await openOn(directory, { limits });
    await publishMany(broker, 'view', 40);
    const before = await segmentFiles(directory);
    await broker.applyRetention();
    expect(await segmentFiles(directory)).toEqual(before);
    await broker.close();
  });

  test('a removed key is gone after the delay, and does not come back', async () => {
    const clock = createManualClock();
    const broker = await openOn(directory, { limits, clock });
    await publishMany(broker, 'view', 3);
    await broker.append([removed('key 1')]);
    await publishMany(broker, 'other', 20);
    await broker.applyRetention();
    expect((await readAll(broker, ['view'])).map(({ key }) => key)).toContain('key 1');
    clock.advance(dayMs + 1);
    // The tombstone goes with the oldest segment, once it stands there.
    for (let round = 0; round < 3; round++) {
      await publishMany(broker, 'other', 40);
      clock.advance(dayMs + 1);
      await broker.applyRetention();
    }
    expect((await readAll(broker, ['view'])).map(({ key }) => key)).toEqual(['key 0', 'key 2']);
    await broker.close();
    const reopened = await openOn(directory, { limits, clock });
    expect((await readAll(reopened, ['view'])).map(({ key }) => key)).toEqual(['key 0', 'key 2']);
    await reopened.close();
  });

  test('a removed key does not come back either while an older segment, kept for another topic, still holds its value', async () => {
    const clock = createManualClock();
    // Cleaned by age alone, and so only when the test says so.
    const byAge = { ...limits, retentionBytesMax: 1_000_000 };
    const broker = await openOn(directory, { limits: byAge, clock });
    await broker.connect().consume({ group: 'slow', instance: 'i', topics: ['log'] }).poll({ recordsMax: 1, timeoutMs: 0 });
    await broker.append([{ topic: 'log', key: 'k', value: 'holds the oldest segment' }, { topic: 'view', key: 'gone', value: 'must not come back' }]);
    await publishMany(broker, 'other', 10);
    await broker.append([removed('gone')]);
    await publishMany(broker, 'other', 10);
    const before = await segmentFiles(directory);
    clock.advance(2 * dayMs);
    await broker.applyRetention();
    const after = await segmentFiles(directory);
    expect(after).toContain(before[0]);
    expect(after.length).toBeLessThan(before.length);
    await broker.close();
    const reopened = await openOn(directory, { limits: byAge, clock });
    expect((await readAll(reopened, ['view'])).map(({ value }) => value)).toEqual([removed('gone').value]);
    await reopened.close();
  });

  test('are what a plain map would hold, whatever is written, removed, cleaned and restarted in whatever order', async () => {
    const key = fc.integer({ min: 0, max: 5 }).map((i) => `key ${i}`);
    const action = fc.oneof(
      { weight: 6, arbitrary: fc.record({ type: fc.constant('write' as const), key, size: fc.integer({ min: 0, max: 600 }) }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant('remove' as const), key }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('fill' as const), count: fc.integer({ min: 1, max: 12 }) }) },
      { weight: 2, arbitrary: fc.constant({ type: 'clean' as const }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(1_000, dayMs + 1) }) },
      { weight: 1, arbitrary: fc.constant({ type: 'restart' as const }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const path = await makeDirectory();
        const clock = createManualClock();
        const model = new Map<string, string>();
        let broker = await openOn(path, { limits, clock });
        const check = async (): Promise<void> => {
          const read = new Map<string, string>();
          for (const { key: name, value } of await readAll(broker, ['view'])) {
            if (value === removed('').value) read.delete(name);
            else read.set(name, value);
          }
          expect(read).toEqual(model);
        };
        let count = 0;
        for (const one of actions) {
          if (one.type === 'write') {
            const value = `${count++} ${'y'.repeat(one.size)}`;
            await broker.append([{ topic: 'view', key: one.key, value }]);
            model.set(one.key, value);
          } else if (one.type === 'remove') {
            await broker.append([removed(one.key)]);
            model.delete(one.key);
          } else if (one.type === 'fill') await publishMany(broker, 'other', one.count);
          else if (one.type === 'clean') await broker.applyRetention();
          else if (one.type === 'wait') clock.advance(one.ms);
          else {
            await broker.close();
            broker = await openOn(path, { limits, clock });
            await check();
          }
        }
        await check();
        await broker.close();
        broker = await openOn(path, { limits, clock });
        await check();
        await broker.close();
        await removeDirectory(path);
      }),
      { numRuns: 25 },
    );
  });
});

test('R3: a segment whose file outlived its removal is left over, and goes at the next start', async () => {
  const broker = await openOn(directory, { limits });
  await publishMany(broker, 'other', 20);
  const [oldest] = await segmentFiles(directory);
  const copy = join(directory, 'copy');
  await copyFile(join(directory, oldest!), copy);
  await broker.applyRetention();
  const left = await readAll(broker, ['other']);
  await broker.close();
  expect(await segmentFiles(directory)).not.toContain(oldest);
  await copyFile(copy, join(directory, oldest!));
  const reopened = await openOn(directory, { limits });
  expect(await segmentFiles(directory)).not.toContain(oldest);
  expect(await readAll(reopened, ['other'])).toEqual(left);
  await reopened.close();
});
