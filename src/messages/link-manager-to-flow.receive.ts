/** A message from another virtual node, its source authenticated; or the news that one of ours could not be delivered. */
import * as z from 'zod';
import { payloadCharsMax } from './all-to-link-manager.send.ts';
import { groupId, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const linkManagerToFlowReceive = wire({
  topic: 'link-manager-to-flow.receive',
  from: ['link-manager'],
  to: ['flow'],
  key: 'flow id (the receiver key of a message, the sender key of an undelivered one)',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('message'), messageId: z.string(), groupId, source: x500Name, destination: x500Name, payload: z.string().max(payloadCharsMax) }),
    z.object({ type: z.literal('undelivered'), messageId: z.string(), groupId, source: x500Name, destination: x500Name, reason: z.string().max(1_000) }),
  ]),
});
