import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.stream', versions: [1] };

/** Messages that arrive while the flow is at something else are kept in the journal. */
export const listen = startableFlow({
  name: 'histories.Listen',
  protocol,
  run: async (ctx, input) => {
    const session = ctx.initiate(String(input));
    await session.send('five, please');
    await ctx.sleep(60_000);
    const heard = [];
    for (let i = 0; i < 5; i++) heard.push(await session.receive(any));
    return { heard, end: await caught(() => session.receive(any)), late: await caught(() => session.send('more')) };
  },
});

export const stream = responderFlow({
  name: 'histories.Stream',
  protocol,
  run: async (_, session) => {
    await session.receive(any);
    for (let i = 1; i <= 5; i++) await session.send({ number: i, text: 'x'.repeat(i * 10) });
  },
});
