import { startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { caught } from './any.ts';

/** What a flow may ask about keys, members and its group; digests, which are computed; a query that the database would refuse. */
export const look = startableFlow({
  name: 'histories.Look',
  run: async (ctx) => {
    const keys = await ctx.crypto.myKeys();
    const mine = await ctx.crypto.myKeys({ publicKeys: keys.map(({ publicKey }) => publicKey) });
    const [key] = keys;
    const owner = key === undefined ? undefined : await ctx.members.findByKey(key.publicKey);
    const group = await ctx.group.parameters();
    const members = await ctx.members.all();
    const ran = await caught(() => ctx.db.run({ toOperationNode: () => ({ kind: 'SelectQueryNode' }), execute: () => Promise.resolve([]) }));
    return { keys: keys.length, mine: mine.length, owner: owner?.x500Name ?? null, group: group ?? null, members: members.length, digest: ctx.crypto.digest('SHA-256', 'text'), ran };
  },
});
