/** The application of the random flows: it follows a program that came as its argument, and notes what every operation gave. */
import { entity, responderFlow, startableFlow, subFlow } from '../../../../src/flow-sdk/flow-sdk.ts';
import type { FlowContext, FlowSession, StandardSchema } from '../../../../src/flow-sdk/flow-sdk.ts';
import type { Command, Leaf, Program, Step } from './program.ts';

const protocol = { name: 'random.talk', versions: [1, 2] };
type Note = { owner: string; key: string; text: unknown };
const note = entity<Note>({ name: 'Note', id: ({ owner, key }) => `${owner}/${key}` });
const anything: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };

type Talk = { readonly ctx: FlowContext; readonly sessions: FlowSession[] };

/** What an operation gave: its value, or the code or message of its refusal. */
const attempt = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return (await work()) ?? null;
  } catch (error) {
    // Whatever was thrown is read as an error of ours or of the platform.
    const { code, message } = error as { code?: string; message: string };
    return `! ${code ?? message}`;
  }
};

// ── Sub-flows ────────────────────────────────────────────────────────────────────────────────────────────────────────

const asking = subFlow({
  name: 'random.Asking',
  protocol,
  run: async (ctx, { to, say, fails }: { to: string; say: Command; fails: boolean }) => {
    const answer = await ctx.initiate(to).sendAndReceive(say, anything);
    if (fails) throw new Error('the sub-flow fails');
    return answer;
  },
});

const storing = subFlow({
  name: 'random.Storing',
  run: async (ctx, { key, fails }: { key: string; fails: boolean }) => {
    await ctx.db.merge(note, { owner: ctx.flowId, key, text: 'stored' });
    if (fails) throw new Error(`nothing more after ${key}`);
    return await ctx.db.find(note, `${ctx.flowId}/${key}`);
  },
});

// ── One operation ────────────────────────────────────────────────────────────────────────────────────────────────────

const onVault = async ({ ctx }: Talk, leaf: Extract<Leaf, { key: string }>): Promise<unknown> => {
  const { do: what, key } = leaf;
  const owner = ctx.flowId;
  const id = `${owner}/${key}`;
  switch (what) {
    case 'persist':
      return await ctx.db.persist(note, { owner, key, text: ctx.uuid() });
    case 'merge':
      return await ctx.db.merge(note, { owner, key, text: ctx.random() });
    case 'remove':
      return await ctx.db.remove(note, id);
    case 'find':
      return await ctx.db.find(note, id);
    case 'findAll':
      return (await ctx.db.findAll(note, [id, `${owner}/none`])).length;
    case 'query':
      return await ctx.db.query(note, { owner }, { countMax: 3 });
    case 'count':
      return await ctx.db.count(note, { owner });
  }
};

const sessionAt = ({ ctx, sessions }: Talk, index: number): FlowSession => {
  const session = sessions[index];
  if (session === undefined) throw new Error(`the program has no session ${index}`);
  return ctx.within(session);
};

const onSession = async (talk: Talk, leaf: Extract<Leaf, { session: number }>): Promise<unknown> => {
  const session = sessionAt(talk, leaf.session);
  switch (leaf.do) {
    case 'send':
      return await session.send(leaf.say);
    case 'ask':
      return [await session.sendAndReceive(leaf.say, anything), session.protocolVersion];
    case 'hear':
      return [await session.receive(anything, leaf.ms === undefined ? {} : { timeoutMs: leaf.ms }), session.protocolVersion];
    case 'info':
      return await session.counterpartyInfo();
    case 'close':
      return await session.close();
  }
};

const signed = async ({ ctx }: Talk, text: string): Promise<unknown> => {
  const signature = await ctx.crypto.sign(text);
  return await Promise.all([ctx.crypto.verify(text, signature), ctx.crypto.verify(`${text}!`, signature)]);
};

/** Not a query that a database would take; what a flow does with its answer is what counts here. */
const query = { toOperationNode: () => ({ kind: 'SelectQueryNode' }), execute: (): Promise<Note[]> => Promise.resolve([]) };

const perform = async (talk: Talk, leaf: Leaf): Promise<unknown> => {
  const { ctx } = talk;
  if ('key' in leaf) return await onVault(talk, leaf);
  if ('session' in leaf) return await onSession(talk, leaf);
  switch (leaf.do) {
    case 'draw':
      return [ctx.random(), ctx.uuid(), ctx.now()];
    case 'tick':
      return await Promise.resolve().then(() => 'ticked');
    case 'fail':
      throw new Error('the program says so');
    case 'log':
      return ctx.log.info('a line', { flow: ctx.flowId });
    case 'sleep':
      return await ctx.sleep(leaf.ms);
    case 'run':
      return await ctx.db.run(query);
    case 'myKeys':
      return (await ctx.crypto.myKeys()).map(({ alias }) => alias);
    case 'byKey':
      return (await ctx.members.findByKey('AAAAAAAAAAAA'))?.x500Name;
    case 'group':
      return (await ctx.group.parameters())?.epoch;
    case 'put':
      ctx.properties.put('put', leaf.value);
      return ctx.properties.get('put');
    case 'within':
      return await ctx.deadline(leaf.ms, (inner) => perform({ ...talk, ctx: inner }, leaf.leaf));
    case 'sendAll':
      return await ctx.sendAll(leaf.say, leaf.sessions.map((index) => sessionAt(talk, index)));
    case 'hearAll':
      return await ctx.receiveAll(anything, leaf.sessions.map((index) => sessionAt(talk, index)));
    case 'members':
      return (await ctx.members.all()).map(({ x500Name }) => x500Name);
    case 'member':
      return (await ctx.members.find(leaf.name))?.x500Name;
    case 'sign':
      return await signed(talk, 'text');
    case 'signWith':
      return await ctx.crypto.sign('text', { keyId: 'AAAAAAAAAAAA' });
    case 'askInside':
      return await ctx.subFlow(asking, leaf);
    case 'storeInside':
      return await ctx.subFlow(storing, { key: leaf.under, fails: leaf.fails });
  }
};

const run = async (talk: Talk, step: Step): Promise<unknown> => {
  const each = (leaves: readonly Leaf[]): Promise<unknown>[] => leaves.map((leaf) => perform(talk, leaf));
  switch (step.do) {
    case 'open':
      return void talk.sessions.push(talk.ctx.initiate(step.to, { ...(step.protocol === undefined ? {} : { protocol: step.protocol }), ...(step.requireClose === undefined ? {} : { requireClose: step.requireClose }) }));
    case 'all':
      return await Promise.all(step.parts.map((leaf) => attempt(() => perform(talk, leaf))));
    case 'settled':
      return (await Promise.allSettled(each(step.parts))).map(({ status }) => status);
    case 'race':
      return await Promise.race(each(step.parts));
    case 'any':
      return await Promise.any(each(step.parts));
    case 'stray':
      return void perform(talk, step.part).catch(() => {});
    default:
      return await perform(talk, step);
  }
};

// ── The flows ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const follow = startableFlow({
  name: 'random.Follow',
  protocol,
  run: async (ctx, input) => {
    // The test made it.
    const { steps, throws, next } = input as Program;
    const talk: Talk = { ctx, sessions: [] };
    const out: unknown[] = [];
    for (const step of steps) out.push(await attempt(() => run(talk, step)));
    if (next !== undefined) await ctx.continueAs(next);
    if (throws) throw new Error(JSON.stringify(out));
    return out;
  },
});

const answer = async (ctx: FlowContext, session: FlowSession, command: Command, count: number): Promise<boolean> => {
  const talk: Talk = { ctx, sessions: [session] };
  const reply = (value: unknown): Promise<void> => session.send({ count, value: value ?? null });
  switch (command.say) {
    case 'echo':
      await reply([session.counterparty, session.protocolVersion, ctx.uuid()]);
      return true;
    case 'twice':
      await reply('first');
      await reply('second');
      return true;
    case 'mute':
      return true;
    case 'stop':
      return false;
    case 'throw':
      throw new Error('the initiator wants it so');
    case 'do':
      await reply(await attempt(() => perform(talk, command.leaf)));
      return true;
    case 'relay':
      await reply(await attempt(() => ctx.initiate(command.to).sendAndReceive(command.pass, anything)));
      return true;
  }
};

export const respond = responderFlow({
  name: 'random.Respond',
  protocol,
  run: async (ctx, session) => {
    const heard: unknown[] = [];
    for (let count = 1; ; count++) {
      let command: Command;
      try {
        // The initiator sends commands of its program.
        command = (await session.receive(anything)) as Command;
      } catch (error) {
        return [...heard, (error as { code: string }).code];
      }
      heard.push(command.say);
      await ctx.db.persist(note, { owner: ctx.flowId, key: `heard ${count}`, text: command.say });
      if (!(await answer(ctx, session, command, count))) return heard;
    }
  },
});
