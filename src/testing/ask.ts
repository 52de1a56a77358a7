/** Requests to a member's flow room as REST makes them: a record with a return address, and the answer that comes to it. */
import { allToRestAnswer } from '../messages/all-to-rest.answer.ts';
import { decode, encode, type Outcome } from '../messages/grammar/envelope.ts';
import type { Wire } from '../messages/grammar/wire.ts';
import type { FlowPowers } from './flows.ts';

export type Ask<Body> = { readonly key: string; readonly id: string; readonly body: Body };

/** `undefined` when nothing is left to do and no answer came. */
export const askFlowRoom = async <Body>({ member, workUntil }: FlowPowers, wire: Wire<Body, any>, ask: Ask<Body>): Promise<Outcome | undefined> => {
  const { bus } = member;
  const answer = (): Outcome | undefined =>
    bus
      .records(allToRestAnswer.topic)
      .flatMap((record) => {
        const decoded = decode(allToRestAnswer, record);
        return decoded.type === 'message' && decoded.delivery.body.requestId === ask.id ? [decoded.delivery.body.outcome] : [];
      })
      .at(-1);
  await bus.publish([encode(wire, { ...ask, replyTo: { topic: allToRestAnswer.topic, key: 'test' } })]);
  await workUntil(async () => answer() !== undefined);
  return answer();
};
