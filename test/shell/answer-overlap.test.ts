/** Batches of an independent wire: they overlap, repeats are found by the conflict of their answers, and no crash or zombie does anything twice. */
import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { encode, type Answer, type Outcome } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wire } from '../../src/messages/grammar/wire.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createAnswerBatch } from '../../src/shell/answer-batch.ts';
import { shellLimits } from '../../src/shell/config.ts';
import type { Batch } from '../../src/shell/machine-batch.ts';
import { createMemoryParkingLot } from '../../src/shell/memory-store.ts';
import { isOperational } from '../../src/shell/operational.ts';
import type { AnswerStore, StoredAnswer, StoredAnswers } from '../../src/shell/store.ts';
import type { Answering } from '../../src/shell/worker.ts';
import { createRandom, type Random } from '../simulation/random.ts';
import { createBench, type Bench } from './bench.ts';
import { gated, partitionCount, Scheduler, WorldBus, WorldClock, type Life, type WorldConsumer } from './world.ts';

const addWire = wire({
  topic: 'flow-to-db.add',
  from: ['flow'],
  to: ['db'],
  key: 'the list that is added to',
  retention: 'log',
  version: 1,
  body: z.object({ word: z.string() }),
  reply: z.object({ place: z.number() }),
});
const answerTopic = 'all-to-flow.answer';
const away = Object.assign(new Error('away'), { operational: true });
/** The next turn of the event loop: what can move by itself has moved then. */
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const request = (key: string, id: string): OutRecord => encode(addWire, { key, id, body: { word: id }, replyTo: { topic: answerTopic, key } });

type Tx = { readonly add: (key: string, word: string) => Promise<number> };

/** Lists of words under READ COMMITTED: what a transaction adds is seen when it ends, and an answer that is stored already ends it. */
const createLists = () => {
  const lists = new Map<string, string[]>();
  const stored = new Map<string, StoredAnswer>();
  const tried: string[][] = [];
  const run = async <Result>(gate: () => Promise<void>, work: (tx: Tx, answers: StoredAnswers) => Promise<Result>): Promise<Result> => {
    for (;;) {
      const words: [string, string][] = [];
      const added: StoredAnswer[] = [];
      const tx: Tx = {
        add: async (key, word) => {
          words.push([key, word]);
          return (lists.get(key) ?? []).length + words.filter(([list]) => list === key).length;
        },
      };
      const result = await work(tx, {
        find: async (ids) => (await gate(), ids.flatMap((id) => stored.get(id) ?? [])),
        add: async (more) => void added.push(...more),
      });
      tried.push(words.map(([, word]) => word));
      await gate();
      if (added.some(({ requestId }) => stored.has(requestId))) continue;
      for (const [key, word] of words) lists.set(key, [...(lists.get(key) ?? []), word]);
      for (const one of added) stored.set(one.requestId, one);
      return result;
    }
  };
  /** `gate` is passed before a look and before the end. */
  const open = (gate: () => Promise<void>): AnswerStore<Tx> => ({ transact: (work) => run(gate, work) });
  return { lists, tried, open, answers: open(async () => {}) };
};

const adding: Answering<{ word: string }, { place: number }, Tx> = {
  wire: addWire,
  isIndependent: true,
  answer: (requests, tx) => Promise.all(requests.map(async ({ key, body }) => ({ outcome: { type: 'done' as const, value: { place: await tx.add(key, body.word) } } }))),
};

const open = (bench: Bench, answers: AnswerStore<any>, answering: Answering<any, any, any> = adding): Batch =>
  createAnswerBatch({
    room: 'db',
    answering,
    answers,
    parking: bench.parking,
    publish: bench.publish,
    commit: bench.commit,
    clock: bench.clock,
    log: silentLog,
    metrics: bench.metrics,
    limits: bench.limits,
  });

const toldIn = (records: readonly OutRecord[]): [string, Outcome][] =>
  records.flatMap(({ topic, value }) => {
    if (topic !== answerTopic) return [];
    const { requestId, outcome } = (JSON.parse(value) as { body: Answer }).body;
    return [[requestId, outcome]];
  });
const place = (at: number): Outcome => ({ type: 'done', value: { place: at } });

/** Transactions that wait until they are let go. */
const createHeld = () => {
  const waiting: (() => void)[] = [];
  const lists = createLists();
  const answers = lists.open(() => new Promise<void>((resolve) => void waiting.push(resolve)));
  const until = async (count: number): Promise<void> => {
    while (waiting.length < count) await nextTurn();
  };
  return { answers, waiting, until };
};

describe('batches of an independent wire overlap', () => {
  test('while one is in its transaction the next is in its own, and ends before it', async () => {
    const bench = createBench();
    const { answers, waiting, until } = createHeld();
    const batch = open(bench, answers);
    expect(batch.atOnceMax).toBeGreaterThan(1);
    const first = batch.handleBatch(bench.append(request('a', 'a1')));
    await until(1);
    const second = batch.handleBatch(bench.append(request('b', 'b1')));
    await until(2);
    waiting[1]!();
    await second;
    expect(toldIn(bench.published)).toEqual([['b1', place(1)]]);
    waiting[0]!();
    await first;
    expect(toldIn(bench.published)).toEqual([['b1', place(1)], ['a1', place(1)]]);
  });

  test('a key is in one of them at a time, and nothing of it is committed before its answer is out', async () => {
    const bench = createBench();
    const { answers, waiting, until } = createHeld();
    const batch = open(bench, answers);
    const first = batch.handleBatch(bench.append(request('a', 'a1')));
    await until(1);
    await batch.handleBatch(bench.append(request('a', 'a2')));
    expect(waiting).toHaveLength(1);
    await batch.committed();
    expect([...bench.committed.values()].every((offset) => offset === 0)).toBe(true);
    expect(batch.heldCount()).toBe(2);
    expect(batch.readyAt()).toBeUndefined();
    waiting[0]!();
    await until(2);
    waiting[1]!();
    await first;
    await batch.committed();
    expect(toldIn(bench.published)).toEqual([['a1', place(1)], ['a2', place(2)]]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('what one could not publish is committed by none, however far the others are', async () => {
    const bench = createBench();
    const { answers } = createLists();
    const batch = open(bench, answers);
    bench.faults.publish = () => {
      throw away;
    };
    const records = bench.append(request('a', 'a1'), request('b', 'b1'));
    await expect(batch.handleBatch(records.slice(0, 1))).rejects.toBe(away);
    bench.faults.publish = (sent) => {
      if (sent.some(({ key }) => key === 'a')) throw away;
    };
    await expect(batch.handleBatch(records.slice(1))).rejects.toBe(away);
    expect(bench.committed.size).toBe(0);
    delete bench.faults.publish;
    await batch.handleBatch([]);
    await batch.committed();
    expect(toldIn(bench.published)).toEqual([['a1', place(1)], ['b1', place(1)]]);
    expect(bench.redelivered()).toEqual([]);
  });

  test('a wire that does not say so has one batch at a time', () => {
    const { isIndependent: _, ...other } = adding;
    expect(open(createBench(), createLists().answers, other).atOnceMax).toBe(1);
  });
});

describe('repeats on an independent wire', () => {
  test('nothing is looked for as long as none comes; one that comes is undone, and told what it was told before (W3)', async () => {
    const bench = createBench();
    const { answers, lists, tried } = createLists();
    await open(bench, answers).handleBatch(bench.append(request('a', 'a1')));
    await open(bench, answers).handleBatch(bench.append(request('a', 'a1'), request('b', 'b1')));
    expect(tried).toEqual([['a1'], ['a1', 'b1'], ['b1']]);
    expect(Object.fromEntries(lists)).toEqual({ a: ['a1'], b: ['b1'] });
    expect(toldIn(bench.published)).toEqual([['a1', place(1)], ['a1', place(1)], ['b1', place(1)]]);
  });

  test('one that the handler stumbles over is still a repeat, and no fault', async () => {
    const bench = createBench();
    const { answers, lists } = createLists();
    const once: typeof adding = {
      ...adding,
      answer: async (requests, tx, now) => {
        if (requests.some(({ key, id }) => lists.get(key)?.includes(id))) throw new Error('it is there already');
        return adding.answer(requests, tx, now);
      },
    };
    await open(bench, answers, once).handleBatch(bench.append(request('a', 'a1')));
    await open(bench, answers, once).handleBatch(bench.append(request('a', 'a1')));
    expect(toldIn(bench.published)).toEqual([['a1', place(1)], ['a1', place(1)]]);
    expect(await bench.parking.list(10)).toEqual([]);
  });
});

// ── Crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const keys = ['a', 'b', 'c', 'd', 'e'] as const;
const limits = shellLimits({ answerBatchesAtOnceMax: 3, recordsPerPollMax: 4 });
const faultyTurns = 400;

type Faults = { readonly crash: number; readonly rebalance: number; readonly fail: number };
type World = { readonly lists: ReadonlyMap<string, readonly string[]>; readonly told: readonly [string, Outcome][]; readonly parked: number };

/** Some requests are asked twice, as an asker does that crashed. */
const drawRequests = (random: Random, count: number): OutRecord[] =>
  Array.from({ length: count }, (_, i) => request(random.pick(keys), `r${i}`)).flatMap((one) => (random.chance(0.2) ? [one, one] : [one]));

const runWorld = async (seed: number, requests: readonly OutRecord[], faults: Faults): Promise<World> => {
  const random = createRandom(seed);
  const scheduler = new Scheduler(random);
  const bus = new WorldBus(random);
  const parking = createMemoryParkingLot();
  const clock = new WorldClock();
  let calm = false;
  const fails = (): boolean => !calm && random.chance(faults.fail);
  const { lists, open: openLists } = createLists();
  const replicas: { life: Life; consumer: WorldConsumer }[] = [];
  const start = (): void => {
    const life: Life = { dead: false };
    const { publish, consumer } = bus.connect(life, scheduler, [addWire.topic]);
    // The transaction of a replica that dies never ends.
    const answers = openLists(() => scheduler.pass(life));
    const mine: AnswerStore<Tx> = {
      transact: async (work) => {
        if (fails()) throw away;
        const result = await answers.transact(work);
        await scheduler.pass(life);
        // Committed, but nobody here knows.
        if (fails()) throw away;
        return result;
      },
    };
    const batch = createAnswerBatch({ room: 'db', answering: adding, answers: mine, parking: gated(parking, life, scheduler, fails), publish, commit: consumer.commit, clock, log: silentLog, metrics: createMetrics(), limits });
    const loop = async (): Promise<void> => {
      const underWay = new Set<Promise<void>>();
      let failed = false;
      const attempt = async (work: () => Promise<void>): Promise<void> => {
        try {
          await work();
        } catch (error) {
          if (!isOperational(error)) throw error;
          failed = true;
        }
      };
      while (!life.dead) {
        if (failed) {
          await Promise.all(underWay);
          failed = false;
          await attempt(() => batch.handleBatch([]));
        } else if (underWay.size >= batch.atOnceMax) await Promise.race(underWay);
        else {
          await attempt(async () => {
            const records = await consumer.poll({ recordsMax: limits.recordsPerPollMax, timeoutMs: 0 });
            const handling = attempt(() => batch.handleBatch(records)).then(() => void underWay.delete(handling));
            underWay.add(handling);
          });
        }
      }
    };
    void loop();
    replicas.push({ life, consumer });
  };
  start();
  start();
  for (let partition = 0; partition < partitionCount; partition++) bus.assign(partition, replicas[0]!.consumer);
  const unpublished = [...requests];
  for (let turn = 0; ; turn++) {
    if (unpublished.length > 0 && random.chance(0.2)) bus.append(unpublished.splice(0, 1 + random.below(6)));
    calm = turn > faultyTurns && unpublished.length === 0;
    bus.publishFails = calm ? 0 : faults.fail;
    bus.commitFails = calm ? 0 : faults.fail;
    if (!calm && random.chance(faults.crash)) {
      random.pick(replicas).life.dead = true;
      start();
    }
    const living = replicas.filter(({ life }) => !life.dead);
    for (let partition = 0; partition < partitionCount; partition++) {
      if (bus.group.owners.get(partition)!.life.dead || (!calm && random.chance(faults.rebalance))) bus.assign(partition, random.pick(living).consumer);
    }
    await scheduler.turn();
    if (calm && turn % 20 === 0 && bus.uncommitted([addWire.topic]) === 0) break;
    if (turn > 30_000) throw new Error(`seed ${seed} does not come to its end: ${bus.uncommitted([addWire.topic])} requests uncommitted`);
  }
  for (const { life } of replicas) life.dead = true;
  return { lists, told: toldIn(bus.records(answerTopic)), parked: (await parking.list(1_000)).length };
};

const seeds = 40;
const kinds: readonly { readonly name: string; readonly faults: Faults }[] = [
  { name: 'crashes', faults: { crash: 0.02, rebalance: 0, fail: 0 } },
  { name: 'rebalances with zombies', faults: { crash: 0, rebalance: 0.02, fail: 0 } },
  { name: 'all of it, and failing bus and database', faults: { crash: 0.01, rebalance: 0.01, fail: 0.05 } },
];

describe('whatever happens, every request is done once, in the order of its key, and told one outcome', () => {
  for (const { name, faults } of kinds) {
    test(`${name} (${seeds} seeds)`, { timeout: 60_000 }, async () => {
      for (let seed = 1; seed <= seeds; seed++) {
        const requests = drawRequests(createRandom(seed), 30);
        const { lists, told, parked } = await runWorld(seed, requests, faults);
        const wanted = Map.groupBy([...new Set(requests.map((one) => (JSON.parse(one.value) as { id: string }).id))], (id) => requests.find(({ value }) => value.includes(`"${id}"`))!.key);
        for (const [key, ids] of wanted) {
          expect(new Set(lists.get(key)), `seed ${seed}`).toEqual(new Set(ids));
          expect(lists.get(key), `seed ${seed}`).toHaveLength(ids.length);
        }
        const outcomes = Map.groupBy(told, ([id]) => id);
        expect(outcomes.size, `seed ${seed}`).toBe([...wanted.values()].flat().length);
        for (const [id, all] of outcomes) expect(new Set(all.map(([, outcome]) => JSON.stringify(outcome))).size, `seed ${seed}, ${id}`).toBe(1);
        expect(parked, `seed ${seed}`).toBe(0);
      }
    });
  }
});
