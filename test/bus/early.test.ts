/** Records that are heard early (B7): over the real in-process bus, with a log that writes when the test says so; and on a disk that is full. */
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import type { Bus, Consumer } from '../../src/bus/bus.ts';
import { Appender } from '../../src/bus/embedded-broker/appender.ts';
import { ColdFrames } from '../../src/bus/embedded-broker/cold-frames.ts';
import { brokerLimits } from '../../src/bus/embedded-broker/config.ts';
import { Groups } from '../../src/bus/embedded-broker/groups.ts';
import { createInProcessBus } from '../../src/bus/embedded-broker/in-process-bus.ts';
import type { Submission } from '../../src/bus/embedded-broker/log/commit-queue.ts';
import type { Log } from '../../src/bus/embedded-broker/log/log.ts';
import { LogPartition } from '../../src/bus/embedded-broker/partition.ts';
import { locationOf } from '../../src/bus/embedded-broker/record.ts';
import { SegmentContents } from '../../src/bus/embedded-broker/retention.ts';
import { TopicTable } from '../../src/bus/embedded-broker/topic-table.ts';
import { systemClock } from '../../src/host/clock.ts';
import type { HeardRecord, OutRecord } from '../../src/messages/grammar/record.ts';
import { silentLog } from '../../src/observability/log.ts';
import { diskTopics, makeDirectory, removeDirectory } from './disk.ts';

/** The submissions that wait for the disk, in order. */
let waiting: Submission[] = [];
const heldLog: Log = {
  assertOpen: () => {},
  submit: (submission) => void waiting.push(submission),
  kick: () => {},
  read: () => Promise.reject(new Error('nothing is cold here')),
  segments: () => [],
  remove: async () => {},
  close: async () => {},
};
const write = (): void => void waiting.shift()!.done(locationOf(1, 0));
/** As the commit queue does: what stands behind the failed write fails with it. */
const lose = (): void => {
  for (const { failed } of waiting.splice(0)) failed(new BusError('BUS_UNREACHABLE', 'the disk is full'));
};

const openBus = (): Bus => {
  const topics = new TopicTable({ isTombstone: () => false, partitionsMax: 100 });
  topics.configure(diskTopics);
  const shared = { clock: systemClock, limits: brokerLimits, log: silentLog };
  const cold = new ColdFrames({ log: () => heldLog, bytesMax: 1_000, read: () => {} });
  const groups = new Groups({ ...shared, topics, cold, rebalanced: () => {}, kick: () => {} });
  const appender = new Appender({ ...shared, topics, contents: new SegmentContents(), log: () => heldLog, evicts: true, segmentBegun: () => {} });
  return createInProcessBus({ ...shared, appender, groups, topics, cold, nextMember: () => crypto.randomUUID(), assertOpen: () => {} });
};

const record = (value: string, topic = 'other'): OutRecord => ({ topic, key: 'k', value });
const namesOf = (records: readonly HeardRecord[]): string[] => records.map(({ offset, value }) => `${offset} ${value}`);
const now = { timeoutMs: 0, recordsMax: 100 };
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

let bus: Bus;
let early: Consumer;
beforeEach(async () => {
  waiting = [];
  bus = openBus();
  early = bus.consume({ group: 'early', instance: 'one', topics: ['other', 'view'], early: true });
  await early.poll(now);
});
/** A publish whose failure the test looks at, or not. */
const publish = (...records: OutRecord[]): Promise<unknown> => {
  const publishing = bus.publish(records);
  publishing.catch(() => {});
  return publishing;
};

describe('who asks for it', () => {
  test('hears records before they are durable, in order, and is told when they are', async () => {
    const polling = early.poll({ timeoutMs: 60_000, recordsMax: 100 });
    const publishing = publish(record('a'), record('b'));
    const heard = await polling;
    expect(namesOf(heard)).toEqual(['0 a', '1 b']);
    expect(waiting).toHaveLength(1);
    write();
    await Promise.all(heard.map(({ durable }) => durable!));
    expect(await publishing).toMatchObject([{ offset: 0 }, { offset: 1 }]);
    expect(await early.poll(now)).toEqual([]);
  });

  test('hears what is durable already without a promise, and what follows it with one', async () => {
    void publish(record('a'));
    write();
    void publish(record('b'));
    const heard = await early.poll(now);
    expect(namesOf(heard)).toEqual(['0 a', '1 b']);
    expect(heard.map(({ durable }) => durable)).toEqual([undefined, expect.any(Promise)]);
  });

  test('is woken once for all that is published in one turn', async () => {
    const polling = early.poll({ timeoutMs: 60_000, recordsMax: 100 });
    for (const value of ['a', 'b', 'c']) {
      void publish(record(value));
      // What goes on in the same turn.
      for (let i = 0; i < 20; i++) await undefined;
    }
    expect(namesOf(await polling)).toEqual(['0 a', '1 b', '2 c']);
  });

  test('is told that a record could not be written, and hears what comes with its offset', async () => {
    const publishing = publish(record('a'));
    void publish(record('b'));
    const heard = await early.poll(now);
    write();
    lose();
    await publishing;
    await heard[0]!.durable;
    await expect(heard[1]!.durable).rejects.toMatchObject({ code: 'BUS_UNREACHABLE' });
    void publish(record('c'));
    expect(namesOf(await early.poll(now))).toEqual(['1 c']);
  });

  test('learns of the loss before it can hear anything in its place', async () => {
    const order: string[] = [];
    await publishAgainUntilTaken(order);
    expect(order).toEqual(['lost', 'heard 0 again']);
  });

  /** Whoever publishes again at once, and whoever polls at once, are as quick as can be. */
  const publishAgainUntilTaken = async (order: string[]): Promise<void> => {
    const publishing = publish(record('first'));
    const [heard] = await early.poll(now);
    heard!.durable!.catch(() => order.push('lost'));
    const again = publishing.catch(() => void publish(record('again')));
    const polling = early.poll({ timeoutMs: 60_000, recordsMax: 100 });
    lose();
    await again;
    for (const { offset, value } of await polling) order.push(`heard ${offset} ${value}`);
  };

  test('may not commit what is not durable', async () => {
    void publish(record('a'));
    await early.poll(now);
    await expect(early.commit([{ topic: 'other', partition: 0, offset: 1 }])).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    write();
    await early.commit([{ topic: 'other', partition: 0, offset: 1 }]);
  });

  test('misses nothing that was published while nobody heard early', async () => {
    void publish(record('a'));
    await early.close();
    void publish(record('b'));
    const next = bus.consume({ group: 'early', instance: 'one', topics: ['other'], early: true });
    await next.poll(now);
    void publish(record('c'));
    const heard = [...(await next.poll(now))];
    for (let i = 0; i < 3; i++) {
      write();
      heard.push(...(await next.poll(now)));
    }
    expect(namesOf(heard)).toEqual(['0 a', '1 b', '2 c']);
  });
});

test('nobody else hears a record before it is durable, and nobody hears a compacted topic early', async () => {
  const plain = bus.consume({ group: 'plain', instance: 'one', topics: ['other'] });
  const follower = bus.follow({ topics: ['other'], from: 'earliest' });
  await plain.poll(now);
  void publish(record('first'));
  void publish(record('a'), record('v', 'view'));
  await nextTurn();
  expect([await plain.poll(now), await follower.poll(now)]).toEqual([[], []]);
  expect(namesOf(await early.poll(now))).toEqual(['0 first', '1 a']);
  for (const name of ['0 first', '1 a']) {
    write();
    expect([namesOf(await plain.poll(now)), namesOf(await follower.poll(now))]).toEqual([[name], [name]]);
  }
  expect(namesOf(await early.poll(now))).toEqual(['0 v']);
});

test('what is durable is kept for nobody who hears early', () => {
  const partition = new LogPartition({ topic: 'other', number: 0, topicNumber: 0, isTombstone: () => false });
  const one = { topic: 'other', partition: 0, offset: 0, timestamp: 0, key: 'k', value: 'a' };
  partition.submit(one, Promise.resolve());
  expect(partition.earlyAt(0)).toMatchObject(one);
  partition.show(one);
  expect(partition.earlyAt(0)).toBeUndefined();
});

describe('a disk that takes no more', () => {
  let directory = '';
  beforeEach(async () => void (directory = await makeDirectory()));
  afterEach(() => removeDirectory(directory));
  const hasPrlimit = (): boolean => {
    try {
      execFileSync('prlimit', ['--version']);
      return true;
    } catch {
      return false;
    }
  };
  const child = fileURLToPath(new URL('./early-child.ts', import.meta.url));

  test.runIf(hasPrlimit())('takes back what was heard early, and who hears comes to hear what was acknowledged and nothing else', async () => {
    const command = `ulimit -S -f 64; exec "${process.execPath}" "${child}" "${directory}"`;
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    const { acknowledged, kept, lost, hasty } = JSON.parse(stdout) as { acknowledged: string[]; kept: [number, string][]; lost: number; hasty: number };
    expect(kept.map(([, value]) => value)).toEqual(acknowledged);
    expect(kept.map(([offset]) => offset)).toEqual(acknowledged.map((_, i) => i));
    expect([lost > 0, hasty > 0, acknowledged.at(-1)]).toEqual([true, true, 'after']);
  });
});
