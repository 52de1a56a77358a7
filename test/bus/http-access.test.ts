/** A credential belongs to a room: it may touch that room's wires and groups, and nothing else. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { accessFor, createBusAccess } from '../../src/bus/http-server-access.ts';
import { rooms } from '../../src/messages/grammar/wire.ts';
import { wires } from '../../src/messages/messages.ts';
import { admin, flow, gateway, startServed } from './http-served.ts';
import type { Served } from './http-served.ts';

describe('the access of a room', () => {
  test.each(rooms)('%s produces where it speaks and where it alone hears, reads what it hears and what it keeps compacted', (room) => {
    const access = accessFor(room);
    for (const { topic, from, to, retention } of wires) {
      expect([topic, access.mayRead(topic)]).toEqual([topic, to.includes(room) || (retention === 'compacted' && from.includes(room))]);
      const alone = to.length === 1 && to[0] === room;
      expect([topic, access.mayProduce(topic)]).toEqual([topic, from.includes(room) || alone]);
    }
    expect(access.mayRead('plain') || access.mayProduce('plain')).toBe(false);
  });

  test('who hears a request may answer whoever asks', () => {
    const requests = wires.filter(({ reply }) => reply !== undefined);
    expect(requests.length).toBeGreaterThan(5);
    for (const { topic, from, to } of requests) {
      for (const answerer of to) {
        // A room that tells itself to go on waits for no answer.
        for (const asker of from.filter((room) => room !== answerer)) expect([topic, answerer, asker, accessFor(answerer).mayProduce(`all-to-${asker}.answer`)]).toEqual([topic, answerer, asker, true]);
      }
    }
  });

  test('a stolen gateway credential reads what the gateway hears and nothing more', () => {
    const readable = wires.map(({ topic }) => topic).filter((topic) => accessFor('gateway').mayRead(topic));
    expect(readable.every((topic) => topic.includes('gateway') || topic.includes('to-all'))).toBe(true);
    expect(readable).toContain('link-manager-to-gateway.link-out');
  });

  test('groups are the room, or begin with it and a slash', () => {
    const { mayUseGroup } = accessFor('flow');
    expect(['flow', 'flow/answers'].map(mayUseGroup)).toEqual([true, true]);
    expect(['flows', 'rest', 'flow-x/y', '', 'rest/flow'].map(mayUseGroup)).toEqual([false, false, false, false, false]);
  });

  test('credentials must differ, and have passwords', () => {
    expect(() => createBusAccess({ credentials: [flow, flow] })).toThrow('flow-1');
    expect(() => createBusAccess({ credentials: [{ ...flow, password: '' }] })).toThrow('empty password');
  });
});

describe('over HTTP', () => {
  let served: Served;
  beforeEach(async () => {
    served = await startServed();
  });
  afterEach(() => served.close());

  const at = (topic: string) => ({ topic, partition: 0, offset: 0 });
  const forbidden = [
    ['produce by path', 'POST', '/produce/db-to-all.cpi', { key: 'k', value: 'v' }],
    ['produce by message', 'POST', '/produce', [{ topic: 'flow-to-rest.status', value: 'v' }, { topic: 'db-to-all.cpi', key: 'k', value: 'v' }]],
    ['produce by URL', 'GET', '/produce/db-to-all.cpi/v?key=k', undefined],
    ['webhook', 'POST', `/webhook?topic=db-to-all.cpi&key=k&user=${flow.username}&pass=${encodeURIComponent(flow.password)}`, 'v'],
    ['fetch', 'POST', '/fetch', at('rest-to-db.cpi')],
    ['fetch of several', 'POST', '/fetch', { topicPartitionOffsets: [at('rest-to-flow.start'), at('rest-to-db.cpi')] }],
    ['consume', 'POST', '/consume/flow/i', { topic: 'rest-to-db.cpi', timeout: 0 }],
    ['consume in another room’s group', 'POST', '/consume/rest/i', { topic: 'rest-to-flow.start', timeout: 0 }],
    ['commit in another room’s group', 'POST', '/commit/rest/i', undefined],
    ['committed of another room’s group', 'POST', '/committed/rest/i', { topic: 'rest-to-flow.start', partition: 0 }],
    ['delete another room’s consumer', 'POST', '/delete-consumer/rest/i', undefined],
    ['offsets', 'POST', '/offsets/latest', [{ topic: 'rest-to-db.cpi', partition: 0 }]],
  ] as const;
  test.each(forbidden)('403 and nothing done: %s', async (_, method, path, body) => {
    const answer = await served.call(method, path, { as: flow, body });
    expect(answer).toMatchObject({ status: 403, body: { error: expect.any(String), status: 403 } });
    for (const { topic, partitions } of served.broker.topics()) {
      const ends = await served.broker.offsets('latest', Array.from({ length: partitions }, (_unused, partition) => ({ topic, partition })));
      expect(ends.every(({ offset }) => offset === 0)).toBe(true);
    }
    expect(served.lines.map((line) => JSON.parse(line))).toContainEqual(expect.objectContaining({ event: 'bus.refused', status: 403 }));
  });

  test('what is not forbidden works with the same credential', async () => {
    expect((await served.call('POST', '/produce/flow-to-rest.status', { as: flow, body: { key: 'k', value: 'v' } })).status).toBe(200);
    expect((await served.call('POST', '/produce/gateway-to-link-manager.link-in', { as: gateway, body: { key: 'k', value: 'v' } })).status).toBe(200);
    expect((await served.call('POST', '/consume/flow/i', { as: flow, body: { topic: 'rest-to-flow.start', timeout: 0 } })).status).toBe(200);
    expect((await served.call('POST', '/fetch', { as: flow, body: { ...at('db-to-all.cpi'), timeout: 0 } })).status).toBe(200);
  });

  test('lists show a credential its own topics and groups', async () => {
    await served.call('POST', '/consume/flow/i', { as: flow, body: { topic: 'rest-to-flow.start', timeout: 0 } });
    const topics = Object.keys((await served.call('GET', '/topics', { as: gateway })).body);
    expect(topics).toContain('link-manager-to-gateway.link-out');
    expect(topics).not.toContain('rest-to-db.cpi');
    expect((await served.call('GET', '/consumers', { as: gateway })).body).toEqual([]);
    expect((await served.call('GET', '/consumers', { as: admin })).body).toMatchObject([{ name: 'flow' }]);
  });

  test('one credential cannot cancel another’s poll', async () => {
    const waiting = served.call('POST', '/fetch', { as: flow, body: { ...at('rest-to-flow.start'), timeout: 50_000 }, headers: { 'cordage-poll': 'p' } });
    await served.clock.untilAfter(50_000);
    await served.call('POST', '/cancel/p', { as: gateway });
    await served.call('POST', '/produce/rest-to-flow.start', { body: { value: 'v', partition: 0 } });
    expect((await waiting).body).toMatchObject([{ value: 'v' }]);
  });
});
