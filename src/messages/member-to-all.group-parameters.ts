/** What a group has agreed: parameters by epoch, and how its members' clusters speak to each other. */
import * as z from 'zod';
import { groupId, stringMap } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

export const groupParameters = z.object({
  groupId,
  /** 0 while a cluster knows no more of the group than its policy. */
  epoch: z.int().nonnegative(),
  parameters: stringMap,
  p2p: z.object({
    protocolMode: z.enum(['Authenticated_Encryption', 'Authentication']),
    sessionPki: z.enum(['Standard', 'NoPKI']),
    sessionTrustRoots: z.array(z.string()),
    tlsType: z.enum(['OneWay', 'Mutual']),
    /** PEM certificates that a gateway of another member must chain to. */
    tlsTrustRoots: z.array(z.string().max(100_000)).max(100),
  }),
});
export type GroupParameters = z.infer<typeof groupParameters>;

export const memberToAllGroupParameters = wire({
  topic: 'member-to-all.group-parameters',
  from: ['member'],
  to: ['rest', 'flow', 'link-manager', 'gateway', 'member'],
  key: 'group id',
  retention: 'compacted',
  version: 1,
  body: groupParameters,
});
