/**
 * Alice greets Bob, Bob greets back: one session, one message each way.
 *
 *     Alice: com.cordage.samples.Greet            Bob: com.cordage.samples.ReturnGreeting
 *       initiate(Bob)
 *       sendAndReceive({ sender, message }) ────▶   receive
 *                                           ◀────   send({ sender, message })
 *       "Hello Alice, best wishes from Bob"
 *
 * Start it with `{ "otherMember": "<X.500 name>" }`; the result is the other side's message.
 */
import * as z from 'zod/mini';
import { parse, responderFlow, startableFlow } from '../../../src/flow-sdk/flow-sdk.ts';

/** Both sides name the protocol; the platform finds the responder by it and settles on a version that both speak. */
const greeting = { name: 'com.cordage.samples.greeting', versions: [1] };

/** What REST sends in is unknown until it is parsed; so is all that a counterparty sends. */
const request = z.strictObject({ otherMember: z.string() });
const message = z.object({ sender: z.string().check(z.maxLength(600)), message: z.string().check(z.maxLength(1_000)) });

/** The common name of an X.500 name, or its organisation where it has none. */
const shortNameOf = (x500Name: string): string => /(?:^|, )CN=([^,]+)/.exec(x500Name)?.[1] ?? /(?:^|, )O=([^,]+)/.exec(x500Name)?.[1] ?? x500Name;

export const greet = startableFlow({
  name: 'com.cordage.samples.Greet',
  protocol: greeting,
  run: async (ctx, input) => {
    const { otherMember } = await parse(request, input);
    const session = ctx.initiate(otherMember);
    const hello = { sender: ctx.me.x500Name, message: `Hello ${shortNameOf(otherMember)}` };
    const answer = await session.sendAndReceive(hello, message);
    return answer.message;
  },
});

export const returnGreeting = responderFlow({
  name: 'com.cordage.samples.ReturnGreeting',
  protocol: greeting,
  run: async (ctx, session) => {
    const hello = await session.receive(message);
    // Who speaks is what the session proved, not what the message says.
    ctx.log.info('greeted', { by: session.counterparty, saying: hello.message });
    const answer = `Hello ${shortNameOf(session.counterparty)}, best wishes from ${shortNameOf(ctx.me.x500Name)}`;
    await session.send({ sender: ctx.me.x500Name, message: answer });
  },
});
