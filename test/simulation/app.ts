/** The application of the simulation: it notices by itself what is lost, doubled or out of order. */
import * as z from 'zod/mini';
import { entity, parse, responderFlow, startableFlow } from '../../src/flow-sdk/flow-sdk.ts';

const protocol = { name: 'simulation.count', versions: [1] };
const request = z.object({ otherMember: z.string(), messages: z.number() });
const numbers = z.array(z.number());
const note = entity<{ flowId: string; heard: number[] }>({ name: 'note', id: ({ flowId }) => flowId });

/** Sends 1, 2, … n, each answered by all that was heard so far; stores what the other side heard; gives it back. */
export const count = startableFlow({
  name: 'simulation.Count',
  protocol,
  run: async (ctx, input) => {
    const { otherMember, messages } = await parse(request, input);
    const session = ctx.initiate(otherMember);
    let heard: number[] = [];
    for (let i = 1; i <= messages; i++) heard = await session.sendAndReceive(i, numbers);
    // Refused when it is there already: a flow that ran twice would fail here.
    await ctx.db.persist(note, { flowId: ctx.flowId, heard });
    await session.send(0);
    return heard;
  },
});

export const listen = responderFlow({
  name: 'simulation.Listen',
  protocol,
  run: async (ctx, session) => {
    const heard: number[] = [];
    for (;;) {
      const next = await session.receive(z.number());
      if (next === 0) break;
      heard.push(next);
      await session.send(heard);
    }
    await ctx.db.persist(note, { flowId: ctx.flowId, heard });
  },
});
