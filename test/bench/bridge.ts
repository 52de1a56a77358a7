/**
 * The bridge beside the native client, on one real broker in the same run: records of 1 KiB, produced a hundred at a time by
 * eight callers and consumed meanwhile by a group of two, until all are there. The bridge is a process of its own.
 *
 *     npm run bench -- bridge
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka';
import type { Bus } from '../../src/bus/bus.ts';
import { createHttpBus } from '../../src/bus/http-bus.ts';
import { createHttpExchange } from '../../src/host/http-exchange.ts';
import { shellConfigDefault } from '../../src/shell/config.ts';
import type { TopicConfig } from '../../src/bus/topics.ts';
import { silentLog } from '../../src/observability/log.ts';
import { admin, createTopics, freshPrefix, serveBridge } from '../kafka/bridge.ts';
import { skipsKafka, startKafka } from '../kafka/kafka.ts';
import { printTable } from './machine.ts';

const partitions = 8;
const batch = 100;
const batches = 400;
const records = batch * batches;
const callers = 8;
/** As many as the shell takes at once. */
const pollRecords = shellConfigDefault.recordsPerPollMax;
const rounds = 3;
/** Each round has topics of its own. The first warms up: what runs for weeks is not measured while it is being compiled. */
const topicsOf = (what: 'native' | 'bridged'): TopicConfig[] => Array.from({ length: rounds + 1 }, (_, round) => ({ topic: `${what}-${round}`, partitions, retention: 'log' }));

/** A kibibyte of JSON, as wires carry it. */
const value = JSON.stringify({ v: 1, id: '0'.repeat(36), body: { holdingIdentity: 'O=Alice, L=London, C=GB', payload: 'x'.repeat(1024 - 116) } });
const keyOf = (i: number): string => `key ${i % 64}`;

/** Eight callers, each with the next batch when its last is acknowledged. */
const produceAll = async (send: (from: number, caller: number) => Promise<unknown>): Promise<void> => {
  let next = 0;
  const run = async (caller: number): Promise<void> => {
    while (next < batches) await send(next++ * batch, caller);
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => run(caller)));
};

const native = async (brokers: string, name: string, group: string): Promise<number> => {
  const bootstrapBrokers = brokers.split(',');
  const strings = { key: String, value: String };
  const producer = new Producer({ clientId: 'native', bootstrapBrokers, idempotent: true, strict: false, serializers: { key: (key?: string) => Buffer.from(key ?? ''), value: (text?: string) => Buffer.from(text ?? '') } });
  const consumers = await Promise.all([0, 1].map(async () => {
    const consumer = new Consumer({ clientId: 'native', groupId: group, bootstrapBrokers, autocommit: false, deserializers: { key: strings.key, value: strings.value } });
    return { consumer, stream: await consumer.consume({ topics: [name], mode: MessagesStreamModes.EARLIEST, maxWaitTime: 500 }) };
  }));
  const begun = performance.now();
  let seen = 0;
  const all = Promise.withResolvers<void>();
  for (const { stream } of consumers) stream.on('data', () => ++seen >= records && all.resolve());
  const send = async (from: number): Promise<void> => {
    const messages = Array.from({ length: batch }, (_, i) => ({ topic: name, key: keyOf(from + i), value }));
    // On a busy machine batches that overtake each other are refused now and then.
    for (;;) if (await producer.send({ acks: -1, messages }).then(() => true, () => false)) return;
  };
  await Promise.all([all.promise, produceAll(send)]);
  const tookMs = performance.now() - begun;
  for (const { consumer, stream } of consumers) {
    await stream.close();
    await consumer.close();
  }
  await producer.close();
  return records / (tookMs / 1_000);
};

const overHttp = async (url: string, topic: string): Promise<number> => {
  const connect = (): Bus => createHttpBus({ url, ...admin, log: silentLog, exchange: createHttpExchange() });
  const bus = connect();
  // One for each caller: a bus would gather what several publish.
  const producers = Array.from({ length: callers }, connect);
  const consumers = ['one', 'two'].map((instance) => bus.consume({ group: topic, instance, topics: [topic] }));
  await Promise.all(consumers.map((consumer) => consumer.poll({ timeoutMs: 0, recordsMax: 1 })));
  const begun = performance.now();
  let seen = 0;
  // As soon as all are there: the other consumer's poll would wait for its time to be over.
  const all = new AbortController();
  const consume = async (consumer: (typeof consumers)[number]): Promise<void> => {
    while (!all.signal.aborted) {
      const polled = await consumer.poll({ timeoutMs: 500, recordsMax: pollRecords, signal: all.signal });
      if ((seen += polled.length) >= records) all.abort();
    }
  };
  await Promise.all([...consumers.map(consume), produceAll((from, caller) => producers[caller]!.publish(Array.from({ length: batch }, (_, i) => ({ topic, key: keyOf(from + i), value }))))]);
  const tookMs = performance.now() - begun;
  await Promise.all([bus, ...producers].map((one) => one.close()));
  return records / (tookMs / 1_000);
};

const startBridge = async (brokers: string, prefix: string): Promise<{ url: string; stop: () => Promise<void> }> => {
  const child = fork(fileURLToPath(import.meta.url), ['serve', brokers, prefix], { stdio: 'inherit' });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve(String(message)));
    child.once('exit', (code) => reject(new Error(`the bridge ended with ${code}`)));
  });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.send('stop');
    });
  return { url, stop };
};

const serve = async (brokers: string, prefix: string): Promise<void> => {
  const served = await serveBridge({ brokers, prefix, topics: topicsOf('bridged') });
  process.send?.(served.server.url);
  process.once('message', () => void served.close().then(() => process.disconnect()));
};

const median = (values: readonly number[]): number => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!;

export const run = async (): Promise<void> => {
  if (await skipsKafka('the bridge beside the native client')) return;
  const kafka = await startKafka();
  const prefix = freshPrefix();
  const [natives, bridgeds] = [topicsOf('native'), topicsOf('bridged')];
  await createTopics(kafka.bootstrap, prefix, [...natives, ...bridgeds]);
  const bridge = await startBridge(kafka.bootstrap, prefix);
  const figures: { native: number[]; bridge: number[] } = { native: [], bridge: [] };
  for (let round = 0; round <= rounds; round++) {
    const name = `${prefix}${natives[round]!.topic}`;
    const alone = await native(kafka.bootstrap, name, name);
    const bridged = await overHttp(bridge.url, bridgeds[round]!.topic);
    if (round === 0) continue;
    figures.native.push(alone);
    figures.bridge.push(bridged);
  }
  await bridge.stop();
  await kafka.close();
  const [alone, bridged] = [median(figures.native), median(figures.bridge)];
  printTable(`produce and consume, ${records} records of 1 KiB in batches of ${batch}, median of ${rounds} rounds`, [
    ['', 'records/s', 'beside native'],
    ['@platformatic/kafka', Math.round(alone), '1.00'],
    ['the bridge over HTTP', Math.round(bridged), (bridged / alone).toFixed(2)],
  ]);
};

if (process.argv[2] === 'serve') await serve(process.argv[3]!, process.argv[4]!);
