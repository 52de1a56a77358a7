/** The application of the harness's tests: flow values, as an author's test would import them. */
import { entity, FlowPlatformError, responderFlow, startableFlow, type StandardSchema } from '../../src/flow-sdk/flow-sdk.ts';

const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
const protocol = { name: 'test.tally', versions: [1] };

export type Note = { readonly id: string; readonly text: string };
export const notes = entity<Note>({ name: 'Note', id: ({ id }) => id });

const codeOf = (error: unknown): string => (error instanceof FlowPlatformError ? error.code : String(error));

/** Sends 1, 2, 3 in a row and gives what the other side heard. */
export const tally = startableFlow({
  name: 'test.Tally',
  protocol,
  run: async (ctx, input) => {
    const session = ctx.initiate(String(input));
    for (const n of [1, 2, 3]) await session.send(n);
    return (await session.receive(anything)) as number[];
  },
});

export const hear = responderFlow({
  name: 'test.Hear',
  protocol,
  run: async (ctx, session) => {
    const heard: unknown[] = [];
    for (let i = 0; i < 3; i++) heard.push(await session.receive(anything));
    await ctx.db.persist(notes, { id: ctx.flowId, text: JSON.stringify(heard) });
    await session.send(heard);
  },
});

export const asks = startableFlow({
  name: 'test.Asks',
  protocol,
  run: async (ctx, input) => {
    try {
      const session = ctx.initiate(String(input));
      await session.send(1);
      return await session.receive(anything);
    } catch (error) {
      return codeOf(error);
    }
  },
});

export const writes = startableFlow({
  name: 'test.Writes',
  run: async (ctx, input) => {
    try {
      await ctx.db.persist(notes, { id: String(input), text: 'written' });
      return 'stored';
    } catch (error) {
      return codeOf(error);
    }
  },
});

export const sleeps = startableFlow({
  name: 'test.Sleeps',
  run: async (ctx) => {
    const from = ctx.now();
    await ctx.sleep(3_600_000);
    ctx.log.info('awake', { after: ctx.now() - from });
    return ctx.now() - from;
  },
});

export const draws = startableFlow({ name: 'test.Draws', run: async (ctx) => [ctx.flowId, ctx.uuid(), ctx.random(), (await ctx.crypto.sign('x')).signature] });
export const fails = startableFlow({ name: 'test.Fails', run: async () => Promise.reject(new Error('no luck')) });
export const says = startableFlow({ name: 'test.Says', run: async () => {} });
