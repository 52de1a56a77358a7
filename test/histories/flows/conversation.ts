import { responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';
import { any, caught } from './any.ts';

const protocol = { name: 'histories.talk', versions: [1, 2] };

/** Several sessions with two counterparties, at once and in turns, heard out of the order in which they speak. */
export const talk = startableFlow({
  name: 'histories.Talk',
  protocol,
  run: async (ctx, input) => {
    const names = input as string[];
    const sessions = names.map((name) => ctx.initiate(name));
    for (const [i, session] of sessions.entries()) await session.send({ from: i });
    const first = await Promise.all(sessions.map((session) => session.receive(any)));
    const second = [];
    for (const session of sessions.toReversed()) second.push(await session.sendAndReceive({ again: second.length }, any));
    const versions = sessions.map(({ protocolVersion }) => protocolVersion);
    await sessions[0]?.close();
    const closed = await caught(async () => await sessions[0]?.receive(any));
    return { first, second, versions, closed };
  },
});

export const answer = responderFlow({
  name: 'histories.Answer',
  protocol: { ...protocol, versions: [2, 3] },
  run: async (ctx, session) => {
    for (let count = 1; ; count++) {
      const said = await session.receive(any);
      await session.send({ me: ctx.me.x500Name, count, said, id: ctx.uuid() });
    }
  },
});
