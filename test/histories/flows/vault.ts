import { entity, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { caught } from './any.ts';

type Account = { iban: string; owner: string; cents: number };
const accounts = entity<Account>({ name: 'Account', id: ({ iban }) => iban });

export const keep = startableFlow({
  name: 'histories.Keep',
  run: async (ctx, input) => {
    const owner = String(input);
    await ctx.db.persist(accounts, { iban: 'GB1', owner, cents: 0 }, { iban: 'GB2', owner, cents: 5 }, { iban: 'GB3', owner: 'nobody', cents: 7 });
    const twice = await caught(() => ctx.db.persist(accounts, { iban: 'GB1', owner, cents: 1 }));
    await ctx.db.merge(accounts, { iban: 'GB1', owner, cents: 100 });
    const found = await ctx.db.find(accounts, 'GB1');
    const missing = await ctx.db.find(accounts, 'GB9');
    const several = await ctx.db.findAll(accounts, ['GB2', 'GB3', 'GB9']);
    const first = await ctx.db.query(accounts, { owner }, { countMax: 1 });
    const second = await ctx.db.query(accounts, { owner }, { countMax: 1, ...(first.after === undefined ? {} : { after: first.after }) });
    const removed = await ctx.db.remove(accounts, 'GB3', 'GB9');
    return { twice, found, missing: missing ?? null, several: several.length, pages: [first.values, second.values], removed };
  },
});
