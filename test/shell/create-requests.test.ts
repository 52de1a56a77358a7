import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { BusError, type Bus } from '../../src/bus/bus.ts';
import type { EmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import { answerTo, decode, type Delivery, type Outcome } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { allToRestAnswer } from '../../src/messages/all-to-rest.answer.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { createRequests, type CreateRequestsOptions, type HearingRequests } from '../../src/shell/create-requests.ts';
import { RequestTimeout, type Requests } from '../../src/shell/requests.ts';
import { openBroker } from './broker.ts';
import { WorldClock } from './world.ts';

const doubleWire = wire({ topic: 'rest-to-db.double', from: ['rest'], to: ['db'], key: 'any', retention: 'log', version: 1, body: z.object({ n: z.number() }), reply: z.object({ twice: z.number() }) });

let broker: EmbeddedBroker;
let bus: Bus;
const open: Requests[] = [];
beforeEach(async () => {
  broker = await openBroker([doubleWire, allToRestAnswer]);
  bus = broker.connect();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
  await broker.close();
});
const create = async (options: Partial<CreateRequestsOptions> = {}): Promise<HearingRequests> => {
  const one = await createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance: 'rest-1', log: silentLog, ...options });
  open.push(one);
  return one;
};

type Doubling = { readonly seen: Delivery<{ n: number }>[]; until(count: number): Promise<void> };
/** Answers as the db room would; `undefined` answers nothing. */
const serve = (outcomeOf: (request: Delivery<{ n: number }>) => Outcome | undefined = ({ body }) => ({ type: 'done', value: { twice: body.n * 2 } })): Doubling => {
  const consumer = bus.consume({ group: 'db', instance: 'db-1', topics: [doubleWire.topic] });
  const seen: Delivery<{ n: number }>[] = [];
  const next = async (): Promise<void> => {
    for (const record of await consumer.poll({ timeoutMs: 5_000, recordsMax: 100 })) {
      const decoded = decode(doubleWire, record);
      if (decoded.type !== 'message') throw new Error('the request cannot be read');
      seen.push(decoded.delivery);
      const outcome = outcomeOf(decoded.delivery);
      const answer = outcome === undefined ? undefined : answerTo(decoded.delivery, outcome);
      if (answer !== undefined) await bus.publish([answer]);
    }
  };
  return {
    seen,
    until: async (count) => {
      while (seen.length < count) await next();
    },
  };
};

describe('requests', () => {
  test('a question is answered with what its wire promises', async () => {
    const requests = await create();
    const db = serve();
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 21 } });
    await db.until(1);
    expect(await asking).toEqual({ type: 'done', value: { twice: 42 } });
  });

  test('a refusal comes as a value', async () => {
    const requests = await create();
    const db = serve(() => ({ type: 'refused', code: 'DB_NO', message: 'no' }));
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    await db.until(1);
    expect(await asking).toEqual({ type: 'refused', code: 'DB_NO', message: 'no' });
  });

  test('many questions at once go out in one publish, and each gets its own answer', async () => {
    const publishes: number[] = [];
    const requests = await create({ bus: { ...bus, publish: (records) => (publishes.push(records.length), bus.publish(records)) } });
    const db = serve();
    const asking = Array.from({ length: 100 }, (_, n) => requests.ask(doubleWire, { key: `k${n}`, body: { n } }));
    await db.until(100);
    expect(await Promise.all(asking)).toEqual(Array.from({ length: 100 }, (_, n) => ({ type: 'done', value: { twice: 2 * n } })));
    expect(publishes).toEqual([100]);
  });

  test('a given id is kept, so that a repeat is the same request; drawn ids differ', async () => {
    const requests = await create();
    const db = serve();
    const asking = [
      ...['same', 'same'].map((id) => requests.ask(doubleWire, { key: 'a', id, body: { n: 1 } })),
      ...[1, 2].map((n) => requests.ask(doubleWire, { key: 'a', body: { n } })),
    ];
    await db.until(4);
    await Promise.all(asking);
    expect(db.seen.slice(0, 2).map(({ id }) => id)).toEqual(['same', 'same']);
    expect(new Set(db.seen.map(({ id }) => id)).size).toBe(3);
  });

  test('without an answer the asker hears so at the deadline, which the request carried', async () => {
    const clock = new WorldClock();
    const requests = await create({ clock });
    const db = serve(() => undefined);
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 }, timeoutMs: 500 });
    await db.until(1);
    expect(db.seen[0]!.deadline).toBe(clock.now() + 500);
    clock.pass(500);
    await expect(asking).rejects.toThrow(RequestTimeout);
    await expect(asking).rejects.toThrow(/rest-to-db.double within 500 ms/);
  });

  test('answers to others on the same partition, late ones and malformed ones are left alone', async () => {
    const requests = await create();
    const stray = (value: string): OutRecord => ({ topic: allToRestAnswer.topic, key: 'rest-1', value, partition: 0 });
    const partitions = Array.from({ length: 8 }, (_, partition) => partition);
    const strays = [stray('{'), stray(JSON.stringify({ v: 1, id: 'x', body: { requestId: 'unknown', outcome: { type: 'done', value: 1 } } }))];
    await bus.publish(partitions.flatMap((partition) => strays.map((record) => ({ ...record, partition }))));
    const db = serve();
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    await db.until(1);
    expect(await asking).toEqual({ type: 'done', value: { twice: 2 } });
  });

  test('an answer that is not of its wire’s shape is a refusal, not a surprise further in', async () => {
    const requests = await create();
    const db = serve(() => ({ type: 'done', value: { twice: 'two' } }));
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    await db.until(1);
    expect(await asking).toMatchObject({ type: 'refused', code: 'REQUEST_ANSWER_MALFORMED' });
  });

  test('replicas with partitions of their own do not hear each other', async () => {
    const replicas = await Promise.all(['rest-1', 'rest-2', 'rest-3', 'rest-4'].map((instance) => create({ instance })));
    const db = serve();
    const asking = replicas.map((requests, n) => requests.ask(doubleWire, { key: 'same', body: { n } }));
    await db.until(4);
    expect(await Promise.all(asking)).toEqual([0, 2, 4, 6].map((twice) => ({ type: 'done', value: { twice } })));
    expect(new Set(db.seen.map(({ replyTo }) => replyTo!.partition)).size).toBeGreaterThan(1);
  });

  test('while the bus is away questions wait, until their deadline', async () => {
    let failures = 2;
    const flaky: Bus = { ...bus, publish: (records) => (failures-- > 0 ? Promise.reject(new BusError('BUS_UNREACHABLE', 'away')) : bus.publish(records)) };
    const requests = await create({ bus: flaky, random: () => 0.99 });
    const db = serve();
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 4 } });
    await db.until(1);
    expect(await asking).toEqual({ type: 'done', value: { twice: 8 } });
    failures = Infinity;
    await expect(requests.ask(doubleWire, { key: 'a', body: { n: 1 }, timeoutMs: 40 })).rejects.toThrow(/away/);
  });

  test('what the bus refuses is thrown at once', async () => {
    const refusing: Bus = { ...bus, publish: () => Promise.reject(new BusError('BUS_REFUSED', 'not your wire')) };
    const requests = await create({ bus: refusing });
    await expect(requests.ask(doubleWire, { key: 'a', body: { n: 1 } })).rejects.toThrow('not your wire');
  });

  test('close fails what is still waiting', async () => {
    const requests = await create();
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    asking.catch(() => {});
    await requests.close();
    await expect(asking).rejects.toMatchObject({ code: 'BUS_CLOSED' });
    await expect(requests.ask(doubleWire, { key: 'a', body: { n: 1 } })).rejects.toMatchObject({ code: 'BUS_CLOSED' });
  });
});

describe('answers that are claimed where they are made', () => {
  const twice = (n: number): Outcome => ({ type: 'done', value: { twice: n } });
  const answered = (request: Delivery<unknown>, outcome: Outcome): OutRecord => answerTo(request, outcome)!;

  test('settle when they are told, and not before', async () => {
    const requests = await create();
    const db = serve(() => undefined);
    let isSettled = false;
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } }).finally(() => (isSettled = true));
    await db.until(1);
    const tell = requests.listener.claim!(answered(db.seen[0]!, twice(2)))!;
    await new Promise(setImmediate);
    expect(isSettled).toBe(false);
    tell();
    expect(await asking).toEqual(twice(2));
    // Nobody waits any more.
    tell();
    expect(requests.listener.claim!(answered(db.seen[0]!, twice(2)))).toBeUndefined();
  });

  test('settle all who have asked the same', async () => {
    const requests = await create();
    const db = serve(() => undefined);
    const asking = [1, 2].map(() => requests.ask(doubleWire, { key: 'a', id: 'same', body: { n: 1 } }));
    await db.until(2);
    requests.listener.claim!(answered(db.seen[0]!, twice(2)))!();
    expect(await Promise.all(asking)).toEqual([twice(2), twice(2)]);
  });

  test('are left to the bus where they go to another replica, or nobody waits for them', async () => {
    const requests = await create();
    const db = serve(() => undefined);
    const asking = requests.ask(doubleWire, { key: 'a', id: 'mine', body: { n: 1 } });
    await db.until(1);
    const { partition } = db.seen[0]!.replyTo!;
    const { partition: _, ...astray } = answered(db.seen[0]!, twice(7));
    const early = answered({ ...db.seen[0]!, id: 'not yet asked' }, twice(8));
    expect([astray, { ...astray, partition: partition! + 1 }, early].map((one) => requests.listener.claim!(one))).toEqual([undefined, undefined, undefined]);
    const later = requests.ask(doubleWire, { key: 'a', id: 'not yet asked', body: { n: 4 } });
    await bus.publish([answered(db.seen[0]!, twice(2)), early]);
    expect(await asking).toEqual(twice(2));
    expect(await later).toEqual(twice(8));
  });

  test('are left to the bus where they cannot be read; it says where they lie', async () => {
    const logged: string[] = [];
    const requests = await create({ log: createLog({ level: 'info', write: (line) => void logged.push(line) }) });
    const db = serve(() => undefined);
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    await db.until(1);
    const good = answered(db.seen[0]!, twice(2));
    const malformed = { ...good, value: '{' };
    expect(requests.listener.claim!(malformed)).toBeUndefined();
    await bus.publish([malformed, good]);
    expect(await asking).toEqual(twice(2));
    expect(logged).toEqual([expect.stringContaining('answer-malformed')]);
  });

  test('are not claimed once the room is closed', async () => {
    const requests = await create();
    const db = serve(() => undefined);
    const asking = requests.ask(doubleWire, { key: 'a', body: { n: 1 } });
    asking.catch(() => {});
    await db.until(1);
    await requests.close();
    expect(requests.listener.claim!(answered(db.seen[0]!, twice(2)))).toBeUndefined();
    await expect(asking).rejects.toMatchObject({ code: 'BUS_CLOSED' });
  });
});
