import { expect, test } from 'vitest';
import { createBoundedCache } from '../../src/cipher/bounded-cache.ts';

test('a cache holds no more than its bound, and what is used all the time outlives what is not', () => {
  const cache = createBoundedCache<number>(10);
  cache.set('used', 0);
  for (let i = 1; i <= 100; i++) {
    cache.set(String(i), i);
    expect(cache.get('used')).toBe(0);
  }
  const kept = Array.from({ length: 100 }, (_, i) => String(i + 1)).filter((key) => cache.get(key) !== undefined);
  expect(kept).toEqual(['92', '93', '94', '95', '96', '97', '98', '99', '100']);
});

test('a key that is set again has its new value and is the last to go', () => {
  const cache = createBoundedCache<string>(2);
  cache.set('one', 'old');
  cache.set('two', 'kept');
  cache.set('one', 'new');
  cache.set('three', 'kept');
  expect([cache.get('one'), cache.get('two'), cache.get('three')]).toEqual(['new', undefined, 'kept']);
});
