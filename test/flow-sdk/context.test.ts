import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createContext, createResponderSession, runFlow } from '../../src/flow-sdk/context.ts';
import { compositeKey, CounterpartyDataError, database, entity, FlowPlatformError, responderFlow, startableFlow, subFlow, type FlowContext, type StandardSchema } from '../../src/flow-sdk/flow-sdk.ts';
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

describe('the vault, further', () => {
  type Task = { id: string; size: number; name: string };
  const tasks = entity<Task>({ name: 'Task', id: ({ id }) => id });

  test('is asked for equal fields and for conditions apart, and for nothing that is absent', async () => {
    const { ctx, calls } = contextWith({ 'db.query': () => ({ items: [] }), 'db.count': () => ({ count: 3 }) });
    const absent = {} as { name?: string };
    await ctx.db.query(tasks, { id: 'a', ...absent, size: { gt: 1, lte: 5 }, name: { in: ['x'], prefix: 'y' } }, { orderBy: { field: 'size' }, after: 'place' });
    expect(await ctx.db.count(tasks, { id: 'a' })).toBe(3);
    expect(calls.map(({ params }) => params)).toEqual([
      {
        entity: 'Task',
        where: { id: 'a' },
        conditions: [
          { field: 'size', operator: 'gt', value: 1 },
          { field: 'size', operator: 'lte', value: 5 },
          { field: 'name', operator: 'in', value: ['x'] },
          { field: 'name', operator: 'prefix', value: 'y' },
        ],
        countMax: 100,
        after: 'place',
        orderBy: { field: 'size', descending: false },
      },
      { entity: 'Task', where: { id: 'a' } },
    ]);
  });

  test('stores the version of an entity and upgrades what an older one stored, step by step', async () => {
    const seen: [unknown, number][] = [];
    const versioned = entity<Task>({
      name: 'Task',
      id: ({ id }) => id,
      version: 3,
      upgrade: (value, from) => {
        seen.push([value, from]);
        return from === 1 ? { ...(value as object), size: 1 } : { ...(value as object), name: 'named' };
      },
    });
    const stored = ['{"id":"a"}', '{"id":"b","size":2,"$version":2}', '{"id":"c","size":3,"name":"n","$version":3}'];
    const { ctx, calls } = contextWith({ 'db.find': () => ({ items: stored.map((json, n) => ({ id: `${n}`, json })) }) });
    expect(await ctx.db.findAll(versioned, ['x'])).toEqual([{ id: 'a', size: 1, name: 'named' }, { id: 'b', size: 2, name: 'named' }, { id: 'c', size: 3, name: 'n' }]);
    expect(seen).toEqual([[{ id: 'a' }, 1], [{ id: 'a', size: 1 }, 2], [{ id: 'b', size: 2 }, 2]]);
    await ctx.db.persist(versioned, { id: 'd', size: 4, name: 'm' });
    expect(calls.at(-1)).toMatchObject({ params: { items: [{ id: 'd', json: '{"id":"d","size":4,"name":"m","$version":3}' }] } });
  });

  test('refuses a value of a later version, and one that nobody can upgrade', async () => {
    const { ctx } = contextWith({ 'db.find': () => ({ items: [{ id: 'a', json: '{"$version":2}' }] }) });
    expect(await caught(ctx.db.find(tasks, 'a'))).toMatchObject({ code: 'DB_ENTITY_INVALID', message: expect.stringContaining('version 2') });
    const later = entity<Task>({ name: 'Task', id: ({ id }) => id, version: 4 });
    expect(await caught(ctx.db.find(later, 'a'))).toMatchObject({ code: 'DB_ENTITY_INVALID', message: expect.stringContaining('declares no `upgrade`') });
  });

  test('is asked with the tree of a query as JSON, and hands out rows as objects', async () => {
    const tables = database<{ account: { id: string; at: unknown } }>();
    const { ctx, calls } = contextWith({ 'db.run': () => ({ columns: ['id', 'at'], rows: [['a', 1]], affected: 0, more: true }) });
    const query = tables.selectFrom('account').selectAll().where('at', '=', new Date(0));
    expect(await ctx.db.run(query)).toEqual({ rows: [{ id: 'a', at: 1 }], affected: 0, more: true });
    expect(calls).toEqual([{ kind: 'db.run', params: { query: JSON.parse(JSON.stringify(query.toOperationNode())) as unknown } }]);
    expect(await caught(ctx.db.run(tables.insertInto('account').values({ id: 'a', at: 1n })))).toMatchObject({ code: 'VALUE_NOT_JSON' });
  });
});

describe('keys of others and of our own', () => {
  const key = (publicKey: string) => ({ id: 'ID', alias: 'a', category: 'LEDGER', scheme: 's', publicKey });

  test('our own are asked for twenty at a time, each once, and told apart by the keys themselves', async () => {
    const publicKeys = Array.from({ length: 21 }, (_, n) => `K${n}`);
    const { ctx, calls } = contextWith({ 'crypto.myKeys': (params) => ({ keys: [...(params as { publicKeys: string[] }).publicKeys.slice(0, 1).map(key), key('alike in its id alone')] }) });
    expect((await ctx.crypto.myKeys({ publicKeys: [...publicKeys, 'K0'], category: 'LEDGER' })).map(({ publicKey }) => publicKey)).toEqual(['K0', 'K20']);
    expect(calls.map(({ params }) => params)).toEqual([{ category: 'LEDGER', publicKeys: publicKeys.slice(0, 20) }, { category: 'LEDGER', publicKeys: ['K20'] }]);
  });

  test('digests and specs are computed at once, without an operation', () => {
    const { ctx, calls } = contextWith();
    expect(ctx.crypto.digest('SHA-256', 'abc')).toBe('BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD');
    expect(ctx.crypto.digest('SHA-256', Uint8Array.of(0x61, 0x62, 0x63))).toBe(ctx.crypto.digest('SHA-256', 'abc'));
    expect(() => ctx.crypto.digest('MD5' as never, 'abc')).toThrow(expect.objectContaining({ code: 'OPERATION_INVALID' }));
    expect(ctx.crypto.specs('not a key')).toEqual([]);
    expect(ctx.crypto.defaultSpec('AAAA')).toBeUndefined();
    expect(calls).toEqual([]);
  });

  test('a composite key counts the signatures that are right, and those of its own keys alone', async () => {
    const { ctx, calls } = contextWith({ 'crypto.verify': (params) => ({ valid: (params as { signature: string }).signature === 'right' }) });
    const two = compositeKey(2, ['A', 'B', 'C']);
    const by = (publicKey: string, signature: string) => ({ publicKey, signature, spec: 'EdDSA' });
    expect(await ctx.crypto.verifyComposite('x', two, [by('A', 'right'), by('B', 'wrong'), by('Z', 'right')])).toBe(false);
    expect(await ctx.crypto.verifyComposite('x', two, [by('A', 'right'), by('A', 'right')])).toBe(false);
    expect(await ctx.crypto.verifyComposite('x', two, [by('A', 'right'), by('C', 'right')])).toBe(true);
    expect(calls.every(({ params }) => (params as { publicKey: string }).publicKey !== 'Z')).toBe(true);
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
