/**
 * A message for the member room of this cluster: from another member, its source authenticated; or from anybody at all
 * (`unauthenticated`), whose source is what the sender says of itself and proves nothing.
 */
import * as z from 'zod';
import { payloadCharsMax } from './all-to-link-manager.send.ts';
import { groupId, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const linkManagerToMemberReceive = wire({
  topic: 'link-manager-to-member.receive',
  from: ['link-manager'],
  to: ['member'],
  key: 'the receiver key of a message: a short hash or a group id; of an unauthenticated one the short hash of its destination',
  retention: 'log',
  version: 1,
  body: z.object({
    type: z.enum(['message', 'unauthenticated']),
    messageId: z.string().max(200),
    groupId,
    source: x500Name,
    destination: x500Name,
    payload: z.string().max(payloadCharsMax),
  }),
});
