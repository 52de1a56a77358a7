/** Lanes of requests whose answers are kept elsewhere: what they hold up, and what they do not. */
import { expect, test } from 'vitest';
import type { Delivery } from '../../src/messages/grammar/envelope.ts';
import { silentLog } from '../../src/observability/log.ts';
import { createLanes } from '../../src/shell/apart.ts';
import type { AnswerStore } from '../../src/shell/store.ts';

// Of a delivery, lanes look at nothing.
const request = (id: string): Delivery<unknown> => ({ id }) as Delivery<unknown>;
const idsOf = (requests: readonly Delivery<unknown>[]): string[] => requests.map(({ id }) => id);
const storeOf = (): AnswerStore<unknown> => ({ transact: () => Promise.reject(new Error('not asked')) });
class Away extends Error {
  readonly operational = true;
}

const open = (answer: (ids: string[]) => Promise<void>) => {
  const stores = new Map([['a', storeOf()], ['b', storeOf()]]);
  const told: string[] = [];
  let delivered = Promise.withResolvers<void>();
  const lanes = createLanes({
    apart: { storesOf: (requests) => requests.map(({ id }) => stores.get(id[0]!)), away: () => ({ type: 'refused', code: 'AWAY', message: 'away', fault: 'transient' }) },
    requestsMax: 2,
    waitingMax: 3,
    answer: async (_store, requests) => {
      await answer(idsOf(requests));
      told.push(...idsOf(requests));
    },
    refuse: (requests) => void told.push(...idsOf(requests).map((id) => `${id} away`)),
    deliver: async () => {
      delivered.resolve();
      delivered = Promise.withResolvers();
    },
    giveBack: (requests) => void told.push(...idsOf(requests).map((id) => `${id} back`)),
    log: silentLog,
  });
  return { told, take: (...ids: string[]) => lanes.take(ids.map(request)), next: () => delivered.promise };
};

test('a lane that waits holds up neither the others nor what is here, and what is too much for it is answered at once', async () => {
  const gate = Promise.withResolvers<void>();
  const { told, take, next } = open(async ([first]) => (first!.startsWith('a') ? gate.promise : undefined));
  const others = next();
  expect(idsOf(await take('a1', 'here', 'b1'))).toEqual(['here']);
  await others;
  expect(told).toEqual(['b1']);
  expect(idsOf(await take('a2', 'a3', 'a4', 'a5'))).toEqual([]);
  expect(told).toEqual(['b1', 'a5 away']);
  const done = next().then(next).then(next);
  gate.resolve();
  await done;
  expect(told.slice(2)).toEqual(['a1', 'a2', 'a3', 'a4']);
});

test('a store that is away is answered for, and a fault of ours goes to the loop, with the requests', async () => {
  let fault: Error = new Away('the database is away');
  const { told, take, next } = open(() => Promise.reject(fault));
  const first = next();
  await take('a1');
  await first;
  expect(told).toEqual(['a1 away']);
  fault = new TypeError('a fault');
  const second = next();
  await take('a2');
  await second;
  expect(told).toEqual(['a1 away', 'a2 back']);
  await expect(take('a2')).rejects.toThrow('a fault');
  expect(told).toHaveLength(2);
});
