/** REST reads flow statuses: one by client request id, or a page of a virtual node's, newest first. */
import * as z from 'zod';
import { flowStatus, flowStatusName, shortHash } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const restToFlowQuery = wire({
  topic: 'rest-to-flow.query',
  from: ['rest'],
  to: ['flow'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('status'), shortHash, clientRequestId: z.string().max(242) }),
    z.object({ type: z.literal('list'), shortHash, status: flowStatusName.optional(), countMax: z.int().min(1).max(1000) }),
  ]),
  reply: z.object({ flows: z.array(flowStatus) }),
});
