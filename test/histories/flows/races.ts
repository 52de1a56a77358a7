import { entity, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { caught } from './any.ts';

const notes = entity<{ id: string; text: string }>({ name: 'Note', id: ({ id }) => id });

export const race = startableFlow({
  name: 'histories.Race',
  run: async (ctx) => {
    const slow = ctx.sleep(5_000).then(() => 'slept');
    const first = await Promise.race([slow, ctx.db.find(notes, 'a').then(() => 'found')]);
    const any = await Promise.any([ctx.crypto.sign('x', { keyId: 'AAAAAAAAAAAA' }).then(() => 'signed'), ctx.members.all().then((all) => `${all.length} members`)]);
    const all = await Promise.all([ctx.db.merge(notes, { id: 'a', text: ctx.uuid() }), ctx.sleep(1_000), ctx.members.find('nobody')]);
    const settled = await Promise.allSettled([ctx.db.persist(notes, { id: 'a', text: 'twice' }), ctx.db.find(notes, 'a')]);
    const none = await caught(() => Promise.any([ctx.db.persist(notes, { id: 'a', text: 'again' }), ctx.db.persist(notes, { id: 'a', text: 'and again' })]).catch((error: AggregateError) => Promise.reject(error.errors[0])));
    void ctx.db.merge(notes, { id: 'stray', text: 'nobody waits for this' });
    const nested = await Promise.all([1, 2, 3].map(async (n) => {
      await ctx.sleep(n * 10);
      await ctx.db.merge(notes, { id: `n${n}`, text: String(ctx.now()) });
      return ctx.random();
    }));
    return { first, any, all: all.length, settled: settled.map(({ status }) => status), none, nested, slow: await slow };
  },
});
