/** Roles: sets of permissions that users are given. */
import * as z from 'zod';
import { text } from '../parameter.ts';
import { isRefusal, refuse } from '../refusal.ts';
import { lookUp } from '../room.ts';
import { done, jsonBody, route } from '../routing/routing.ts';
import { protocolVersionRoute } from './protocol-version.ts';
import { change, expected, groupId, roleBody, roleResponse } from './rbac.ts';

const tag = 'RBAC Role';
const id = text(z.string().max(100));

const createRole = z
  .object({
    groupVisibility: groupId,
    // What a header, a log and a terminal can show.
    roleName: z.string().max(255).regex(/^(?!\s*$)[^\p{Cc}\p{Cs}]+$/u, 'a role name has 1 to 255 printable characters'),
  })
  .meta({ id: 'CreateRoleType' });

/** PUT adds the permission, DELETE takes it away. */
const association = (method: 'PUT' | 'DELETE') =>
  route({
    method,
    path: '/role/{roleid}/permission/{permissionid}',
    tag,
    summary: method === 'PUT' ? 'Gives a role a permission' : 'Takes a permission from a role',
    pathParameters: { roleid: id, permissionid: id },
    reply: roleResponse,
    handle: async ({ room, path, login }) => {
      const changed = await change(room, login, { type: method === 'PUT' ? 'add-permission' : 'remove-permission', roleId: path.roleid, permissionId: path.permissionid });
      return isRefusal(changed) ? changed : done(roleBody(expected(changed.role, 'role')));
    },
  });

export const roleRoutes = [
  route({
    method: 'GET',
    path: '/role',
    tag,
    summary: 'Lists the roles',
    reply: z.array(roleResponse).meta({ uniqueItems: true }),
    handle: async ({ room: { views } }) => {
      await views.roles.refresh();
      const roles = [...views.roles.entries()].map(([, role]) => role).sort((one, other) => (one.name < other.name ? -1 : 1));
      return done(roles.map(roleBody));
    },
  }),
  route({
    method: 'POST',
    path: '/role',
    tag,
    summary: 'Creates a role without permissions',
    body: jsonBody('createRoleType', createRole),
    reply: roleResponse,
    statuses: [201],
    handle: async ({ room, body, login }) => {
      const changed = await change(room, login, { type: 'create-role', name: body.roleName, groupVisibility: body.groupVisibility ?? null });
      return isRefusal(changed) ? changed : done(roleBody(expected(changed.role, 'role')), 201);
    },
  }),
  route({
    method: 'GET',
    path: '/role/{id}',
    tag,
    summary: 'Reads a role',
    pathParameters: { id },
    reply: roleResponse,
    handle: async ({ room, path }) => {
      const role = await lookUp(room.views.roles, path.id);
      return role === undefined ? refuse('REST_ROLE_UNKNOWN', `Role ${path.id} not found`, { id: path.id }) : done(roleBody(role));
    },
  }),
  association('PUT'),
  association('DELETE'),
  protocolVersionRoute('role', tag),
];
