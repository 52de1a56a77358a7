import { entity, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';

const counters = entity<{ id: string; value: number }>({ name: 'Counter', id: ({ id }) => id });

/** A long journal: two operations a round, one after the other. */
export const count = startableFlow({
  name: 'histories.Count',
  run: async (ctx, input) => {
    const rounds = Number(input);
    let sum = 0;
    for (let i = 0; i < rounds; i++) {
      await ctx.db.merge(counters, { id: 'one', value: i });
      sum += (await ctx.db.find(counters, 'one'))?.value ?? 0;
    }
    return sum;
  },
});
