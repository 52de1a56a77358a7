/** How flows end that do not end by themselves: killed, cleaned up, failed by the platform and driven again. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { flowIdOf, incarnationOf } from '../../../src/identity/derive.ts';
import { allToFlowAnswer } from '../../../src/messages/all-to-flow.answer.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { restToFlowRedrive } from '../../../src/messages/rest-to-flow.redrive.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { requestIdOf } from '../../../src/workers/flow/engine/external.ts';
import { createFlowSandbox, createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { identityOf, nameOf } from './world/identities.ts';
import { createWorld, startIdOf } from './world/world.ts';
import type { App, World, WorldOptions } from './world/world.ts';

const source = `
const protocol = { name: 'test.end', versions: [1] };
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const bob = '${nameOf('Bob')}';
const caught = async (work: () => Promise<unknown>): Promise<unknown> => work().catch((error: any) => error.code + ': ' + error.message);
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, protocol, run });
export const flows = [
  startable('test.Talk', async (ctx) => { const session = ctx.initiate(bob); await session.send('hold'); return await session.receive(any); }),
  startable('test.Find', async (ctx) => caught(async () => (await ctx.db.find(note, 'a'))?.text ?? 'nothing')),
  startable('test.Sleep', async (ctx, ms) => { await ctx.sleep(ms); return 'slept'; }),
  startable('test.TalkAndSleep', async (ctx) => { const session = ctx.initiate(bob); await session.send('answer'); await ctx.sleep(1000); return await session.receive(any); }),
  startable('test.HoldAndSleep', async (ctx) => { const session = ctx.initiate(bob); await session.send('hold'); await ctx.sleep(1000); }),
  startable('test.Spin', async (ctx) => { for (;;); }),
  startable('test.TalkAndSpin', async (ctx) => { const session = ctx.initiate(bob); await session.send('hold'); await ctx.db.find(note, 'x'); for (;;); }),
  startable('test.Throw', async () => { throw new Error('no'); }),
  startable('test.Large', async () => 'x'.repeat(300000)),
  responderFlow({ name: 'test.Answer', protocol, run: async (ctx, session) => {
    const said = await session.receive(any);
    if (said === 'answer') return await session.send('answered');
    await ctx.db.merge(note, { id: 'told', text: await caught(() => session.receive(any)) });
  } }),
];`;
const protocol = { name: 'test.end', versions: [1] };
let app: App;
let world: World;
const worldOf = (options: Partial<WorldOptions> = {}): Promise<World> => createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), ...options });
beforeAll(async () => {
  const names = ['Talk', 'Find', 'Sleep', 'TalkAndSleep', 'HoldAndSleep', 'Spin', 'TalkAndSpin', 'Throw', 'Large'];
  app = {
    code: await bundleOf(source),
    flows: [...names.map((name) => ({ name: `test.${name}`, kind: 'startable' as const, protocol })), { name: 'test.Answer', kind: 'responder', protocol }],
  };
});
beforeEach(async () => void (world = await worldOf()));

const { shortHash } = identityOf('Alice');
const replyTo = { topic: 'all-to-rest.answer', key: 'rest', partition: 0 };
const mapOf = (view: object): Map<string, any> => (view as { map: Map<string, any> }).map;
const lastAnswer = (): Outcome | undefined => world.answers.at(-1)?.outcome;
const stateOf = async (id: string) => (await world.rooms.get('Alice')!.states.load([flowIdOf(shortHash, id)]))[0];
const toldBob = (): string | undefined => world.vault('Bob').get('Note/told');

const kill = async (id: string, messageId = `kill-${id}`): Promise<void> => {
  world.deliver('Alice', encode(restToFlowKill, { key: flowIdOf(shortHash, id), id: messageId, body: { shortHash, clientRequestId: id, killedBy: 'admin' }, replyTo }));
  await world.settle();
};
const redrive = async (id: string, messageId = `redrive-${id}`): Promise<void> => {
  world.deliver('Alice', encode(restToFlowRedrive, { key: flowIdOf(shortHash, id), id: messageId, body: { shortHash, clientRequestId: id, redrivenBy: 'admin' }, replyTo }));
  await world.settle();
};
const begin = async (flow: string, id: string, input: unknown = null): Promise<void> => {
  world.start('Alice', flow, input, id);
  await world.settle();
};

describe('a flow that is killed', () => {
  test('is KILLED for good, and its counterparty is told without a reason', async () => {
    await begin('test.Talk', 'k');
    await kill('k');
    expect(world.statusOf('Alice', 'k')).toMatchObject({ flowStatus: 'KILLED', flowResult: null, flowError: { type: 'FLOW_KILLED', message: 'the flow was killed by admin' } });
    expect(lastAnswer()).toEqual({ type: 'done', value: { flowId: flowIdOf(shortHash, 'k'), timestamp: world.clock.time } });
    expect(toldBob()).toContain('SESSION_ERROR: the counterparty failed: FLOW_KILLED: the flow of the counterparty was killed');
    expect((await stateOf('k'))!.head).toMatchObject({ status: 'KILLED', pending: [] });
  });

  test('is killed once: a repeat of the request has the same answer, another is refused', async () => {
    await begin('test.Sleep', 'k', 1_000);
    await kill('k');
    const first = lastAnswer();
    world.clock.time += 5;
    await kill('k');
    expect(lastAnswer()).toEqual(first);
    await kill('k', 'another');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_ENDED', message: 'the flow has ended already: it is KILLED' });
    expect(world.statuses.filter(({ flowStatus }) => flowStatus === 'KILLED')).toHaveLength(1);
  });

  test('must be there, by its own id', async () => {
    await kill('nobody');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_UNKNOWN' });
    await begin('test.Sleep', 'k', 1_000);
    world.deliver('Alice', encode(restToFlowKill, { key: flowIdOf(shortHash, 'k'), id: 'x', body: { shortHash, clientRequestId: 'other', killedBy: 'admin' }, replyTo }));
    await world.settle();
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_UNKNOWN' });
    expect(world.statusOf('Alice', 'k')?.flowStatus).toBe('RUNNING');
  });

  test('is not run first: not even when its code is missing', async () => {
    await begin('test.Sleep', 'k', 1_000);
    const room = world.rooms.get('Alice')!;
    mapOf(room.views.cpks).clear();
    room.restart();
    await kill('k');
    expect(world.statusOf('Alice', 'k')?.flowStatus).toBe('KILLED');
  });

  test('may be spinning: it ends, whether or not its thread was stopped before', async () => {
    const strict = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 150, patienceMs: 20_000 } });
    world = await worldOf({ sandbox: () => strict, batchMax: 1 });
    world.start('Alice', 'test.Spin', null, 'k');
    await kill('k');
    expect(world.statusOf('Alice', 'k')?.flowStatus).toBe('KILLED');
    await strict.close();
  });
});

describe('maintenance of a virtual node', () => {
  const suspend = (common: string): void => {
    const nodes = mapOf(world.rooms.get(common)!.views.virtualNodes);
    const hash = identityOf(common).shortHash;
    nodes.set(hash, { ...nodes.get(hash), flowOperationalStatus: 'INACTIVE' });
  };

  test('kills its flows as events arrive', async () => {
    await begin('test.Talk', 'talk');
    await begin('test.Sleep', 'sleep', 1_000);
    suspend('Alice');
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'sleep')).toMatchObject({ flowStatus: 'KILLED', flowError: { message: `virtual node ${shortHash} is in maintenance` } });
    expect(world.statusOf('Alice', 'talk')?.flowStatus).toBe('RUNNING');
    await world.advance(1_800_000);
    expect(world.statusOf('Alice', 'talk')?.flowStatus).toBe('KILLED');
  });

  test('kills responders too, and tells their initiators', async () => {
    suspend('Bob');
    await begin('test.Talk', 'talk');
    expect(world.statusOf('Alice', 'talk')).toMatchObject({ flowStatus: 'FAILED', flowError: { message: 'SESSION_ERROR: the counterparty failed: FLOW_KILLED: the flow of the counterparty was killed' } });
  });
});

describe('an ended flow', () => {
  const week = 7 * 24 * 60 * 60 * 1_000;

  test.each([['test.Find', 'COMPLETED'], ['test.Throw', 'FAILED']])('%s is kept for a week and then removed with its journal', async (flow, status) => {
    await begin(flow, 'e');
    const key = flowIdOf(shortHash, 'e');
    const { states } = world.rooms.get('Alice')!;
    await world.advance(week - 1);
    expect((await stateOf('e'))!.head).toMatchObject({ status });
    expect((await states.loadItems([key])).get(key)).not.toEqual([]);
    await world.advance(1);
    expect((await stateOf('e'))!.head).toBeNull();
    expect((await states.loadItems([key])).get(key)).toEqual([]);
    expect((await states.due(Number.MAX_SAFE_INTEGER, 10)).keys).toEqual([]);
  });

  test('whose id is used again after that is another flow', async () => {
    await begin('test.Find', 'e');
    await world.advance(week);
    world.start('Alice', 'test.Sleep', 10, 'e', 'another start');
    await world.settle();
    expect(world.statusOf('Alice', 'e')?.flowStatus).toBe('RUNNING');
    await world.advance(10);
    expect(world.statusOf('Alice', 'e')?.flowResult).toBe('slept');
  });
});

describe('a request to another room', () => {
  const asked = (): OutRecord[] => world.published.filter(({ topic }) => topic === 'flow-to-db.entity');
  const requestId = requestIdOf({ flowId: flowIdOf(shortHash, 'q'), incarnation: incarnationOf(startIdOf('q')) }, 0);
  const answer = async (outcome: Outcome, times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) world.deliver('Alice', encode(allToFlowAnswer, { key: flowIdOf(shortHash, 'q'), id: `${requestId}/answer`, body: { requestId, outcome } }));
    await world.settle();
  };
  const lost = (record: OutRecord): OutRecord[] => (record.topic === 'flow-to-db.entity' ? [] : [record]);
  const busy: Outcome = { type: 'refused', code: 'DB_BUSY', message: 'not now', fault: 'transient' };
  const result = () => world.statusOf('Alice', 'q')?.flowResult;

  test.each([true, false])('that nobody answers is asked again under its id; from memory: %s', async (held) => {
    let copies = 0;
    world = await worldOf({ route: (record) => (record.topic === 'flow-to-db.entity' && ++copies === 1 ? [] : [record]) });
    world.vault('Alice').set('Note/a', '{"id":"a","text":"found"}');
    await begin('test.Find', 'q');
    if (!held) world.rooms.get('Alice')!.restart();
    await world.advance(29_000);
    expect(asked()).toHaveLength(1);
    await world.advance(11_000);
    // A process that begins anew sends what is owed once more, besides.
    expect(asked()).toHaveLength(held ? 2 : 3);
    expect(new Set(asked().map(({ value }) => value)).size).toBe(1);
    expect(result()).toBe('found');
  });

  test('is refused to the code when nobody has answered for its window', async () => {
    world = await worldOf({ route: lost });
    await begin('test.Find', 'q');
    const times: number[] = [];
    for (let s = 0; s < 320 && (result() ?? null) === null; s += 10) {
      const before = asked().length;
      await world.advance(10_000);
      if (asked().length > before) times.push(s + 10);
    }
    expect(times).toEqual([30, 60, 120, 240]);
    expect(result()).toBe('OPERATION_UNANSWERED: nobody answered db.find for 300000 ms; it may have been performed all the same, or may be yet');
    await answer({ type: 'done', value: { items: [] } });
    expect(world.statusOf('Alice', 'q')?.flowStatus).toBe('COMPLETED');
  });

  test('that a room cannot perform now is asked again after 1, 2, 4, 8 and 16 seconds, and then refused', async () => {
    world = await worldOf({ route: lost });
    await begin('test.Find', 'q');
    for (const seconds of [1, 2, 4, 8, 16]) {
      await answer(busy);
      const before = asked().length;
      await world.advance(seconds * 1_000 - 1);
      expect(asked()).toHaveLength(before);
      await world.advance(1);
      expect(asked()).toHaveLength(before + 1);
    }
    expect(result()).toBeNull();
    await answer(busy);
    expect(result()).toBe('DB_REFUSED: DB_BUSY: not now');
  });

  test('that succeeds at the second try is no error', async () => {
    world = await worldOf({ route: lost });
    await begin('test.Find', 'q');
    await answer(busy);
    await world.advance(1_000);
    await answer({ type: 'done', value: { items: [{ id: 'a', json: '{"id":"a","text":"late"}' }] } });
    expect(result()).toBe('late');
  });

  test('that meets a fatal fault fails the flow, which can be driven again', async () => {
    world = await worldOf({ route: lost });
    await begin('test.Find', 'q');
    await answer({ type: 'refused', code: 'DB_CORRUPT', message: 'the vault is not whole', fault: 'fatal' });
    expect(world.statusOf('Alice', 'q')).toMatchObject({ flowStatus: 'FAILED', flowError: { type: 'PLATFORM_ERROR', message: 'DB_CORRUPT: the vault is not whole' } });
    await redrive('q');
    expect(asked()).toHaveLength(2);
    await answer({ type: 'done', value: { items: [] } });
    expect(world.statuses.filter(({ clientRequestId }) => clientRequestId === 'q').map(({ flowStatus }) => flowStatus)).toEqual(['RUNNING', 'FAILED', 'RUNNING', 'COMPLETED']);
  });
});

describe('a flow that the platform failed', () => {
  const chunkKey = `${'A'.repeat(64)}/0`;
  const bytesOf = (code: string): string => btoa(code).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  /** Another process, which holds other code under the same hash. */
  const replaceCode = (change: (code: string) => string): void => {
    const room = world.rooms.get('Alice')!;
    const changed = change(app.code);
    mapOf(room.views.cpks).set(chunkKey, { ...mapOf(room.views.cpks).get(chunkKey), bytes: bytesOf(changed) });
    room.restart();
  };
  const withoutSleep = (code: string): string => {
    const changed = code.replaceAll(/await (\w+)\.sleep\(/g, 'await $1.members.all(');
    expect(changed).not.toBe(code);
    return changed;
  };

  test('goes on from its journal when it is driven again, and its counterparty never knew', async () => {
    await begin('test.TalkAndSleep', 'd');
    replaceCode(withoutSleep);
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'd')).toMatchObject({ flowStatus: 'FAILED', flowError: { type: 'PLATFORM_ERROR', message: expect.stringMatching(/^FLOW_DIVERGED/) as unknown } });
    replaceCode((code) => code);
    await redrive('d');
    expect(lastAnswer()).toMatchObject({ type: 'done', value: { timestamp: world.clock.time } });
    expect(world.statusOf('Alice', 'd')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'answered', flowError: null });
    await redrive('d');
    expect(lastAnswer()).toMatchObject({ type: 'done' });
    await redrive('d', 'another');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_NOT_REDRIVABLE', message: expect.stringContaining('COMPLETED') as unknown });
  });

  test('takes what its counterparty says while it is held', async () => {
    let kept: OutRecord[] = [];
    let holding = true;
    world = await worldOf({
      route: (record) => {
        const fromBob = record.topic === 'all-to-link-manager.send' && record.value.includes('answered');
        if (fromBob && holding) kept.push(record);
        return fromBob && holding ? [] : [record];
      },
    });
    await begin('test.TalkAndSleep', 'd');
    replaceCode(withoutSleep);
    await world.advance(1_000);
    holding = false;
    for (const { value } of kept) {
      const { body } = JSON.parse(value) as { body: any };
      world.deliver('Alice', { topic: 'link-manager-to-flow.receive', key: body.receiverKey, value: JSON.stringify({ v: 1, id: body.messageId, body: { type: 'message', messageId: body.messageId, groupId: body.groupId, source: body.source, destination: body.destination, payload: body.payload } }) });
    }
    await world.settle();
    kept = [];
    replaceCode((code) => code);
    await redrive('d');
    expect(world.statusOf('Alice', 'd')?.flowResult).toBe('answered');
  });

  test('fails again when its code is still another, and can be driven again once more', async () => {
    await begin('test.TalkAndSleep', 'd');
    replaceCode(withoutSleep);
    await world.advance(1_000);
    await redrive('d', 'first');
    expect(world.statusOf('Alice', 'd')?.flowStatus).toBe('FAILED');
    replaceCode((code) => code);
    await redrive('d', 'second');
    expect(world.statusOf('Alice', 'd')?.flowResult).toBe('answered');
  });

  test('is failed for its counterparties too when its hold is over, and then it stays', async () => {
    world = await worldOf({ limits: { redriveHoldMs: 60_000 } });
    await begin('test.HoldAndSleep', 'd');
    replaceCode(withoutSleep);
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'd')?.flowStatus).toBe('FAILED');
    await world.advance(59_999);
    expect(toldBob()).toBeUndefined();
    await world.advance(1);
    expect(toldBob()).toContain('SESSION_ERROR: the counterparty failed: FLOW_FAILED');
    replaceCode((code) => code);
    await redrive('d');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_NOT_REDRIVABLE' });
  });

  test('is not driven again when it failed by itself, broke a limit, or its counterparty knows', async () => {
    await begin('test.Throw', 'throw');
    await redrive('throw');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_NOT_REDRIVABLE', message: expect.stringContaining('what its own code threw') as unknown });
    await begin('test.Large', 'large');
    await redrive('large');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_NOT_REDRIVABLE', message: expect.stringContaining('broke a limit') as unknown });
    const strict = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 150, patienceMs: 20_000 } });
    world = await worldOf({ sandbox: (common) => (common === 'Alice' ? strict : createTrustingSandbox()) });
    await begin('test.TalkAndSpin', 'told');
    expect(world.statusOf('Alice', 'told')?.flowStatus).toBe('FAILED');
    expect(toldBob()).toContain('SESSION_ERROR');
    await redrive('told');
    expect(lastAnswer()).toMatchObject({ type: 'refused', code: 'FLOW_NOT_REDRIVABLE', message: expect.stringContaining('a counterparty was told') as unknown });
    await strict.close();
  });

  test('and that spun alone is driven again from where it was', async () => {
    const strict = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 150, patienceMs: 20_000 } });
    world = await worldOf({ sandbox: () => strict });
    await begin('test.Spin', 's');
    expect(world.statusOf('Alice', 's')?.flowError?.message).toMatch(/^FLOW_TIME_EXCEEDED/);
    world.clock.time += 1;
    await redrive('s');
    expect(world.statuses.map(({ flowStatus }) => flowStatus)).toEqual(['FAILED', 'FAILED']);
    await strict.close();
  });
});
