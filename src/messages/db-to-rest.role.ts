/** Roles with their permissions: a role is decided by from one record, so that none of its refusals can be missing. */
import * as z from 'zod';
import { permission } from './db-to-rest.permission.ts';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Permissions of one role: with texts of the longest, what fits into a record. */
export const permissionsPerRoleMax = 500;

export const role = z.object({
  id: z.uuid(),
  name: z.string().min(1).max(255),
  groupVisibility: z.string().max(100).nullable(),
  /** In order of time. */
  permissions: z.array(z.object({ permission, since: timestampMs })).max(permissionsPerRoleMax),
  version: z.int().positive(),
  updatedAt: timestampMs,
});
export type Role = z.infer<typeof role>;

export const dbToRestRole = wire({
  topic: 'db-to-rest.role',
  from: ['db'],
  to: ['rest'],
  key: 'role id',
  retention: 'compacted',
  version: 1,
  body: role,
});
