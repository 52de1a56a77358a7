import { entity, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';

const lives = entity<{ id: string; left: number; chance: number }>({ name: 'Life', id: ({ id }) => id });

/** One flow that continues as another run, twice: only the journal of the last is kept. */
export const live = startableFlow({
  name: 'histories.Live',
  run: async (ctx, input) => {
    const left = Number(input);
    ctx.properties.put('left', String(left));
    await ctx.db.merge(lives, { id: ctx.uuid(), left, chance: ctx.random() });
    await ctx.sleep(3_600_000);
    if (left > 0) await ctx.continueAs(left - 1);
    return { lives: await ctx.db.count(lives, {}), left: ctx.properties.get('left'), uuid: ctx.uuid() };
  },
});
