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

/** Two durable writes, and a look at the first before the second. */
export const writeLookWrite = startableFlow({
  name: 'bench.WriteLookWrite',
  run: async (ctx) => {
    await ctx.db.persist(notes, { id: `${ctx.flowId}/1`, text: 'hello' });
    const found = await ctx.db.find(notes, `${ctx.flowId}/1`);
    await ctx.db.persist(notes, { id: `${ctx.flowId}/2`, text: found?.text ?? 'nothing' });
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

/** Says one word to a counterparty, and sleeps. */
export const sayOneWord = startableFlow({
  name: 'bench.SayOneWord',
  protocol: waiting,
  run: async (ctx, input) => {
    await ctx.initiate(String(input)).send('word');
    await ctx.sleep(300 * dayMs);
  },
});

/** Waits for a second word, until the session is given up. */
export const waitForMore = responderFlow({
  name: 'bench.WaitForMore',
  protocol: waiting,
  run: async (ctx, session) => {
    await session.receive(anything);
    try {
      await session.receive(anything);
    } catch (error) {
      if (error instanceof FlowPlatformError && error.code === 'SESSION_TIMEOUT') return;
      throw error;
    }
  },
});
