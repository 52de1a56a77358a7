import { describe, expect, test } from 'vitest';
import { BusError } from '../../src/bus/bus.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { shellLimits, type ShellLimits } from '../../src/shell/config.ts';
import { createMemoryStateStore } from '../../src/shell/memory-store.ts';
import { createTimers } from '../../src/shell/timers.ts';
import { wakeWire } from './ledger.ts';
import { change } from './store-contract.ts';
import { WorldClock } from './world.ts';

const createWorld = (changes: Partial<ShellLimits> = {}) => {
  const clock = new WorldClock();
  const start = clock.now();
  const inner = createMemoryStateStore();
  const asked: number[] = [];
  const published: OutRecord[] = [];
  const faults = { due: false, publish: false };
  const limits = shellLimits({ wakeAskMsMin: 5, wakeRereadMs: 30_000, wakeRepeatMs: 10_000, wakeBacklogMs: 200, ...changes });
  const states = {
    ...inner,
    due: async (now: number, countMax: number) => {
      asked.push(now - start);
      if (faults.due) throw Object.assign(new Error('away'), { operational: true });
      return inner.due(now, countMax);
    },
  };
  const publish = async (records: readonly OutRecord[]) => {
    if (faults.publish) throw new BusError('BUS_UNREACHABLE', 'away');
    published.push(...records);
    return [];
  };
  const timers = createTimers({ room: 'flow', wire: wakeWire, states, publish, clock, log: silentLog, metrics: createMetrics(), limits, random: () => 0 });
  const versions = new Map<string, number>();
  return {
    clock,
    asked,
    published,
    faults,
    timers,
    /** As the batch does: saves, and tells the timers. */
    save: async (key: string, dueIn: number | null): Promise<void> => {
      const dueAt = dueIn === null ? null : start + dueIn;
      await inner.save([change(key, versions.get(key) ?? 0, { dueAt })]);
      versions.set(key, (versions.get(key) ?? 0) + 1);
      timers.saved([{ key, dueAt }]);
    },
    /** Saved by another replica: nobody tells these timers. */
    saveElsewhere: async (key: string, dueIn: number): Promise<void> => {
      await inner.save([change(key, 0, { dueAt: start + dueIn })]);
      versions.set(key, 1);
    },
    pass: async (ms: number): Promise<void> => {
      clock.pass(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
    woken: (): string[] => published.map(({ key, value }) => `${key}@${(JSON.parse(value) as { body: { dueAt: number } }).body.dueAt - start}`),
  };
};

describe('timers', () => {
  test('a key is woken when it is due, not before', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.save('a', 1_000);
    await world.pass(999);
    expect(world.woken()).toEqual([]);
    await world.pass(1);
    expect(world.woken()).toEqual(['a@1000']);
  });

  test('the wake record has the key of the state and an id derived from key and time', async () => {
    const world = createWorld();
    await world.saveElsewhere('a', 0);
    await world.saveElsewhere('b', 0);
    world.timers.start();
    await world.pass(0);
    const other = createWorld();
    await other.saveElsewhere('a', 0);
    other.timers.start();
    await other.pass(0);
    expect(world.published.map(({ topic, key }) => [topic, key])).toEqual([[wakeWire.topic, 'a'], [wakeWire.topic, 'b']]);
    expect(other.published[0]).toEqual(world.published[0]);
    expect(world.published[0]!.value).not.toBe(world.published[1]!.value);
  });

  test('when nothing is due the store is asked at the bounded interval only', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    for (let i = 0; i < 600; i++) await world.pass(100);
    expect(world.asked).toEqual([0, 30_000, 60_000]);
  });

  test('a due time that moved away costs one question and wakes nobody', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.save('a', 1_000);
    await world.save('a', 5_000);
    await world.pass(1_000);
    expect(world.woken()).toEqual([]);
    await world.pass(4_000);
    expect(world.woken()).toEqual(['a@5000']);
    expect(world.asked).toEqual([0, 1_000, 5_000]);
  });

  test('a sooner due time moves the timer forward', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.save('late', 20_000);
    await world.save('soon', 50);
    await world.pass(50);
    expect(world.woken()).toEqual(['soon@50']);
  });

  test('a wake that is not handled is published again after the named delay, and one that is handled is not', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.save('a', 100);
    await world.save('b', 100);
    await world.pass(100);
    await world.save('b', null);
    await world.pass(9_000);
    expect(world.woken()).toEqual(['a@100', 'b@100']);
    await world.pass(1_000);
    expect(world.woken()).toEqual(['a@100', 'b@100', 'a@100']);
  });

  test('a key whose replica died is found at the next interval', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.saveElsewhere('orphan', 500);
    await world.pass(29_999);
    expect(world.woken()).toEqual([]);
    await world.pass(1);
    expect(world.woken()).toEqual(['orphan@500']);
  });

  test('more due keys than one page are all woken', async () => {
    const world = createWorld({ wakeKeysPerAskMax: 10 });
    for (let i = 0; i < 25; i++) await world.saveElsewhere(`k${i}`, i);
    await world.pass(100);
    world.timers.start();
    await world.pass(0);
    expect(world.woken()).toHaveLength(10);
    for (let page = 0; page < 2; page++) {
      for (const { key } of world.published.slice(page * 10)) await world.save(key, null);
      await world.pass(200);
    }
    expect(world.woken()).toEqual(Array.from({ length: 25 }, (_, i) => `k${i}@${i}`));
  });

  test('when the store or the bus is away the timers say so, and go on when it is back', async () => {
    for (const what of ['due', 'publish'] as const) {
      const world = createWorld();
      world.faults[what] = true;
      await world.saveElsewhere('a', 0);
      world.timers.start();
      await world.pass(0);
      expect(world.timers.fault()).toBeInstanceOf(Error);
      world.faults[what] = false;
      await world.pass(50);
      expect(world.timers.fault()).toBeUndefined();
      expect(world.woken()).toEqual(['a@0']);
    }
  });

  test('stopped timers ask nothing any more', async () => {
    const world = createWorld();
    world.timers.start();
    await world.pass(0);
    await world.timers.stop();
    await world.save('a', 10);
    await world.pass(60_000);
    expect(world.asked).toEqual([0]);
  });
});
