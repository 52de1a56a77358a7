/** A virtual node here stands in its network's list, as of the version that this cluster has taken over: its registration has ended well. */
import * as z from 'zod';
import { groupId, x500Name } from './grammar/shapes.ts';
import { memberStatus } from './member-to-all.member.ts';
import { wire } from './grammar/wire.ts';

export const memberToMemberListed = wire({
  topic: 'member-to-member.listed',
  from: ['member'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  body: z.object({
    groupId,
    x500Name,
    /** The registration that the list shows. */
    registrationId: z.string().max(100),
    status: memberStatus,
    serial: z.int().positive(),
  }),
});
