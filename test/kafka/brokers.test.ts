/** The bridge while brokers die, restart, lead no more and hold it back; and while bridges die. */
import { Admin, type Admin as KafkaAdmin } from '@platformatic/kafka';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bus, Consumer } from '../../src/bus/bus.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import { streamOf, type InRecord } from '../../src/messages/grammar/record.ts';
import { createTopics, freshPrefix, quickTimes, serveBridge, type ServedBridge } from './bridge.ts';
import { skipsKafka, startKafka, startMsMax, type Kafka } from './kafka.ts';

const topic = 'rest-to-flow.start';
const topics: readonly TopicConfig[] = [{ topic, partitions: 6, retention: 'log' }];
const keys = Array.from({ length: 12 }, (_, i) => `key ${i}`);

const three = { brokers: 3, properties: { 'auto.leader.rebalance.enable': 'false' } } as const;
const skipped = await skipsKafka('the bridge on three brokers', three);

describe.skipIf(skipped)('a bridge on three brokers', () => {
  let kafka: Kafka;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    kafka = await startKafka(three);
  }, startMsMax);
  afterAll(async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
    await kafka?.close();
  });

  const serve = async (prefix: string): Promise<ServedBridge> => {
    const served = await serveBridge({ brokers: kafka.bootstrap, prefix, topics });
    closing.push(() => served.close());
    return served;
  };
  const ready = async (): Promise<{ prefix: string; served: ServedBridge }> => {
    const prefix = freshPrefix();
    await createTopics(kafka.bootstrap, prefix, topics);
    return { prefix, served: await serve(prefix) };
  };

  /** Publishes numbers under each key, each when the one before it is acknowledged, until it is told to stop; tells the counts. */
  const startWriter = (bus: Bus) => {
    let stopped = false;
    const counts = new Map<string, number>();
    const milestones: { readonly count: number; readonly resolve: () => void }[] = [];
    const write = async (key: string): Promise<void> => {
      for (let i = 0; !stopped; i++) {
        // What is refused for now is published again: a record may then be there twice, and never out of order.
        for (;;) {
          const done = await bus.publish([{ topic, key, value: String(i) }]).then(() => true, () => false);
          if (done) break;
        }
        counts.set(key, i + 1);
        for (const { count, resolve } of milestones) if ([...counts.values()].every((one) => one >= count) && counts.size === keys.length) resolve();
      }
    };
    const all = Promise.all(keys.map(write));
    const least = (): number => Math.min(...keys.map((key) => counts.get(key) ?? 0));
    return {
      /** Resolves when every key has so many more than now. */
      further: (more: number) => new Promise<void>((resolve) => milestones.push({ count: least() + more, resolve })),
      stop: async () => {
        stopped = true;
        await all;
        return counts;
      },
    };
  };

  /** Reads until every key's last number came; fails where one is missing or comes before one below it for the first time. */
  const readAll = async (consumers: readonly Consumer[], counts: () => ReadonlyMap<string, number> | undefined): Promise<void> => {
    const next = new Map(keys.map((key) => [key, 0]));
    const finished = (): boolean => {
      const wanted = counts();
      return wanted !== undefined && keys.every((key) => next.get(key)! >= wanted.get(key)!);
    };
    const take = (records: readonly InRecord[]): void => {
      for (const { key, value } of records) {
        const expected = next.get(key)!;
        // A repeat is allowed, a gap is not.
        expect(Number(value), `${key} after ${expected - 1}`).toBeLessThanOrEqual(expected);
        if (Number(value) === expected) next.set(key, expected + 1);
      }
    };
    const read = async (consumer: Consumer): Promise<void> => {
      while (!finished()) {
        const records = await consumer.poll({ timeoutMs: 500, recordsMax: 500 }).catch(() => []);
        take(records);
        const ends = new Map(records.map(({ topic: name, partition, offset }) => [streamOf({ topic: name, partition }), { topic: name, partition, offset: offset + 1 }]));
        await consumer.commit([...ends.values()]).catch(() => {});
      }
    };
    await Promise.all(consumers.map(read));
  };

  const join = (bus: Bus, instance: string): Consumer => bus.consume({ group: 'flow', instance, topics: [topic] });

  test('loses nothing and keeps the order of each key while a broker is killed and restarted', async () => {
    const { served } = await ready();
    const writer = startWriter(served.connect());
    const wanted: { counts?: ReadonlyMap<string, number> } = {};
    const reading = readAll([join(served.connect(), 'one')], () => wanted.counts);
    const [broker] = kafka.brokers;
    await writer.further(10);
    await broker!.kill();
    await writer.further(10);
    await broker!.start();
    await writer.further(10);
    wanted.counts = await writer.stop();
    await reading;
  }, 180_000);

  test('follows a leader that moves', async () => {
    const { prefix, served } = await ready();
    const writer = startWriter(served.connect());
    const wanted: { counts?: ReadonlyMap<string, number> } = {};
    const reading = readAll([join(served.connect(), 'one')], () => wanted.counts);
    await writer.further(5);
    const admin = new Admin({ clientId: 'tests', bootstrapBrokers: kafka.bootstrap.split(',') });
    closing.push(() => admin.close());
    const before = await leadersOf(admin, prefix);
    // Asked to end, a broker hands over all that it leads first.
    await kafka.brokers[0]!.stop();
    await writer.further(5);
    await kafka.brokers[0]!.start();
    expect(before).toContain(kafka.brokers[0]!.id);
    expect(await leadersOf(admin, prefix)).not.toEqual(before);
    wanted.counts = await writer.stop();
    await reading;
  }, 180_000);

  test('that Kafka holds back by a quota is slower, and loses nothing', async () => {
    const { served } = await ready();
    const admin = new Admin({ clientId: 'tests', bootstrapBrokers: kafka.bootstrap.split(',') });
    closing.push(() => admin.close());
    await quota(admin, 20_000);
    try {
      const bus = served.connect();
      const value = 'x'.repeat(4_000);
      const positions = await bus.publish(Array.from({ length: 60 }, (_, i) => ({ topic, key: keys[i % keys.length]!, value: `${i} ${value}` })));
      expect(positions).toHaveLength(60);
      const consumer = join(bus, 'one');
      const read: InRecord[] = [];
      while (read.length < 60) read.push(...(await consumer.poll({ timeoutMs: 1_000, recordsMax: 100 })));
      for (const key of keys) {
        const numbers = read.filter((record) => record.key === key).map(({ value: text }) => Number(text.split(' ')[0]));
        expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
      }
      expect(read).toHaveLength(60);
    } finally {
      await quota(admin, undefined);
    }
  }, 180_000);

  test('that is killed loses nothing, and its consumers’ partitions move to another’s within the session time-out', async () => {
    const { prefix, served } = await ready();
    const other = await serve(prefix);
    const [doomed, heir] = [join(served.connect(), 'doomed'), join(other.connect(), 'heir')];
    await Promise.all([doomed.poll({ timeoutMs: 0, recordsMax: 1 }), heir.poll({ timeoutMs: 0, recordsMax: 1 })]);
    const publisher = other.connect();
    await publisher.publish(keys.map((key) => ({ topic, key, value: 'before' })));
    const mine: InRecord[] = [];
    while (mine.length === 0) mine.push(...(await doomed.poll({ timeoutMs: 1_000, recordsMax: 100 })));
    await served.abandon();
    const killedAt = performance.now();
    const got = new Set<string>();
    while (got.size < keys.length) for (const { key } of await heir.poll({ timeoutMs: 500, recordsMax: 100 })) got.add(key);
    const tookMs = performance.now() - killedAt;
    console.log(`a killed bridge's partitions were read elsewhere after ${Math.round(tookMs)} ms (session time-out ${quickTimes.sessionTimeoutMs} ms)`);
    // Heartbeats, a rebalance and a busy machine come on top.
    expect(tookMs).toBeLessThan(quickTimes.sessionTimeoutMs + 10_000);
  }, 60_000);

  test('that comes back under its name has its partitions at once, and not those of others', async () => {
    const { prefix, served } = await ready();
    const other = await serve(prefix);
    const [doomed, stays] = [join(served.connect(), 'a'), join(other.connect(), 'b')];
    await Promise.all([doomed.poll({ timeoutMs: 0, recordsMax: 1 }), stays.poll({ timeoutMs: 0, recordsMax: 1 })]);
    await served.abandon();
    const again = join((await serve(prefix)).connect(), 'a');
    const backAt = performance.now();
    await again.poll({ timeoutMs: 0, recordsMax: 1 });
    await other.connect().publish(keys.map((key) => ({ topic, key, value: 'after' })));
    const read: InRecord[] = [];
    while (read.length === 0) read.push(...(await again.poll({ timeoutMs: 1_000, recordsMax: 100 })));
    const tookMs = performance.now() - backAt;
    console.log(`a bridge that came back under its name read its partitions after ${Math.round(tookMs)} ms`);
    expect([...new Set(read.map(({ partition }) => partition))].every((partition) => partition < 3)).toBe(true);
    expect(tookMs).toBeLessThan(quickTimes.sessionTimeoutMs);
  }, 60_000);
});

const leadersOf = async (admin: KafkaAdmin, prefix: string): Promise<readonly number[]> => {
  const { topics: known } = await admin.metadata({ topics: [prefix + topic], forceUpdate: true });
  return known.get(prefix + topic)!.partitions.map(({ leader }) => leader);
};

/** Bytes in a second that the bridges of these tests may produce and fetch at each broker; without a number, what they like. */
const quota = async (admin: KafkaAdmin, bytes: number | undefined): Promise<void> => {
  const ops = (key: 'producer_byte_rate' | 'consumer_byte_rate') => (bytes === undefined ? ({ key, remove: true } as const) : ({ key, value: bytes, remove: false } as const));
  await admin.alterClientQuotas({ entries: [{ entities: [{ entityType: 'client-id', entityName: 'bridge' }], ops: [ops('producer_byte_rate'), ops('consumer_byte_rate')] }] });
};
