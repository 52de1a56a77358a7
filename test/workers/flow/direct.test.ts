/** What the first step of a flow asks the db room of its process directly, and what it must leave to the bus. */
import { beforeAll, describe, expect, test } from 'vitest';
import { flowIdOf, incarnationOf } from '../../../src/identity/derive.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import { encode } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { restToFlowKill } from '../../../src/messages/rest-to-flow.kill.ts';
import { requestIdOf } from '../../../src/workers/flow/engine/external.ts';
import type { FlowHead } from '../../../src/workers/flow/engine/head.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { DirectAnswers } from '../../../src/shell/direct.ts';
import { createFlowWorker, createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { identityOf } from './world/identities.ts';
import { createWorld, startIdOf, viewsOf, type App, type World, type WorldOptions } from './world/world.ts';

const source = `
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, run });
const write = (ctx: any, id: string) => ctx.db.persist(note, { id, text: ctx.now() });
export const flows = [
  startable('test.Two', async (ctx) => { await write(ctx, 'a'); await write(ctx, 'b'); return [ctx.now(), (await ctx.db.find(note, 'a')).text]; }),
  startable('test.Many', async (ctx) => { for (let i = 0; i < 12; i++) await write(ctx, 'm' + i); return 'done'; }),
  startable('test.Taken', async (ctx) => { await write(ctx, 't'); return write(ctx, 't').catch((error: any) => error.code); }),
  startable('test.Looks', async (ctx) => { await write(ctx, 'before'); await ctx.members.all(); await write(ctx, 'after'); return 'done'; }),
  startable('test.Sleeps', async (ctx) => { await write(ctx, 'awake'); await ctx.sleep(1000); await write(ctx, 'rested'); return ctx.now(); }),
  startable('test.Searches', async (ctx) => { await write(ctx, 's'); return ctx.db.count(note, {}); }),
  startable('test.Leaves', async (ctx) => { void write(ctx, 'left'); return 'gone'; }),
];`;
const flows = ['Two', 'Many', 'Taken', 'Looks', 'Sleeps', 'Searches', 'Leaves'].map((name) => ({ name: `test.${name}`, kind: 'startable' as const }));

let app: App;
beforeAll(async () => void (app = { code: await bundleOf(source), flows }));

const { shortHash } = identityOf('Alice');

const idOf = ({ value }: OutRecord): string => (JSON.parse(value) as { id: string }).id;

/** `persist a` */
const sketchOf = ({ value }: OutRecord): string => {
  const { operation } = (JSON.parse(value) as { body: BodyOf<typeof flowToDbEntity> }).body;
  const [id] = 'items' in operation ? operation.items.map((one) => one.id) : 'ids' in operation ? operation.ids : [];
  return id === undefined ? operation.type : `${operation.type} ${id}`;
};

/** Requests of entities that crossed the bus. */
type Watched = { readonly world: World; readonly onBus: () => string[] };

const open = async (options: Partial<WorldOptions> = {}): Promise<Watched> => {
  const onBus: string[] = [];
  const world = await createWorld({
    members: ['Alice'],
    app,
    // One write after the other; how turns go on over foreseen answers is another matter (foresight.test.ts).
    sandbox: () => createTrustingSandbox({ limits: { foreseenMax: 0 } }),
    directDeclines: () => false,
    route: (record) => {
      if (record.topic === flowToDbEntity.topic) onBus.push(sketchOf(record));
      return [record];
    },
    ...options,
  });
  return { world, onBus: () => onBus };
};

const savesOf = async (world: World, clientRequestId: string): Promise<number> => {
  const [state] = await world.rooms.get('Alice')!.states.load([flowIdOf(shortHash, clientRequestId)]);
  return state!.version;
};

describe('a flow that REST begins', () => {
  test('writes and reads entities in one step and one save, with nothing on the bus', async () => {
    const { world, onBus } = await open();
    const { flowStatus, flowResult } = await world.run('Alice', 'test.Two');
    expect([flowStatus, flowResult]).toEqual(['COMPLETED', JSON.stringify([1_000_000, 1_000_000])]);
    expect([...world.vault('Alice').keys()]).toEqual(['Note/a', 'Note/b']);
    expect(onBus()).toEqual([]);
    expect(await savesOf(world, 'run-0')).toBe(1);
  });

  test('is told refusals as they come by the bus', async () => {
    const { world } = await open();
    expect((await world.run('Alice', 'test.Taken')).flowResult).toBe('DB_ENTITY_EXISTS');
  });

  test('makes the same requests at the same time of its own when its first step is lost, however late it is made again', async () => {
    let left = 2;
    const { world } = await open({
      crashAt: (_room, point) => {
        if (point !== 'stepped' || left === 0) return false;
        left--;
        world.clock.time += 60_000;
        return true;
      },
    });
    const { flowStatus, flowResult } = await world.run('Alice', 'test.Two');
    expect(left).toBe(0);
    expect([flowStatus, flowResult]).toEqual(['COMPLETED', JSON.stringify([1_000_000, 1_000_000])]);
    expect([...world.vault('Alice').values()].map((json) => (JSON.parse(json) as { text: number }).text)).toEqual([1_000_000, 1_000_000]);
    const asked = world.published.flatMap((record) => (record.topic === flowToDbEntity.topic ? [idOf(record)] : []));
    const flow = { flowId: flowIdOf(shortHash, 'run-0'), incarnation: incarnationOf(startIdOf('run-0')) };
    const once = [0, 1, 2].map((op) => requestIdOf(flow, op));
    expect(asked).toEqual([...once, ...once, ...once]);
  });

  test('leaves to the bus what the db room of its process does not answer', async () => {
    let asked = 0;
    const { world, onBus } = await open({ directDeclines: () => ++asked === 2 });
    expect((await world.run('Alice', 'test.Two')).flowStatus).toBe('COMPLETED');
    expect(onBus()).toEqual(['persist b', 'find a']);
    expect([...world.vault('Alice').keys()]).toEqual(['Note/a', 'Note/b']);
  });

  test('holds its batch for a few answers only, and then goes on by the bus', async () => {
    const { world, onBus } = await open({ limits: { directRoundsMax: 5 } });
    expect((await world.run('Alice', 'test.Many')).flowResult).toBe('done');
    expect(onBus()).toEqual([5, 6, 7, 8, 9, 10, 11].map((i) => `persist m${i}`));
  });

  test('does not hold up the many that need no answers', async () => {
    const { world, onBus } = await open({ limits: { directShareMax: 4 } });
    for (let i = 0; i < 5; i++) world.start('Alice', 'test.Leaves', null, `leaves-${i}`);
    world.start('Alice', 'test.Many', null, 'many');
    await world.settle();
    expect(world.statusOf('Alice', 'many')!.flowStatus).toBe('COMPLETED');
    // The first round has all six flows; from the second on it is alone among six.
    expect(onBus()).toEqual([...Array.from({ length: 5 }, () => 'persist left'), ...Array.from({ length: 11 }, (_, i) => `persist m${i + 1}`)]);
  });
});

describe('goes by the bus, because its step might not be the same if it were made again:', () => {
  test('what is asked after something that may change has been told', async () => {
    const { world, onBus } = await open();
    await world.run('Alice', 'test.Looks');
    expect(onBus()).toEqual(['persist after']);
  });

  test('what is asked in a later step', async () => {
    const { world, onBus } = await open();
    await world.run('Alice', 'test.Sleeps');
    await world.advance(1_000);
    expect(world.statusOf('Alice', 'run-0')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '1001000' });
    expect(onBus()).toEqual(['persist rested']);
  });

  test('what is asked where more than the start was heard', async () => {
    const { world, onBus } = await open();
    world.start('Alice', 'test.Two', null, 'k');
    const key = flowIdOf(shortHash, 'k');
    // A kill that is not for it, so that the flow runs on.
    world.deliver('Alice', encode(restToFlowKill, { key, id: 'x', body: { shortHash, clientRequestId: 'other', killedBy: 'admin' } }));
    await world.settle();
    expect(world.statusOf('Alice', 'k')!.flowStatus).toBe('COMPLETED');
    expect(onBus()).toEqual(['persist a', 'persist b', 'find a']);
  });

  test('a search, which may take long, and what nobody waits for', async () => {
    const { world, onBus } = await open();
    expect((await world.run('Alice', 'test.Searches')).flowResult).toBe('1');
    await world.run('Alice', 'test.Leaves');
    expect(onBus()).toEqual(['count', 'persist left']);
    expect(world.vault('Alice').has('Note/left')).toBe(true);
  });
});

test('a request that another run of the flow made otherwise fails the flow, and the operator can see why', async () => {
  const { world } = await open();
  // As the code of before an upgrade might have asked, in a process that died.
  world.answered.set(requestIdOf({ flowId: flowIdOf(shortHash, 'run-0'), incarnation: incarnationOf(startIdOf('run-0')) }, 1), { request: 'something else', outcome: { type: 'done', value: { items: [] } } });
  const { flowStatus, flowError } = await world.run('Alice', 'test.Two');
  expect([flowStatus, flowError]).toEqual(['FAILED', { type: 'PLATFORM_ERROR', message: expect.stringMatching(/^DB_REQUEST_CHANGED: it was something else/) as string }]);
  const [state] = await world.rooms.get('Alice')!.states.load([flowIdOf(shortHash, 'run-0')]);
  expect((state!.head as FlowHead).resume).toBeDefined();
});

describe('a start that is not durable yet', () => {
  const asked: string[] = [];
  const askAtOnce: DirectAnswers['askAtOnce'] = async (requests) => {
    asked.push(...requests.map(({ record }) => sketchOf(record)));
    return requests.map(() => ({ type: 'done', value: { items: [] } }));
  };
  const way: DirectAnswers = { ask: async (requests) => (await askAtOnce(requests))!, askAtOnce };
  const step = (durable: Promise<void>) => {
    asked.length = 0;
    const { machine } = createFlowWorker({ views: viewsOf(['Alice'], [], app), sandbox: createTrustingSandbox(), direct: new Map([[flowToDbEntity.topic, way]]), log: silentLog, metrics: createMetrics() });
    const body = { holdingIdentity: identityOf('Alice'), clientRequestId: 'one', flowClassName: 'test.Taken', requestBody: 'null', startedBy: 'admin' };
    const key = flowIdOf(shortHash, 'one');
    return machine!.step([{ key, head: undefined, items: undefined, events: [{ type: 'start', key, id: 'm1', at: 10, body }], durable }], 10);
  };
  const nextTurns = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => void setImmediate(resolve));
  };

  test('makes no request of its own before it is', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stepping = step(promise);
    await nextTurns();
    expect(asked).toEqual([]);
    resolve();
    expect(await stepping).toMatchObject([{ type: 'next', head: { status: 'COMPLETED' } }]);
    expect(asked).toEqual(['persist t', 'persist t']);
  });

  test('makes none where it never will be', async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    const stepping = step(promise);
    reject(new Error('the disk is full'));
    expect(await stepping).toMatchObject([{ type: 'later', reason: 'the bus could not write what the flow heard' }]);
    expect(asked).toEqual([]);
  });
});
