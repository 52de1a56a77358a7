/** Whatever crashes, repeats or leaves memory, flows do the same things once and end the same. */
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { BatchPoint } from '../../../src/shell/operational.ts';
import { createTrustingSandbox } from '../../../src/workers/flow/worker.ts';
import { bundleOf } from './world/bundle.ts';
import { nameOf } from './world/identities.ts';
import { createWorld } from './world/world.ts';
import type { App, World, WorldOptions } from './world/world.ts';

const source = `
const protocol = { name: 'test.echo', versions: [1, 2] };
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const bob = '${nameOf('Bob')}';
const doubled = subFlow({ name: 'test.Doubled', protocol, run: async (ctx, input: number) => {
  const session = ctx.initiate(bob);
  return await session.sendAndReceive(input * 2, any);
} });
const step = async (ctx: any, one: any, out: any[], sessions: any[]): Promise<void> => {
  const id = String(one.id);
  switch (one.do) {
    case 'draw': return void out.push(ctx.random(), ctx.uuid(), ctx.now());
    case 'tick': return await null;
    case 'persist': return await ctx.db.persist(note, { id, text: ctx.uuid() });
    case 'merge': return await ctx.db.merge(note, { id, text: out.length });
    case 'remove': return void out.push(await ctx.db.remove(note, id));
    case 'find': return void out.push(await ctx.db.find(note, id));
    case 'query': return void out.push(await ctx.db.query(note, {}));
    case 'sleep': return await ctx.sleep(one.id * 100);
    case 'members': return void out.push((await ctx.members.all()).length, (await ctx.members.find(bob))?.x500Name);
    case 'sign': { const signed = await ctx.crypto.sign('text'); return void out.push(await ctx.crypto.verify('text', signed), await ctx.crypto.verify('other', signed)); }
    case 'sub': return void out.push(await ctx.subFlow(doubled, one.id));
    case 'open': return void sessions.push(ctx.initiate(bob));
    case 'send': return await sessions.at(-1)?.send(one.id);
    case 'receive': return void out.push(await sessions.at(-1)?.receive(any));
    case 'echo': return void out.push(await sessions.at(-1)?.sendAndReceive({ id: one.id }, any));
    case 'close': return await sessions.at(-1)?.close();
    case 'confirmed': return void sessions.push(ctx.initiate(bob, { requireClose: true, properties: { id } }));
    case 'info': return void out.push((await sessions.at(-1)?.counterpartyInfo())?.protocol.version);
    case 'sendAll': return await ctx.sendAll(one.id, sessions.slice(-2));
    case 'receiveAll': return void out.push(await ctx.receiveAll(any, sessions.slice(-2)));
    case 'wait': return void out.push(await sessions.at(-1)?.receive(any, { timeoutMs: one.id * 100 + 50 }));
    case 'deadline': return void out.push(await ctx.deadline(150, (inner: any) => (sessions.length > 0 ? inner.within(sessions.at(-1)).receive(any) : inner.sleep(one.id * 100))));
    case 'property': return void (ctx.properties.put('id', id), out.push(ctx.properties.get('id')));
    case 'stray': return void ctx.db.merge(note, { id, text: 'stray' }).catch(() => {});
    case 'all': {
      // Which of them is done first may differ where a process dies between two answers.
      const outs = one.parts.map(() => []);
      await Promise.all(one.parts.map((part: any, i: number) => attempt(ctx, part, outs[i], sessions)));
      return void out.push(...outs);
    }
    // Time passes when all is at rest, so each of these has one winner; an answer and a message might come in either order.
    case 'race': return void out.push(await Promise.race([ctx.sleep(150).then(() => 'slept'), ctx.db.find(note, id), ctx.sleep(50)]));
    case 'listen': return void out.push(await Promise.race([ctx.sleep(150).then(() => 'slept'), sessions.at(-1)?.receive(any) ?? ctx.sleep(50)]));
  }
};
const attempt = async (ctx: any, one: any, out: any[], sessions: any[]): Promise<void> => {
  try {
    await step(ctx, one, out, sessions);
  } catch (error: any) {
    out.push(error.code ?? error.message);
  }
};
export const flows = [
  startableFlow({ name: 'test.Program', protocol, run: async (ctx, input: any) => {
    const out: any[] = [];
    const sessions: any[] = [];
    for (const one of input.steps) await attempt(ctx, one, out, sessions);
    if (input.throws) throw new Error(JSON.stringify(out));
    return out;
  } }),
  responderFlow({ name: 'test.Echo', protocol, run: async (ctx, session) => {
    let count = 0;
    for (;;) {
      const said = (await session.receive(any)) as any;
      await ctx.db.merge(note, { id: session.counterparty + ++count, text: said });
      if (said === 3) throw new Error('three is too much');
      if (said === 4) return;
      await session.send([said, session.protocolVersion, count, ctx.uuid()]);
    }
  } }),
];`;
const protocol = { name: 'test.echo', versions: [1, 2] };
const flows = [
  { name: 'test.Program', kind: 'startable' as const, protocol },
  { name: 'test.Echo', kind: 'responder' as const, protocol },
  { name: 'test.Doubled', kind: 'subflow' as const, protocol },
];
let app: App;
beforeAll(async () => void (app = { code: await bundleOf(source), flows }));

type Step = { do: string; id: number; parts?: Step[] };
const simple = ['draw', 'tick', 'persist', 'merge', 'remove', 'find', 'query', 'sleep', 'members', 'sign', 'sub', 'open', 'send', 'receive', 'echo', 'close', 'stray', 'race', 'listen', 'confirmed', 'info', 'sendAll', 'receiveAll', 'wait', 'deadline', 'property'];
const simpleStep = fc.record({ do: fc.constantFrom(...simple, 'open', 'echo', 'echo'), id: fc.nat({ max: 5 }) });
const anyStep: fc.Arbitrary<Step> = fc.oneof({ weight: 4, arbitrary: simpleStep }, { weight: 1, arbitrary: fc.record({ do: fc.constant('all'), id: fc.nat({ max: 5 }), parts: fc.array(simpleStep, { maxLength: 3 }) }) });
const program = fc.record({ steps: fc.array(anyStep, { maxLength: 8 }), throws: fc.boolean() });
type Program = { readonly steps: readonly Step[]; readonly throws: boolean };

const limits = { sessionTimeoutMs: 5_000 };

/** Starts flows and lets time pass until all have ended; what they left behind. */
const outcomeOf = async (programs: readonly Program[], options: Partial<WorldOptions>): Promise<{ world: World; outcome: unknown }> => {
  const world = await createWorld({ members: ['Alice', 'Bob'], app, sandbox: () => createTrustingSandbox(), limits, ...options });
  programs.forEach((input, i) => world.start('Alice', 'test.Program', input, `flow-${i}`));
  await world.settle();
  for (let i = 0; i < 200 && (await nextDue(world)) < Infinity; i++) await world.advance(Math.max(0, (await nextDue(world)) - world.clock.time));
  const ended = programs.map((_, i) => {
    const { flowStatus, flowResult, flowError } = world.statusOf('Alice', `flow-${i}`)!;
    return { flowStatus, flowResult, flowError };
  });
  return { world, outcome: { ended, alice: [...world.vault('Alice')].sort(), bob: [...world.vault('Bob')].sort() } };
};

const nextDue = async (world: World): Promise<number> => {
  const times = await Promise.all([...world.rooms.values()].map(async ({ states }) => (await states.due(0, 1)).nextDueAt ?? Infinity));
  return Math.min(...times);
};

const points: BatchPoint[] = ['polled', 'stepped', 'saved', 'published', 'committed'];

/** Dies at every nth point passed, for a while. */
const dying = (every: number, deaths: number) => {
  let passed = 0;
  let died = 0;
  return (_room: string, point: BatchPoint): boolean => points.includes(point) && died < deaths && ++passed % every === 0 && ++died > 0;
};

/** Failures that no application caused. */
const platformFaults = (world: World): unknown[] => world.logged.filter(({ event, error }) => event === 'flow-failed' && (error as { type: string }).type !== 'FLOW_FAILED');

const runs = { numRuns: Number(process.env['FLOW_FAULT_RUNS'] ?? 40) };

describe('flows under faults', () => {
  test('end the same when nothing stays in memory between records', async () => {
    await fc.assert(
      fc.asyncProperty(program, async (input) => {
        // Batches of the same size, since what comes together may overtake what comes alone.
        const plain = await outcomeOf([input], { batchMax: 1 });
        const small = await outcomeOf([input], { batchMax: 1, limits: { ...limits, flowsLiveMax: 0 } });
        expect(small.outcome).toEqual(plain.outcome);
        expect(platformFaults(small.world)).toEqual([]);
      }),
      runs,
    );
  });

  test('end the same when processes die at any point of a batch', async () => {
    await fc.assert(
      fc.asyncProperty(program, fc.integer({ min: 2, max: 40 }), async (input, every) => {
        const plain = await outcomeOf([input], {});
        for (const asking of [{}, { directDeclines: () => false }]) {
          const died = await outcomeOf([input], { crashAt: dying(every, 20), ...asking });
          expect(died.outcome).toEqual(plain.outcome);
          expect(platformFaults(died.world)).toEqual([]);
        }
      }),
      runs,
    );
  });

  test('end the same when everything is delivered twice', async () => {
    await fc.assert(
      fc.asyncProperty(program, async (input) => {
        const plain = await outcomeOf([input], {});
        const twice = await outcomeOf([input], { route: (record) => [record, record] });
        expect(twice.outcome).toEqual(plain.outcome);
      }),
      runs,
    );
  });

  test('do not disturb each other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(program, { minLength: 2, maxLength: 5 }), async (inputs) => {
        // Without entities, which flows of one member share.
        const alone = inputs.map(({ steps, throws }) => ({ throws, steps: steps.filter(({ do: what }) => !['all', 'persist', 'merge', 'remove', 'find', 'query', 'race', 'sleep', 'draw'].includes(what)) }));
        const together = (await outcomeOf(alone, {})).outcome as { ended: { flowStatus: string; flowResult: string }[] };
        const strip = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'id'));
        for (const [i, input] of alone.entries()) {
          const single = (await outcomeOf([input], {})).outcome as { ended: unknown[] };
          expect(strip(together.ended[i])).toEqual(strip(single.ended[0]));
        }
      }),
      { numRuns: 15 },
    );
  });
});
