import { expect, test } from 'vitest';
import { Reader } from '../../src/bus/embedded-broker/reader.ts';

test('what a reader takes in one turn is handed out before the next turn begins, also when a turn fails', async () => {
  const reader = new Reader();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow = reader.inTurn(async () => {
    order.push('slow begins');
    await gate.promise;
    throw new Error('disk');
  });
  const quick = reader.inTurn(async () => void order.push('quick'));
  const outcomes = Promise.allSettled([slow.catch(() => order.push('slow fails')), quick]);
  expect(order).toEqual(['slow begins']);
  gate.resolve();
  await outcomes;
  await reader.inTurn(async () => void order.push('later'));
  expect(order.sort()).toEqual(['later', 'quick', 'slow begins', 'slow fails']);
});
