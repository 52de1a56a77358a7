/** Users, roles and permissions are changed; and what was changed by whom is read. */
import * as z from 'zod';
import { permission } from './db-to-rest.permission.ts';
import { role } from './db-to-rest.role.ts';
import { login, passwordRecord, user } from './db-to-rest.user.ts';
import { timestampMs } from './grammar/shapes.ts';
import { wire } from './grammar/wire.ts';

/** Permissions that one request creates, and roles that it gives them to. */
export const bulkPermissionsMax = 200;
export const bulkRolesMax = 50;
/** Entries in one page of the audit trail. */
export const auditPageMax = 200;

const id = z.string().max(100);
const permissionDraft = permission.pick({ type: true, text: true, virtualNode: true, groupVisibility: true });

const change = z.discriminatedUnion('type', [
  /** Refused with DB_USER_EXISTS. */
  z.object({ type: z.literal('create-user'), ...user.pick({ login: true, fullName: true, enabled: true, password: true, passwordExpiry: true, parentGroup: true }).shape }),
  /** Who sets it decides how long it lasts. Refused with DB_USER_UNKNOWN. */
  z.object({ type: z.literal('set-password'), login, password: passwordRecord, by: z.enum(['self', 'other']) }),
  /** What is left out stays. Refused with DB_USER_UNKNOWN, DB_USER_PROTECTED. */
  z.object({ type: z.literal('update-user'), login, fullName: user.shape.fullName.optional(), enabled: z.boolean().optional(), passwordExpiry: user.shape.passwordExpiry.optional() }),
  z.object({ type: z.literal('delete-user'), login }),
  /** Refused with DB_USER_UNKNOWN, DB_ROLE_UNKNOWN, DB_ROLE_ASSIGNED, DB_RBAC_LIMIT. */
  z.object({ type: z.literal('add-role'), login, roleId: id }),
  /** Refused with DB_USER_UNKNOWN, DB_ROLE_UNKNOWN, DB_ROLE_NOT_ASSIGNED, DB_USER_PROTECTED. */
  z.object({ type: z.literal('remove-role'), login, roleId: id }),
  /** Refused with DB_ROLE_EXISTS. */
  z.object({ type: z.literal('create-role'), ...role.pick({ name: true, groupVisibility: true }).shape }),
  /** Refused with DB_ROLE_UNKNOWN, DB_PERMISSION_UNKNOWN, DB_PERMISSION_ASSIGNED, DB_ROLE_PROTECTED, DB_RBAC_LIMIT. */
  z.object({ type: z.literal('add-permission'), roleId: id, permissionId: id }),
  /** Refused with DB_ROLE_UNKNOWN, DB_PERMISSION_UNKNOWN, DB_PERMISSION_NOT_ASSIGNED, DB_ROLE_PROTECTED. */
  z.object({ type: z.literal('remove-permission'), roleId: id, permissionId: id }),
  /** All or none. Refused with DB_ROLE_UNKNOWN, DB_ROLE_PROTECTED, DB_RBAC_LIMIT. */
  z.object({ type: z.literal('create-permissions'), permissions: z.array(permissionDraft).min(1).max(bulkPermissionsMax), roleIds: z.array(id).max(bulkRolesMax) }),
]);
export type RbacChange = z.infer<typeof change>;

export const auditEntry = z.object({
  /** Grows with time. */
  id: z.int(),
  at: timestampMs,
  actor: z.string(),
  action: z.string(),
  target: z.string(),
  /** `done`, or the code of the refusal. */
  outcome: z.string(),
  details: z.string(),
});

export const restToDbRbac = wire({
  topic: 'rest-to-db.rbac',
  from: ['rest'],
  to: ['db'],
  key: 'the same for all: changes are published in the order in which they were made',
  retention: 'log',
  version: 1,
  body: z.discriminatedUnion('type', [
    z.object({ type: z.literal('change'), actor: z.string().max(255), change }),
    /** The newest first. */
    z.object({ type: z.literal('audit'), before: z.int().optional(), actor: z.string().max(255).optional(), target: z.string().max(300).optional(), countMax: z.int().min(1).max(auditPageMax) }),
  ]),
  reply: z.object({ user: user.optional(), role: role.optional(), permissions: z.array(permission).optional(), entries: z.array(auditEntry).optional() }),
});
