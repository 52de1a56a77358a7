/** REST reads a network as one of its members sees it. */
import * as z from 'zod';
import { shortHash, stringMap } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';
import { memberStatus } from './member-to-all.member.ts';

export const restToMemberLookup = wire({
  topic: 'rest-to-member.lookup',
  from: ['rest'],
  to: ['member'],
  key: 'holding identity short hash',
  retention: 'log',
  version: 1,
  /** Refused with MEMBER_VIRTUAL_NODE_NOT_FOUND. */
  body: z.discriminatedUnion('type', [
    z.object({
      type: z.literal('members'),
      shortHash,
      /** Attributes that must be equal: `CN`, `O`, `OU`, `L`, `ST`, `C`. */
      attributes: stringMap,
      statuses: z.array(memberStatus).max(3),
    }),
    z.object({ type: z.literal('group-parameters'), shortHash }),
  ]),
  reply: z.object({
    members: z.array(z.object({ memberContext: stringMap, mgmContext: stringMap })).optional(),
    parameters: stringMap.optional(),
  }),
});
