/** REST lets a flow that failed by the platform's fault go on from its journal. */
import * as z from 'zod';
import { shortHash, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const restToFlowRedrive = wire({
  topic: 'rest-to-flow.redrive',
  from: ['rest'],
  to: ['flow'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({
    shortHash,
    clientRequestId: z.string().max(242),
    /** Login of the caller. */
    redrivenBy: z.string().max(255),
  }),
  /** Refused: FLOW_UNKNOWN, FLOW_NOT_REDRIVABLE with the reason. */
  reply: z.object({ flowId: z.string(), timestamp: timestampMs }),
});
