import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import type { FlowSession } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.many', versions: [1, 2, 3] };

/** Several sessions at once, what both sides agreed on, waiting for a while, closes that are confirmed, properties. */
export const gather = startableFlow({
  name: 'histories.Gather',
  protocol,
  run: async (ctx, input) => {
    const names = input as string[];
    ctx.properties.put('trace', 'a-1');
    const sessions = names.map((name) => ctx.initiate(name, { requireClose: true, timeoutMs: 60_000, properties: { to: name } }));
    const info = await sessions[0]!.counterpartyInfo();
    await ctx.sendAll('hello', sessions);
    const heard = await ctx.receiveAll(any, sessions);
    await ctx.sendAllMap(new Map<FlowSession, unknown>(sessions.map((session, i) => [session, { quotes: '"'.repeat(10 + i) }])));
    const lengths = await ctx.receiveAllMap(new Map(sessions.map((session) => [session, any])));
    const brief = await caught(() => sessions[0]!.receive(any, { timeoutMs: 1_000 }));
    await sessions[0]!.close();
    const first = ctx.initiate(names[0]!);
    const unasked = await first.receive(any, { timeoutMs: 5_000 }).catch((error: { code: string }) => error.code);
    return { info, heard, lengths: [...lengths.values()], brief, unasked };
  },
});

export const give = responderFlow({
  name: 'histories.Give',
  protocol: { ...protocol, versions: [2, 3, 4] },
  run: async (ctx, session) => {
    for (;;) {
      const said = await session.receive(any).catch(() => null);
      if (said === null) return 'closed';
      if (typeof said === 'string') await session.send([said, session.protocolVersion, ctx.properties.get('trace') ?? null, ctx.properties.get('to') ?? null]);
      else await session.send(JSON.stringify(said).length);
    }
  },
});
