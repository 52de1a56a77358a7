/** Flows that write entities one after the other go on before they are told; that nobody can tell by what comes of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/host/clock.ts';
import { startGuest } from '../../../src/host/guests.ts';
import { flowIdOf } from '../../../src/identity/derive.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import type { Sandbox } from '../../../src/workers/flow/sandbox/sandbox.ts';
import { createFlowSandbox, createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { identityOf } from './world/identities.ts';
import { createWorld, type App, type World, type WorldOptions } from './world/world.ts';

const source = `
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, run });
const write = (ctx: any, id: string) => { ctx.log.info('writes ' + id); return ctx.db.persist(note, { id, text: ctx.now() }); };
const told = (promise: Promise<unknown>) => promise.then(() => 'done', (error: any) => error.code);
export const flows = [
  startable('test.Three', async (ctx, id) => { await write(ctx, id + 1); await ctx.db.merge(note, { id: id + 2, text: 'merged' }); await write(ctx, id + 3); return ctx.now(); }),
  startable('test.Taken', async (ctx, id) => [await told(write(ctx, id)), await told(write(ctx, id)), await told(write(ctx, id + ' again'))]),
  startable('test.Looks', async (ctx) => { await write(ctx, 'l1'); await write(ctx, 'l2'); return ctx.db.count(note, {}); }),
  startable('test.Finds', async (ctx) => { await write(ctx, 'f1'); const found = await ctx.db.find(note, 'f1'); await write(ctx, 'f2'); return found; }),
  startable('test.Beside', async (ctx) => { await Promise.all([write(ctx, 'b1'), ctx.sleep(1000)]); await write(ctx, 'b2'); return ctx.now(); }),
  startable('test.Large', async (ctx) => { await write(ctx, 'g'); return 'x'.repeat(1_000_000); }),
  startable('test.Many', async (ctx) => { for (let i = 0; i < 12; i++) await write(ctx, 'm' + i); return 'done'; }),
  startable('test.Leaves', async (ctx) => { void write(ctx, 'left'); return 'gone'; }),
  startable('test.Changes', async (ctx, id) => { await ctx.db.merge(note, { id, text: 'changed' }); await ctx.db.merge(note, { id: id + ' too', text: 'changed' }); }),
  startable('test.Spins', async (ctx) => { await write(ctx, 's'); for (;;); }),
];`;
const flows = ['Three', 'Taken', 'Looks', 'Finds', 'Beside', 'Large', 'Many', 'Leaves', 'Changes', 'Spins'].map((name) => ({ name: `test.${name}`, kind: 'startable' as const }));

let app: App;
beforeAll(async () => void (app = { code: await bundleOf(source), flows }));

/** Turns that were run, and those of them that went on over foreseen answers. */
type Turns = { all: number; foreseeing: number; readonly over: number[] };

const counted = (sandbox: Sandbox, turns: Turns): Sandbox => ({
  ...sandbox,
  run: async (given) => {
    turns.all += given.length;
    turns.foreseeing += given.filter(({ foresees }) => foresees === true).length;
    const results = await sandbox.run(given);
    for (const result of results) if (result.type === 'ran' && result.foreseen !== undefined) turns.over.push(result.foreseen.length);
    return results;
  },
});

const open = async (options: Partial<WorldOptions> = {}, sandbox = createTrustingSandbox()): Promise<{ world: World; turns: Turns; onBus: () => number }> => {
  const turns: Turns = { all: 0, foreseeing: 0, over: [] };
  let onBus = 0;
  const route = (record: { readonly topic: string }): void => void (record.topic === flowToDbEntity.topic && onBus++);
  const world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => counted(sandbox, turns), directDeclines: () => false, route: (record) => (route(record), [record]), ...options });
  return { world, turns, onBus: () => onBus };
};

/** What anyone can see of a run: its end, the vault, what was said, and the journal. */
const seen = async (world: World, clientRequestId = 'run-0') => {
  const key = flowIdOf(identityOf('Alice').shortHash, clientRequestId);
  const { states } = world.rooms.get('Alice')!;
  const [state] = await states.load([key]);
  const { flowStatus, flowResult, flowError } = world.statusOf('Alice', clientRequestId)!;
  return {
    end: [flowStatus, flowResult, flowError],
    vault: [...world.vault('Alice')],
    said: world.logged.flatMap(({ event, message }) => (event === 'flow-says' ? [message] : [])),
    journal: (await states.loadItems([key])).get(key),
    version: state!.version,
  };
};

describe('a flow that writes one entity after the other', () => {
  test('is one turn, one request of the db room and one save', async () => {
    const { world, turns, onBus } = await open();
    expect((await world.run('Alice', 'test.Three', 'x')).flowStatus).toBe('COMPLETED');
    expect([...world.vault('Alice').keys()]).toEqual(['Note/x1', 'Note/x2', 'Note/x3']);
    expect([turns, onBus(), (await seen(world)).version]).toEqual([{ all: 1, foreseeing: 1, over: [3] }, 0, 1]);
    // Done with the save, so that nobody asks again.
    expect([...world.answered]).toEqual([]);
  });

  test('has written what it then looks for, and the rest with its save', async () => {
    const { world, turns, onBus } = await open();
    expect((await world.run('Alice', 'test.Finds')).flowResult).toBe(JSON.stringify({ id: 'f1', text: 1_000_000 }));
    expect([turns.over, onBus(), (await seen(world)).version]).toEqual([[1, 1], 0, 1]);
    const kinds = [...world.answered.values()].map(({ request }) => (JSON.parse(request) as { body: { operation: { type: string } } }).body.operation.type);
    expect(kinds).toEqual(['persist', 'find']);
  });

  test('is told of its log lines once, also where its save is refused the first time', async () => {
    let asked = 0;
    // Whether the work may be joint, and then, at the save, whether it is in the way of something.
    const { world } = await open({ directDeclines: () => ++asked === 2 });
    await world.run('Alice', 'test.Three', 'x');
    expect((await seen(world)).said).toEqual(['writes x1', 'writes x3']);
    expect(world.metricsText()).toMatch(/^cordage_flow_steps_undone_total 1$/m);
  });

  test.each(['test.Three', 'test.Taken', 'test.Looks', 'test.Finds', 'test.Beside', 'test.Large'])('%s leaves what it leaves when it is told of each write', async (flow) => {
    const [{ world: quick, turns }, { world: slow }] = [await open(), await open({}, createTrustingSandbox({ limits: { foreseenMax: 0 } }))];
    for (const world of [quick, slow]) {
      await world.run('Alice', flow, 'y');
      await world.advance(1_000);
    }
    expect(turns.foreseeing).toBeGreaterThan(0);
    // What could not be foreseen goes by the bus, and is more saves.
    expect({ ...(await seen(quick)), version: 0 }).toEqual({ ...(await seen(slow)), version: 0 });
  });

  test('does not go on where it waits for something else as well', async () => {
    const { world, turns } = await open();
    await world.run('Alice', 'test.Beside');
    await world.advance(1_000);
    expect(turns.over).toEqual([]);
  });

  test('does not hold up the many that need no answers', async () => {
    const { world, turns, onBus } = await open({ limits: { directShareMax: 4 } }, createTrustingSandbox({ limits: { foreseenMax: 4 } }));
    for (let i = 0; i < 5; i++) world.start('Alice', 'test.Leaves', null, `leaves-${i}`);
    world.start('Alice', 'test.Many', null, 'many');
    await world.settle();
    expect(world.statusOf('Alice', 'many')!.flowStatus).toBe('COMPLETED');
    // In the first round all six move: four writes are foreseen, and the fifth is asked directly. From the second on it is alone among six.
    expect([turns.foreseeing, turns.over, onBus()]).toEqual([6, [4], 5 + 7]);
  });

  test('is told what was written, where the news that it was done was lost', async () => {
    let asked = 0;
    // The first question is whether all is declined, the second whether the news is.
    const { world, turns } = await open({ directDeclines: () => ++asked === 2 });
    await world.run('Alice', 'test.Finds');
    const { end, said } = await seen(world);
    expect([end[0], said]).toEqual(['COMPLETED', ['writes f1', 'writes f2']]);
    expect([...world.vault('Alice').keys()]).toEqual(['Note/f1', 'Note/f2']);
    expect(turns.all).toBe(1 + 4);
  });

  test('writes the same once when its first step is lost', async () => {
    let left = 2;
    const { world } = await open({ crashAt: (_room, point) => point === 'stepped' && left-- > 0 });
    expect((await world.run('Alice', 'test.Three', 'x')).flowStatus).toBe('COMPLETED');
    expect(left).toBeLessThan(0);
    expect([...world.vault('Alice').keys()]).toEqual(['Note/x1', 'Note/x2', 'Note/x3']);
  });

  test('has written nothing before it is saved, where it goes write by write: its next try may foresee', async () => {
    const declined = [true].values();
    let before: number | undefined;
    const { world } = await open({
      // That its work be joint is declined once.
      directDeclines: () => !declined.next().done,
      crashAt: (_room, point) => {
        if (point !== 'stepped' || before !== undefined) return false;
        before = world.vault('Alice').size;
        return true;
      },
    });
    await world.run('Alice', 'test.Changes', 'c');
    expect([before, [...world.vault('Alice').keys()]]).toEqual([0, ['Note/c', 'Note/c too']]);
  });

  test('does not do again what was done with its save, where a crash brings its start again and it goes write by write then', async () => {
    let crashed = false;
    // That its work be joint is declined once.
    const declined = [true].values();
    const { world, onBus } = await open({
      directDeclines: () => crashed && !declined.next().done,
      crashAt: (_room, point) => {
        if (point !== 'saved' || crashed) return false;
        crashed = true;
        // Another flow, which is not heard of again.
        world.vault('Alice').set('Note/c', '"changed since"');
        world.vault('Alice').delete('Note/c too');
        return true;
      },
    });
    await world.run('Alice', 'test.Changes', 'c');
    expect(crashed).toBe(true);
    expect([[...world.vault('Alice')], onBus()]).toEqual([[['Note/c', '"changed since"']], 0]);
  });
});

describe('where an answer was another than foreseen', () => {
  test('flows of this virtual node go write by write for a while', async () => {
    const { world, turns } = await open({ limits: { unforeseenMs: 5_000 } });
    await world.run('Alice', 'test.Taken', 't');
    turns.foreseeing = 0;
    world.start('Alice', 'test.Three', 'p', 'next');
    await world.settle();
    expect([world.statusOf('Alice', 'next')!.flowStatus, turns.foreseeing]).toEqual(['COMPLETED', 0]);
    await world.advance(5_000);
    world.start('Alice', 'test.Three', 'q', 'later');
    await world.settle();
    expect([world.statusOf('Alice', 'later')!.flowStatus, turns.foreseeing]).toEqual(['COMPLETED', 1]);
  });

  test('only flows of its piece are made again, and of those that did not stand none is half done', async () => {
    const { world, turns } = await open({ limits: { foreseenRequestCharsMax: 1 } });
    world.start('Alice', 'test.Three', 'n', 'sound');
    world.start('Alice', 'test.Taken', 't', 'taken');
    await world.settle();
    expect(world.statusOf('Alice', 'taken')!.flowResult).toBe(JSON.stringify(['done', 'DB_ENTITY_EXISTS', 'done']));
    expect(world.statusOf('Alice', 'sound')!.flowStatus).toBe('COMPLETED');
    expect([...world.vault('Alice').keys()]).toEqual(['Note/n1', 'Note/n2', 'Note/n3', 'Note/t', 'Note/t again']);
    expect([turns.foreseeing, turns.all]).toEqual([2, 2 + 4]);
  });
});

describe('in a process of its own', () => {
  let sandbox: Sandbox;
  beforeAll(() => void (sandbox = createFlowSandbox({ startGuest, clock: systemClock, log: silentLog, metrics: createMetrics(), limits: { turnMsMax: 200, guestSpareCount: 1, patienceMs: 20_000 } })));
  afterAll(() => sandbox.close());

  test('a flow that spins after a write has made it', { timeout: 60_000 }, async () => {
    const { world, turns } = await open({}, sandbox);
    expect((await world.run('Alice', 'test.Spins')).flowError?.message).toMatch(/^FLOW_TIME_EXCEEDED/);
    expect([...world.vault('Alice').keys()]).toEqual(['Note/s']);
    expect([turns.foreseeing > 0, turns.over]).toEqual([true, []]);
  });
});
