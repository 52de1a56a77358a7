/** REST kills a flow: it ends as KILLED, whatever it is doing, and its open sessions are failed. */
import * as z from 'zod';
import { shortHash, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const restToFlowKill = wire({
  topic: 'rest-to-flow.kill',
  from: ['rest'],
  to: ['flow'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({
    shortHash,
    clientRequestId: z.string().max(242),
    /** Login of the caller. */
    killedBy: z.string().max(255),
  }),
  /** Refused: FLOW_UNKNOWN, FLOW_ENDED. */
  reply: z.object({ flowId: z.string(), timestamp: timestampMs }),
});
