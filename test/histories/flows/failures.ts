import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.fail', versions: [1] };

/** Everything that a counterparty can do wrong, caught; and then a throw of our own. */
export const suffer = startableFlow({
  name: 'histories.Suffer',
  protocol,
  run: async (ctx, input) => {
    const to = String(input);
    const ask = async (say: string): Promise<unknown> => await caught(() => ctx.initiate(to).sendAndReceive(say, any));
    const seen = [
      await ask('throw'),
      await ask('return'),
      await ask('silence'),
      await caught(() => ctx.initiate(to, 'histories.nobody').sendAndReceive('x', any)),
      await caught(() => ctx.initiate(to, { name: 'histories.fail', versions: [9] }).sendAndReceive('x', any)),
      await caught(() => ctx.initiate('CN=Eve, O=Eve, L=London, C=GB').send('x')),
      await caught(() => ctx.initiate(to).send(() => 1)),
    ];
    const open = ctx.initiate(to);
    await open.send('wait');
    throw new Error(JSON.stringify(seen));
  },
});

export const misbehave = responderFlow({
  name: 'histories.Misbehave',
  protocol,
  run: async (ctx, session) => {
    const said = await session.receive(any);
    if (said === 'throw') throw new Error('a private reason');
    if (said === 'silence') await ctx.sleep(86_400_000);
    if (said === 'wait') return await caught(() => session.receive(any));
  },
});
