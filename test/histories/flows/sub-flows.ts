import { entity, responderFlow, startableFlow, subFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.sub', versions: [1] };
const notes = entity<{ id: string; depth: number }>({ name: 'Note', id: ({ id }) => id });

const asking = subFlow({
  name: 'histories.Asking',
  protocol,
  run: async (ctx, { to, fails }: { to: string; fails: boolean }) => {
    const answer = await ctx.initiate(to).sendAndReceive('from inside', any);
    if (fails) throw new Error('the inner flow fails');
    return answer;
  },
});

const deep = subFlow({
  name: 'histories.Deep',
  run: async (ctx, depth: number): Promise<number> => {
    await ctx.db.merge(notes, { id: `d${depth}`, depth });
    return depth === 0 ? 0 : 1 + (await ctx.subFlow(deep, depth - 1));
  },
});

export const nest = startableFlow({
  name: 'histories.Nest',
  protocol,
  run: async (ctx, input) => {
    const to = String(input);
    const session = ctx.initiate(to);
    await session.send('from outside');
    const inner = await ctx.subFlow(asking, { to, fails: false });
    const failed = await caught(() => ctx.subFlow(asking, { to, fails: true }));
    const together = await Promise.all([ctx.subFlow(asking, { to, fails: false }), ctx.subFlow(deep, 3)]);
    return { inner, failed, together, outer: await session.receive(any) };
  },
});

export const answer = responderFlow({
  name: 'histories.SubAnswer',
  protocol,
  run: async (ctx, session) => {
    const said = await session.receive(any);
    await session.send(`heard ${String(said)}`);
    return [said, await caught(() => session.receive(any))];
  },
});
