/**
 * REST asks for a flow. The flow room records it once; a repeat of the same flow id is a duplicate (REST's 409). The message's id is drawn
 * for each request of a client: by it the flow is told from an earlier one of its id that was removed (`incarnationOf`).
 */
import * as z from 'zod';
import { holdingIdentity, timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Bound on the JSON text of a flow's argument, in UTF-16 code units. */
export const requestBodyCharsMax = 500_000;

export const restToFlowStart = wire({
  topic: 'rest-to-flow.start',
  from: ['rest'],
  to: ['flow'],
  key: 'flow id',
  retention: 'log',
  version: 1,
  body: z.object({
    holdingIdentity,
    clientRequestId: z.string().regex(/^[-._A-Za-z0-9]{1,242}$/),
    flowClassName: z.string().regex(/^[._$a-zA-Z0-9]{1,250}$/),
    /** JSON text of the flow's argument. */
    requestBody: z.string().max(requestBodyCharsMax),
    /** Login of the caller. */
    startedBy: z.string().max(255),
  }),
  reply: z.discriminatedUnion('type', [
    z.object({ type: z.literal('accepted'), flowId: z.string(), timestamp: timestampMs }),
    z.object({ type: z.literal('duplicate'), flowId: z.string() }),
  ]),
});
