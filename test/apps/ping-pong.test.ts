import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { bundleProject } from '../../src/packaging/build/bundle.ts';
import { readProject } from '../../src/packaging/build/project.ts';
import { startableFlow, type StandardSchema } from '../../src/flow-sdk/flow-sdk.ts';
import { alice, bob, runInSandbox } from '../flow-sdk/run-in-sandbox.ts';
import { createNetwork } from '../flow-sdk/two-party.ts';
import type { SandboxAnswer } from '../flow-sdk/sandbox-thread.ts';
import * as application from './ping-pong/flows.ts';

const project = fileURLToPath(new URL('./ping-pong', import.meta.url));
const flows = Object.values(application);
const order = { otherMember: bob, item: 'tea', quantity: 12 };
const bundleBytesMax = 40 * 1024;

describe('the sample application, bundled and in the sandbox', () => {
  let answer: SandboxAnswer;
  beforeAll(async () => {
    answer = await runInSandbox(project, {
      entity: 'com.cordage.samples.Order',
      runs: [
        { member: alice, flow: 'com.cordage.samples.Greet', input: { otherMember: bob } },
        { member: alice, flow: 'com.cordage.samples.PlaceOrder', input: order },
        { member: alice, flow: 'com.cordage.samples.PlaceOrder', input: { ...order, quantity: 101 } },
        { member: bob, flow: 'com.cordage.samples.FindOrders', input: { item: 'tea' } },
        { member: bob, flow: 'com.cordage.samples.FindOrders', input: { item: 'coffee' } },
        { member: alice, flow: 'com.cordage.samples.Greet', input: { other: bob } },
      ],
    });
  });

  test('greets, and is greeted back', () => {
    expect(answer.outcomes[0]).toEqual({ result: 'Hello Alice, best wishes from Bob' });
  });

  test('places an order that both sides store with both signatures', () => {
    const { orderId, status } = JSON.parse((answer.outcomes[1] as { result: string }).result) as { orderId: string; status: string };
    expect(status).toBe('ACCEPTED');
    const [atAlice, atBob] = answer.vaults;
    expect(Object.keys(atAlice!)).toEqual([orderId]);
    expect(atAlice).toEqual(atBob);
    expect(atAlice![orderId]).toMatchObject({ buyer: alice, seller: bob, item: 'tea', quantity: 12, buyerSignature: { spec: 'EdDSA' }, sellerSignature: { spec: 'EdDSA' } });
  });

  test('declines what the seller does not deliver, with the reason', () => {
    expect(JSON.parse((answer.outcomes[2] as { result: string }).result)).toMatchObject({ status: 'DECLINED', reason: 'at most 100 pieces of one thing' });
  });

  test('finds orders by their fields', () => {
    expect(JSON.parse((answer.outcomes[3] as { result: string }).result)).toMatchObject([{ buyer: alice, seller: bob, item: 'tea', quantity: 12 }]);
    expect(answer.outcomes[4]).toEqual({ result: '[]' });
  });

  test('refuses a request that is not one', () => {
    expect(answer.outcomes[5]).toMatchObject({ error: { name: 'FlowPlatformError', message: expect.stringContaining('otherMember') } });
  });

  test(`fits into ${bundleBytesMax / 1024} KiB`, async () => {
    expect((await bundleProject(readProject(project))).code.length).toBeLessThan(bundleBytesMax);
  });
});

describe('its seller', () => {
  const carol = 'CN=Carol, O=Carol, L=Rome, C=IT';
  const ordersOf = 'com.cordage.samples.Order';
  const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };

  /** A stranger's flow: sends what it is told to under the sample's protocol. */
  const forge = startableFlow({
    name: 'test.Forge',
    protocol: application.placeOrder.declaration.protocol!,
    run: async (ctx, proposal) => await ctx.initiate(bob).sendAndReceive(proposal, anything),
  });

  test('declines orders that their sender did not make and sign', async () => {
    const network = await createNetwork([alice, bob, carol], [...flows, forge]);
    await network.run(carol, 'com.cordage.samples.PlaceOrder', order);
    // The test reads what the sample stored a moment ago.
    const { buyerSignature, sellerSignature, ...made } = JSON.parse([...network.vault(bob, ordersOf).values()][0]!) as Record<string, unknown>;
    const reasonFor = async (proposed: object, signature: unknown): Promise<unknown> => JSON.parse((await network.run(alice, 'test.Forge', { order: proposed, signature }))!);

    expect(await reasonFor(made, buyerSignature)).toEqual({ type: 'declined', reason: 'the order names another buyer than who sent it' });
    expect(await reasonFor({ ...made, buyer: alice }, buyerSignature)).toEqual({ type: 'declined', reason: 'the signature is not yours' });
    expect(await reasonFor({ ...made, buyer: alice, seller: carol }, sellerSignature)).toEqual({ type: 'declined', reason: 'the order is for another seller' });
    expect(network.vault(bob, ordersOf).size).toBe(1);
  });

  test("fails a session that does not speak the protocol's language", async () => {
    const network = await createNetwork([alice, bob], [...flows, forge]);
    await expect(network.run(alice, 'test.Forge', { order: 'tea' })).rejects.toMatchObject({ code: 'SESSION_ERROR' });
    expect(network.vault(bob, ordersOf).size).toBe(0);
  });
});
