/** Whatever strangers put into a message or a bundle, the room answers with a refusal and goes on. */
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { incarnationOf, originOf, responderFlowIdOf, sessionIdOf } from '../../../src/identity/derive.ts';
import { allToFlowAnswer } from '../../../src/messages/all-to-flow.answer.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import { operationOf, requestIdOf } from '../../../src/workers/flow/engine/external.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { testApp } from './app.ts';
import { groupId, nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World } from './world/world.ts';

let app: App;
beforeAll(async () => void (app = await testApp()));

const alice = nameOf('Alice');
const bob = nameOf('Bob');
const initiatorFlowId = '00000000-0000-8000-8000-000000000001';
const sessionId = sessionIdOf(initiatorFlowId, 0);
const key = responderFlowIdOf(groupId, bob, alice, sessionId);
const valid = {
  v: 1,
  sessionId,
  sender: 'initiator',
  seq: 1,
  init: { protocol: 'test.ping', versions: [1], initiatorFlowId, initiatorFlowClassName: 'x', context: { a: 'b' } },
  content: { type: 'data', json: '"hold"' },
};

/** A valid message with one of its places replaced by anything. */
const places = [['v'], ['sessionId'], ['sender'], ['seq'], ['init'], ['content'], ['init', 'protocol'], ['init', 'versions'], ['init', 'initiatorFlowId'], ['init', 'context'], ['content', 'type'], ['content', 'json'], ['senderFlowId'], ['version']];
const put = (value: unknown, [name, ...rest]: string[], by: unknown): unknown => {
  if (name === undefined) return by;
  const object = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return { ...object, [name]: put(object[name], rest, by) };
};
const nearly = fc.tuple(fc.constantFrom(...places), fc.oneof(fc.jsonValue(), fc.constantFrom(0, -1, 2, Number.MAX_SAFE_INTEGER, '', 'close', 'error', 'responder', initiatorFlowId))).map(([place, by]) => put(valid, place, by));
const payload = fc.oneof(fc.string(), fc.json(), nearly.map((message) => JSON.stringify(message)));
const name = fc.constantFrom(alice, bob, nameOf('Eve'), 'not a name', '');

const sane = async (world: World): Promise<void> => {
  for (const room of world.rooms.values()) expect(await room.parking.list(10)).toEqual([]);
  expect(await world.run('Bob', 'test.Echo', 'still here')).toMatchObject({ flowResult: 'still here' });
};

describe('strangers', () => {
  test('cannot stop the room with any message, believed or not', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ payload, source: name, destination: name, key: fc.constantFrom(key, initiatorFlowId) }), { minLength: 1, maxLength: 5 }), async (messages) => {
        const world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox() });
        messages.forEach(({ payload: text, source, destination, key: to }, i) => {
          // The link manager hands on canonical names only; an empty one is no record of its wire.
          if (source === '' || destination === '') return;
          world.deliver('Bob', encode(linkManagerToFlowReceive, { key: to, id: `m${i}`, body: { type: 'message', messageId: `m${i}`, groupId, source, destination, payload: text } }));
        });
        await world.settle();
        await sane(world);
      }),
      { numRuns: 60 },
    );
  });

  test('cannot begin a flow without the right source, key and protocol', async () => {
    await fc.assert(
      fc.asyncProperty(nearly, name, fc.constantFrom(key, initiatorFlowId), async (message, source, to) => {
        fc.pre(source !== '');
        const world = await createWorld({ members: ['Bob'], app, sandbox: () => createTrustingSandbox() });
        world.deliver('Bob', encode(linkManagerToFlowReceive, { key: to, id: 'm', body: { type: 'message', messageId: 'm', groupId, source, destination: bob, payload: JSON.stringify(message) } }));
        await world.settle();
        const { sessionId: named, sender, init } = message as typeof valid;
        const started = world.logged.some(({ event }) => event === 'flow-started');
        if (started) expect({ source, to, named, sender, protocol: init.protocol }).toEqual({ source: alice, to: key, named: sessionId, sender: 'initiator', protocol: 'test.ping' });
      }),
      { numRuns: 60 },
    );
  });

  test('news of undelivered messages and answers that name nothing change nothing', async () => {
    const odd = fc.oneof(fc.string({ maxLength: 50 }), fc.constantFrom(`${sessionId}/initiator/1`, `${sessionId}/responder/1`, `${sessionId}/responder/x`, '//', `${key}/0`));
    await fc.assert(
      fc.asyncProperty(odd, async (id) => {
        const world = await createWorld({ members: ['Bob'], app, sandbox: () => createTrustingSandbox() });
        world.deliver('Bob', encode(linkManagerToFlowReceive, { key, id: 'm', body: { type: 'undelivered', messageId: id, groupId, source: bob, destination: alice, reason: 'x' } }));
        world.deliver('Bob', encode(allToFlowAnswer, { key, id: 'a', body: { requestId: id, outcome: { type: 'done', value: null } } }));
        await world.settle();
        expect(await world.rooms.get('Bob')!.states.load([key])).toEqual([]);
        await sane(world);
      }),
      { numRuns: 40 },
    );
  });

  test('a request id names an operation of its own flow and incarnation, or nothing', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.option(fc.string().map(incarnationOf), { nil: undefined }), fc.nat({ max: 999_999_999 }), fc.string(), (flowId, incarnation, op, other) => {
        const flow = { flowId, incarnation };
        expect(operationOf(flow, requestIdOf(flow, op))).toBe(op);
        for (const another of [{ flowId }, { flowId, incarnation: incarnationOf(other) }]) {
          if (another.incarnation !== incarnation) expect(operationOf(flow, requestIdOf(another, op))).toBeUndefined();
        }
        fc.pre(!other.startsWith(`${originOf(flowId, incarnation)}/`));
        expect(operationOf(flow, other)).toBeUndefined();
      }),
    );
  });
});
