import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any } from './any.ts';

const protocol = { name: 'histories.pieces', versions: [1] };

/** A value that is longer than a message travels in pieces, which the journal of its receiver keeps. */
export const tell = startableFlow({
  name: 'histories.Tell',
  protocol,
  run: async (ctx, input) => await ctx.initiate(String(input)).sendAndReceive('ab'.repeat(250_050), any),
});

export const measure = responderFlow({
  name: 'histories.Measure',
  protocol,
  run: async (_, session) => {
    const text = (await session.receive(any)) as string;
    await session.send([text.length, text.slice(-3)]);
  },
});
