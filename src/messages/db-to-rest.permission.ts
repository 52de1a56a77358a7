/** Permissions, whether a role has them or not. They never change. */
import * as z from 'zod';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** UTF-16 code units of a permission's text, as in Corda. */
export const permissionCharsMax = 1_024;

export const permission = z.object({
  id: z.uuid(),
  type: z.enum(['ALLOW', 'DENY']),
  /** A pattern of whole operations, such as `GET:/api/v5_2/cpi`; rest says which patterns it takes. */
  text: z.string().min(1).max(permissionCharsMax),
  /** The virtual node that it is for; `null` is for all, and for what is of no virtual node. */
  virtualNode: z.string().max(255).nullable(),
  groupVisibility: z.string().max(100).nullable(),
  version: z.int().positive(),
  updatedAt: timestampMs,
});
export type Permission = z.infer<typeof permission>;

export const dbToRestPermission = wire({
  topic: 'db-to-rest.permission',
  from: ['db'],
  to: ['rest'],
  key: 'permission id',
  retention: 'compacted',
  version: 1,
  body: permission,
});
