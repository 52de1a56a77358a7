import { expect, test } from 'vitest';
import type { Clock } from '../../../src/host/clock.ts';
import { createLeaseCache } from '../../../src/workers/crypto/lease-cache.ts';

/** Time that passes when told to. */
const createHandClock = (): Clock & { advance(ms: number): void; readonly waiting: number } => {
  let now = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  return {
    now: () => now,
    after: (delayMs, callback) => {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: (ms) => {
      now += ms;
      for (const timer of timers) {
        if (timer.at > now) continue;
        timers.delete(timer);
        timer.callback();
      }
    },
    get waiting() {
      return timers.size;
    },
  };
};

const secret = () => {
  const made = { wiped: 0, wipe: () => void made.wiped++ };
  return made;
};

test('a secret is wiped when its time is up, without anybody asking for it', () => {
  const clock = createHandClock();
  const cache = createLeaseCache({ countMax: () => 10, ageMsMax: () => 100, clock });
  const [one, other] = [secret(), secret()];
  cache.put('one', one).end();
  clock.advance(60);
  cache.put('other', other).end();
  expect(cache.lease('one')?.value).toBe(one);
  cache.lease('one')!.end();
  clock.advance(40);
  expect(cache.lease('one')).toBeUndefined();
  expect(other.wiped).toBe(0);
  clock.advance(60);
  expect(other.wiped).toBe(1);
  expect(clock.waiting).toBe(0);
});

test('use does not prolong a secret', () => {
  const clock = createHandClock();
  const cache = createLeaseCache({ countMax: () => 10, ageMsMax: () => 100, clock });
  const one = secret();
  cache.put('one', one).end();
  for (let i = 0; i < 9; i++) {
    clock.advance(10);
    cache.lease('one')!.end();
  }
  clock.advance(10);
  expect(one.wiped).toBe(1);
});

test('a secret on lease is wiped only when its last lease ends', () => {
  const clock = createHandClock();
  const cache = createLeaseCache({ countMax: () => 10, ageMsMax: () => 100, clock });
  const one = secret();
  const first = cache.put('one', one);
  const second = cache.lease('one')!;
  clock.advance(200);
  expect(one.wiped).toBe(0);
  first.end();
  first.end();
  expect(one.wiped).toBe(0);
  second.end();
  expect(one.wiped).toBe(1);
});

test('the one put longest ago goes when there are too many', () => {
  const cache = createLeaseCache({ countMax: () => 2, ageMsMax: () => 100, clock: createHandClock() });
  const secrets = [secret(), secret(), secret()];
  for (const [i, one] of secrets.entries()) cache.put(String(i), one).end();
  expect(secrets.map(({ wiped }) => wiped)).toEqual([1, 0, 0]);
  expect(cache.lease('0')).toBeUndefined();
});

test('the second of two under one name is wiped, and the first leased', () => {
  const cache = createLeaseCache({ countMax: () => 2, ageMsMax: () => 100, clock: createHandClock() });
  const [one, other] = [secret(), secret()];
  cache.put('name', one).end();
  expect(cache.put('name', other).value).toBe(one);
  expect([one.wiped, other.wiped]).toEqual([0, 1]);
});

test('closing wipes everything and stops the clock', () => {
  const clock = createHandClock();
  const cache = createLeaseCache({ countMax: () => 10, ageMsMax: () => 100, clock });
  const [one, leased] = [secret(), secret()];
  cache.put('one', one).end();
  const lease = cache.put('leased', leased);
  cache.close();
  expect([one.wiped, leased.wiped, clock.waiting]).toEqual([1, 0, 0]);
  lease.end();
  expect(leased.wiped).toBe(1);
});
