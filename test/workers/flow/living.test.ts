/** Deadlines, races, properties, sub-flows and long lives: the same with everything in memory and rebuilt from the journal at every event. */
import { beforeAll, describe, expect, test } from 'vitest';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { flowToFlowWake } from '../../../src/messages/flow-to-flow.wake.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import { linkManagerToFlowReceive } from '../../../src/messages/link-manager-to-flow.receive.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { behaviourFlags } from '../../../src/workers/flow/engine/behaviour.ts';
import type { JournalItem } from '../../../src/workers/flow/engine/journal.ts';
import { bundleOf } from './world/bundle.ts';
import { identityOf, nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World, WorldOptions } from './world/world.ts';

const source = `
const protocol = { name: 'test.live', versions: [1] };
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const bob = '${nameOf('Bob')}';
const caught = async (work: () => Promise<unknown>): Promise<unknown> => work().catch((error: any) => (error.code ?? 'no code') + ': ' + error.message);
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, protocol, run });
const inline = subFlow({ name: 'test.Inline', run: async (ctx: any, how: string) => {
  ctx.properties.put('mine', 'inside');
  if (how === 'throw') { await ctx.initiate(bob).send('echo twice'); throw new Error('inside'); }
  const session = ctx.initiate(bob);
  await session.send('echo twice');
  return session;
} });
const initiating = subFlow({ name: 'test.Initiating', protocol: { name: 'test.own', versions: [3] }, run: async (ctx: any, how: string) => {
  const session = ctx.initiate(bob);
  const said = await session.sendAndReceive('own', any);
  if (how === 'throw') throw new Error('private inside');
  return [said, session];
} });
const seen = subFlow({ name: 'test.Seen', run: async (ctx: any) => {
  const before = ctx.properties.get('mine');
  ctx.properties.put('mine', 'changed');
  return [before, await ctx.initiate(bob, { properties: { extra: 'e' } }).sendAndReceive('properties', any)];
} });
export const flows = [
  startable('test.Race', async (ctx) => {
    const find = (id: string) => ctx.db.find(note, id).then(() => id);
    const out: unknown[] = [await Promise.all([find('a'), ctx.sleep(50).then(() => 'slept'), find('b')])];
    out.push(await Promise.race([ctx.sleep(1000).then(() => 'slow'), find('c')]));
    out.push(await Promise.any([caught(() => ctx.db.persist(note, {} as any)).then(() => { throw new Error('x'); }), ctx.sleep(10).then(() => 'any')]));
    out.push(await Promise.race([ctx.sleep(20).then(() => 'first'), ctx.sleep(30).then(() => 'second')]), ctx.uuid());
    return out;
  }),
  startable('test.Leave', async (ctx) => Promise.race([ctx.sleep(10).then(() => 'gone'), ctx.sleep(1000000), ctx.initiate(bob).receive(any)])),
  startable('test.InTime', async (ctx) => { const value = await ctx.deadline(1000, async (inner: any) => { await inner.sleep(10); return 'in time'; }); await ctx.sleep(5000); return value; }),
  startable('test.Late', async (ctx) => {
    const session = ctx.initiate(bob);
    await session.send('late');
    const out = [await caught(() => ctx.deadline(100, async (inner: any) => {
      const inside = inner.within(session);
      const failed = await Promise.all([caught(() => inside.receive(any)), caught(() => inner.sleep(1000000)), caught(() => inner.db.find(note, 'never'))]);
      await ctx.db.merge(note, { id: 'inside', text: failed });
      await caught(() => inner.sleep(1)).then((text) => ctx.db.merge(note, { id: 'after', text }));
      return 'too late to matter';
    }))];
    out.push(await session.receive(any));
    return out;
  }),
  startable('test.Nested', async (ctx) => [
    await caught(() => ctx.deadline(100, (outer: any) => outer.deadline(1000, (inner: any) => inner.sleep(5000)))),
    await caught(() => ctx.deadline(1000, async (outer: any) => [await caught(() => outer.deadline(100, (inner: any) => inner.sleep(5000))), await outer.sleep(10) ?? 'went on'].join())),
    await caught(() => ctx.deadline(-1, async () => 1)),
    await caught(() => ctx.deadline(50, async () => { throw new Error('the work fails'); })),
  ]),
  startable('test.GivenUp', async (ctx) => {
    const out: unknown[] = [];
    const given = await caught(() => ctx.deadline(100, (outer: any) => outer.deadline(1000, async (inner: any) => {
      out.push(await caught(() => inner.sleep(5000)));
      out.push(await caught(() => inner.sleep(1)));
    })));
    await ctx.sleep(10);
    return [given, ...out];
  }),
  startable('test.Same', async (ctx) => {
    const session = ctx.initiate(bob);
    await session.send('at 1000');
    const first = await caught(() => ctx.deadline(1000, (inner: any) => inner.within(session).receive(any)));
    return [first, await caught(() => session.receive(any, { timeoutMs: 60000 }))];
  }),
  startable('test.Properties', async (ctx) => {
    const refused = [];
    for (const [name, value] of [['corda.x', 'y'], ['CORDAX', 'y'], ['', 'y'], ['x', 5], ['x', 'y'.repeat(30000)]]) { try { ctx.properties.put(name, value); } catch (error: any) { refused.push(error.code); } }
    ctx.properties.put('mine', 'outside');
    const inside = await ctx.subFlow(seen, null);
    return { refused, inside, mine: ctx.properties.get('mine'), all: ctx.properties.all() };
  }),
  startable('test.Inline', async (ctx) => {
    const session = await ctx.subFlow(inline, 'fine');
    const failed = await caught(() => ctx.subFlow(inline, 'throw'));
    return [await session.receive(any), failed, await session.receive(any), ctx.properties.get('mine') ?? null];
  }),
  startable('test.Initiating', async (ctx) => {
    const [said, session] = await ctx.subFlow(initiating, 'fine');
    return [said, await caught(() => session.send('x')), await caught(() => ctx.subFlow(initiating, 'throw'))];
  }),
  startable('test.Count', async (ctx, input) => {
    const { left, ids } = input;
    ctx.properties.put('round', String(left));
    const session = ctx.initiate(bob, { protocol: { name: 'test.own', versions: [3] } });
    await session.sendAndReceive('own', any);
    await session.close();
    await ctx.db.merge(note, { id: 'count ' + left, text: left });
    const next = [...ids, ctx.uuid()];
    if (left === 0) return [new Set(next).size, next.length, ctx.properties.get('round'), ctx.properties.get('corda.account')];
    return await ctx.continueAs({ left: left - 1, ids: next });
  }),
  startable('test.CountQuick', async (ctx, left) => (left === 0 ? 'quick' : ctx.continueAs(left - 1))),
  startable('test.ContinueOpen', async (ctx) => { const session = ctx.initiate(bob); await session.send('hold'); return [await caught(() => ctx.continueAs(1)), await caught(() => ctx.subFlow(subFlow({ name: 'x', run: (inner: any) => inner.continueAs(1) }), null))]; }),
  responderFlow({ name: 'test.Answer', protocol, run: async (ctx, session: any) => {
    const said = (await session.receive(any)) as any;
    if (said === 'hold') return await session.receive(any);
    if (said === 'late') { await ctx.sleep(500); return await session.send('late but here'); }
    if (said === 'at 1000') { await ctx.sleep(1000); return await session.send('on the dot'); }
    if (said === 'properties') return await session.send(ctx.properties.all());
    if (said === 'echo twice') { await session.send('one'); return await session.send('two'); }
    await session.receive(any);
  } }),
  responderFlow({ name: 'test.Own', protocol: { name: 'test.own', versions: [3] }, run: async (ctx, session: any) => {
    await session.send(await session.receive(any));
    await ctx.db.merge(note, { id: 'own', text: await caught(() => session.receive(any)) });
  } }),
];`;
const protocol = { name: 'test.live', versions: [1] };
const startable = ['Race', 'Leave', 'InTime', 'Late', 'Nested', 'GivenUp', 'Same', 'Properties', 'Inline', 'Initiating', 'Count', 'CountQuick', 'ContinueOpen'];
let app: App;
beforeAll(async () => {
  app = {
    code: await bundleOf(source),
    flows: [
      ...startable.map((name) => ({ name: `test.${name}`, kind: 'startable' as const, protocol })),
      { name: 'test.Answer', kind: 'responder', protocol },
      { name: 'test.Own', kind: 'responder', protocol: { name: 'test.own', versions: [3] } },
    ],
  };
});

const { shortHash } = identityOf('Alice');

describe.each([
  ['in memory', {}],
  ['rebuilt at every event', { batchMax: 1, limits: { flowsLiveMax: 0 } }],
] as const)('a flow, %s,', (_, settings) => {
  let world: World;
  /** Runs one flow to its end, as fast as its timers are due. */
  const resultOf = async (flow: string, input: unknown = null, options: Partial<WorldOptions> = {}): Promise<unknown> => {
    world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), ...settings, ...options });
    world.start('Alice', `test.${flow}`, input, 'one');
    await world.settle();
    for (let i = 0; i < 100 && world.statusOf('Alice', 'one')?.flowStatus === 'RUNNING'; i++) await world.advance(Math.max(0, (await nextDue()) - world.clock.time));
    const { flowStatus, flowResult, flowError } = world.statusOf('Alice', 'one')!;
    if (flowStatus !== 'COMPLETED') return { flowStatus, flowError };
    return flowResult !== null && /^[[{]/.test(flowResult) ? JSON.parse(flowResult) : flowResult;
  };
  const nextDue = async (): Promise<number> => Math.min(...(await Promise.all([...world.rooms.values()].map(async ({ states }) => (await states.due(0, 1)).nextDueAt ?? Infinity))));
  const headOf = async (): Promise<any> => (await world.rooms.get('Alice')!.states.load([flowIdOf(shortHash, 'one')]))[0]!.head;
  const itemsOf = async (): Promise<readonly { position: number; value: JournalItem }[]> => {
    const key = flowIdOf(shortHash, 'one');
    return (await world.rooms.get('Alice')!.states.loadItems([key])).get(key) as readonly { position: number; value: JournalItem }[];
  };

  test('waits for all, the first, or any of its operations', async () => {
    const [all, race, any, first, uuid] = (await resultOf('Race')) as unknown[];
    expect([all, race, any, first]).toEqual([['a', 'slept', 'b'], 'c', 'any', 'first']);
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('that returns while losers of a race are pending leaves nothing behind', async () => {
    const began = 1_000_000;
    expect(await resultOf('Leave')).toBe('gone');
    expect(world.clock.time).toBe(began + 10);
    expect(await headOf()).toMatchObject({ status: 'COMPLETED', pending: [] });
  });

  test('does its work before a deadline, whose timer goes', async () => {
    expect(await resultOf('InTime')).toBe('in time');
    // The deadline's timer would have woken the flow at 1,000 ms.
    expect(world.logged.filter(({ event }) => event === 'flow-woken')).toHaveLength(2);
  });

  test('gives up what is pending at a deadline, and can hear later what was not handed out by then', async () => {
    expect(await resultOf('Late', null, { route: (record) => (record.topic === 'flow-to-db.entity' && record.value.includes('never') ? [] : [record]) })).toEqual([
      'DEADLINE_EXCEEDED: the work was not done within 100 ms',
      'late but here',
    ]);
    const late = 'DEADLINE_EXCEEDED: the work was not done within 100 ms';
    expect(JSON.parse(world.vault('Alice').get('Note/inside')!)).toEqual({ id: 'inside', text: [late, late, late] });
    expect(JSON.parse(world.vault('Alice').get('Note/after')!)).toEqual({ id: 'after', text: late });
  });

  test('has deadlines inside deadlines', async () => {
    expect(await resultOf('Nested')).toEqual([
      'DEADLINE_EXCEEDED: the work was not done within 100 ms',
      'DEADLINE_EXCEEDED: the work was not done within 100 ms,went on',
      expect.stringMatching(/^OPERATION_INVALID: a deadline takes 0 to/) as unknown,
      'no code: the work fails',
    ]);
  });

  test('gives up what is inside a deadline inside the one that is over, and refuses it more', async () => {
    expect(await resultOf('GivenUp')).toEqual(Array(3).fill('DEADLINE_EXCEEDED: the work was not done within 100 ms'));
  });

  test('loses no message that comes in the moment of the deadline', async () => {
    const held: OutRecord[] = [];
    const route = (record: OutRecord): OutRecord[] => (record.topic === 'all-to-link-manager.send' && record.value.includes('on the dot') && held.push(record) > 0 ? [] : [record]);
    world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), ...settings, batchMax: 500, route });
    world.start('Alice', 'test.Same', null, 'one');
    await world.settle();
    world.clock.time += 1_000;
    const { keys } = await world.rooms.get('Bob')!.states.due(world.clock.time, 10);
    for (const { key, dueAt } of keys) world.deliver('Bob', encode(flowToFlowWake, { key, id: `${key}/${dueAt}`, body: { dueAt } }));
    await world.settle();
    // Message and timer come in one step.
    for (const { value } of held) {
      const { id, body } = JSON.parse(value) as { id: string; body: any };
      const { messageId, groupId, source, destination, payload } = body;
      world.deliver('Alice', encode(linkManagerToFlowReceive, { key: body.receiverKey, id, body: { type: 'message', messageId, groupId, source, destination, payload } }));
    }
    await world.advance(0);
    expect(JSON.parse(world.statusOf('Alice', 'one')!.flowResult!)).toEqual(['DEADLINE_EXCEEDED: the work was not done within 1000 ms', 'on the dot']);
  });

  test('has properties that go to sub-flows and counterparties and do not come back', async () => {
    const own = {
      'corda.account': 'account-zero',
      'corda.cpiName': 'app',
      'corda.cpiVersion': '1',
      'corda.cpiSignerSummaryHash': 'SHA-256:00',
      'corda.cpiFileChecksum': 'C'.repeat(64),
      'corda.cpkFileChecksum.0': 'A'.repeat(64),
      'corda.initialPlatformVersion': '50200',
      'corda.initialSoftwareVersion': '0.1.0',
    };
    const renamed = Object.fromEntries(Object.entries(own).map(([name, value]) => [`corda.initiator.${name.slice(6)}`, value]));
    expect(await resultOf('Properties')).toEqual({
      refused: Array(5).fill('PROPERTY_INVALID'),
      inside: ['outside', { ...own, ...renamed, mine: 'changed', extra: 'e' }],
      mine: 'outside',
      all: { ...own, mine: 'outside' },
    });
    // They ride in the first message and stay in the journal's first item: no head carries them.
    expect((await headOf()).sessions).toHaveLength(1);
    expect((await headOf()).sessions[0]).not.toHaveProperty('context');
  });

  test('keeps the sessions that its inline sub-flows opened, whether they return or throw', async () => {
    expect(await resultOf('Inline')).toEqual(['one', 'no code: inside', 'two', null]);
  });

  test('loses the sessions that its initiating sub-flows opened: closed when they return, failed when they throw', async () => {
    expect(await resultOf('Initiating')).toEqual(['own', 'SESSION_CLOSED: this side closed the session. Status is CLOSED', 'no code: private inside']);
    expect(world.vault('Bob').get('Note/own')).toContain('SESSION_ERROR: the counterparty failed: FLOW_FAILED: the flow of the counterparty failed');
    expect(JSON.stringify(world.published.filter(({ topic }) => topic === 'all-to-link-manager.send'))).not.toContain('private inside');
  });

  test('that continues as another run keeps its id and properties, and loses its journal and its sessions', async () => {
    expect(await resultOf('Count', { left: 5, ids: [] })).toEqual([6, 6, '0', 'account-zero']);
    expect([...world.vault('Alice').keys()].sort()).toEqual(Array.from({ length: 6 }, (__, i) => `Note/count ${i}`));
    const items = await itemsOf();
    expect(items[0]!.value.type).toBe('start');
    expect(items.filter(({ value }) => value.type === 'start')).toHaveLength(1);
    expect(items[0]!.position).toBe((await headOf()).journalFrom);
    expect((await headOf()).sessions).toHaveLength(1);
    expect(world.statuses.filter(({ flowStatus }) => flowStatus === 'COMPLETED')).toHaveLength(1);
  });

  test('may continue without having waited', async () => {
    expect(await resultOf('CountQuick', 20)).toBe('quick');
    expect(await itemsOf()).toHaveLength(1);
  });

  test('does not continue while a session is open, nor inside a sub-flow', async () => {
    expect(await resultOf('ContinueOpen')).toEqual([
      `OPERATION_INVALID: the session with ${nameOf('Bob')} is open: close it before the flow continues as another run`,
      'OPERATION_INVALID: a subflow flow cannot continue as another: only a flow that REST started can',
    ]);
  });

  test('begins its journal with how the platform behaves', async () => {
    await resultOf('CountQuick', 0);
    expect((await itemsOf())[0]!.value).toMatchObject({ type: 'start', v: 1, flags: [...behaviourFlags] });
  });
});

describe('a journal', () => {
  const withFlags = async (flags: readonly string[]): Promise<World> => {
    const world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), limits: { flowsLiveMax: 0 } });
    const { states } = world.rooms.get('Alice')!;
    const load = states.loadItems;
    (states as { loadItems: typeof load }).loadItems = async (keys) =>
      new Map([...(await load(keys))].map(([key, items]) => [key, items.map((item) => ((item.value as JournalItem).type === 'start' ? { ...item, value: { ...(item.value as JournalItem), flags } } : item))]));
    world.start('Alice', 'test.InTime', null, 'one');
    await world.settle();
    await world.advance(10);
    return world;
  };

  test('of before a flag replays without it', async () => {
    expect((await withFlags([])).statusOf('Alice', 'one')?.flowStatus).toBe('RUNNING');
  });

  test('of a later version is not replayed: the flow is held until that version is here', async () => {
    const world = await withFlags([...behaviourFlags, 'from-the-future']);
    expect(world.statusOf('Alice', 'one')).toMatchObject({
      flowStatus: 'FAILED',
      flowError: { type: 'PLATFORM_ERROR', message: 'FLOW_JOURNAL_NEWER: the journal was written by a later version of the platform, which behaves otherwise: from-the-future' },
    });
  });
});
