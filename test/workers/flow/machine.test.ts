/** The machine's steps, without threads: who may start what, whose messages are believed, and that a step repeated is the same step. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { incarnationOf, originOf, responderFlowIdOf, sessionIdOf } from '../../../src/identity/derive.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import { allToFlowAnswer } from '../../../src/messages/all-to-flow.answer.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import type { SessionMessage } from '../../../src/messages/flow-to-flow.session.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { Machine, StepInput, StepOutput } from '../../../src/shell/worker.ts';
import { requestIdOf } from '../../../src/workers/flow/engine/external.ts';
import { createFlowWorker, createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { testApp } from './app.ts';
import { groupId, identityOf, nameOf } from './world/identities.ts';
import { createWorld, startIdOf, viewsOf } from './world/world.ts';
import type { App, World } from './world/world.ts';

let app: App;
let world: World;
const sandbox = createTrustingSandbox();
beforeAll(async () => void (app = await testApp()));
beforeEach(async () => void (world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => sandbox })));
afterAll(() => sandbox.close());

const lastAnswer = () => world.answers.at(-1)?.outcome;
const mapOf = (view: object): Map<string, unknown> => (view as { map: Map<string, unknown> }).map;

describe('a start', () => {
  test('is accepted; its repeat gets the same answer, another start of the same id is a duplicate', async () => {
    world.start('Alice', 'test.Echo', 1, 'one', 'm1');
    await world.settle();
    const accepted = lastAnswer();
    expect(accepted).toMatchObject({ type: 'done', value: { type: 'accepted', timestamp: world.clock.time } });
    world.clock.time += 5_000;
    world.start('Alice', 'test.Echo', 1, 'one', 'm1');
    await world.settle();
    expect(lastAnswer()).toEqual(accepted);
    world.start('Alice', 'test.Echo', 2, 'one', 'm2');
    await world.settle();
    expect(lastAnswer()).toMatchObject({ type: 'done', value: { type: 'duplicate' } });
    expect(world.statuses.map(({ flowStatus }) => flowStatus)).toEqual(['COMPLETED']);
  });

  test('of two that come together, one is accepted', async () => {
    world.start('Alice', 'test.Echo', 1, 'one', 'm1');
    world.start('Alice', 'test.Echo', 2, 'one', 'm2');
    await world.settle();
    expect(world.answers.map(({ outcome }) => outcome.type === 'done' && (outcome.value as { type: string }).type)).toEqual(['accepted', 'duplicate']);
    expect(world.statuses.at(-1)).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '1' });
  });

  test('of a class that REST may not start is refused with those it may', async () => {
    for (const name of ['test.Pong', 'test.Inner', 'test.Missing']) {
      world.start('Alice', name, 1, name);
      await world.settle();
      expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_CLASS_NOT_STARTABLE', details: { startableFlows: expect.stringMatching(/^test.Echo,test.Throw,/) as unknown } });
    }
    expect(world.statuses).toEqual([]);
  });

  test('at a virtual node that is not here, or in maintenance, is refused', async () => {
    const { virtualNodes } = world.rooms.get('Alice')!.views;
    const { shortHash } = identityOf('Alice');
    const node = virtualNodes.get(shortHash)!;
    mapOf(virtualNodes).set(shortHash, { ...node, flowStartOperationalStatus: 'INACTIVE' });
    world.start('Alice', 'test.Echo', 1, 'one');
    await world.settle();
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_VIRTUAL_NODE_IN_MAINTENANCE' });
    mapOf(virtualNodes).delete(shortHash);
    world.start('Alice', 'test.Echo', 1, 'one');
    await world.settle();
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_VIRTUAL_NODE_NOT_FOUND' });
  });

  test('whose code is not here yet waits for it', async () => {
    const { cpks } = world.rooms.get('Alice')!.views;
    const [[key, chunk]] = [...mapOf(cpks)] as [[string, unknown]];
    mapOf(cpks).clear();
    let refreshes = 0;
    (cpks as { refresh: () => Promise<void> }).refresh = async () => {
      if (++refreshes === 2) mapOf(cpks).set(key, chunk);
    };
    expect(await world.run('Alice', 'test.Echo', 'late')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'late' });
    expect(refreshes).toBe(2);
    expect(world.answers).toHaveLength(1);
  });
});

describe('a message from another member', () => {
  const alice = nameOf('Alice');
  const bob = nameOf('Bob');
  const initiatorFlowId = '00000000-0000-8000-8000-000000000001';
  const sessionId = sessionIdOf(initiatorFlowId, 0);
  const responderId = responderFlowIdOf(groupId, bob, alice, sessionId);
  const init = { protocol: 'test.ping', versions: [1], initiatorFlowId, initiatorFlowClassName: 'x', context: {} };
  const first: SessionMessage = { v: 1, sessionId, sender: 'initiator', seq: 1, init, content: { type: 'data', json: '"ping"' } };

  type Given = { key?: string; source?: string; destination?: string; group?: string; message?: unknown };
  let count = 0;
  const receive = async ({ key = responderId, source = alice, destination = bob, group = groupId, message = first }: Given): Promise<void> => {
    const messageId = `m${++count}`;
    const payload = typeof message === 'string' ? message : JSON.stringify(message);
    world.deliver('Bob', encode(linkManagerToFlowReceive, { key, id: messageId, body: { type: 'message', messageId, groupId: group, source, destination, payload } }));
    await world.settle();
  };
  const stateOfBob = (): Promise<readonly unknown[]> => world.rooms.get('Bob')!.states.load([responderId, initiatorFlowId]);
  const sent = () => world.published.filter(({ topic }) => topic === 'all-to-link-manager.send').map(({ value }) => JSON.parse((JSON.parse(value) as { body: { payload: string } }).body.payload) as SessionMessage);
  const refusals = () => world.logged.filter(({ event }) => event === 'flow-session-message-refused').map(({ reason }) => reason);

  test.each<[string, Given, string]>([
    ['is not JSON', { message: '{' }, 'the payload is not a session message'],
    ['is no session message', { message: { v: 1 } }, 'the payload is not a session message'],
    ['comes under the key of another flow', { key: initiatorFlowId }, 'the key is not the flow id that answers this session between these members'],
    ['comes from another source than its session', { source: nameOf('Eve') }, 'the key is not the flow id that answers this session between these members'],
    ['belongs to another group', { group: 'other' }, 'the key is not the flow id that answers this session between these members'],
    ['is for a virtual node that is not here', { destination: nameOf('Carol'), key: responderFlowIdOf(groupId, nameOf('Carol'), alice, sessionId) }, 'the destination is no virtual node of this cluster'],
    ['carries too much context', { message: { ...first, init: { ...init, context: Object.fromEntries([...Array(121).keys()].map((i) => [i, ''])) } } }, 'the context has more than 120 properties'],
  ])('that %s is refused: logged, counted, no state, no answer', async (_, given, reason) => {
    await receive(given);
    expect(refusals()).toEqual([reason]);
    expect(world.metricsText()).toMatch(/cordage_flow_events_total\{event="flow-session-message-refused"\} 1/);
    expect(await stateOfBob()).toEqual([]);
    expect(sent()).toEqual([]);
  });

  test('that continues a session nobody holds is answered with an error, once for each, to the flow it names', async () => {
    const later = { ...first, init: undefined, seq: 2, senderFlowId: initiatorFlowId };
    await receive({ message: later });
    expect(sent()).toMatchObject([{ content: { type: 'error', code: 'SESSION_UNKNOWN' } }]);
    const record = JSON.parse(world.published.at(-1)!.value) as { body: { receiverKey: string; destination: string } };
    expect(record.body).toMatchObject({ receiverKey: initiatorFlowId, destination: alice });
    await receive({ message: { ...later, content: { type: 'error', code: 'X', message: 'x' } } });
    await receive({ message: { ...later, content: { type: 'close' } } });
    await receive({ message: { ...first, init: undefined, seq: 2 } });
    expect(sent()).toHaveLength(1);
  });

  test('for a virtual node in maintenance is refused to the sender', async () => {
    const { virtualNodes } = world.rooms.get('Bob')!.views;
    const { shortHash } = identityOf('Bob');
    mapOf(virtualNodes).set(shortHash, { ...virtualNodes.get(shortHash)!, flowP2pOperationalStatus: 'INACTIVE' });
    await receive({});
    expect(sent()).toMatchObject([{ sessionId, sender: 'responder', content: { type: 'error', code: 'SESSION_REFUSED' } }]);
    expect(await stateOfBob()).toEqual([]);
  });

  test('to a session that is held is believed from its counterparty alone', async () => {
    await receive({ message: { ...first, content: { type: 'data', json: '"hold"' } } });
    const [before] = await stateOfBob();
    const next: SessionMessage = { v: 1, sessionId, sender: 'initiator', seq: 2, content: { type: 'close' } };
    await receive({ source: nameOf('Eve'), message: next });
    await receive({ message: { ...next, sender: 'responder' } });
    await receive({ message: { ...next, sessionId: sessionIdOf(initiatorFlowId, 1) } });
    await receive({ destination: alice, message: next });
    expect(refusals()).toEqual(Array(4).fill('the message does not belong to a session of this flow with this source'));
    const [after] = await stateOfBob();
    expect((after as { head: unknown }).head).toEqual((before as { head: unknown }).head);
  });

  test('to a flow that has ended is answered with an error, a repeat of one that it took is not', async () => {
    await receive({ message: first });
    const count = sent().length;
    await receive({ message: first });
    expect(sent()).toHaveLength(count);
    await receive({ message: { ...first, init: undefined, seq: 2, senderFlowId: initiatorFlowId } });
    expect(sent().slice(count)).toMatchObject([{ sender: 'responder', content: { type: 'error', code: 'SESSION_UNKNOWN' } }]);
    expect(world.logged.some(({ event }) => event === 'flow-session-message-late')).toBe(true);
  });

  test('starts its flow once, however often it comes', async () => {
    await receive({ message: { ...first, content: { type: 'data', json: '"hold"' } } });
    await receive({ message: { ...first, content: { type: 'data', json: '"hold"' } } });
    expect(world.logged.filter(({ event }) => event === 'flow-started')).toHaveLength(1);
    expect(world.logged.filter(({ event }) => event === 'flow-session-message-repeated')).toHaveLength(1);
  });

  test('beyond what may wait costs its sender the session', async () => {
    world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => sandbox, limits: { sessionUnreadMax: 3 } });
    await receive({ message: { ...first, content: { type: 'data', json: '"hold"' } } });
    for (let seq = 10; seq < 16; seq++) await receive({ message: { ...first, init: undefined, seq } });
    expect(sent()).toMatchObject([{ content: { type: 'error', code: 'SESSION_OVERFLOW' } }]);
  });

  test('carries context that becomes the responder’s, the platform’s under another name', async () => {
    await receive({ message: { ...first, init: { ...init, context: { 'corda.account': 'x', 'corda.initiator.y': 'y', mine: 'z' } }, content: { type: 'data', json: '"hold"' } } });
    const [state] = await stateOfBob();
    const { key } = state as { key: string };
    const [item] = (await world.rooms.get('Bob')!.states.loadItems([key])).get(key)!;
    expect((item as { value: { start: { context: unknown } } }).value.start.context).toEqual({
      'corda.initiator.account': 'x',
      'corda.initiator.y': 'y',
      mine: 'z',
      'corda.account': 'account-zero',
      'corda.cpiName': 'app',
      'corda.cpiVersion': '1',
      'corda.cpiSignerSummaryHash': 'SHA-256:00',
      'corda.cpiFileChecksum': 'C'.repeat(64),
      'corda.cpkFileChecksum.0': 'A'.repeat(64),
      'corda.initialPlatformVersion': '50200',
      'corda.initialSoftwareVersion': '0.1.0',
    });
  });
});

describe('an answer', () => {
  test('that is late, repeated or nobody’s changes nothing', async () => {
    const { flowId } = await world.run('Alice', 'test.Two', 'x');
    const before = await world.rooms.get('Alice')!.states.load([flowId!]);
    const origin = originOf(flowId!, incarnationOf(startIdOf('run-0')));
    for (const requestId of [`${origin}/0`, `${origin}/77`, `${flowId}/0`, 'nonsense', `${origin}/0/0`, `${origin}/-1`]) {
      world.deliver('Alice', encode(allToFlowAnswer, { key: flowId!, id: `${requestId}/answer`, body: { requestId, outcome: { type: 'done', value: {} } } }));
    }
    await world.settle();
    const [after] = await world.rooms.get('Alice')!.states.load([flowId!]);
    expect(after!.head).toEqual(before[0]!.head);
    expect(await world.rooms.get('Alice')!.parking.list(10)).toEqual([]);
  });
});

describe('a step', () => {
  type FlowMachine = Machine<any, any, any>;
  const machine = (): FlowMachine => createFlowWorker({ views: viewsOf(['Alice'], [], app), sandbox: createTrustingSandbox(), log: silentLog, metrics: createMetrics() }).machine!;
  const next = (output: StepOutput<any, any> | undefined) => {
    if (output?.type !== 'next') throw new Error(JSON.stringify(output));
    return output;
  };
  const startEvent = (key: string) => ({
    type: 'start',
    key,
    id: 'm1',
    replyTo: { topic: 'all-to-rest.answer', key: 'r', partition: 0 },
    body: { holdingIdentity: identityOf('Alice'), clientRequestId: 'one', flowClassName: 'test.Two', requestBody: '"x"', startedBy: 'admin' },
  });

  test('repeated from the same head gives the same head, journal and effects (W3), although memory has gone on (H3)', async () => {
    const { flowId: key } = await world.run('Alice', 'test.Two', 'x');
    const id = world.published[0] === undefined ? '' : key!;
    const event = { ...startEvent(id), body: { ...startEvent(id).body, clientRequestId: 'run-0' } };
    const first = machine();
    const begin: StepInput<any, any, any> = { key: id, head: undefined, items: undefined, events: [event] };
    const begun = next((await first.step([begin], 10))[0]);
    expect(next((await first.step([begin], 10))[0])).toEqual(begun);
    expect(next((await machine().step([begin], 10))[0])).toEqual(begun);

    const answered = [{ type: 'answer', requestId: requestIdOf(begun.head, 0), outcome: { type: 'done', value: { items: [] } } }];
    const again = (one: FlowMachine): Promise<readonly StepOutput<any, any>[]> => {
      const items = one.needsItems!(id, begun.head, answered) ? begun.itemsAdded : undefined;
      return one.step([{ key: id, head: begun.head, items, events: answered }], 20);
    };
    expect(first.needsItems!(id, begun.head, answered)).toBe(false);
    const stepped = next((await again(first))[0]);
    // Memory is one turn ahead of this head now.
    expect(first.needsItems!(id, begun.head, answered)).toBe(true);
    expect(next((await again(first))[0])).toEqual(stepped);
    expect(next((await again(machine()))[0])).toEqual(stepped);
    first.forget!([id]);
    expect(next((await again(first))[0])).toEqual(stepped);
  });

  test('of a flow that began before flows had incarnations goes on under the ids that it had', async () => {
    const { flowId: key } = await world.run('Alice', 'test.Two', 'x');
    const event = { ...startEvent(key!), body: { ...startEvent(key!).body, clientRequestId: 'run-0' } };
    const begun = next((await machine().step([{ key: key!, head: undefined, items: undefined, events: [event] }], 10))[0]);
    const { incarnation, ...head } = begun.head;
    const items = JSON.parse(JSON.stringify(begun.itemsAdded).replace(`,"incarnation":"${incarnation}"`, '')) as typeof begun.itemsAdded;
    expect(items).not.toEqual(begun.itemsAdded);
    const answered = [{ type: 'answer', requestId: `${key}/0`, outcome: { type: 'done', value: { items: [] } } }];
    const stepped = next((await machine().step([{ key: key!, head, items, events: answered }], 20))[0]);
    expect(stepped.effects.map(({ value }) => (JSON.parse(value) as { id: string }).id)).toEqual([`${key}/1`]);
  });

  test('for a flow that is not here and is not loaded asks to be tried again', async () => {
    const { flowId: key } = await world.run('Alice', 'test.Sleep', 1_000);
    const [{ head } = { head: undefined }] = await world.rooms.get('Alice')!.states.load([key!]);
    const [output] = await machine().step([{ key: key!, head, items: undefined, events: [{ type: 'wake' }] }], world.clock.time + 1_000);
    expect(output).toEqual({ type: 'later', reason: 'the flow left memory; it is rebuilt from its journal' });
  });

  test('over a journal that lacks items fails that flow, and says so', async () => {
    const { flowId: key } = await world.run('Alice', 'test.Sleep', 1_000);
    const [{ head } = { head: undefined }] = await world.rooms.get('Alice')!.states.load([key!]);
    const [output] = await machine().step([{ key: key!, head, items: [], events: [{ type: 'wake' }] }], world.clock.time + 1_000);
    expect(next(output).head).toMatchObject({ status: 'FAILED', error: { type: 'PLATFORM_ERROR', message: 'FLOW_JOURNAL_CORRUPT: items of the journal are missing' } });
  });

  test('keeps the head small: it does not grow with the journal', async () => {
    world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => sandbox });
    const sizes: number[] = [];
    for (const count of [10, 500]) {
      const { flowId } = await world.run('Alice', 'test.Stream', { count });
      const [state] = await world.rooms.get('Alice')!.states.load([flowId!]);
      sizes.push(JSON.stringify(state!.head).length);
    }
    expect(Math.abs(sizes[1]! - sizes[0]!)).toBeLessThan(2_500);
  });
});

describe('a query', () => {
  const query = async (body: object) => {
    const { states } = world.rooms.get('Alice')!;
    const worker = createFlowWorker({ views: world.rooms.get('Alice')!.views, sandbox, log: silentLog, metrics: createMetrics(), limits: { queryCharsMax: 3_000 } });
    const delivery = { key: 'x', id: 'q', body, record: { topic: 'x', key: 'x', partition: 0, offset: 0, timestamp: 0, value: '' } };
    const [answered] = await worker.answers![0]!.answer([delivery], { states }, 0);
    return (answered!.outcome as { value: { flows: { flowStatus: string; flowResult: string | null }[] } }).value.flows;
  };
  const { shortHash } = identityOf('Alice');

  test('finds a flow by its client request id', async () => {
    await world.run('Alice', 'test.Echo', 'x');
    expect(await query({ type: 'status', shortHash, clientRequestId: 'run-0' })).toMatchObject([{ flowStatus: 'COMPLETED', flowResult: 'x', clientRequestId: 'run-0' }]);
    expect(await query({ type: 'status', shortHash, clientRequestId: 'other' })).toEqual([]);
  });

  test('lists a virtual node’s flows, newest first, by status, and what fits in one answer', async () => {
    for (const [flow, input] of [['test.Echo', 'one'], ['test.Throw', 1], ['test.Echo', 'two']] as const) {
      world.clock.time += 1;
      await world.run('Alice', flow, input);
    }
    expect((await query({ type: 'list', shortHash, countMax: 10 })).map(({ flowResult }) => flowResult)).toEqual(['two', null, 'one']);
    expect(await query({ type: 'list', shortHash, status: 'FAILED', countMax: 10 })).toHaveLength(1);
    for (let i = 0; i < 10; i++) await world.run('Alice', 'test.Echo', 'x'.repeat(1_000));
    expect(await query({ type: 'list', shortHash, countMax: 10 })).toHaveLength(2);
  });
});
