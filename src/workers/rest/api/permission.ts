/** Permissions: which operations are allowed or refused, as patterns. */
import * as z from 'zod';
import { permissionCharsMax } from '../../../messages/db-to-rest.permission.ts';
import { bulkPermissionsMax, bulkRolesMax } from '../../../messages/rest-to-db.rbac.ts';
import { compilePattern } from '../../../pattern/pattern.ts';
import { integerIn, optionalText, text, wordOf } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { lookUp } from '../room.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { change, expected, groupId, permissionBody, permissionResponse, permissionType } from './rbac.ts';

const tag = 'RBAC Permission';
/** Permissions that one query gives, as in Corda. */
const limitMax = 1_000;

const permissionString = z
  .string()
  .min(1)
  .max(permissionCharsMax)
  .superRefine((given, context) => {
    const compiled = compilePattern(given);
    if (compiled.type === 'unusable') context.addIssue({ code: 'custom', message: `it is no pattern that can be matched: ${compiled.reason}` });
  });

const createPermission = z
  .object({
    groupVisibility: groupId,
    permissionString,
    permissionType,
    virtualNode: z.string().regex(/^[0-9a-fA-F]{12}$/, 'a virtual node is named by its short hash (12 hex digits)').nullish(),
  })
  .meta({ id: 'CreatePermissionType' });

const bulkRequest = z
  .object({ permissionsToCreate: z.array(createPermission).min(1).max(bulkPermissionsMax).meta({ uniqueItems: true }), roleIds: z.array(z.string().max(100)).max(bulkRolesMax).meta({ uniqueItems: true }) })
  .meta({ id: 'BulkCreatePermissionsRequestType' });

const bulkResponse = z
  .object({ permissionIds: z.array(z.string()).meta({ uniqueItems: true }), roleIds: z.array(z.string()).meta({ uniqueItems: true }) })
  .meta({ id: 'BulkCreatePermissionsResponseType' });

const draftOf = ({ permissionType: type, permissionString: pattern, virtualNode, groupVisibility }: z.infer<typeof createPermission>) => ({
  type,
  text: pattern,
  virtualNode: virtualNode ?? null,
  groupVisibility: groupVisibility ?? null,
});

/** The same permission twice in one set is once. */
const distinct = <Value>(values: readonly Value[]): Value[] => [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];

export const permissionRoutes = [
  route({
    method: 'GET',
    path: '/permission',
    tag,
    summary: 'Finds permissions',
    queryParameters: {
      limit: integerIn({ min: 1, max: limitMax }),
      permissiontype: text(wordOf(permissionType, permissionType.options)),
      groupvisibility: optionalText(),
      virtualnode: optionalText(),
      permissionstringprefix: optionalText(),
    },
    reply: z.array(permissionResponse),
    handle: async ({ room: { views }, query }) => {
      await views.permissions.refresh();
      const { limit, permissiontype, groupvisibility, virtualnode, permissionstringprefix } = query;
      const found = [...views.permissions.entries()]
        .map(([, permission]) => permission)
        .filter(({ type, text: pattern, virtualNode, groupVisibility }) => {
          if (type !== permissiontype || !pattern.startsWith(permissionstringprefix ?? '')) return false;
          return (groupvisibility ?? groupVisibility) === groupVisibility && (virtualnode ?? virtualNode) === virtualNode;
        })
        .sort((one, other) => (one.text === other.text ? (one.id < other.id ? -1 : 1) : one.text < other.text ? -1 : 1));
      return done(found.slice(0, limit).map(permissionBody));
    },
  }),
  route({
    method: 'POST',
    path: '/permission',
    tag,
    summary: 'Creates a permission; it counts once a role has it',
    body: jsonBody('createPermissionType', createPermission),
    reply: permissionResponse,
    statuses: [201],
    handle: async ({ room, body, login }) => {
      const changed = await change(room, login, { type: 'create-permissions', permissions: [draftOf(body)], roleIds: [] });
      return isRefusal(changed) ? changed : done(permissionBody(expected(changed.permissions?.[0], 'permission')), 201);
    },
  }),
  route({
    method: 'POST',
    path: '/permission/bulk',
    tag,
    summary: 'Creates permissions and gives them to roles, all or none',
    body: jsonBody('request', bulkRequest),
    reply: bulkResponse,
    statuses: [201],
    handle: async ({ room, body, login }) => {
      const roleIds = distinct(body.roleIds);
      const changed = await change(room, login, { type: 'create-permissions', permissions: distinct(body.permissionsToCreate.map(draftOf)), roleIds });
      return isRefusal(changed) ? changed : done({ permissionIds: expected(changed.permissions, 'permission').map(({ id }) => id), roleIds }, 201);
    },
  }),
  route({
    method: 'GET',
    path: '/permission/{id}',
    tag,
    summary: 'Reads a permission',
    pathParameters: { id: text(z.string().max(100)) },
    reply: permissionResponse,
    handle: async ({ room, path }) => {
      const permission = await lookUp(room.views.permissions, path.id);
      return permission === undefined ? refuse('REST_PERMISSION_UNKNOWN', `Permission ${path.id} not found`, { id: path.id }) : done(permissionBody(permission));
    },
  }),
  protocolVersionRoute('permission', tag),
];
