/** The application that the benchmarks run. */
import { entity, FlowPlatformError, responderFlow, startableFlow, type StandardSchema } from '../../../src/flow-sdk/flow-sdk.ts';

const notes = entity<{ id: string; text: string }>({ name: 'Note', id: ({ id }) => id });
const dayMs = 24 * 60 * 60 * 1_000;

/** Two durable writes, one after the other. */
export const writeTwo = startableFlow({
  name: 'bench.WriteTwo',
  run: async (ctx) => {
    await ctx.db.persist(notes, { id: `${ctx.flowId}/1`, text: 'hello' });
    await ctx.db.persist(notes, { id: `${ctx.flowId}/2`, text: 'hello' });
    return ctx.flowId;
  },
});

/** Parked for most of a year. */
export const sleepLong = startableFlow({
  name: 'bench.Sleep',
  run: async (ctx) => {
    await ctx.sleep(300 * dayMs);
    return `woken ${ctx.flowId}`;
  },
});

const waiting = { name: 'bench.waiting', versions: [1] };
const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'bench', validate: (value) => ({ value }) } };

/** Waits for a counterparty that says nothing, until the session is given up. */
export const waitForWord = startableFlow({
  name: 'bench.Wait',
  protocol: waiting,
  run: async (ctx, input) => {
    try {
      return await ctx.initiate(String(input)).sendAndReceive('say something', anything);
    } catch (error) {
      if (error instanceof FlowPlatformError && error.code === 'SESSION_TIMEOUT') return `silence ${ctx.flowId}`;
      throw error;
    }
  },
});

export const sayNothing = responderFlow({
  name: 'bench.SayNothing',
  protocol: waiting,
  run: async (ctx, session) => {
    await session.receive(anything);
    await ctx.sleep(300 * dayMs);
  },
});
