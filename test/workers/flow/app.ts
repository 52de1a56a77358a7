/** The application that the tests of the room run. */
import { bundleOf } from './world/bundle.ts';
import { nameOf } from './world/identities.ts';
import type { App } from './world/world.ts';

const source = `
const protocol = { name: 'test.ping', versions: [1, 2] };
const note = entity<{ id: string; text: unknown }>({ name: 'Note', id: (one) => one.id });
const bob = '${nameOf('Bob')}';
const caught = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await work();
  } catch (error: any) {
    return (error.code ?? 'no code') + ': ' + error.message;
  }
};
const inner = subFlow({ name: 'test.Inner', protocol, run: async (ctx, input: string) => {
  const session = ctx.initiate(bob);
  const answer = await session.sendAndReceive(input, any);
  if (input === 'fail inside') throw new Error('inner failed');
  return answer;
} });
const startable = (name: string, run: (ctx: any, input: any) => Promise<unknown>) => startableFlow({ name, protocol, run });
export const flows = [
  startable('test.Echo', async (_, input) => input),
  startable('test.Throw', async () => { throw new Error('the app says no'); }),
  startable('test.Two', async (ctx, input) => {
    await ctx.db.persist(note, { id: 'a', text: String(input) });
    return { found: await ctx.db.find(note, 'a'), again: await caught(() => ctx.db.persist(note, { id: 'a', text: 'x' })), at: ctx.now() };
  }),
  startable('test.BadEntity', async (ctx) => caught(() => ctx.db.find({ ...note, name: 'not a name!' }, 'a'))),
  startable('test.Ping', async (ctx, input) => {
    const session = ctx.initiate(input.to ?? bob, input.protocol);
    const answer = await caught(() => session.sendAndReceive(input.say, any));
    return [answer, session.protocolVersion, await caught(() => session.receive(any)), await caught(() => session.send('late'))];
  }),
  startable('test.ReceiveFirst', async (ctx) => caught(() => ctx.initiate(bob).receive(any, { timeoutMs: 0 }))),
  startable('test.Concurrent', async (ctx) => {
    const sessions = ['one', 'two', 'three'].map((say) => ({ session: ctx.initiate(bob), say }));
    for (const { session, say } of sessions) await session.send(say);
    return await Promise.all(sessions.reverse().map(({ session }) => session.receive(any)));
  }),
  startable('test.Stream', async (ctx, input) => {
    const session = ctx.initiate(bob);
    await session.send({ stream: input.count });
    const got = [];
    for (let i = 0; i < input.count; i++) got.push(await session.receive(any));
    return got;
  }),
  startable('test.Hold', async (ctx, input) => { const session = ctx.initiate(input.to ?? bob); await session.send('hold'); return caught(() => session.receive(any)); }),
  startable('test.Leave', async (ctx) => { await ctx.initiate(bob).send('hold'); }),
  startable('test.Sub', async (ctx, input) => caught(() => ctx.subFlow(inner, input))),
  startable('test.Sleep', async (ctx, ms) => { const from = ctx.now(); await ctx.sleep(ms); return ctx.now() - from; }),
  startable('test.Sign', async (ctx) => {
    const signed = await ctx.crypto.sign('hello');
    const mine = (await ctx.members.find(ctx.me.x500Name)).sessionKeys[0].publicKey;
    return [await ctx.crypto.verify('hello', signed), await ctx.crypto.verify('hallo', signed), signed.publicKey === mine, await ctx.crypto.verify('x', { ...signed, signature: '!' }), await caught(() => ctx.crypto.sign('x', { keyId: 'AAAAAAAAAAAA' }))];
  }),
  startable('test.Members', async (ctx) => [(await ctx.members.all()).map((one: any) => one.x500Name), await ctx.members.find('C=GB,L=London,O=Bob,CN=Bob').then((one: any) => one.x500Name), await ctx.members.find('nobody') ?? null]),
  startable('test.Large', async (ctx, input) => input.kind === 'result' ? '"'.repeat(input.size) : caught(() => ctx.initiate(bob).send('"'.repeat(input.size)))),
  startable('test.Forever', async (ctx) => { for (;;) await ctx.members.all(); }),
  startable('test.Spin', async (ctx) => { await ctx.db.find(note, 'x'); for (;;); }),
  startable('test.Log', async (ctx) => ctx.log.warn('said', { by: ctx.me.x500Name })),
  responderFlow({ name: 'test.Pong', protocol: { ...protocol, versions: [1] }, run: async (ctx, session) => {
    const said = (await session.receive(any)) as any;
    if (said === 'throw') throw new Error('private reason');
    if (said === 'silent') return;
    if (said === 'hold') { await session.receive(any); return; }
    for (let i = 0; i < (said.stream ?? 0); i++) await session.send(i);
    if (said.stream === undefined) await session.send(said + ' to ' + session.counterparty + ' v' + session.protocolVersion);
  } }),
  responderFlow({ name: 'test.PongToo', protocol: { ...protocol, versions: [2, 3] }, run: async (ctx, session) => {
    const said = (await session.receive(any)) as any;
    if (said === 'hold') return void await caught(() => session.receive(any)).then((end) => ctx.db.merge(note, { id: 'end', text: end }));
    if (said === 'throw') throw new Error('private reason');
    if (said === 'silent') return;
    for (let i = 0; i < (said.stream ?? 0); i++) await session.send(i);
    if (said.stream === undefined) await session.send(said + ', pong v' + session.protocolVersion);
  } }),
];`;

const ping = { name: 'test.ping', versions: [1, 2] };
const startable = ['Echo', 'Throw', 'Two', 'BadEntity', 'Ping', 'ReceiveFirst', 'Concurrent', 'Stream', 'Hold', 'Leave', 'Sub', 'Sleep', 'Sign', 'Members', 'Large', 'Forever', 'Spin', 'Log'];

export const testApp = async (): Promise<App> => ({
  code: await bundleOf(source),
  flows: [
    ...startable.map((name) => ({ name: `test.${name}`, kind: 'startable' as const, protocol: ping })),
    { name: 'test.Inner', kind: 'subflow', protocol: ping },
    { name: 'test.Pong', kind: 'responder', protocol: { ...ping, versions: [1] } },
    { name: 'test.PongToo', kind: 'responder', protocol: { ...ping, versions: [2, 3] } },
  ],
});
