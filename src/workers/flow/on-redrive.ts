/** REST lets a flow go on from its journal, after a failure that was the platform's. */
import type { BodyOf } from '../../messages/grammar/wire.ts';
import { restToFlowRedrive } from '../../messages/rest-to-flow.redrive.ts';
import type { Hearing } from '../../shell/worker.ts';
import type { FlowEvent } from './engine/event.ts';

export const onRedrive: Hearing<BodyOf<typeof restToFlowRedrive>, FlowEvent> = {
  wire: restToFlowRedrive,
  toEvent: ({ key, id, replyTo, body: { shortHash, clientRequestId, redrivenBy } }) => ({
    type: 'redrive',
    key,
    id,
    shortHash,
    clientRequestId,
    by: redrivenBy,
    ...(replyTo === undefined ? {} : { replyTo }),
  }),
};
