import { execFile, execFileSync } from 'node:child_process';
import { watch } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { systemClock } from '../../src/host/clock.ts';
import { streamOf } from '../../src/messages/grammar/record.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { diskTopics, makeDirectory, openOn, readAll, removeDirectory, segmentFiles, valuesOf } from './disk.ts';
import { createManualClock } from './manual-clock.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});
afterEach(() => removeDirectory(directory));

const values = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(100)}`);
const records = values.map((value) => ({ topic: 'other', key: 'k', value }));

describe('what memory no longer holds', () => {
  const limits = { cacheCharsMax: 2_000, coldCacheBytesMax: 3_000, segmentBytesMax: 10_000, frameCharsMax: 1_000 };

  test('is read from the disk, in order and each once, by followers, groups and fetches', async () => {
    const broker = await openOn(directory, { limits });
    await broker.append(records);
    expect((await segmentFiles(directory)).length).toBeGreaterThan(3);
    const bus = broker.connect();
    expect((await bus.follow({ topics: ['other'], from: 'earliest' }).drain()).map(({ value }) => value)).toEqual(values);
    const consumer = bus.consume({ group: 'g', instance: 'i', topics: ['other'] });
    const polled: string[] = [];
    while (polled.length < values.length) polled.push(...(await consumer.poll({ recordsMax: 70, timeoutMs: 0 })).map(({ value }) => value));
    expect(polled).toEqual(values);
    const fetched = await broker.fetch({ positions: [{ topic: 'other', partition: 0, offset: 7 }], timeoutMs: 0 });
    expect(fetched[0]).toMatchObject({ offset: 7, value: values[7] });
    await broker.close();
  });

  test('is read once for all who want it at the same time', async () => {
    const broker = await openOn(directory, { limits });
    await broker.append(records);
    const followers = Array.from({ length: 5 }, () => broker.connect().follow({ topics: ['other'], from: 'earliest' }));
    const drained = await Promise.all(followers.map((follower) => follower.drain()));
    for (const one of drained) expect(one.map(({ value }) => value)).toEqual(values);
    await broker.close();
  });

  test('is read once in the order of the log, though partitions fill unevenly and nothing is cached', async () => {
    const metrics = createMetrics();
    const none = { cacheCharsMax: 0, coldCacheBytesMax: 0 };
    const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory }, topics: diskTopics, clock: systemClock, log: silentLog, metrics, limits: none });
    const frames = 40;
    let published = 0;
    for (let i = 0; i < frames; i++) {
      // The second partition has records in every fifth frame only.
      const some = records.slice(0, 9).filter((_, k) => k % 3 !== 0 || i % 5 === 0);
      await broker.append(some.map((record, k) => ({ ...record, topic: 'log', partition: k % 3 === 0 && i % 5 === 0 ? 1 : 0 })));
      published += some.length;
    }
    const consumer = broker.connect().consume({ group: 'g', instance: 'i', topics: ['log'] });
    let count = 0;
    while (count < published) count += (await consumer.poll({ recordsMax: 20, timeoutMs: 0 })).length;
    expect(metrics.text()).toContain(`cordage_bus_frames_read_total ${frames}\n`);
    await broker.close();
  });

  test('comes in order to a drain and a poll of one follower at the same time', async () => {
    const broker = await openOn(directory, { limits });
    await broker.append(records);
    const follower = broker.connect().follow({ topics: ['other'], from: 'earliest' });
    const came: number[] = [];
    const note = (part: readonly { offset: number }[]): void => void came.push(...part.map(({ offset }) => offset));
    await Promise.all([follower.drain().then(note), follower.poll({ timeoutMs: 0 }).then(note), follower.drain().then(note)]);
    expect(came).toEqual(values.map((_, i) => i));
    await broker.close();
  });

  test('may be one frame larger than a read', async () => {
    const broker = await openOn(directory, { limits: { cacheCharsMax: 0 } });
    const large = { topic: 'other', key: 'k', value: `large ${'é'.repeat(400_000)}` };
    await broker.append([large]);
    expect(valuesOf(await readAll(broker), 'other')).toEqual([large.value]);
    await broker.close();
  });

  test('keeps headers and times through the disk', async () => {
    const broker = await openOn(directory, { limits });
    const [written] = await broker.append([{ topic: 'other', key: 'k', value: 'v', timestamp: 5, headers: [{ key: 'h', value: 'x' }] }]);
    await broker.close();
    const reopened = await openOn(directory, { limits });
    expect(await readAll(reopened)).toEqual([written]);
    await reopened.close();
  });
});

test('zeros written ahead never land on a frame', async () => {
  const broker = await openOn(directory, { limits: { zeroAheadBytes: 2_048, segmentBytesMax: 300_000 } });
  const written: string[] = [];
  // Frames of about the size of the zeros, so that nearly each one reaches beyond them while the next are under way.
  for (let i = 0; i < 400; i++) {
    const value = `${i} ${'z'.repeat((i * 397) % 3_000)}`;
    await broker.append([{ topic: 'other', key: 'k', value }]);
    written.push(value);
  }
  await broker.close();
  const reopened = await openOn(directory);
  expect(valuesOf(await readAll(reopened), 'other')).toEqual(written);
  await reopened.close();
});

describe('a disk that takes no more', () => {
  /** Raises the limit of a running process; Linux has it. */
  const hasPrlimit = (): boolean => {
    try {
      execFileSync('prlimit', ['--version']);
      return true;
    } catch {
      return false;
    }
  };
  const child = fileURLToPath(new URL('./full-disk-child.ts', import.meta.url));

  test.runIf(hasPrlimit())('refuses what it cannot keep, loses nothing that it acknowledged, and goes on when there is room', async () => {
    const command = `ulimit -S -f 64; exec "${process.execPath}" "${child}" "${directory}"`;
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    const { before, codes, acknowledged } = JSON.parse(stdout) as { before: number; codes: string[]; acknowledged: string[] };
    expect(codes).toEqual(['BUS_UNREACHABLE']);
    expect(acknowledged.at(-1)).toBe('after');
    expect(acknowledged.length).toBeGreaterThan(before);
    const lines: string[] = [];
    const broker = await openOn(directory, { log: createLog({ level: 'warn', write: (line) => lines.push(line) }) });
    // What could be written of the refused frame was taken back.
    expect(lines).toEqual([]);
    const kept = await readAll(broker);
    expect(valuesOf(kept, 'other')).toEqual(acknowledged);
    expect(kept.map(({ offset }) => offset)).toEqual(acknowledged.map((_, i) => i));
    await broker.close();
  });
});

describe('bounds', () => {
  test('publishers are told to come back when more waits for the disk than memory should hold', async () => {
    const broker = await openOn(directory, { limits: { publishQueueCharsMax: 10_000 } });
    const large = { topic: 'other', key: 'k', value: 'x'.repeat(6_000) };
    const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => broker.append([large])));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'BUS_UNREACHABLE' });
    const [next] = await broker.append([large]);
    // A refused record leaves no hole.
    expect(next?.offset).toBe(outcomes.length - refused.length);
    await broker.close();
  });

  test('groups and their members are counted', async () => {
    const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: diskTopics, clock: createManualClock(), log: silentLog, limits: { groupsMax: 2, membersMax: 2 } });
    const consume = (group: string, instance: string) => broker.consume({ group, instance, topics: ['log'], reset: 'latest', sessionTimeoutMs: 1_000, recordsMax: 1, timeoutMs: 0 });
    await consume('a', '1');
    await consume('a', '2');
    await expect(consume('a', '3')).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    await consume('b', '1');
    await expect(consume('c', '1')).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    broker.leave({ group: 'b', instance: '1' });
    await consume('c', '1');
    await broker.close();
  });
});

test('ends every wait when it closes, and then refuses', async () => {
  const clock = createManualClock();
  const broker = await openOn(directory, { clock });
  const at = { topic: 'other', partition: 0, offset: 0 };
  const waits = [
    broker.fetch({ positions: [at], timeoutMs: 50_001 }),
    broker.consume({ group: 'g', instance: 'i', topics: ['other'], reset: 'earliest', sessionTimeoutMs: 1_000, recordsMax: 1, timeoutMs: 50_002 }),
    broker.connect().follow({ topics: ['other'], from: 'latest' }).poll({ timeoutMs: 50_003 }),
  ];
  await Promise.all([50_001, 50_002, 50_003].map((ms) => clock.untilAfter(ms)));
  await broker.close();
  expect(await Promise.all(waits)).toEqual([[], [], []]);
  await expect(broker.append(records)).rejects.toMatchObject({ code: 'BUS_CLOSED' });
  await expect(broker.fetch({ positions: [at], timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_CLOSED' });
  expect(() => broker.connect()).toThrow('closed');
});

test('a poll gives every partition its share', async () => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: diskTopics, clock: createManualClock(), log: silentLog });
  await broker.append([...values.map((value) => ({ topic: 'log', key: 'k', value, partition: 0 })), { topic: 'log', key: 'k', value: 'few', partition: 1 }, ...records]);
  const consumer = broker.connect().consume({ group: 'g', instance: 'i', topics: ['log', 'other'] });
  const polled = await consumer.poll({ recordsMax: 21, timeoutMs: 0 });
  const counts = ['log/0', 'log/1', 'other/0'].map((stream) => polled.filter((record) => streamOf(record) === stream).length);
  expect(counts).toEqual([10, 1, 10]);
  await broker.close();
});

test('says in its metrics how many records it made durable and how long that took', async () => {
  const metrics = createMetrics();
  const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory }, topics: diskTopics, clock: systemClock, log: silentLog, metrics });
  await broker.append(records);
  await broker.close();
  expect(metrics.text()).toMatch(/cordage_bus_records_published_total 300\n/);
  expect(metrics.text()).toMatch(/cordage_bus_group_commit_seconds_count [1-9]/);
});

test('group commit: what many publish at once is few writes, whatever the number of topics', async () => {
  const metrics = createMetrics();
  const broker = await openEmbeddedBroker({ storage: { type: 'disk', directory }, topics: diskTopics, clock: systemClock, log: silentLog, metrics });
  const buses = Array.from({ length: 50 }, () => broker.connect());
  await Promise.all(buses.map((bus, i) => bus.publish(['log', 'other', 'view'].map((topic) => ({ topic, key: `k${i}`, value: 'v' })))));
  expect(metrics.text()).toMatch(/cordage_bus_records_published_total 150\n/);
  expect(metrics.text()).toMatch(/cordage_bus_group_commit_seconds_count [1-3]\n/);
  await broker.close();
});

test('a commit needs no write of its own when a publish follows, and has one soon when none does', async () => {
  const clock = createManualClock();
  const broker = await openOn(directory, { clock });
  const consumer = broker.connect().consume({ group: 'g', instance: 'i', topics: ['other'] });
  await broker.append(records.slice(0, 3));
  await consumer.poll({ recordsMax: 3, timeoutMs: 0 });
  await consumer.commit([{ topic: 'other', partition: 0, offset: 2 }]);
  const copyOf = async (): Promise<number> => {
    // What another process would find, had this one ended now.
    const copy = await makeDirectory();
    execFileSync('cp', ['-r', `${directory}/.`, copy]);
    const other = await openOn(copy);
    const [position] = other.committed('g', [{ topic: 'other', partition: 0 }]);
    await other.close();
    await removeDirectory(copy);
    return position!.offset;
  };
  expect(await copyOf()).toBe(-1);
  await broker.append([records[3]!]);
  expect(await copyOf()).toBe(2);
  await consumer.commit([{ topic: 'other', partition: 0, offset: 3 }]);
  const changes = watch(directory)[Symbol.asyncIterator]();
  clock.advance(100);
  while ((await copyOf()) !== 3) await changes.next();
  await broker.close();
});
