import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any } from './any.ts';

const protocol = { name: 'histories.draw', versions: [1] };

/** Draws ids and chance over two runs, of which each opens a session, and another flow draws its own. */
export const draw = startableFlow({
  name: 'histories.Draw',
  protocol,
  run: async (ctx, input) => {
    const { other, drawn } = input as { other: string; drawn: unknown[] };
    const session = ctx.initiate(other);
    const theirs = await session.sendAndReceive({ mine: [ctx.uuid(), ctx.random()] }, any);
    await session.close();
    await ctx.sleep(1_000);
    const all = [...drawn, ctx.uuid(), ctx.random(), theirs];
    if (drawn.length === 0) await ctx.continueAs({ other, drawn: all });
    return all;
  },
});

export const drawToo = responderFlow({
  name: 'histories.DrawToo',
  protocol,
  run: async (ctx, session) => {
    const { mine } = (await session.receive(any)) as { mine: unknown[] };
    await session.send({ mine: [ctx.uuid(), ctx.random()], yours: mine });
  },
});
