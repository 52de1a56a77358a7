import { startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { caught } from './any.ts';

export const prove = startableFlow({
  name: 'histories.Prove',
  run: async (ctx) => {
    const signed = await ctx.crypto.sign('a text, ä and 💡');
    const bytes = await ctx.crypto.sign(new Uint8Array([0, 1, 254, 255]));
    const me = await ctx.members.find(ctx.me.x500Name);
    return {
      right: await ctx.crypto.verify('a text, ä and 💡', signed),
      wrong: await ctx.crypto.verify('another text', signed),
      bytes: await ctx.crypto.verify(new Uint8Array([0, 1, 254, 255]), bytes),
      nonsense: await ctx.crypto.verify('x', { ...signed, signature: '!' }),
      mine: signed.publicKey === me?.sessionKeys[0]?.publicKey,
      unknown: await caught(() => ctx.crypto.sign('x', { keyId: 'AAAAAAAAAAAA' })),
      empty: await caught(() => ctx.crypto.sign('')),
    };
  },
});
