/** What every bus must do, whatever carries it: run against memory, disk and HTTP. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as fc from 'fast-check';
import type { Bus, Consumer, Follower } from '../../src/bus/bus.ts';
import { partitionOf } from '../../src/bus/topics.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import type { InRecord, OutRecord, TopicPartitionOffset } from '../../src/messages/grammar/record.ts';
import { streamOf } from '../../src/messages/grammar/record.ts';
import type { ManualClock } from './manual-clock.ts';

/** Two that co-locate, one that is compacted, as the wires of a room are. */
export const contractTopics: readonly TopicConfig[] = [
  { topic: 'all-to-flow.answer', partitions: 4, retention: 'log' },
  { topic: 'rest-to-flow.start', partitions: 4, retention: 'log' },
  { topic: 'db-to-all.cpi', partitions: 4, retention: 'compacted' },
];
const [answers, starts, cpis] = ['all-to-flow.answer', 'rest-to-flow.start', 'db-to-all.cpi'];

export type BusUnderTest = {
  /** The broker's clock; it stands still. */
  readonly clock: ManualClock;
  /** A further bus to the same broker. */
  connect(): Bus;
  /** Ends the broker and opens it again on what it kept. */
  restart(): Promise<void>;
  close(): Promise<void>;
};

/** Longer than any test: a poll that needs it to end fails. */
const longMs = 50_000;
const sessionTimeoutMs = 10_000;

const recordsOf = (topic: string, count: number, key = (i: number): string => `key ${i}`): OutRecord[] =>
  Array.from({ length: count }, (_, i) => ({ topic, key: key(i), value: `value ${i}` }));

const behind = (records: readonly InRecord[]): TopicPartitionOffset[] => {
  const ends = new Map<string, TopicPartitionOffset>();
  for (const { topic, partition, offset } of records) ends.set(`${topic}/${partition}`, { topic, partition, offset: offset + 1 });
  return [...ends.values()];
};

/** Polls until so many records came. */
const pollCount = async (reader: Consumer | Follower, count: number, recordsMax = 100): Promise<InRecord[]> => {
  const records: InRecord[] = [];
  while (records.length < count) records.push(...(await reader.poll({ timeoutMs: longMs, recordsMax })));
  return records;
};

/** What compaction keeps for certain; what it removes, and when, is the engine's affair. */
const latestOf = (records: readonly InRecord[]): Map<string, string> => new Map(records.map(({ key, value }) => [key, value]));
const valuesOf = (records: readonly InRecord[]): string[] => records.map(({ value }) => value).sort();
const streamsOf = (records: readonly InRecord[]): Set<string> => new Set(records.map(streamOf));
const partitionsOf = (records: readonly InRecord[], topic: string): Set<number> =>
  new Set(records.filter((record) => record.topic === topic).map(({ partition }) => partition));

export const describeBus = (name: string, options: { durable: boolean }, start: () => Promise<BusUnderTest>): void => {
  describe(`the bus on ${name}`, () => {
    let under: BusUnderTest;
    let bus: Bus;
    const join = (instance: string, options: { group?: string; topics?: readonly string[]; on?: Bus } = {}): Consumer =>
      (options.on ?? bus).consume({ group: options.group ?? 'flow', instance, topics: options.topics ?? [answers!, starts!] });

    beforeEach(async () => {
      under = await start();
      bus = under.connect();
    });
    afterEach(() => under.close());

    describe('publishing', () => {
      test('gives positions in the order of the records, with offsets that count up in each partition', async () => {
        const records = [...recordsOf(answers!, 20), ...recordsOf(starts!, 20)];
        const positions = await bus.publish(records);
        expect(positions.map(({ topic }) => topic)).toEqual(records.map(({ topic }) => topic));
        const next = new Map<string, number>();
        for (const position of positions) {
          expect(position.offset).toBe(next.get(streamOf(position)) ?? 0);
          next.set(streamOf(position), position.offset + 1);
        }
      });

      test('puts a key where every Kafka client would, and a record with a partition there', async () => {
        const positions = await bus.publish([{ topic: answers!, key: 'some key', value: 'a' }, { topic: answers!, key: 'some key', value: 'b', partition: 3 }]);
        expect(positions.map(({ partition }) => partition)).toEqual([partitionOf('some key', 4), 3]);
      });

      test('refuses what has no topic, no such partition, or no room, and then appends nothing of the call', async () => {
        const good: OutRecord = { topic: starts!, key: 'k', value: 'good' };
        await expect(bus.publish([good, { topic: 'nowhere', key: 'k', value: '' }])).rejects.toMatchObject({ code: 'BUS_UNKNOWN_TOPIC' });
        await expect(bus.publish([good, { ...good, partition: 4 }])).rejects.toMatchObject({ code: 'BUS_REFUSED' });
        await expect(bus.publish([good, { ...good, value: 'x'.repeat(1_000_001) }])).rejects.toMatchObject({ code: 'BUS_RECORD_TOO_LARGE' });
        const [position] = await bus.publish([good]);
        expect(position?.offset).toBe(0);
      });

      test('of nothing is done at once', async () => {
        expect(await bus.publish([])).toEqual([]);
      });

      test('of more than one write takes keeps the order of each key', async () => {
        const value = 'x'.repeat(900_000);
        const records = Array.from({ length: 12 }, (_, i) => ({ topic: starts!, key: 'one key', value: `${i} ${value}` }));
        const positions = await bus.publish(records);
        expect(positions.map(({ offset }) => offset)).toEqual(records.map((_, i) => i));
        const polled = await pollCount(join('one'), records.length);
        expect(polled.map((record) => record.value.split(' ')[0])).toEqual(records.map((_, i) => String(i)));
      });

      test('keeps any text as it was', async () => {
        const follower = bus.follow({ topics: [starts!], from: 'earliest' });
        const text = fc.string({ unit: 'binary', maxLength: 200 });
        await fc.assert(
          fc.asyncProperty(text, text, async (key, value) => {
            await bus.publish([{ topic: starts!, key, value }]);
            const [record] = await follower.poll({ timeoutMs: longMs });
            expect([record?.key, record?.value]).toEqual([key, value]);
          }),
          { numRuns: 50 },
        );
      });
    });

    describe('consuming', () => {
      test('B1: every group gets every acknowledged record, those from before its first poll too', async () => {
        const records = recordsOf(starts!, 50);
        await bus.publish(records);
        const one = await pollCount(join('one', { group: 'flow/a' }), 50);
        const other = await pollCount(join('one', { group: 'flow/b' }), 50);
        expect(valuesOf(one)).toEqual(records.map(({ value }) => value).sort());
        expect(valuesOf(other)).toEqual(valuesOf(one));
      });

      test('a record carries its place, its key, and the time at which the broker took it', async () => {
        const [position] = await bus.publish([{ topic: starts!, key: 'k', value: 'v' }]);
        const [record] = await pollCount(join('one'), 1);
        expect(record).toMatchObject({ ...position, key: 'k', value: 'v', timestamp: under.clock.now() });
      });

      test('B2: records of one key keep the order in which they were acknowledged, whoever publishes beside', async () => {
        const publish = async (key: string): Promise<void> => {
          for (let i = 0; i < 20; i++) await bus.publish([{ topic: starts!, key, value: `${i}` }, { topic: starts!, key, value: `${i}b` }]);
        };
        const keys = ['a', 'b', 'c', 'd', 'e'];
        await Promise.all(keys.map(publish));
        const polled = await pollCount(join('one'), 200);
        const expected = Array.from({ length: 20 }, (_, i) => [`${i}`, `${i}b`]).flat();
        for (const key of keys) expect(polled.filter((record) => record.key === key).map(({ value }) => value)).toEqual(expected);
      });

      test('a poll gives no more than it was asked for, and the next one goes on', async () => {
        await bus.publish(recordsOf(starts!, 10, () => 'one key'));
        const consumer = join('one');
        const first = await consumer.poll({ recordsMax: 3, timeoutMs: longMs });
        const second = await consumer.poll({ recordsMax: 100, timeoutMs: longMs });
        expect([...first, ...second].map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        expect(first).toHaveLength(3);
      });

      test('B3: two consumers share the partitions, and one number has one owner in all topics', async () => {
        const [one, other] = [join('one'), join('two', { on: under.connect() })];
        await bus.publish([...recordsOf(answers!, 40), ...recordsOf(starts!, 40)]);
        // Both must be in the group before either takes a record.
        await Promise.all([one.poll({ timeoutMs: 0, recordsMax: 1 }), other.poll({ timeoutMs: 0, recordsMax: 1 })]);
        const ours = await drainConsumer(one);
        const theirs = await drainConsumer(other);
        expect(partitionsOf(ours, answers!)).toEqual(new Set([0, 1]));
        expect(partitionsOf(ours, starts!)).toEqual(new Set([0, 1]));
        expect(partitionsOf(theirs, answers!)).toEqual(new Set([2, 3]));
        expect(partitionsOf(theirs, starts!)).toEqual(new Set([2, 3]));
      });

      test('B4: what was polled and not committed comes again after the consumer is gone; what was committed does not', async () => {
        await bus.publish(recordsOf(starts!, 10, () => 'one key'));
        const first = join('one');
        const polled = await pollCount(first, 10);
        await first.commit(behind(polled.slice(0, 6)));
        await first.close();
        const again = await pollCount(join('two'), 4);
        expect(again.map(({ offset }) => offset)).toEqual([6, 7, 8, 9]);
      });

      test('a commit that lies behind an earlier one does not take it back', async () => {
        await bus.publish(recordsOf(starts!, 10, () => 'one key'));
        const first = join('one');
        const polled = await pollCount(first, 10);
        await first.commit(behind(polled.slice(0, 8)));
        await first.commit(behind(polled.slice(0, 3)));
        await first.close();
        expect((await pollCount(join('two'), 2)).map(({ offset }) => offset)).toEqual([8, 9]);
      });

      test('a record polled by the former owner and not committed goes to the new owner', async () => {
        await bus.publish(recordsOf(starts!, 40));
        const one = join('a');
        const polled = await pollCount(one, 40);
        const other = join('b', { on: under.connect() });
        const moved = await pollCount(other, polled.filter(({ partition }) => partition >= 2).length);
        expect(partitionsOf(moved, starts!)).toEqual(new Set([2, 3]));
      });

      test('a commit for partitions that moved is left out without error: their new owner decides', async () => {
        await bus.publish(recordsOf(starts!, 40));
        const one = join('a');
        const polled = await pollCount(one, 40);
        const other = join('b', { on: under.connect() });
        await other.poll({ timeoutMs: 0, recordsMax: 1 });
        await one.commit(behind(polled));
        await one.close();
        await other.close();
        const left = await drainConsumer(join('c'));
        expect(partitionsOf(left, starts!)).toEqual(new Set([2, 3]));
        expect(left).toHaveLength(polled.filter(({ partition }) => partition >= 2).length);
      });

      test('partitions of a consumer that falls silent go to the others after the session time-out', async () => {
        const [silent, other] = [join('a'), join('b', { on: under.connect() })];
        await Promise.all([silent.poll({ timeoutMs: 0, recordsMax: 1 }), other.poll({ timeoutMs: 0, recordsMax: 1 })]);
        await bus.publish(recordsOf(starts!, 40));
        const before = await drainConsumer(other);
        expect(partitionsOf(before, starts!)).toEqual(new Set([2, 3]));
        const waiting = other.poll({ timeoutMs: longMs, recordsMax: 100 });
        await under.clock.untilAfter(longMs);
        under.clock.advance(sessionTimeoutMs);
        const inherited = await waiting;
        expect([...partitionsOf(inherited, starts!)].every((partition) => partition < 2)).toBe(true);
        // It may come back: it joins again and shares.
        await silent.poll({ timeoutMs: 0, recordsMax: 1 });
      });

      test('the same instance name takes its partitions back at once; the former holder gets nothing more', async () => {
        await bus.publish(recordsOf(starts!, 10));
        const former = join('one');
        const polled = await pollCount(former, 10);
        const waiting = former.poll({ timeoutMs: longMs, recordsMax: 100 });
        await under.clock.untilAfter(longMs);
        const successor = join('one', { on: under.connect() });
        const again = await pollCount(successor, 10);
        expect(valuesOf(again)).toEqual(valuesOf(polled));
        expect(await waiting).toEqual([]);
        await former.commit(behind(polled));
        await expect(former.poll({ timeoutMs: 0, recordsMax: 1 })).rejects.toMatchObject({ code: 'BUS_REFUSED' });
        await former.close();
        await bus.publish([{ topic: starts!, key: 'k', value: 'new' }]);
        // The former's leaving did not remove its successor, which would begin again if it had.
        expect(valuesOf(await pollCount(successor, 1))).toEqual(['new']);
        await successor.close();
        // The former's commit was left out.
        expect(await drainConsumer(join('two'))).toHaveLength(11);
      });

      test('B6: a waiting poll wakes when a record comes, without any time passing', async () => {
        const consumer = join('one');
        const waiting = consumer.poll({ timeoutMs: longMs, recordsMax: 10 });
        await under.clock.untilAfter(longMs);
        await bus.publish([{ topic: starts!, key: 'k', value: 'v' }]);
        expect(valuesOf(await waiting)).toEqual(['v']);
      });

      test('a poll gives all records of one publish together', async () => {
        const consumer = join('one');
        const waiting = consumer.poll({ timeoutMs: longMs, recordsMax: 100 });
        await under.clock.untilAfter(longMs);
        await bus.publish(recordsOf(starts!, 30));
        expect(await waiting).toHaveLength(30);
      });

      test('an empty poll ends after its time, and one whose caller gave up ends at once and loses nothing', async () => {
        const consumer = join('one');
        const waiting = consumer.poll({ timeoutMs: longMs, recordsMax: 10 });
        await under.clock.untilAfter(longMs);
        under.clock.advance(longMs);
        expect(await waiting).toEqual([]);
        const giveUp = new AbortController();
        const abandoned = consumer.poll({ timeoutMs: longMs, recordsMax: 10, signal: giveUp.signal });
        await under.clock.untilAfter(longMs);
        giveUp.abort();
        expect(await abandoned).toEqual([]);
        await bus.publish([{ topic: starts!, key: 'k', value: 'v' }]);
        expect(valuesOf(await pollCount(consumer, 1))).toEqual(['v']);
      });
    });

    describe('following', () => {
      test('B5: a compacted topic reads from its beginning and ends with the latest record of each key', async () => {
        const keys = ['a', 'b', 'c', 'd'];
        for (let round = 0; round < 5; round++) await bus.publish(keys.map((key) => ({ topic: cpis!, key, value: `${key}${round}` })));
        await bus.publish([{ topic: cpis!, key: 'd', value: '{"v":1,"id":"x","body":null}' }]);
        const records = await bus.follow({ topics: [cpis!], from: 'earliest' }).drain();
        expect(latestOf(records)).toEqual(new Map([['a', 'a4'], ['b', 'b4'], ['c', 'c4'], ['d', '{"v":1,"id":"x","body":null}']]));
      });

      test('from the latest gives what is published after it was ready, and nothing before', async () => {
        await bus.publish(recordsOf(starts!, 5));
        const follower = bus.follow({ topics: [starts!], from: 'latest' });
        await follower.ready;
        await bus.publish([{ topic: starts!, key: 'k', value: 'after' }]);
        expect(valuesOf(await follower.poll({ timeoutMs: longMs }))).toEqual(['after']);
      });

      test('one partition gives that partition of each topic only', async () => {
        const follower = bus.follow({ topics: [answers!, starts!], from: 'earliest', partition: 2 });
        await follower.ready;
        await bus.publish([...recordsOf(starts!, 40), ...recordsOf(answers!, 40)]);
        const records = await follower.drain();
        expect(streamsOf(records)).toEqual(new Set([`${starts}/2`, `${answers}/2`]));
      });

      test('drain gives everything published before it, once, and is empty when there is nothing', async () => {
        const follower = bus.follow({ topics: [starts!, cpis!], from: 'earliest' });
        expect(await follower.drain()).toEqual([]);
        await bus.publish([...recordsOf(starts!, 2_500), ...recordsOf(cpis!, 100)]);
        const drained = await follower.drain();
        expect(drained).toHaveLength(2_600);
        expect(new Set(drained.map((record) => `${streamOf(record)}@${record.offset}`)).size).toBe(2_600);
        expect(await follower.drain()).toEqual([]);
      });

      test('a drain beside a waiting poll gives each record to one of them', async () => {
        const follower = bus.follow({ topics: [starts!], from: 'earliest' });
        const waiting = follower.poll({ timeoutMs: longMs });
        await under.clock.untilAfter(longMs);
        await bus.publish(recordsOf(starts!, 20));
        const [drained, polled] = await Promise.all([follower.drain(), waiting]);
        expect(valuesOf([...drained, ...polled])).toEqual(recordsOf(starts!, 20).map(({ value }) => value).sort());
      });

      test('B6: a waiting poll wakes when a record comes, without any time passing', async () => {
        const follower = bus.follow({ topics: [starts!], from: 'latest' });
        const waiting = follower.poll({ timeoutMs: longMs });
        await under.clock.untilAfter(longMs);
        await bus.publish([{ topic: starts!, key: 'k', value: 'v' }]);
        expect(valuesOf(await waiting)).toEqual(['v']);
      });

      test('an empty poll ends after its time, and one whose caller gave up ends at once and loses nothing', async () => {
        const follower = bus.follow({ topics: [starts!], from: 'earliest' });
        const waiting = follower.poll({ timeoutMs: longMs });
        await under.clock.untilAfter(longMs);
        under.clock.advance(longMs);
        expect(await waiting).toEqual([]);
        const giveUp = new AbortController();
        const abandoned = follower.poll({ timeoutMs: longMs, signal: giveUp.signal });
        await under.clock.untilAfter(longMs);
        giveUp.abort();
        expect(await abandoned).toEqual([]);
        await bus.publish([{ topic: starts!, key: 'k', value: 'v' }]);
        expect(valuesOf(await pollCount(follower, 1))).toEqual(['v']);
      });
    });

    describe('closing', () => {
      test('ends the polls that wait, and then refuses', async () => {
        const consumer = join('one');
        const follower = bus.follow({ topics: [starts!], from: 'earliest' });
        const polls = [consumer.poll({ timeoutMs: longMs, recordsMax: 1 }), follower.poll({ timeoutMs: longMs + 1 })];
        await Promise.all([under.clock.untilAfter(longMs), under.clock.untilAfter(longMs + 1)]);
        await bus.close();
        expect(await Promise.all(polls)).toEqual([[], []]);
        await expect(bus.publish(recordsOf(starts!, 1))).rejects.toMatchObject({ code: 'BUS_CLOSED' });
        await expect(consumer.poll({ timeoutMs: 0, recordsMax: 1 })).rejects.toMatchObject({ code: 'BUS_CLOSED' });
        await expect(follower.poll({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'BUS_CLOSED' });
      });

      test('a consumer leaves its group at once: the others own its partitions', async () => {
        const [one, other] = [join('a'), join('b', { on: under.connect() })];
        await Promise.all([one.poll({ timeoutMs: 0, recordsMax: 1 }), other.poll({ timeoutMs: 0, recordsMax: 1 })]);
        await one.close();
        await bus.publish(recordsOf(starts!, 40));
        expect(await pollCount(other, 40)).toHaveLength(40);
      });

      test('waits for what is being published', async () => {
        let done = false;
        const publishing = bus.publish(recordsOf(starts!, 10)).then(() => (done = true));
        await bus.close();
        expect(done).toBe(true);
        await publishing;
      });
    });

    // What lives in memory promises nothing of a restart.
    if (options.durable) test('a restart keeps records, latest values and committed offsets', async () => {
      await bus.publish([...recordsOf(starts!, 40), ...recordsOf(cpis!, 10, (i) => `key ${i % 3}`)]);
      const consumer = join('one');
      const polled = await pollCount(consumer, 40);
      await consumer.commit(behind(polled.filter(({ partition }) => partition !== 1)));
      await under.restart();
      bus = under.connect();
      const left = await drainConsumer(join('one'));
      expect(left).toEqual(polled.filter(({ partition }) => partition === 1));
      expect(latestOf(await bus.follow({ topics: [cpis!], from: 'earliest' }).drain())).toEqual(new Map([['key 0', 'value 9'], ['key 1', 'value 7'], ['key 2', 'value 8']]));
      const [position] = await bus.publish([{ topic: starts!, key: 'k', value: 'v', partition: 1 }]);
      expect(position?.offset).toBe(left.length);
    });
  });
};

/** What a consumer can get now. */
const drainConsumer = async (consumer: Consumer): Promise<InRecord[]> => {
  const drained: InRecord[] = [];
  for (;;) {
    const records = await consumer.poll({ timeoutMs: 0, recordsMax: 100 });
    if (records.length === 0) return drained;
    drained.push(...records);
  }
};
