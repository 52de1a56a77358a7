import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.deadline', versions: [1] };

/** Work within a time, and work that takes longer; a message that was waited for in vain is heard afterwards. */
export const hurry = startableFlow({
  name: 'histories.Hurry',
  protocol,
  run: async (ctx, input) => {
    const session = ctx.initiate(String(input));
    await session.send('in a while');
    const quick = await ctx.deadline(1_000, async (inner) => (await inner.members.all()).length);
    const slow = await caught(() => ctx.deadline(1_000, (inner) => inner.sleep(60_000)));
    const inVain = await caught(() => ctx.deadline(1_000, (inner) => inner.within(session).receive(any)));
    const nested = await caught(() => ctx.deadline(2_000, async (outer) => [await caught(() => outer.deadline(500, (inner) => inner.sleep(9_000))), await outer.sleep(9_000)]));
    const heard = await session.receive(any);
    return { quick, slow, inVain, nested, heard, at: ctx.now() };
  },
});

export const dawdle = responderFlow({
  name: 'histories.Dawdle',
  protocol,
  run: async (ctx, session) => {
    await session.receive(any);
    await ctx.sleep(10_000);
    await session.send('here it is');
  },
});
