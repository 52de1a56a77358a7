/** REST kills a flow: at once, since no code runs for it. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToFlowKill } from '../../messages/rest-to-flow.kill.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { FlowEvent } from './engine/event.ts';

export const onKill: Hearing<BodyOf<typeof restToFlowKill>, FlowEvent> = {
  wire: restToFlowKill,
  toEvent: ({ key, id, replyTo, body: { shortHash, clientRequestId, killedBy } }) => ({
    type: 'kill',
    key,
    id,
    shortHash,
    clientRequestId,
    by: killedBy,
    ...(replyTo === undefined ? {} : { replyTo }),
  }),
};
