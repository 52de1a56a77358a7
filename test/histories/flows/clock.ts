import { startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { caught } from './any.ts';

/** Time, chance and ids, before and after waiting; members; log lines, which a replay does not write again. */
export const wait = startableFlow({
  name: 'histories.Wait',
  run: async (ctx) => {
    const from = ctx.now();
    const drawn: unknown[] = [ctx.random(), ctx.uuid(), ctx.random()];
    for (const ms of [0, 1, 1_500.5, 86_400_000]) {
      await ctx.sleep(ms);
      ctx.log.info('slept', { ms, passed: ctx.now() - from });
      drawn.push(ctx.now() - from, ctx.uuid(), ctx.random());
    }
    const members = await ctx.members.all();
    return { drawn, names: members.map(({ x500Name }) => x500Name), never: await caught(() => ctx.sleep(-1)) };
  },
});
