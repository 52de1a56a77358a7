import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createContext, createResponderSession, runFlow } from '../../src/flow-sdk/context.ts';
import { CounterpartyDataError, entity, FlowPlatformError, responderFlow, startableFlow, subFlow, type FlowContext, type StandardSchema } from '../../src/flow-sdk/flow-sdk.ts';
import type { ContextHost } from '../../src/flow-sdk/operations.ts';
import { digest, specsOfKey } from '../../src/workers/flow/sandbox/pure-host.ts';

type Call = { readonly kind: string; readonly params: unknown };
type Answers = Readonly<Record<string, (params: unknown) => unknown>>;

/** A host that writes down what is asked of it and answers as told; `{}` where it is told nothing. */
const recordingHost = (answers: Answers = {}): { host: ContextHost; calls: Call[] } => {
  const calls: Call[] = [];
  let sessions = 0;
  const host: ContextHost = {
    me: { x500Name: 'CN=Alice, O=Alice, L=London, C=GB', groupId: 'group', shortHash: '0123456789AB' },
    flowId: 'flow-1',
    operation: async (kind, params) => {
      calls.push({ kind, params });
      // The answers of a test are of the kind's shape, or wrong on purpose.
      return (await answers[kind]?.(params)) ?? ({} as any);
    },
    openSession: (params) => {
      calls.push({ kind: 'openSession', params });
      return { sessionId: `session-${sessions++}` };
    },
    openScope: () => ({ host, cancel: () => {} }),
    has: () => true,
    context: { 'corda.account': 'account-zero' },
    counters: () => ({ operations: 1, sessions: 0, uuids: 0, chance: 0 }),
    digest,
    specsOf: specsOfKey,
    now: () => 1_000,
    random: () => 0.5,
    uuid: () => 'uuid-1',
    log: (level, message, fields) => void calls.push({ kind: `log.${level}`, params: { message, fields } }),
  };
  return { host, calls };
};

const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
const number: StandardSchema<number> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => (typeof value === 'number' ? { value } : { issues: [{ message: 'not a number', path: ['a', { key: 0 }] }] }) },
};
const protocol = { name: 'test.talk', versions: [1, 2] };
const context = { 'corda.account': 'account-zero' };
const contextWith = (answers?: Answers): { ctx: FlowContext; calls: Call[] } => {
  const { host, calls } = recordingHost(answers);
  return { ctx: createContext(host, { protocol }), calls };
};
const caught = async (work: Promise<unknown>): Promise<unknown> => work.then(() => 'nothing was thrown', (error: unknown) => error);

describe('sessions', () => {
  test('open with the protocol of the flow, a named one, or a whole one', () => {
    const { ctx, calls } = contextWith();
    ctx.initiate('Bob');
    ctx.initiate('Bob', 'test.talk');
    ctx.initiate('Bob', 'other');
    ctx.initiate('Bob', { name: 'third', versions: [7] });
    expect(calls.map(({ params }) => params)).toEqual([
      { counterparty: 'Bob', protocol, context },
      { counterparty: 'Bob', protocol, context },
      { counterparty: 'Bob', protocol: { name: 'other', versions: [1] }, context },
      { counterparty: 'Bob', protocol: { name: 'third', versions: [7] }, context },
    ]);
  });

  test('of a flow without a protocol are refused with a reason that says what to write', () => {
    expect(() => createContext(recordingHost().host).initiate('Bob')).toThrow(/protocol: \{ name, versions \}/);
  });

  test('send JSON and hand out parsed values only', async () => {
    const { ctx, calls } = contextWith({ 'session.receive': () => ({ json: '1' }), 'session.sendAndReceive': () => ({ json: '2' }) });
    const session = ctx.initiate('Bob');
    await session.send({ a: [1, undefined, null] });
    expect(await session.receive(number)).toBe(1);
    expect(await session.sendAndReceive('x', number)).toBe(2);
    await session.close();
    expect(calls.slice(1)).toEqual([
      { kind: 'session.send', params: { sessionId: 'session-0', json: '{"a":[1,null,null]}' } },
      { kind: 'session.receive', params: { sessionId: 'session-0' } },
      { kind: 'session.sendAndReceive', params: { sessionId: 'session-0', json: '"x"' } },
      { kind: 'session.close', params: { sessionId: 'session-0' } },
    ]);
  });

  test.each([['"text"', 'a.0: not a number'], ['{', 'the message is not JSON'], ['', 'the message is not JSON']])('refuse what the counterparty sent, %j, as its fault', async (json, message) => {
    const { ctx } = contextWith({ 'session.receive': () => ({ json }) });
    const error = await caught(ctx.initiate('Bob').receive(number));
    expect(error).toBeInstanceOf(CounterpartyDataError);
    expect(error).toMatchObject({ code: 'COUNTERPARTY_DATA_INVALID', message });
  });

  test.each([[undefined], [() => 1], [1n], [Symbol('s')]])('do not send what JSON cannot say: %s', async (value) => {
    const { ctx, calls } = contextWith();
    expect(await caught(ctx.initiate('Bob').send(value))).toMatchObject({ code: 'VALUE_NOT_JSON' });
    expect(calls.map(({ kind }) => kind)).toEqual(['openSession']);
  });

  test('know their version at once when there is one, else when the host tells', async () => {
    const { ctx } = contextWith({ 'session.receive': () => ({ json: '1', protocolVersion: 2 }) });
    expect(ctx.initiate('Bob', 'other').protocolVersion).toBe(1);
    const session = ctx.initiate('Bob');
    expect(session.protocolVersion).toBeUndefined();
    await session.receive(anything);
    expect(session.protocolVersion).toBe(2);
    const end = createResponderSession(recordingHost().host, { sessionId: 's', counterparty: 'Alice', protocolVersion: 3 });
    expect([end.counterparty, end.protocolVersion]).toEqual(['Alice', 3]);
  });
});

describe('refusals', () => {
  test('of the host become errors that flow code may catch by code', async () => {
    const { ctx } = contextWith({ sleep: () => Promise.reject({ code: 'SESSION_ERROR', message: 'why' }) });
    const error = await caught(ctx.sleep(1));
    expect(error).toBeInstanceOf(FlowPlatformError);
    expect(error).not.toBeInstanceOf(CounterpartyDataError);
    expect(error).toMatchObject({ name: 'FlowPlatformError', code: 'SESSION_ERROR', message: 'why' });
  });

  test.each([[new Error('stop')], ['stop'], [undefined], [{ code: 1, message: 'm' }], [Object.assign(new Error('io'), { code: 'EIO' })]])('of any other shape pass through unchanged: %s', async (thrown) => {
    const { ctx } = contextWith({ sleep: () => Promise.reject(thrown) });
    expect(await caught(ctx.sleep(1))).toBe(thrown);
  });

  test('are recognised across copies of the SDK', () => {
    const foreign = Object.assign(new Error('m'), { cordageError: 1, code: 'COUNTERPARTY_DATA_INVALID' });
    expect(foreign).toBeInstanceOf(FlowPlatformError);
    expect(foreign).toBeInstanceOf(CounterpartyDataError);
    for (const other of [new Error('m'), null, undefined, 'x', { code: 'COUNTERPARTY_DATA_INVALID' }]) expect(other).not.toBeInstanceOf(FlowPlatformError);
  });
});

describe('sub-flows', () => {
  const own = { name: 'own', versions: [1] };
  const open = (fails: boolean, protocol?: typeof own) =>
    subFlow({
      name: 'test.Sub',
      ...(protocol === undefined ? {} : { protocol }),
      run: async (ctx, input: { sessions: number }) => {
        for (let i = 0; i < input.sessions; i++) ctx.initiate('Bob');
        if (fails) throw new Error('on purpose');
        return 'done';
      },
    });
  const ends = (calls: readonly Call[]) => calls.filter(({ kind }) => /^session\.(close|fail)/.test(kind));

  test('with a protocol of their own close the sessions that they opened and no other, in one operation', async () => {
    const { ctx, calls } = contextWith();
    ctx.initiate('Carol');
    expect(await ctx.subFlow(open(false, own), { sessions: 2 })).toBe('done');
    expect(ends(calls)).toEqual([{ kind: 'session.closeAll', params: { sessionIds: ['session-1', 'session-2'] } }]);
  });

  test('fail their sessions when they throw, without telling why, and their error comes to the caller', async () => {
    const { ctx, calls } = contextWith();
    await expect(ctx.subFlow(open(true, own), { sessions: 1 })).rejects.toThrow('on purpose');
    expect(ends(calls)).toEqual([{ kind: 'session.failAll', params: { sessionIds: ['session-0'] } }]);
  });

  test('of before the flag close and fail one by one', async () => {
    const { host, calls } = recordingHost();
    const ctx = createContext({ ...host, has: () => false }, { protocol });
    await ctx.subFlow(open(false, own), { sessions: 2 });
    await expect(ctx.subFlow(open(true, own), { sessions: 1 })).rejects.toThrow('on purpose');
    expect(ends(calls).map(({ kind, params }) => [kind, params])).toEqual([
      ['session.close', { sessionId: 'session-0' }],
      ['session.close', { sessionId: 'session-1' }],
      ['session.fail', { sessionId: 'session-2' }],
    ]);
  });

  test('without a protocol leave what they opened to their caller', async () => {
    const { ctx, calls } = contextWith();
    await ctx.subFlow(open(false), { sessions: 1 });
    await expect(ctx.subFlow(open(true), { sessions: 1 })).rejects.toThrow('on purpose');
    expect(ends(calls)).toEqual([]);
  });

  test("speak their caller's protocol unless they have their own", async () => {
    const { ctx, calls } = contextWith();
    await ctx.subFlow(open(false), { sessions: 1 });
    await ctx.subFlow(subFlow({ name: 'test.Own', protocol: { name: 'own', versions: [1] }, run: async (inner) => void inner.initiate('Bob') }), undefined);
    expect(calls.filter(({ kind }) => kind === 'openSession').map(({ params }) => (params as { protocol: { name: string } }).protocol.name)).toEqual(['test.talk', 'own']);
  });
});

describe('the vault', () => {
  type Box = { id: string; size: number; note?: string };
  const boxes = entity<Box>({ name: 'Box', id: (box) => box.id });

  test('is asked with ids and JSON, several at once', async () => {
    const { ctx, calls } = contextWith({ 'db.remove': () => ({ ids: ['a'] }), 'db.find': () => ({ items: [] }), 'db.query': () => ({ items: [{ id: 'a', json: '{"id":"a","size":1}' }], after: 'a' }) });
    await ctx.db.persist(boxes, { id: 'a', size: 1 }, { id: 'b', size: 2 });
    await ctx.db.merge(boxes, { id: 'a', size: 3 });
    expect(await ctx.db.remove(boxes, 'a', 'b')).toBe(1);
    expect(await ctx.db.find(boxes, 'a')).toBeUndefined();
    expect(await ctx.db.findAll(boxes, ['a', 'b'])).toEqual([]);
    expect(await ctx.db.query(boxes, { size: 1, ...{ note: undefined } as object }, { countMax: 5, after: 'x' })).toEqual({ values: [{ id: 'a', size: 1 }], after: 'a' });
    expect(calls).toEqual([
      { kind: 'db.persist', params: { entity: 'Box', items: [{ id: 'a', json: '{"id":"a","size":1}' }, { id: 'b', json: '{"id":"b","size":2}' }] } },
      { kind: 'db.merge', params: { entity: 'Box', items: [{ id: 'a', json: '{"id":"a","size":3}' }] } },
      { kind: 'db.remove', params: { entity: 'Box', ids: ['a', 'b'] } },
      { kind: 'db.find', params: { entity: 'Box', ids: ['a'] } },
      { kind: 'db.find', params: { entity: 'Box', ids: ['a', 'b'] } },
      { kind: 'db.query', params: { entity: 'Box', where: { size: 1 }, countMax: 5, after: 'x' } },
    ]);
  });

  test('hands out entities that satisfy their schema, or says which does not', async () => {
    const strict = entity<Box>({
      name: 'Box', id: (box) => box.id,
      schema: { '~standard': { version: 1, vendor: 'test', validate: (value) => ((value as Box).size > 0 ? { value: value as Box } : { issues: [{ message: 'no size' }] }) } },
    });
    const { ctx } = contextWith({ 'db.find': () => ({ items: [{ id: 'a', json: '{"id":"a","size":0}' }] }) });
    expect(await caught(ctx.db.find(strict, 'a'))).toMatchObject({ code: 'DB_ENTITY_INVALID', message: 'Box "a": no size' });
  });
});

describe('keys, time and log', () => {
  test('bytes and texts are signed as what Node calls their base64url', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ minLength: 1 }), fc.string({ unit: 'binary', minLength: 1 })), async (data) => {
        const { ctx, calls } = contextWith();
        await ctx.crypto.sign(data);
        // Buffer, like TextEncoder, writes a lone surrogate as U+FFFD.
        expect(calls).toEqual([{ kind: 'crypto.sign', params: { data: Buffer.from(data as string).toString('base64url') } }]);
      }),
    );
  });

  test('a lone surrogate is signed as the replacement character', async () => {
    const { ctx, calls } = contextWith();
    await ctx.crypto.sign('a\ud800b');
    expect(calls[0]!.params).toEqual({ data: Buffer.from('a\ufffdb').toString('base64url') });
  });

  test('nothing cannot be signed', async () => {
    expect(await caught(contextWith().ctx.crypto.sign(''))).toMatchObject({ code: 'OPERATION_INVALID' });
  });

  test.each([[-1], [Number.NaN], [Number.POSITIVE_INFINITY], [1e15]])('nobody sleeps %d milliseconds', async (durationMs) => {
    const { ctx, calls } = contextWith();
    expect(await caught(ctx.sleep(durationMs))).toMatchObject({ code: 'OPERATION_INVALID' });
    expect(calls).toEqual([]);
  });

  test('time, chance, ids and log lines come from the host at once', () => {
    const { ctx, calls } = contextWith();
    expect([ctx.now(), ctx.random(), ctx.uuid(), ctx.flowId, ctx.me.shortHash]).toEqual([1_000, 0.5, 'uuid-1', 'flow-1', '0123456789AB']);
    ctx.log.warn('careful', { a: 1 });
    expect(calls).toEqual([{ kind: 'log.warn', params: { message: 'careful', fields: { a: 1 } } }]);
  });
});

describe('a run', () => {
  test.each([['text', 'text'], [undefined, null], [null, null], [{ a: 1 }, '{"a":1}'], [0, '0'], ['', '']])('that returns %j has the result %j', async (result, shown) => {
    const flow = startableFlow({ name: 'test.Result', run: async () => result });
    expect(await runFlow(flow, recordingHost().host, { type: 'input', input: 1 })).toBe(shown);
  });

  test('of a responder gets the session that began it', async () => {
    const flow = responderFlow({ name: 'test.Responder', protocol, run: async (_, session) => `${session.counterparty} ${session.protocolVersion}` });
    const session = { sessionId: 's', counterparty: 'Alice', protocolVersion: 2 };
    expect(await runFlow(flow, recordingHost().host, { type: 'session', session })).toBe('Alice 2');
  });

  test('that throws rejects with what it threw', async () => {
    const thrown = new Error('mine');
    const flow = startableFlow({ name: 'test.Throws', run: async () => Promise.reject(thrown) });
    expect(await caught(runFlow(flow, recordingHost().host, { type: 'input', input: null }))).toBe(thrown);
  });
});
