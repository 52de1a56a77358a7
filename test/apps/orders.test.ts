/** The sample application's orders under a test network: what its author would test. */
import { describe, expect, test } from 'vitest';
import { testNetwork } from '../../src/testing/testing.ts';
import { findOrders, placeOrder } from './ping-pong/flows.ts';

const open = () => testNetwork({ app: new URL('./ping-pong/', import.meta.url), members: ['Alice', 'Bob'] });
const tea = { item: 'tea', quantity: 12 };

describe('an order', () => {
  test('stands in both vaults, once, whatever crashes on the way', async () => {
    await using network = await open();
    network.faults.crashAlways('alice');
    network.faults.crashAt('bob', 'stepped', 2);
    network.faults.duplicateNext({}, 3);
    const flow = await network.alice.start(placeOrder, { otherMember: network.bob.name, ...tea });
    const { orderId, status } = await flow.result();
    expect(status).toBe('ACCEPTED');
    for (const node of [network.alice, network.bob]) {
      const found = await node.start(findOrders, { item: 'tea' });
      expect(await found.result()).toEqual([{ id: orderId, buyer: network.alice.name, seller: network.bob.name, ...tea }]);
    }
  });

  test('is not stored by the buyer when the seller cannot store it', async () => {
    await using network = await open();
    network.faults.refuseNext('bob', 'db');
    const flow = await network.alice.start(placeOrder, { otherMember: network.bob.name, ...tea });
    expect(await flow.failure()).toMatchObject({ type: 'FLOW_FAILED', message: expect.stringContaining('SESSION_ERROR') });
    const found = await network.alice.start(findOrders, { item: 'tea' });
    expect(await found.result()).toEqual([]);
  });
});
