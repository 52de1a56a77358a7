/** What flows can do with their sessions, each with everything in memory and with nothing: rebuilt from its journal at every event. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { SessionMessage } from '../../../src/messages/flow-to-flow.session.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World, WorldOptions } from './world/world.ts';

const source = `
const protocol = { name: 'test.talk', versions: [1, 2] };
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const bob = '${nameOf('Bob')}';
const caught = async (work: () => Promise<unknown>): Promise<unknown> => work().catch((error: any) => (error.code ?? 'no code') + ': ' + error.message);
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, protocol, run });
const isOk = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => (value === 'ok' ? { value } : { issues: [{ message: 'not ok' }] }) } } as any;
export const flows = [
  startable('test.First', async (ctx) => { const session = ctx.initiate(bob, 'test.first'); return [await session.receive(any), session.protocolVersion]; }),
  startable('test.Info', async (ctx) => {
    const session = ctx.initiate(bob, { timeoutMs: 5000, requireClose: true });
    const before = session.protocolVersion;
    const info = await session.counterpartyInfo();
    return [before, info, await session.sendAndReceive('echo', any), await session.counterpartyInfo().then((one: any) => one.protocol.version)];
  }),
  startable('test.InfoLate', async (ctx) => { const session = ctx.initiate(bob); await session.send('hold'); return [await session.counterpartyInfo().then((one: any) => one.protocol.version), session.protocolVersion]; }),
  startable('test.InfoRefused', async (ctx) => caught(() => ctx.initiate(bob, 'test.nobody').counterpartyInfo())),
  startable('test.All', async (ctx) => {
    const sessions = [ctx.initiate(bob), ctx.initiate(bob), ctx.initiate(bob)];
    await ctx.sendAll('who', sessions);
    const all = await ctx.receiveAll(any, sessions);
    await ctx.sendAllMap(new Map(sessions.map((session, i) => [session, 'again ' + i])));
    const map = await ctx.receiveAllMap(new Map([[sessions[2], any], [sessions[0], any]]));
    return { all: all.map((one: any) => one.n).sort(), map: [map.get(sessions[0]), map.get(sessions[2]), map.size], last: await sessions[1].receive(any) };
  }),
  startable('test.AllFails', async (ctx) => {
    const [good, bad] = [ctx.initiate(bob), ctx.initiate(bob)];
    await good.send('echo');
    await bad.send('throw');
    const failed = await caught(() => ctx.receiveAll(any, [good, bad]));
    return [failed, await good.receive(any), await caught(() => ctx.sendAll('x', [ctx.initiate(bob), bad])), await caught(() => ctx.receiveAll(any, [good, good]))];
  }),
  startable('test.AllTwice', async (ctx) => {
    const session = ctx.initiate(bob);
    return [await caught(() => ctx.sendAll('x', [session, session])), await caught(() => ctx.sendAll('x', [{} as any])), await ctx.receiveAll(any, []), await ctx.sendAll('x', []) ?? null];
  }),
  startable('test.Confirm', async (ctx, say) => { const session = ctx.initiate(bob, { requireClose: true, timeoutMs: 60000 }); await session.send(say); return await caught(() => session.close()) ?? 'closed'; }),
  startable('test.Receipts', async (ctx) => { const session = ctx.initiate(bob, { receipts: true }); return await session.sendAndReceive('echo', any); }),
  startable('test.ConfirmAtEnd', async (ctx, say) => { await ctx.initiate(bob, { requireClose: true }).send(say); return 'done'; }),
  startable('test.Timeout', async (ctx) => {
    const session = ctx.initiate(bob);
    await session.send('late');
    return [await caught(() => session.receive(any, { timeoutMs: 500 })), await session.receive(any)];
  }),
  startable('test.SessionTimeout', async (ctx) => { const session = ctx.initiate(bob, { timeoutMs: 2000 }); await session.send('hold'); return caught(() => session.receive(any)); }),
  startable('test.BadOptions', async (ctx) => [await caught(() => ctx.initiate(bob, { timeoutMs: 0 }).send(1)), await caught(() => ctx.initiate(bob, { timeoutMs: 'x' as any }).receive(any))]),
  startable('test.Long', async (ctx, size) => {
    const value = '"'.repeat(100) + '\\u{1F600}'.repeat(size / 2 - 50);
    const session = ctx.initiate(bob);
    const back: any = await session.sendAndReceive({ long: value }, any);
    return [back.long === value, back.long.length, await caught(() => session.receive(any))];
  }),
  startable('test.TooLong', async (ctx, size) => {
    const session = ctx.initiate(bob);
    return [await caught(() => session.send('x'.repeat(size))), await session.sendAndReceive('echo', any)];
  }),
  startable('test.TwoLong', async (ctx, size) => {
    const sessions = [ctx.initiate(bob), ctx.initiate(bob)];
    for (const session of sessions) await session.send('x'.repeat(size));
    await ctx.sleep(1000);
    return await Promise.all(sessions.map((session) => caught(() => session.receive(any).then((value: any) => value.length))));
  }),
  startable('test.Over', async (ctx, say) => { const session = ctx.initiate(bob); await session.send(say); await caught(() => session.receive(any)); return [await caught(() => session.send('x')), await caught(() => ctx.sendAll('x', [session]))]; }),
  responderFlow({ name: 'test.FirstToo', protocol: { name: 'test.first', versions: [1] }, run: async (ctx, session) => session.send('unasked') }),
  responderFlow({ name: 'test.Answer', protocol: { name: 'test.talk', versions: [2, 3] }, run: async (ctx, session) => {
    let said = (await session.receive(any)) as any;
    if (said === 'throw') throw new Error('private');
    if (said === 'late') await ctx.sleep(1000);
    if (said === 'hold') return void await ctx.db.merge(note, { id: 'held', text: await caught(() => session.receive(any)) });
    if (said === 'work') { await ctx.sleep(3000); await ctx.db.merge(note, { id: 'work', text: 'done' }); return; }
    if (said === 'work and fail') { await ctx.sleep(3000); throw new Error('private'); }
    if (said === 'silent') return;
    if (said === 'who') { await session.send({ n: (await ctx.members.all()).length }); said = await session.receive(any); }
    await session.send(said);
  } }),
];`;
const protocol = { name: 'test.talk', versions: [1, 2] };
const startable = ['First', 'Info', 'InfoLate', 'InfoRefused', 'All', 'AllFails', 'AllTwice', 'Confirm', 'Receipts', 'ConfirmAtEnd', 'Timeout', 'SessionTimeout', 'BadOptions', 'Long', 'TooLong', 'TwoLong', 'Over'];
let app: App;
beforeAll(async () => {
  app = {
    code: await bundleOf(source),
    flows: [
      ...startable.map((name) => ({ name: `test.${name}`, kind: 'startable' as const, protocol })),
      { name: 'test.FirstToo', kind: 'responder', protocol: { name: 'test.first', versions: [1] } },
      { name: 'test.Answer', kind: 'responder', protocol: { ...protocol, versions: [2, 3] } },
    ],
  };
});

describe.each([
  ['in memory', {}],
  ['rebuilt at every event', { batchMax: 1, limits: { flowsLiveMax: 0 } }],
] as const)('sessions, %s', (_, settings) => {
  let world: World;
  const open = async (options: Partial<WorldOptions> = {}): Promise<void> => {
    const limits = { ...(settings as Partial<WorldOptions>).limits, ...options.limits };
    world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), ...settings, ...options, limits });
  };
  const resultOf = async (flow: string, input: unknown = null): Promise<unknown> => {
    if (world === undefined) await open();
    const { flowStatus, flowResult, flowError } = await world.run('Alice', `test.${flow}`, input);
    if (flowStatus !== 'COMPLETED') return { flowStatus, flowError };
    return flowResult !== null && /^[[{]/.test(flowResult) ? JSON.parse(flowResult) : flowResult;
  };
  const sent = (): SessionMessage[] =>
    world.published.filter(({ topic }) => topic === 'all-to-link-manager.send').map(({ value }) => JSON.parse((JSON.parse(value) as { body: { payload: string } }).body.payload) as SessionMessage);

  test('may be heard before anything was said: the init goes alone, and the counterparty’s flow begins', async () => {
    await open();
    expect(await resultOf('First')).toEqual(['unasked', 1]);
    expect(sent().map(({ sender, content: { type } }) => `${sender} ${type}`)).toEqual(['initiator info', 'responder data']);
  });

  test('tell what both sides agreed on', async () => {
    await open();
    const properties = { 'corda.protocol': 'test.talk', 'corda.protocol.version': '2', 'corda.session.requireClose': 'true', 'corda.session.timeout': '5000' };
    expect(await resultOf('Info')).toEqual([null, { counterparty: nameOf('Bob'), protocol: { name: 'test.talk', version: 2 }, properties }, 'echo', 2]);
    expect(sent().filter(({ content: { type } }) => type === 'info')).toHaveLength(2);
  });

  test('ask for the version in the middle of a conversation too, and its refusal can be caught', async () => {
    await open();
    expect(await resultOf('InfoLate')).toEqual([2, 2]);
    expect(await resultOf('InfoRefused')).toBe('SESSION_ERROR: the counterparty failed: SESSION_REFUSED: no flow of this member answers the protocol test.nobody');
  });

  test('may be spoken to and heard all at once, by list and by map', async () => {
    await open();
    expect(await resultOf('All')).toEqual({ all: [2, 2, 2], map: ['again 0', 'again 2', 2], last: 'again 1' });
  });

  test('of which one fails, fail the whole and lose nothing of the others', async () => {
    await open();
    expect(await resultOf('AllFails')).toEqual([
      'SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed',
      'echo',
      'SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed. Status is ERROR',
      'OPERATION_INVALID: session.receiveAll: name each session once',
    ]);
    // The session beside the failed one was not spoken to.
    expect(sent().filter(({ sender, seq }) => sender === 'initiator' && seq === 1)).toHaveLength(2);
  });

  test('must each be named once, and be sessions', async () => {
    await open();
    expect(await resultOf('AllTwice')).toEqual([
      'OPERATION_INVALID: session.sendAll: a session is named twice',
      'OPERATION_INVALID: this is no session of this flow: pass what ctx.initiate gave, or what a responder was given',
      [],
      null,
    ]);
  });

  test('whose close is to be confirmed are closed when the counterparty has finished', async () => {
    await open();
    world.start('Alice', 'test.Confirm', 'work', 'c');
    await world.settle();
    expect(world.statusOf('Alice', 'c')?.flowStatus).toBe('RUNNING');
    await world.advance(3_000);
    expect(world.statusOf('Alice', 'c')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: 'closed' });
    expect(world.vault('Bob').get('Note/work')).toContain('done');
    expect(sent().map(({ sender, content }) => ({ sender, ...content }))).toEqual([
      { sender: 'initiator', type: 'data', json: '"work"', closes: true },
      { sender: 'responder', type: 'close' },
    ]);
  });

  test('whose close is to be confirmed tell of a counterparty that fails after it, or never answers', async () => {
    await open();
    world.start('Alice', 'test.Confirm', 'work and fail', 'f');
    await world.settle();
    await world.advance(3_000);
    expect(world.statusOf('Alice', 'f')?.flowResult).toBe('SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed');
    await open({ route: (record) => (record.value.includes('"sender\\\\":\\\\"responder') || record.value.includes('\\"sender\\":\\"responder\\"') ? [] : [record]) });
    world.start('Alice', 'test.Confirm', 'silent', 's');
    await world.settle();
    await world.advance(60_000);
    expect(world.statusOf('Alice', 's')?.flowResult).toBe('SESSION_TIMEOUT: nothing was said on the session for 60000 ms');
  });

  test('whose close is to be confirmed keep their flow until then, and cost no message where the counterparty closed first', async () => {
    await open();
    world.start('Alice', 'test.ConfirmAtEnd', 'work', 'e');
    await world.settle();
    expect(world.statusOf('Alice', 'e')?.flowStatus).toBe('RUNNING');
    await world.advance(3_000);
    expect(world.statusOf('Alice', 'e')?.flowStatus).toBe('COMPLETED');
    await open();
    expect(await resultOf('ConfirmAtEnd', 'work and fail')).toMatchObject({ flowStatus: 'RUNNING' });
    await world.advance(3_000);
    expect(world.statuses.at(-1)).toMatchObject({ flowStatus: 'FAILED', flowError: { message: 'SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed' } });
  });

  test('whose initiator wants receipts ask for one with each message of its own, and with none of the counterparty', async () => {
    await open();
    expect(await resultOf('Receipts')).toBe('echo');
    const asked = world.published
      .filter(({ topic }) => topic === 'all-to-link-manager.send')
      .map(({ value }) => (JSON.parse(value) as { body: { source: string; receipt?: boolean } }).body)
      .map(({ source, receipt }) => [source, receipt ?? false]);
    expect(asked).not.toContainEqual([nameOf('Alice'), false]);
    expect(asked).toContainEqual([nameOf('Alice'), true]);
    expect(asked).toContainEqual([nameOf('Bob'), false]);
    expect(asked).not.toContainEqual([nameOf('Bob'), true]);
  });

  test('may be waited for as long as the flow wants, and go on afterwards', async () => {
    await open();
    world.start('Alice', 'test.Timeout', null, 't');
    await world.settle();
    await world.advance(500);
    await world.advance(500);
    expect(JSON.parse(world.statusOf('Alice', 't')!.flowResult!)).toEqual(['RECEIVE_TIMEOUT: the counterparty has said nothing in the time that this flow waits', 'late']);
  });

  test('live as long as their initiator says, on both sides', async () => {
    await open();
    world.start('Alice', 'test.SessionTimeout', null, 't');
    await world.settle();
    await world.advance(2_000);
    expect(world.statusOf('Alice', 't')?.flowResult).toMatch(/^SESSION_TIMEOUT: /);
    expect(world.vault('Bob').get('Note/held')).toContain('SESSION_TIMEOUT');
  });

  test('with a timeout that is none are refused at the first operation', async () => {
    await open();
    const fault = expect.stringMatching(/^OPERATION_INVALID: the timeoutMs of a session is 1 to/) as unknown;
    expect(await resultOf('BadOptions')).toEqual([fault, fault]);
  });

  test('carry values that are longer than a message, there and back, whole', async () => {
    await open();
    expect(await resultOf('Long', 1_000_000)).toEqual([true, 1_000_000, 'SESSION_CLOSED: the counterparty closed the session']);
    const parts = sent().filter(({ content }) => content.type === 'data' && content.part !== undefined);
    expect(parts.length).toBeGreaterThanOrEqual(12);
    expect(sent().at(-1)?.content).toMatchObject({ closes: true });
    expect(parts.every(({ content }) => content.type === 'data' && content.json.isWellFormed())).toBe(true);
  });

  test('keep the head small while a long value waits in pieces', async () => {
    await open();
    const { states } = world.rooms.get('Bob')!;
    let largest = 0;
    const save = states.save;
    (states as { save: typeof save }).save = async (changes) => {
      for (const { head } of changes) largest = Math.max(largest, JSON.stringify(head ?? null).length);
      return await save(changes);
    };
    await resultOf('Long', 1_000_000);
    expect(largest).toBeLessThan(10_000);
  });

  test('refuse a value that is too long to its sender alone, who goes on', async () => {
    await open({ limits: { sessionValueCharsMax: 300_000 } });
    expect(await resultOf('TooLong', 300_000)).toEqual(['SESSION_DATA_TOO_LARGE: the value is 300002 characters of JSON; at most 300000 can be sent at once', 'echo']);
  });

  test('end for a peer that fills them beyond their bound', async () => {
    await open({ limits: { sessionUnreadCharsMax: 500_000 } });
    expect(await resultOf('Long', 1_000_000)).toMatchObject({ flowStatus: 'FAILED', flowError: { message: 'SESSION_ERROR: the counterparty failed: SESSION_OVERFLOW: more than 500000 characters were not read' } });
    await open({ limits: { flowUnreadCharsMax: 500_000 } });
    expect(await resultOf('Long', 1_000_000)).toMatchObject({ flowStatus: 'FAILED' });
  });

  test('are bounded together, as they are alone', async () => {
    await open({ limits: { flowUnreadCharsMax: 150_000 } });
    world.start('Alice', 'test.TwoLong', 100_000, 't');
    await world.settle();
    await world.advance(1_000);
    expect(JSON.parse(world.statusOf('Alice', 't')!.flowResult!)).toEqual([100_000, expect.stringMatching(/^SESSION_ERROR: the counterparty broke a limit/)]);
  });

  test('say at the end of a refusal how they stand, as Corda does', async () => {
    await open();
    expect(await resultOf('Over', 'silent')).toEqual(Array(2).fill('SESSION_CLOSED: the counterparty closed the session. Status is CLOSED'));
    expect(await resultOf('Over', 'throw')).toEqual(Array(2).fill('SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed. Status is ERROR'));
  });
});
