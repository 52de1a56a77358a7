/**
 * A client uses its request id again after its flow was removed, while the rooms that answered the earlier flow still remember it: the
 * later flow is another one. Flow, db and crypto rooms are the real ones, over memory.
 */
import { describe, expect, test } from 'vitest';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { entity, responderFlow, startableFlow, type StandardSchema } from '../../../src/flow-sdk/flow-sdk.ts';
import { allToLinkManagerSend } from '../../../src/messages/all-to-link-manager.send.ts';
import { allToFlowAnswer } from '../../../src/messages/all-to-flow.answer.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { testNetwork } from '../../../src/testing/testing.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { testApp } from './app.ts';
import { bundleOf } from './world/bundle.ts';
import { identityOf, nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';

const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
const protocol = { name: 'test.again', versions: [1] };
const tallies = entity<{ readonly id: string; readonly count: number }>({ name: 'Tally', id: ({ id }) => id });
const marks = entity<{ readonly id: string }>({ name: 'Mark', id: ({ id }) => id });

type Context = Parameters<Parameters<typeof startableFlow>[0]['run']>[0];

/** Reads, and writes what it has read and one more. */
const countOne = async (ctx: Context): Promise<number> => {
  const count = ((await ctx.db.find(tallies, 'all'))?.count ?? 0) + 1;
  await ctx.db.merge(tallies, { id: 'all', count });
  return count;
};

const orders = startableFlow({
  name: 'test.Orders',
  protocol,
  run: async (ctx, input) => {
    const id = ctx.uuid();
    await ctx.db.persist(marks, { id });
    const here = await countOne(ctx);
    const there = await ctx.initiate(String(input)).sendAndReceive('one more', anything);
    const { signature } = await ctx.crypto.sign(id);
    return { id, here, there, signature, chance: ctx.random() };
  },
});

const takes = responderFlow({
  name: 'test.Takes',
  protocol,
  run: async (ctx, session) => {
    await session.receive(anything);
    await ctx.db.persist(marks, { id: ctx.uuid() });
    await session.send(await countOne(ctx));
  },
});

/** Two lives, each with an id of its own. */
const lives = startableFlow({
  name: 'test.Lives',
  run: async (ctx, input) => {
    await ctx.db.persist(marks, { id: ctx.uuid() });
    if (input === 'first') await ctx.continueAs('second');
  },
});

const app = { orders, takes, lives };
const keepMs = 60_000;
/** A flow that a session began outlives its message. */
const afterwards = { minutes: 15 };
const options = { clientRequestId: 'order-1' };

describe('a client request id that is used again after its flow was removed', () => {
  test('does its work again, at both ends, and is told what came of it this time', async () => {
    await using network = await testNetwork({ app, members: ['Alice', 'Bob'], limits: { endedKeepMs: keepMs } });
    const { alice, bob } = network;
    const results = [];
    for (const nth of [1, 2, 3]) {
      const flow = await alice.start(orders, bob.name, options);
      const result = await flow.result();
      expect(result).toMatchObject({ here: nth, there: nth });
      results.push(result);
      await network.advance(afterwards);
      expect(await alice.flows()).toEqual([]);
      expect(await bob.flows()).toEqual([]);
    }
    for (const drawn of ['id', 'signature', 'chance'] as const) expect(new Set(results.map((result) => result[drawn])).size, drawn).toBe(results.length);
    for (const { vault } of [alice, bob]) {
      expect(await vault.find(tallies, 'all')).toEqual({ id: 'all', count: results.length });
      expect(await vault.all(marks)).toHaveLength(results.length);
    }
  });

  test('draws other ids though the flow continues as another run each time', async () => {
    await using network = await testNetwork({ app, members: ['Alice'], limits: { endedKeepMs: keepMs } });
    for (const nth of [1, 2]) {
      await (await network.alice.start(lives, 'first', options)).result();
      expect(await network.alice.vault.all(marks)).toHaveLength(2 * nth);
      await network.advance(afterwards);
    }
  });

  test('is told no answer that was for the earlier flow and comes late', async () => {
    const asked: OutRecord[] = [];
    const world = await createWorld({
      members: ['Alice'],
      app: await testApp(),
      sandbox: () => createTrustingSandbox(),
      limits: { endedKeepMs: keepMs },
      route: (record) => {
        if (record.topic !== flowToDbEntity.topic) return [record];
        asked.push(record);
        return [];
      },
    });
    const { shortHash } = identityOf('Alice');
    const key = flowIdOf(shortHash, 'k');
    const answer = async ({ value }: OutRecord, id: string): Promise<void> => {
      const { id: requestId } = JSON.parse(value) as { id: string };
      const items = [{ id, json: JSON.stringify({ id, text: id }) }];
      world.deliver('Alice', encode(allToFlowAnswer, { key, id: `${requestId}/answer`, body: { requestId, outcome: { type: 'done', value: { items } } } }));
      await world.settle();
    };
    world.start('Alice', 'test.Two', 'x', 'k', 'first');
    await world.settle();
    world.deliver('Alice', encode(restToFlowKill, { key, id: 'kill', body: { shortHash, clientRequestId: 'k', killedBy: 'admin' } }));
    await world.settle();
    await world.advance(keepMs);
    world.start('Alice', 'test.Two', 'x', 'k', 'second');
    await world.settle();
    expect(asked).toHaveLength(2);
    await answer(asked[0]!, 'of before');
    expect(asked).toHaveLength(2);
    await answer(asked[1]!, 'its own');
    expect(asked).toHaveLength(3);
  });
});

test('a replica that still has the earlier flow in memory does not go on with it when the later one comes to it', async () => {
  const source = `export const flows = [startableFlow({ name: 'test.Waits', run: async (ctx, input) => { await ctx.sleep(1_000); return input; } })];`;
  const world = await createWorld({ members: ['Alice'], app: { code: await bundleOf(source), flows: [{ name: 'test.Waits', kind: 'startable' }] }, sandbox: () => createTrustingSandbox(), limits: { endedKeepMs: keepMs } });
  const { shortHash } = identityOf('Alice');
  const room = world.rooms.get('Alice')!;
  world.start('Alice', 'test.Waits', 'the first', 'k', 'first');
  await world.settle();
  room.rebalance();
  world.deliver('Alice', encode(restToFlowKill, { key: flowIdOf(shortHash, 'k'), id: 'kill', body: { shortHash, clientRequestId: 'k', killedBy: 'admin' } }));
  await world.settle();
  await world.advance(keepMs);
  world.start('Alice', 'test.Waits', 'the second', 'k', 'second');
  await world.settle();
  room.rebalance();
  await world.advance(1_000);
  expect(world.statusOf('Alice', 'k')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'the second' });
});

describe('a session that a counterparty begins with a flow that was removed', () => {
  const source = `
const tally = entity<{ id: string; count: number }>({ name: 'Tally', id: (one) => one.id });
const protocol = { name: 'test.again', versions: [1] };
export const flows = [
  startableFlow({ name: 'test.Tells', protocol, run: async (ctx, input) => { await ctx.initiate(String(input)).send('one more'); } }),
  responderFlow({ name: 'test.Counts', protocol, run: async (ctx, session) => {
    await session.receive(any);
    const count = ((await ctx.db.find(tally, 'all'))?.count ?? 0) + 1;
    await ctx.db.merge(tally, { id: 'all', count });
  } }),
];`;
  const flows = [
    { name: 'test.Tells', kind: 'startable' as const },
    { name: 'test.Counts', kind: 'responder' as const, protocol: { name: 'test.again', versions: [1] } },
  ];

  test('meets the flow while copies of its message may be about; later a copy is told what it was told, and another message is not', async () => {
    const messageTtlMs = 100_000;
    const world = await createWorld({ members: ['Alice', 'Bob'], app: { code: await bundleOf(source), flows }, sandbox: () => createTrustingSandbox(), limits: { endedKeepMs: keepMs, messageTtlMs } });
    await world.run('Alice', 'test.Tells', nameOf('Bob'));
    const { value } = world.published.find(({ topic }) => topic === allToLinkManagerSend.topic)!;
    const { id, body } = JSON.parse(value) as { id: string; body: BodyOf<typeof allToLinkManagerSend> };
    const { messageId, groupId, source: from, destination, payload, receiverKey } = body;
    const bobs = world.rooms.get('Bob')!.states;
    const comesAs = async (recordId: string): Promise<string | undefined> => {
      world.deliver('Bob', encode(linkManagerToFlowReceive, { key: receiverKey, id: recordId, body: { type: 'message', messageId, groupId, source: from, destination, payload } }));
      await world.settle();
      return world.vault('Bob').get('Tally/all');
    };
    const isThere = async (): Promise<boolean> => (await bobs.load([receiverKey])).some(({ head }) => head !== null);
    const tallyOf = (count: number): string => JSON.stringify({ id: 'all', count });

    await world.advance(keepMs);
    expect(await isThere()).toBe(true);
    expect(await comesAs('another')).toBe(tallyOf(1));
    await world.advance(2 * messageTtlMs);
    expect(await isThere()).toBe(false);
    // A record that was published twice.
    expect(await comesAs(id)).toBe(tallyOf(1));
    expect(await isThere()).toBe(true);
    await world.advance(2 * messageTtlMs);
    expect(await comesAs('another')).toBe(tallyOf(2));
  });
});
