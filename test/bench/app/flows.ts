/** The application that the benchmarks run. */
import { entity, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';

const notes = entity<{ id: string; text: string }>({ name: 'Note', id: ({ id }) => id });

/** Two durable writes, one after the other. */
export const writeTwo = startableFlow({
  name: 'bench.WriteTwo',
  run: async (ctx) => {
    await ctx.db.persist(notes, { id: `${ctx.flowId}/1`, text: 'hello' });
    await ctx.db.persist(notes, { id: `${ctx.flowId}/2`, text: 'hello' });
    return ctx.flowId;
  },
});
