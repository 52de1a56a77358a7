/** What the operations on users, roles and permissions share: asking db for a change, and the contract's shapes. */
import * as z from 'zod';
import type { Permission } from '../../../messages/db-to-rest.permission.ts';
import type { Role } from '../../../messages/db-to-rest.role.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { ReplyOf } from '../../../messages/grammar/wire.ts';
import { restToDbRbac, type RbacChange } from '../../../messages/rest-to-db.rbac.ts';
import { isoTime } from '../flow-body.ts';
import type { RestRoom } from '../room.ts';
import { dateTime } from './shapes.ts';
import { int32 } from './protocol-version.ts';

/** One partition for all of them: see the wire. */
const changesKey = 'rbac';

/** Who has the answer finds the change in the views of this worker. */
export const change = async ({ requests, limits, views }: RestRoom, actor: string, body: RbacChange): Promise<ReplyOf<typeof restToDbRbac> | Refusal> => {
  const outcome = await requests.ask(restToDbRbac, { key: changesKey, body: { type: 'change', actor, change: body }, timeoutMs: limits.askTimeoutMs });
  if (outcome.type === 'refused') return outcome;
  await Promise.all([views.permissions.refresh(), views.roles.refresh(), views.users.refresh()]);
  return outcome.value;
};

export const readAudit = async ({ requests, limits }: RestRoom, page: { before?: number; actor?: string; target?: string; countMax: number }): Promise<ReplyOf<typeof restToDbRbac> | Refusal> => {
  const outcome = await requests.ask(restToDbRbac, { key: changesKey, body: { type: 'audit', ...page }, timeoutMs: limits.askTimeoutMs });
  return outcome.type === 'refused' ? outcome : outcome.value;
};

/** What db promises to answer a change with. */
export const expected = <Value>(value: Value | undefined, what: string): Value => {
  if (value === undefined) throw new Error(`db changed a ${what} without naming it`);
  return value;
};

/** A group that sees the thing; kept and shown, since Corda's clients send it. */
export const groupId = z.string().regex(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/, 'it must be a UUID').nullish();

const association = z.object({ createdTimestamp: dateTime, id: z.string() }).meta({ id: 'PermissionAssociationResponseType' });

export const roleResponse = z
  .object({ groupVisibility: z.string().nullable(), id: z.string(), permissions: z.array(association), roleName: z.string(), updateTimestamp: dateTime, version: int32 })
  .meta({ id: 'RoleResponseType' });

export const roleBody = ({ id, name, groupVisibility, permissions, version, updatedAt }: Role): z.infer<typeof roleResponse> => ({
  groupVisibility,
  id,
  permissions: permissions.map(({ permission, since }) => ({ createdTimestamp: isoTime(since), id: permission.id })),
  roleName: name,
  updateTimestamp: isoTime(updatedAt),
  version,
});

export const permissionType = z.enum(['ALLOW', 'DENY']);

export const permissionResponse = z
  .object({
    groupVisibility: z.string().nullable(),
    id: z.string(),
    permissionString: z.string(),
    permissionType,
    updateTimestamp: dateTime,
    version: int32,
    virtualNode: z.string().nullable(),
  })
  .meta({ id: 'PermissionResponseType' });

export const permissionBody = ({ id, type, text, virtualNode, groupVisibility, version, updatedAt }: Permission): z.infer<typeof permissionResponse> => ({
  groupVisibility,
  id,
  permissionString: text,
  permissionType: type,
  updateTimestamp: isoTime(updatedAt),
  version,
  virtualNode,
});
