import { entity, responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any } from './any.ts';

const protocol = { name: 'histories.chain', versions: [1] };
const notes = entity<{ id: string; passed: readonly string[] }>({ name: 'Note', id: ({ id }) => id });
type Letter = { readonly route: readonly string[]; readonly passed: readonly string[] };

/** A letter goes from member to member, is stored by each, and comes back the same way. */
export const post = startableFlow({
  name: 'histories.Post',
  protocol,
  run: async (ctx, input) => {
    const [next, ...route] = input as string[];
    return await ctx.initiate(next!).sendAndReceive({ route, passed: [ctx.me.x500Name] }, any);
  },
});

export const carry = responderFlow({
  name: 'histories.Carry',
  protocol,
  run: async (ctx, session) => {
    const { route, passed } = (await session.receive(any)) as Letter;
    const [next, ...rest] = route;
    const here = [...passed, ctx.me.x500Name];
    await ctx.db.persist(notes, { id: ctx.flowId, passed: here });
    await session.send(next === undefined ? here : await ctx.initiate(next).sendAndReceive({ route: rest, passed: here }, any));
  },
});
