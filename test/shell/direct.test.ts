/** Requests that a room of the same process is asked directly: the same work, once, whichever way they come. */
import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { encode, type Carried, type Outcome } from '../../src/messages/grammar/envelope.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createAnswerBatch } from '../../src/shell/answer-batch.ts';
import { createDirectAnswers } from '../../src/shell/direct.ts';
import { createMemoryAnswerStore } from '../../src/shell/memory-store.ts';
import type { StoredAnswer } from '../../src/shell/store.ts';
import type { Answering } from '../../src/shell/worker.ts';
import { createBench } from './bench.ts';

const addWire = wire({ topic: 'flow-to-db.add', from: ['flow'], to: ['db'], key: 'what is added to', retention: 'log', version: 1, body: z.object({ by: z.number() }), reply: z.number() });
const replyTo = { topic: 'all-to-flow.answer', key: 'flow' };

const request = (id: string, by: number): Carried<unknown> => {
  const message = { key: id, id, replyTo, body: { by } };
  return { ...message, record: encode(addWire, message) };
};

type Tx = { readonly sums: number[] };

const open = (more: Partial<Answering<{ by: number }, number, Tx>> = {}) => {
  const bench = createBench({ limits: { directMsMax: 500 } });
  const sums: number[] = [];
  let before: number[] = [];
  const memory = createMemoryAnswerStore<Tx>(
    () => {
      before = [...sums];
      return { sums };
    },
    () => void sums.splice(0, sums.length, ...before),
  );
  const answering: Answering<{ by: number }, number, Tx> = {
    wire: addWire,
    isIndependent: true,
    answer: async (requests, tx) =>
      requests.map(({ body: { by } }) => {
        if (by === 13) throw new Error('a bug in the handler');
        tx.sums.push(by);
        return { outcome: { type: 'done', value: tx.sums.length } };
      }),
    ...more,
  };
  /** Adds what is foreseen, where nobody was answered before. */
  const atOnce = (write: unknown, added: readonly StoredAnswer[]): Promise<boolean> =>
    memory.transact(async (tx, stored) => {
      if ((await stored.find(added.map(({ requestId }) => requestId))).length > 0) return false;
      tx.sums.push(...(write as number[]));
      await stored.add(added);
      return true;
    });
  const answers = { ...memory, atOnce, joint: (write: unknown) => ({ joint: write }) };
  const { parking, publish, commit, clock, metrics, limits } = bench;
  const common = { room: 'db', answering, answers, clock, log: silentLog, metrics, limits } as const;
  const batch = createAnswerBatch({ ...common, parking, publish, commit });
  return {
    bench,
    sums,
    direct: createDirectAnswers(common),
    onBus: async (...requests: readonly Carried<unknown>[]): Promise<Outcome[]> => {
      const from = bench.published.length;
      await batch.handleBatch(bench.append(...requests.map(({ record }) => record)));
      return bench.published.slice(from).flatMap(({ topic, value }) => (topic === replyTo.topic ? [(JSON.parse(value) as { body: { outcome: Outcome } }).body.outcome] : []));
    },
  };
};

const done = (value: number) => ({ type: 'done', value });

describe('a direct request', () => {
  test('is worked out with the others, and told on the bus as it was told directly', async () => {
    const { direct, onBus, sums } = open();
    expect(await direct.ask([request('one', 1), request('two', 2)])).toEqual([done(1), done(2)]);
    expect(await onBus(request('two', 2), request('three', 3))).toEqual([done(2), done(3)]);
    expect(await direct.ask([request('three', 3), request('one', 1)])).toEqual([done(3), done(1)]);
    expect(sums).toEqual([1, 2, 3]);
  });

  test('that is asked both ways at once is worked out once', async () => {
    const { direct, onBus, sums } = open();
    const [[there], [here]] = await Promise.all([onBus(request('one', 1)), direct.ask([request('one', 1)])]);
    expect([there, here]).toEqual([done(1), done(1)]);
    expect(sums).toEqual([1]);
  });

  test.each(['directly', 'on the bus'])('whose id was answered to another question is refused for good, %s', async (way) => {
    const { direct, onBus, sums } = open();
    const ask = way === 'directly' ? (one: Carried<unknown>) => direct.ask([one]) : onBus;
    await direct.ask([request('one', 1)]);
    expect(await ask(request('one', 7))).toEqual([expect.objectContaining({ type: 'refused', code: 'DB_REQUEST_CHANGED', fault: 'fatal' })]);
    expect(sums).toEqual([1]);
  });
});

describe('is left to the bus, and nothing is done meanwhile or it is done once:', () => {
  test('a batch in which a handler throws; there the fault is its own', async () => {
    const { direct, onBus, sums, bench } = open();
    expect(await direct.ask([request('one', 1), request('bad', 13)])).toEqual([undefined, undefined]);
    expect(sums).toEqual([]);
    expect(await onBus(request('one', 1), request('bad', 13))).toEqual([done(1), expect.objectContaining({ type: 'refused', code: 'DB_INTERNAL' })]);
    expect(await bench.parking.list(10)).toHaveLength(1);
  });

  test('what takes longer than its bound; it is told by the bus what it came to', async () => {
    const gate = Promise.withResolvers<void>();
    const { direct, onBus, sums, bench } = open({
      answer: async (requests, tx) => {
        await gate.promise;
        return requests.map(({ body: { by } }) => ({ outcome: { type: 'done', value: tx.sums.push(by) } }));
      },
    });
    const asking = direct.ask([request('slow', 1)]);
    await new Promise((resolve) => setImmediate(resolve));
    bench.clock.pass(500);
    expect(await asking).toEqual([undefined]);
    gate.resolve();
    expect(await onBus(request('slow', 1))).toEqual([done(1)]);
    expect(sums).toEqual([1]);
  });

  test('what a store apart answers', async () => {
    const elsewhere = createMemoryAnswerStore<Tx>(() => ({ sums: [] }));
    const { direct } = open({ apart: { storesOf: (requests) => requests.map(({ id }) => (id === 'far' ? elsewhere : undefined)), away: () => ({ type: 'refused', code: 'AWAY', message: 'away', fault: 'transient' }) } });
    expect(await direct.ask([request('far', 1), request('near', 2)])).toEqual([undefined, done(1)]);
  });

  test('what owes more than its answer, which leaves with it', async () => {
    const { direct, onBus, bench } = open({ answer: async (requests) => requests.map(({ id }) => ({ outcome: { type: 'done', value: 1 }, effects: [{ topic: 'db-to-all.news', key: id, value: '1' }] })) });
    expect(await direct.ask([request('one', 1)])).toEqual([undefined]);
    expect(await onBus(request('one', 1))).toEqual([done(1)]);
    expect(bench.published.map(({ topic }) => topic)).toEqual(['db-to-all.news', replyTo.topic]);
  });
});

describe('requests that are asked at once', () => {
  /** A store that does one kind of work in one statement: to add what is not there. */
  const openAtOnce = (more: Partial<Answering<{ by: number }, number, Tx>> = {}) => {
    const foresee: Answering<{ by: number }, number, Tx>['foresee'] = (requests) => ({ write: requests.map(({ body: { by } }) => by), answered: requests.map(() => ({ outcome: { type: 'done', value: 0 } })) });
    return open({ foresee, ...more });
  };

  test('are all done with the answers that were foreseen, and told so when they come again', async () => {
    const { direct, onBus, sums } = openAtOnce();
    expect(await direct.askAtOnce([request('one', 1), request('two', 2)])).toEqual([done(0), done(0)]);
    expect(sums).toEqual([1, 2]);
    expect(await onBus(request('two', 2), request('one', 1))).toEqual([done(0), done(0)]);
    expect(await direct.ask([request('one', 5)])).toEqual([expect.objectContaining({ code: 'DB_REQUEST_CHANGED' })]);
    expect(sums).toEqual([1, 2]);
  });

  test('are none of them done where one was answered before, or is there twice, or cannot be foreseen, or is of a store apart', async () => {
    const { direct, sums } = openAtOnce();
    await direct.ask([request('one', 1)]);
    expect(await direct.askAtOnce([request('one', 1), request('two', 2)])).toBeUndefined();
    expect(await direct.askAtOnce([request('three', 3), request('three', 3)])).toBeUndefined();
    expect(sums).toEqual([1]);
    const unforeseen = open();
    expect(await unforeseen.direct.askAtOnce([request('one', 1)])).toBeUndefined();
    const elsewhere = createMemoryAnswerStore<Tx>(() => ({ sums: [] }));
    const apart = openAtOnce({ apart: { storesOf: (requests) => requests.map(({ id }) => (id === 'far' ? elsewhere : undefined)), away: () => ({ type: 'refused', code: 'AWAY', message: 'away', fault: 'transient' }) } });
    expect(await apart.direct.askAtOnce([request('near', 1), request('far', 1)])).toBeUndefined();
    expect([...unforeseen.sums, ...apart.sums]).toEqual([]);
  });

  test('are joint with a save where they can be, and where their store cannot be told they are not', async () => {
    const { direct, sums } = openAtOnce();
    expect(await direct.joint!([request('one', 1), request('two', 2)])).toEqual({ joint: [1, 2] });
    expect(sums).toEqual([]);
    const storesOf = (): never => {
      throw new Error('the vaults are away');
    };
    const away = openAtOnce({ apart: { storesOf, away: () => ({ type: 'refused', code: 'AWAY', message: 'away', fault: 'transient' }) } });
    expect(await away.direct.joint!([request('one', 1)])).toBeUndefined();
    expect(await open().direct.joint!([request('one', 1)])).toBeUndefined();
  });

  test('that owe more than their answers are told nothing, so that it leaves by way of the bus', async () => {
    const owed = { topic: 'db-to-all.news', key: 'one', value: '1' };
    const { direct, onBus, bench } = openAtOnce({ foresee: (requests) => ({ write: [], answered: requests.map(() => ({ outcome: { type: 'done', value: 0 }, effects: [owed] })) }) });
    expect(await direct.askAtOnce([request('one', 1)])).toBeUndefined();
    expect(await onBus(request('one', 1))).toEqual([done(0)]);
    expect(bench.published[0]).toEqual(owed);
  });
});
