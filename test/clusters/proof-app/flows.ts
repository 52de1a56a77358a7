/**
 * The flows of the long proof: a conversation whose order both sides check, signed and stored on both.
 *
 *     asker: com.cordage.proof.Ask              answerer: com.cordage.proof.Answer
 *       sign, send 0, 1, 2 without waiting ───▶   receive 0, 1, 2, and fail where another number comes
 *                                                 sign, store
 *       receive 0, 1, 2 in order           ◀───   send 0, 1, 2
 *       store
 */
import * as z from 'zod/mini';
import { entity, parse, responderFlow, startableFlow, type FlowSession } from '../../../src/flow-sdk/flow-sdk.ts';

const conversation = { name: 'com.cordage.proof.conversation', versions: [1] };
const messages = 3;

const text = z.string().check(z.minLength(1), z.maxLength(600));
const request = z.strictObject({ otherMember: text, batch: text, number: z.int() });
const part = z.strictObject({ batch: text, number: z.int(), at: z.int(), signature: z.object({ signature: z.string(), publicKey: z.string(), spec: z.string() }) });
type Part = z.infer<typeof part>;

const stored = z.strictObject({ id: z.uuid(), batch: text, number: z.int() });
/** A row for each time that the flow was run to here: two for one number would be a flow that ran twice. */
const heard = entity<z.infer<typeof stored>>({ name: 'com.cordage.proof.Heard', id: ({ id }) => id, schema: stored });

const say = async (session: FlowSession, what: Omit<Part, 'at'>): Promise<void> => {
  for (let at = 0; at < messages; at++) await session.send({ ...what, at });
};

const hear = async (session: FlowSession): Promise<Part> => {
  for (let at = 0; ; at++) {
    const one = await session.receive(part);
    if (one.at !== at) throw new Error(`message ${one.at} came where ${at} was due`);
    if (at === messages - 1) return one;
  }
};

export const ask = startableFlow({
  name: 'com.cordage.proof.Ask',
  protocol: conversation,
  run: async (ctx, input) => {
    const { otherMember, batch, number } = await parse(request, input);
    const session = ctx.initiate(otherMember);
    await say(session, { batch, number, signature: await ctx.crypto.sign(`${batch} ${number} asked`) });
    const answer = await hear(session);
    if (answer.number !== number || answer.batch !== batch) throw new Error(`the answer to ${answer.number} came to ${number}`);
    if (!(await ctx.crypto.verify(`${batch} ${number} answered`, answer.signature))) throw new Error('the answer is signed otherwise');
    await ctx.db.persist(heard, { id: ctx.uuid(), batch, number });
    return { number };
  },
});

export const answer = responderFlow({
  name: 'com.cordage.proof.Answer',
  protocol: conversation,
  run: async (ctx, session) => {
    const { batch, number, signature } = await hear(session);
    if (!(await ctx.crypto.verify(`${batch} ${number} asked`, signature))) throw new Error('the question is signed otherwise');
    await ctx.db.persist(heard, { id: ctx.uuid(), batch, number });
    await say(session, { batch, number, signature: await ctx.crypto.sign(`${batch} ${number} answered`) });
  },
});
