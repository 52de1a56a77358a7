/** What flows can do, through the real shell and the sandbox in threads. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createFlowSandbox } from '../../../src/workers/flow/worker.ts';
import type { Sandbox } from '../../../src/workers/flow/worker.ts';
import { testApp } from './app.ts';
import { nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World, WorldOptions } from './world/world.ts';

let sandbox: Sandbox;
let app: App;
let world: World;
beforeAll(async () => {
  sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() });
  app = await testApp();
});
afterAll(() => sandbox.close());

const worldOf = (options: Partial<WorldOptions> = {}): Promise<World> => createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => sandbox, ...options });
beforeEach(async () => void (world = await worldOf()));

const resultOf = async (flowClassName: string, input?: unknown): Promise<unknown> => {
  const { flowStatus, flowResult, flowError } = await world.run('Alice', flowClassName, input);
  expect({ flowStatus, flowError }).toEqual({ flowStatus: 'COMPLETED', flowError: null });
  // A string is shown as it is, anything else as JSON.
  return flowResult !== null && /^[[{]/.test(flowResult) ? JSON.parse(flowResult) : flowResult;
};

describe('a flow that REST starts', () => {
  test('that ends in its first step gives its end once, and its result', async () => {
    const status = await world.run('Alice', 'test.Echo', { a: [1, 'x', null] });
    expect(world.statuses.map(({ flowStatus }) => flowStatus)).toEqual(['COMPLETED']);
    expect(status).toMatchObject({ flowResult: '{"a":[1,"x",null]}', flowError: null, clientRequestId: 'run-0' });
  });

  test('that waits is said to run, and gives each status once, in order', async () => {
    world.start('Alice', 'test.Sleep', 1_000, 'sleeper');
    await world.settle();
    expect(world.statusOf('Alice', 'sleeper')?.flowStatus).toBe('RUNNING');
    await world.advance(1_000);
    expect(world.statuses.map(({ flowStatus }) => flowStatus)).toEqual(['RUNNING', 'COMPLETED']);
  });

  test('has a string as its result as it is, and null for nothing', async () => {
    expect((await world.run('Alice', 'test.Echo', 'Hello')).flowResult).toBe('Hello');
    expect((await world.run('Alice', 'test.Log')).flowResult).toBeNull();
  });

  test('that throws has failed with what it said', async () => {
    expect(await world.run('Alice', 'test.Throw')).toMatchObject({ flowStatus: 'FAILED', flowResult: null, flowError: { type: 'FLOW_FAILED', message: 'the app says no' } });
  });

  test('that throws tells the place to who mends it, and not to who called it', async () => {
    const { flowError } = await world.run('Alice', 'test.Throw');
    expect(Object.keys(flowError!)).toEqual(['type', 'message']);
    const line = world.logged.findLast(({ event }) => event === 'flow-failed');
    expect(line).toMatchObject({ error: { at: [expect.stringMatching(/^bundle\.js:1:\d+$/)] } });
  });

  test('writes to the log of the worker, under its own name', async () => {
    await world.run('Alice', 'test.Log');
    const line = world.logged.find(({ event }) => event === 'flow-says');
    expect(line).toMatchObject({ level: 'warn', message: 'said', flowClassName: 'test.Log', fields: { by: nameOf('Alice') } });
  });

  test('whose result is too large fails alone, and says what to do', async () => {
    const status = await world.run('Alice', 'test.Large', { kind: 'result', size: 250_001 });
    expect(status.flowError).toMatchObject({ type: 'PLATFORM_ERROR', message: expect.stringMatching(/^FLOW_RESULT_TOO_LARGE: .*store it with ctx.db/) as unknown });
    expect((await world.run('Alice', 'test.Large', { kind: 'result', size: 250_000 })).flowStatus).toBe('COMPLETED');
  });

  test('that spins fails alone; the others in its process are rebuilt and end well', async () => {
    const strict = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 200, patienceMs: 20_000 } });
    world = await worldOf({ sandbox: () => strict });
    for (let i = 0; i < 10; i++) world.start('Alice', i === 5 ? 'test.Spin' : 'test.Hold', {}, `f${i}`);
    await world.settle();
    for (let i = 0; i < 10; i++) {
      const expected = i === 5 ? { flowStatus: 'FAILED', flowError: { type: 'PLATFORM_ERROR', message: expect.stringMatching(/^FLOW_TIME_EXCEEDED/) as unknown } } : { flowStatus: 'RUNNING' };
      expect(world.statusOf('Alice', `f${i}`)).toMatchObject(expected);
    }
    expect(await world.run('Alice', 'test.Echo', 'still here')).toMatchObject({ flowResult: 'still here' });
    await strict.close();
  });

  test('that never waits for anything is stopped', async () => {
    world = await worldOf({ limits: { roundsMax: 50 } });
    expect((await world.run('Alice', 'test.Forever')).flowError).toMatchObject({ type: 'PLATFORM_ERROR', message: expect.stringContaining('FLOW_OPERATIONS_EXCEEDED') as unknown });
  });
});

describe('operations', () => {
  test('store and find entities, and pass refusals on as errors to catch', async () => {
    expect(await resultOf('test.Two', 'hello')).toEqual({ found: { id: 'a', text: 'hello' }, again: 'DB_ENTITY_EXISTS: a is there already', at: world.clock.time });
    expect([...world.vault('Alice')]).toEqual([['Note/a', '{"id":"a","text":"hello"}']]);
    expect(await resultOf('test.BadEntity')).toMatch(/^OPERATION_INVALID: db.find/);
  });

  test('sign with the key that the member published, and verify', async () => {
    expect(await resultOf('test.Sign')).toEqual([true, false, true, false, 'CRYPTO_KEY_NOT_FOUND: no key AAAAAAAAAAAA']);
  });

  test('find members by any spelling of their names', async () => {
    expect(await resultOf('test.Members')).toEqual([[nameOf('Alice'), nameOf('Bob')], nameOf('Bob'), null]);
  });

  test('sleep until their time has come', async () => {
    world.start('Alice', 'test.Sleep', 10_000, 's');
    await world.settle();
    await world.advance(9_999);
    expect(world.statusOf('Alice', 's')?.flowStatus).toBe('RUNNING');
    await world.advance(1);
    expect(world.statusOf('Alice', 's')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '10000' });
  });
});

describe('sessions', () => {
  test('agree on the highest version that both sides speak', async () => {
    const [answer, version, received, sent] = (await resultOf('test.Ping', { say: 'ping' })) as unknown[];
    expect(answer).toBe('ping, pong v2');
    expect(version).toBe(2);
    expect(received).toBe('SESSION_CLOSED: the counterparty closed the session');
    expect(sent).toBe('SESSION_CLOSED: the counterparty closed the session. Status is CLOSED');
    const [older] = (await resultOf('test.Ping', { say: 'ping', protocol: { name: 'test.ping', versions: [1] } })) as unknown[];
    expect(older).toBe(`ping to ${nameOf('Alice')} v1`);
  });

  test('cost two messages for a question and its answer', async () => {
    await resultOf('test.Ping', { say: 'ping' });
    expect(world.published.filter(({ topic }) => topic === 'all-to-link-manager.send')).toHaveLength(2);
  });

  test('that nobody answers are refused to the initiator, with the reason', async () => {
    const [unknown] = (await resultOf('test.Ping', { say: 'ping', protocol: 'test.other' })) as unknown[];
    expect(unknown).toBe('SESSION_ERROR: the counterparty failed: SESSION_REFUSED: no flow of this member answers the protocol test.other');
    const [newer] = (await resultOf('test.Ping', { say: 'ping', protocol: { name: 'test.ping', versions: [7, 8] } })) as unknown[];
    expect(newer).toMatch(/no common version of the protocol test.ping: this side was offered 7, 8$/);
  });

  test('end with an error that tells nothing private when the counterparty fails', async () => {
    const [answer] = (await resultOf('test.Ping', { say: 'throw' })) as unknown[];
    expect(answer).toBe('SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed');
  });

  test('end with a close when the counterparty has nothing more to say', async () => {
    const [answer] = (await resultOf('test.Ping', { say: 'silent' })) as unknown[];
    expect(answer).toBe('SESSION_CLOSED: the counterparty closed the session');
  });

  test('with a stranger are refused at the first operation', async () => {
    const [answer] = (await resultOf('test.Ping', { say: 'x', to: 'CN=Eve, O=Eve, L=London, C=GB' })) as unknown[];
    expect(answer).toBe('MEMBER_NOT_FOUND: no active member of this group is named CN=Eve, O=Eve, L=London, C=GB');
    const [nonsense] = (await resultOf('test.Ping', { say: 'x', to: 'not a name' })) as unknown[];
    expect(nonsense).toMatch(/^MEMBER_NOT_FOUND/);
  });

  test('on which nothing was sent begin the counterparty’s flow when they are heard', async () => {
    expect(await resultOf('test.ReceiveFirst')).toBe('RECEIVE_TIMEOUT: the counterparty has said nothing in the time that this flow waits');
    expect(world.logged.filter(({ event }) => event === 'flow-started')).toHaveLength(2);
  });

  test('may be many at once, received in any order', async () => {
    expect(await resultOf('test.Concurrent')).toEqual(['three, pong v2', 'two, pong v2', 'one, pong v2']);
  });

  test('keep what was not read yet, in order', async () => {
    expect(await resultOf('test.Stream', { count: 50 })).toEqual([...Array(50).keys()]);
  });

  test('refuse values that are too large for the wire, and the flow goes on', async () => {
    world = await worldOf({ limits: { sessionValueCharsMax: 400_000 } });
    expect(await resultOf('test.Large', { size: 200_000 })).toMatch(/^SESSION_DATA_TOO_LARGE: the value is 400002 characters of JSON; at most 400000 can be sent at once/);
    expect(await resultOf('test.Large', { size: 100_000 })).toBeNull();
  });

  test('fail when a message cannot be delivered', async () => {
    world = await worldOf({ members: ['Alice', 'Bob'] });
    const carol = { ...world.rooms.get('Alice')!.views.members.get(`test-group/${nameOf('Bob')}`)!, x500Name: nameOf('Carol') };
    (world.rooms.get('Alice')!.views.members as unknown as { map: Map<string, unknown> }).map.set(`test-group/${nameOf('Carol')}`, carol);
    const [answer] = (await resultOf('test.Ping', { say: 'x', to: nameOf('Carol') })) as unknown[];
    expect(answer).toBe('COUNTERPARTY_UNDELIVERED: no route');
  });

  test('fail for silence, on both sides', async () => {
    world = await worldOf({ limits: { sessionTimeoutMs: 1_000 } });
    world.start('Alice', 'test.Hold', {}, 'h');
    await world.settle();
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'h')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'SESSION_TIMEOUT: nothing was said on the session for 1000 ms' });
    expect(world.vault('Bob').get('Note/end')).toMatch(/SESSION_TIMEOUT/);
  });

  test('are closed for the counterparty when the flow has ended', async () => {
    await world.run('Alice', 'test.Leave');
    expect(world.vault('Bob').get('Note/end')).toContain('SESSION_CLOSED');
  });

  test('of a sub-flow end with it: closed when it returns, failed when it throws', async () => {
    expect(await resultOf('test.Sub', 'ping')).toBe('ping, pong v2');
    expect(await resultOf('test.Sub', 'fail inside')).toBe('no code: inner failed');
  });
});

describe('flows that leave memory', () => {
  test('are rebuilt in another process, from their journals', async () => {
    for (const [i, flow] of ['test.Hold', 'test.Sleep'].entries()) world.start('Alice', flow, i === 0 ? {} : 5_000, `f${i}`);
    await world.settle();
    for (const room of world.rooms.values()) room.restart();
    await world.advance(5_000);
    expect(world.statusOf('Alice', 'f1')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '5000' });
    expect(world.statusOf('Alice', 'f0')?.flowStatus).toBe('RUNNING');
  });

  test('and find other code than they began with fail, and say where they part', async () => {
    world.start('Alice', 'test.Sleep', 5_000, 'd');
    await world.settle();
    const room = world.rooms.get('Alice')!;
    const chunk = room.views.cpks.get(`${'A'.repeat(64)}/0`)!;
    const changed = app.code.replace(/await (\w+)\.sleep\(/, 'await $1.members.all(');
    expect(changed).not.toBe(app.code);
    (room.views.cpks as unknown as { map: Map<string, unknown> }).map.set(`${'A'.repeat(64)}/0`, { ...chunk, bytes: btoa(changed).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') });
    // Another process, whose sandbox has not seen the first code.
    const other = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics() });
    const before = sandbox;
    sandbox = other;
    room.restart();
    await world.advance(5_000);
    sandbox = before;
    await other.close();
    expect(world.statusOf('Alice', 'd')).toMatchObject({
      flowStatus: 'FAILED',
      flowError: { type: 'PLATFORM_ERROR', message: expect.stringMatching(/^FLOW_DIVERGED: the code is not the code that began this flow: at operation 0 the journal has sleep {"durationMs":5000}, the code asked for members\.all {} at bundle\.js:1:\d+$/) as unknown },
    });
  });
});
