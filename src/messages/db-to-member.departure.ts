/** A virtual node is being deleted: what this cluster keeps and says of its membership goes. Idempotent. */
import * as z from 'zod';
import { groupId, shortHash, x500Name } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const dbToMemberDeparture = wire({
  topic: 'db-to-member.departure',
  from: ['db'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  body: z.object({ shortHash, groupId, x500Name }),
  reply: z.object({}),
});
