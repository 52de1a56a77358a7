/** A Kafka that wants TLS and a login, and keeps access lists: a stolen login reads no other room's topic, whatever its bridge would allow. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bus } from '../../src/bus/bus.ts';
import { accessFor } from '../../src/bus/http-server-access.ts';
import { accessRules, applyRules, missingRules } from '../../src/bus/kafka-bridge/access-lists.ts';
import { applyTopics, planTopics } from '../../src/bus/kafka-bridge/topics.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import type { Room } from '../../src/messages/grammar/wire.ts';
import { wires } from '../../src/messages/messages.ts';
import { createTopics, serveBridge, type ServedBridge } from './bridge.ts';
import { skipsKafka, startKafka, startMsMax, type Kafka } from './kafka.ts';
import type { Security } from './properties.ts';
import { makeSecurity, makeUsers } from './secured.ts';

const skipped = await skipsKafka('TLS, SASL and access lists of Kafka', { security: { keyPem: '', certificatePem: '' } });

/** Enough of them to show each kind of refusal; a Kafka of a test is slow to make many. */
const some = wires.filter(({ topic }) => ['rest-to-flow.start', 'gateway-to-link-manager.link-in', 'link-manager-to-gateway.link-out', 'member-to-all.group-parameters'].includes(topic));
const topics = topicsOf(some, 2);
const prefix = 'sec.';
const password = 'a password of a room';

describe.skipIf(skipped)('a Kafka with TLS, SASL and access lists', () => {
  let kafka: Kafka;
  let security: Security;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    security = await makeSecurity();
    kafka = await startKafka({ security });
    const internal = { brokers: kafka.bootstrapInternal, prefix };
    await makeUsers(kafka.bootstrapInternal, (['flow', 'gateway', 'rest'] as const).map((room) => ({ username: `cordage-${room}`, password })));
    await createTopics(internal.brokers, prefix, topics);
    const rules = accessRules(some, { prefix, userPrefix: 'cordage-' });
    expect(await missingRules(internal, rules)).toEqual(rules);
    await applyRules(internal, rules);
    expect(await missingRules(internal, rules)).toEqual([]);
  }, startMsMax);
  afterAll(async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
    await kafka?.close();
  });

  /** A bridge that would let its clients do anything, with the login of one room. */
  const bridgeOf = async (room: Room, options: { password?: string; ca?: string } = {}): Promise<ServedBridge> => {
    const access = accessFor(room, some);
    const served = await serveBridge({
      brokers: kafka.bootstrap,
      prefix,
      topics: topics.filter(({ topic }) => access.mayProduce(topic) || access.mayRead(topic)),
      tls: { ca: options.ca ?? security.certificatePem },
      sasl: { username: `cordage-${room}`, password: options.password ?? password },
    });
    closing.push(() => served.close());
    return served;
  };
  const read = async (bus: Bus, topic: string, group: string): Promise<string[]> => {
    const consumer = bus.consume({ group, instance: 'one', topics: [topic] });
    for (;;) {
      const records = await consumer.poll({ timeoutMs: 1_000, recordsMax: 10 });
      if (records.length > 0) return records.map(({ value }) => value);
    }
  };

  test('serves a room what its wires say', async () => {
    const [rest, flow] = await Promise.all([bridgeOf('rest'), bridgeOf('flow')]);
    expect(await flow.bridge.ailment()).toBeUndefined();
    await rest.connect().publish([{ topic: 'rest-to-flow.start', key: 'k', value: 'start' }]);
    expect(await read(flow.connect(), 'rest-to-flow.start', 'flow/start')).toEqual(['start']);
  });

  test('shows and gives a stolen login nothing of another room', async () => {
    const gateway = await bridgeOf('gateway');
    const bus = gateway.connect();
    expect((await gateway.bridge.topics()).map(({ topic }) => topic)).not.toContain('rest-to-flow.start');
    await expect(read(bus, 'rest-to-flow.start', 'gateway/x')).rejects.toMatchObject({ code: 'BUS_UNKNOWN_TOPIC' });
    await expect(bus.publish([{ topic: 'rest-to-flow.start', key: 'k', value: 'forged' }])).rejects.toMatchObject({ code: 'BUS_UNKNOWN_TOPIC' });
    // What it may read it may not write, and other rooms' groups are not its own.
    await expect(bus.publish([{ topic: 'member-to-all.group-parameters', key: 'k', value: 'forged' }])).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    await expect(read(bus, 'link-manager-to-gateway.link-out', 'flow/start')).rejects.toMatchObject({ code: 'BUS_REFUSED' });
    expect(await bus.publish([{ topic: 'gateway-to-link-manager.link-in', key: 'k', value: 'packet' }])).toHaveLength(1);
  });

  test('has its topics made once, mended where they differ, and never given more partitions', async () => {
    const account = { brokers: kafka.bootstrapInternal, prefix };
    const actions = async (options = { topics }): Promise<string[]> => [...new Set((await planTopics({ account, ...options })).map(({ action }) => action))];
    expect(await actions()).toEqual(['keep']);
    expect(await actions({ topics: topicsOf(some, 3) })).toEqual(['refuse']);
    await applyTopics(account, [{ action: 'change', topic: `${prefix}rest-to-flow.start`, changes: [{ name: 'retention.ms', from: '', to: '60000' }] }]);
    const [drifted] = (await planTopics({ account, topics })).filter(({ action }) => action === 'change');
    expect(drifted).toMatchObject({ topic: `${prefix}rest-to-flow.start`, changes: [{ name: 'retention.ms', from: '60000' }] });
    await applyTopics(account, [drifted!]);
    expect(await actions()).toEqual(['keep']);
  });

  test('is not reached with a wrong password, or where its certificate is not trusted', async () => {
    const stranger = await bridgeOf('flow', { password: 'a wrong password' });
    expect(await stranger.bridge.ailment()).toContain('Kafka could not');
    const other = await makeSecurity();
    const misled = await bridgeOf('flow', { ca: other.certificatePem });
    expect(await misled.bridge.ailment()).toContain('Kafka could not');
  });
});
