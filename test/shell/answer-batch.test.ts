import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import { encode, type Answer, type Outcome } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createAnswerBatch } from '../../src/shell/answer-batch.ts';
import type { Batch } from '../../src/shell/machine-batch.ts';
import { createMemoryAnswerStore, createMemoryStateStore } from '../../src/shell/memory-store.ts';
import type { Probe } from '../../src/shell/operational.ts';
import type { AnswerStore } from '../../src/shell/store.ts';
import type { Answering } from '../../src/shell/worker.ts';
import { Crash, crashAt, createBench, type Bench } from './bench.ts';
import { change } from './store-contract.ts';

const countWire = wire({
  topic: 'rest-to-db.count',
  from: ['rest'],
  to: ['db'],
  key: 'what is counted',
  retention: 'log',
  version: 1,
  body: z.object({ by: z.number() }),
  reply: z.object({ total: z.number() }),
});
const effectTopic = 'db-to-all.total';
const replyTo = { topic: 'all-to-rest.answer', key: 'rest-1', partition: 5 };

type Totals = Map<string, number>;
/** A store with one table, and an answer store over it that rolls both back. */
const createCounting = () => {
  const totals: Totals = new Map();
  type Tx = { readonly totals: Totals; readonly before: ReadonlyMap<string, number> };
  const answers = createMemoryAnswerStore<Tx>(
    () => ({ totals, before: new Map(totals) }),
    ({ before }) => {
      totals.clear();
      for (const [key, total] of before) totals.set(key, total);
    },
  );
  const calls: number[] = [];
  const answering: Answering<{ by: number }, { total: number }, Tx> = {
    wire: countWire,
    answer: async (requests, tx) => {
      calls.push(requests.length);
      return requests.map(({ key, body: { by } }) => {
        if (by === 13) throw new Error('a bug in the handler');
        if (by < 0) return { outcome: { type: 'refused', code: 'DB_NEGATIVE', message: 'counts go up' } };
        const total = (tx.totals.get(key) ?? 0) + by;
        tx.totals.set(key, total);
        return { outcome: { type: 'done', value: { total } }, effects: [{ topic: effectTopic, key, value: String(total) }] };
      });
    },
  };
  return { totals, answers, answering, calls };
};

type Given = { answering: Answering<any, any, any>; answers?: AnswerStore<any>; probe?: Probe };
const openBatch = (bench: Bench, { answering, answers, probe }: Given): Batch =>
  createAnswerBatch({
    room: 'link-manager',
    answering,
    states: bench.states,
    parking: bench.parking,
    publish: bench.publish,
    commit: bench.commit,
    clock: bench.clock,
    log: silentLog,
    metrics: bench.metrics,
    limits: bench.limits,
    ...(answers === undefined ? {} : { answers }),
    ...(probe === undefined ? {} : { probe }),
  });

const request = (id: string, by: number, more: { key?: string; deadline?: number; silent?: boolean } = {}): OutRecord =>
  encode(countWire, {
    key: more.key ?? 'a',
    id,
    body: { by },
    ...(more.silent === true ? {} : { replyTo }),
    ...(more.deadline === undefined ? {} : { deadline: more.deadline }),
  });
const told = (records: readonly OutRecord[]): [string, Outcome][] =>
  records.filter(({ topic }) => topic === replyTo.topic).map(({ value }) => {
    const { requestId, outcome } = (JSON.parse(value) as { body: Answer }).body;
    return [requestId, outcome];
  });
const done = (total: number): Outcome => ({ type: 'done', value: { total } });

describe('answers', () => {
  test('a batch is answered in one transaction and one call; answers go to the partition that asked, after the effects', async () => {
    const bench = createBench();
    const counting = createCounting();
    await openBatch(bench, counting).handleBatch(bench.append(request('r1', 1), request('r2', 2), request('r3', -1)));
    expect(counting.calls).toEqual([3]);
    expect(told(bench.published)).toEqual([
      ['r1', done(1)],
      ['r2', done(3)],
      ['r3', { type: 'refused', code: 'DB_NEGATIVE', message: 'counts go up' }],
    ]);
    expect(bench.published.map(({ topic }) => topic)).toEqual([effectTopic, effectTopic, replyTo.topic, replyTo.topic, replyTo.topic]);
    expect(bench.published.at(-1)).toMatchObject({ key: 'rest-1', partition: 5 });
  });

  test('W3: a repeated request does nothing and is told the same, with the same effects', async () => {
    const bench = createBench();
    const counting = createCounting();
    const batch = openBatch(bench, counting);
    await batch.handleBatch(bench.append(request('r1', 1)));
    await batch.handleBatch(bench.append(request('r1', 1), request('r2', 1)));
    expect(counting.totals.get('a')).toBe(2);
    expect(told(bench.published)).toEqual([['r1', done(1)], ['r1', done(1)], ['r2', done(2)]]);
    expect(bench.published.filter(({ topic }) => topic === effectTopic).map(({ value }) => value)).toEqual(['1', '1', '2']);
  });

  test('a request that stands twice in one batch is done once and told twice', async () => {
    const bench = createBench();
    const counting = createCounting();
    await openBatch(bench, counting).handleBatch(bench.append(request('r1', 1), request('r1', 1)));
    expect(counting.totals.get('a')).toBe(1);
    expect(told(bench.published)).toEqual([['r1', done(1)], ['r1', done(1)]]);
  });

  test('a request without a return address is done and told to nobody', async () => {
    const bench = createBench();
    const counting = createCounting();
    await openBatch(bench, counting).handleBatch(bench.append(request('r1', 1, { silent: true })));
    expect(counting.totals.get('a')).toBe(1);
    expect(bench.published.map(({ topic }) => topic)).toEqual([effectTopic]);
  });

  test('a request past its deadline is dropped, counted and committed', async () => {
    const bench = createBench();
    const counting = createCounting();
    const batch = openBatch(bench, counting);
    const now = bench.clock.now();
    await batch.handleBatch(bench.append(request('old', 1, { deadline: now - 1 }), request('just', 1, { deadline: now })));
    await batch.committed();
    expect(told(bench.published).map(([id]) => id)).toEqual(['just']);
    expect(bench.metrics.text()).toContain('what="expired"} 1');
    expect(bench.redelivered()).toEqual([]);
  });

  test('pure reads store no answer: a repeat reads again', async () => {
    const bench = createBench();
    const counting = createCounting();
    const batch = openBatch(bench, { ...counting, answering: { ...counting.answering, storesAnswers: false } });
    await batch.handleBatch(bench.append(request('r1', 1)));
    await batch.handleBatch(bench.append(request('r1', 1)));
    expect(told(bench.published)).toEqual([['r1', done(1)], ['r1', done(2)]]);
  });

  test('without an answer store a reader is given the states of its room, without those that were removed', async () => {
    const bench = createBench();
    await bench.states.save([change('here', 0), change('gone', 0)]);
    await bench.states.save([change('gone', 1, { head: null })]);
    const answering: Answering<{ by: number }, { total: number }, { states: typeof bench.states }> = {
      wire: countWire,
      storesAnswers: false,
      answer: async (requests, { states }) => {
        const found = await states.load(['here', 'gone']);
        return requests.map(() => ({ outcome: { type: 'done', value: { total: found.length } } }));
      },
    };
    await openBatch(bench, { answering }).handleBatch(bench.append(request('r1', 0)));
    expect(told(bench.published)).toEqual([['r1', done(1)]]);
  });

  test('a wire that stores answers cannot be opened without a store for them', () => {
    expect(() => openBatch(createBench(), { answering: createCounting().answering })).toThrow(/rest-to-db.count.*answer store/);
  });

  test('the same request id on two wires is two requests', async () => {
    const bench = createBench();
    const counting = createCounting();
    const other = { ...countWire, topic: 'rest-to-db.other' };
    await openBatch(bench, counting).handleBatch(bench.append(request('r1', 1)));
    await openBatch(bench, { ...counting, answering: { ...counting.answering, wire: other } }).handleBatch(bench.append({ ...request('r1', 1), topic: other.topic }));
    expect(counting.totals.get('a')).toBe(2);
  });
});

describe('faults', () => {
  test('W4, W5: one request’s fault is refused and parked; the others of its batch are answered', async () => {
    const bench = createBench();
    const counting = createCounting();
    const batch = openBatch(bench, counting);
    await batch.handleBatch(bench.append(...[1, 1, 13, 1, 1].map((by, i) => request(`r${i}`, by))));
    await batch.committed();
    expect(told(bench.published).map(([id, outcome]) => [id, outcome.type === 'done' ? outcome.value : outcome.code])).toEqual([
      ['r0', { total: 1 }],
      ['r1', { total: 2 }],
      ['r2', 'LINK_MANAGER_INTERNAL'],
      ['r3', { total: 3 }],
      ['r4', { total: 4 }],
    ]);
    expect(counting.totals.get('a')).toBe(4);
    expect(await bench.parking.list(10)).toMatchObject([{ topic: countWire.topic, reason: 'a bug in the handler' }]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('the refusal of a fault tells the asker nothing of its cause', async () => {
    const bench = createBench();
    await openBatch(bench, createCounting()).handleBatch(bench.append(request('r1', 13)));
    expect(JSON.stringify(told(bench.published))).not.toContain('bug');
  });

  test('the refusal of a fault is not stored: driven again, the request is done', async () => {
    const bench = createBench();
    const counting = createCounting();
    let isBroken = true;
    const answering: typeof counting.answering = { ...counting.answering, answer: (requests, tx, now) => (isBroken ? Promise.reject(new Error('broken')) : counting.answering.answer(requests, tx, now)) };
    const batch = openBatch(bench, { ...counting, answering });
    await batch.handleBatch(bench.append(request('r1', 1)));
    isBroken = false;
    await batch.handleBatch(bench.append(request('r1', 1)));
    expect(told(bench.published).at(-1)).toEqual(['r1', done(1)]);
  });

  test('an answer for the wrong number of requests is a fault, not a mix-up', async () => {
    const bench = createBench();
    const counting = createCounting();
    await openBatch(bench, { ...counting, answering: { ...counting.answering, answer: async () => [] } }).handleBatch(bench.append(request('r1', 1), request('r2', 1)));
    expect(told(bench.published).map(([, outcome]) => outcome.type)).toEqual(['refused', 'refused']);
  });

  test('malformed requests are parked', async () => {
    const bench = createBench();
    const batch = openBatch(bench, createCounting());
    await batch.handleBatch(bench.append({ topic: countWire.topic, key: 'a', value: 'x' }, request('r1', 1)));
    await batch.committed();
    expect(await bench.parking.list(10)).toMatchObject([{ value: 'x', reason: 'value is not JSON' }]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('while the database is away requests wait; afterwards they are answered once, but for those nobody waits for', async () => {
    const bench = createBench();
    const counting = createCounting();
    let isAway = true;
    const away = Object.assign(new Error('away'), { operational: true });
    const answers: AnswerStore<any> = { transact: (work) => (isAway ? Promise.reject(away) : counting.answers.transact(work)) };
    const batch = openBatch(bench, { ...counting, answers });
    await expect(batch.handleBatch(bench.append(request('r1', 1), request('r2', 1, { deadline: bench.clock.now() + 100 })))).rejects.toBe(away);
    expect(batch.readyAt()).toBe(0);
    expect(bench.committed.size).toBe(0);
    bench.clock.pass(200);
    isAway = false;
    await batch.handleBatch([]);
    await batch.committed();
    expect(told(bench.published)).toEqual([['r1', done(1)]]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('while the bus is away answers wait, and go out before newer ones', async () => {
    const bench = createBench();
    const batch = openBatch(bench, createCounting());
    bench.faults.publish = () => {
      throw new BusError('BUS_UNREACHABLE', 'away');
    };
    await expect(batch.handleBatch(bench.append(request('r1', 1)))).rejects.toThrow('away');
    delete bench.faults.publish;
    await batch.handleBatch(bench.append(request('r2', 1)));
    expect(told(bench.published)).toEqual([['r1', done(1)], ['r2', done(2)]]);
  });
});

describe('crashes', () => {
  for (const point of ['polled', 'stepped', 'saved', 'published', 'committed'] as const) {
    test(`W2, W3: after a crash at "${point}" every request is done once and told`, async () => {
      const bench = createBench();
      const counting = createCounting();
      bench.append(request('r1', 1), request('r2', 2), request('r1', 1));
      const dying = openBatch(bench, { ...counting, probe: crashAt(point) });
      const died = (async () => {
        await dying.handleBatch(bench.redelivered());
        await dying.committed();
      })();
      await expect(died).rejects.toThrow(Crash);
      await openBatch(bench, counting).handleBatch(bench.redelivered());
      expect(counting.totals.get('a')).toBe(3);
      expect(new Map(told(bench.published))).toEqual(new Map([['r1', done(1)], ['r2', done(3)]]));
    });
  }
});

test('a batch over an empty room of states reads nothing', async () => {
  const bench = createBench({ states: createMemoryStateStore() });
  const batch = openBatch(bench, createCounting());
  await batch.handleBatch([]);
  await batch.committed();
  expect(bench.order).toEqual([]);
});
