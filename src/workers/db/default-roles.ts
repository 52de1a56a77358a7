/** The roles that every cluster begins with: Corda's names, each with the operations that it is for. */
import { deriveId } from '../../identity/derive.ts';
import type { Permission } from '../../messages/db-to-rest.permission.ts';
import type { Role } from '../../messages/db-to-rest.role.ts';

const uuid = '[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}';
const user = '[-._@a-zA-Z0-9]{3,255}';
const node = '[a-fA-F0-9]{12}';
const keyId = '[a-fA-F0-9]{12}';
const tenant = '([a-fA-F0-9]{12}|p2p|rest)';
const checksum = '[a-fA-F0-9]{12}';
const usage = '(p2p-tls|p2p-session|rest-tls|code-signer)';
const alias = '[-._a-zA-Z0-9]{1,255}';
const category = '[_a-zA-Z]{2,20}';
const scheme = 'CORDA[.][-.A-Z0-9]{3,30}';
const clientRequestId = '[-._A-Za-z0-9]{1,242}';

/** `METHOD path`: the operation in any version of the API. */
const operation = (methodAndPath: string): string => {
  const [method, path] = methodAndPath.split(' ');
  return `${method}:/api/v[_a-zA-Z0-9]{1,30}${path}`;
};

const userAdmin = [
  'POST /user',
  'GET /user',
  `GET /user/${user}`,
  `PUT /user/${user}`,
  `DELETE /user/${user}`,
  'POST /user/otheruserpassword',
  `PUT /user/${user}/role/${uuid}`,
  `DELETE /user/${user}/role/${uuid}`,
  `GET /user/${user}/permissionsummary`,
  'POST /permission',
  'POST /permission/bulk',
  'GET /permission',
  `GET /permission/${uuid}`,
  'GET /role',
  'POST /role',
  `GET /role/${uuid}`,
  `PUT /role/${uuid}/permission/${uuid}`,
  `DELETE /role/${uuid}/permission/${uuid}`,
  'GET /audit',
];

const virtualNodeCreator = [
  'GET /cpi',
  'POST /cpi',
  `GET /cpi/status/${uuid}`,
  'POST /virtualnode',
  'GET /virtualnode',
  `GET /virtualnode/${node}`,
  'GET /virtualnode/status/[-._a-zA-Z0-9]{1,255}',
  `PUT /virtualnode/${node}/state/[a-zA-Z]{1,255}`,
  `PUT /virtualnode/${node}/cpi/${checksum}`,
  `PUT /virtualnode/${node}/db`,
  'GET /virtualnode/create/db/(crypto|uniqueness)',
  `GET /virtualnode/create/db/vault/${checksum}`,
  `GET /virtualnode/${node}/db/vault/${checksum}`,
  `PUT /certificates?/cluster/${usage}`,
  `GET /certificates?/cluster/${usage}`,
  `GET /certificates?/cluster/${usage}/${alias}`,
  `PUT /certificates?/vnode/${node}/${usage}`,
  `GET /certificates?/vnode/${node}/${usage}`,
  `GET /certificates?/vnode/${node}/${usage}/${alias}`,
  `POST /certificates?/${tenant}/${keyId}`,
  `GET /hsm/${tenant}/${category}`,
  `POST /hsm/soft/${tenant}/${category}`,
  `POST /keys?/${tenant}/alias/${alias}/category/${category}/scheme/${scheme}`,
  `GET /keys?/${tenant}`,
  `GET /keys?/${tenant}/schemes/${category}`,
  `GET /keys?/${tenant}/${keyId}`,
  `POST /membership/${node}`,
  `GET /membership/${node}`,
  `GET /membership/${node}/${uuid}`,
  `GET /members/${node}`,
  `GET /mgm/${node}/info`,
  `PUT /network/setup/${node}`,
  `GET /flow/${node}`,
  `GET /flow/${node}/${clientRequestId}`,
];

const developer = ['POST /maintenance/virtualnode/forcecpiupload', `POST /maintenance/virtualnode/${node}/vault-schema/force-resync`];

const roleIdOf = (name: string): string => deriveId('default role', name);

/** May do everything; cannot be changed, nor taken from the bootstrap administrator. */
export const systemAdminRole = 'Default System Admin';
export const systemAdminRoleId = roleIdOf(systemAdminRole);
export const systemAdminFullName = 'Default Admin';

const roleOf = (name: string, texts: readonly string[], now: number): Role => ({
  id: roleIdOf(name),
  name,
  groupVisibility: null,
  permissions: texts.map((text) => {
    const permission: Permission = { id: deriveId('default permission', name, text), type: 'ALLOW', text, virtualNode: null, groupVisibility: null, version: 1, updatedAt: now };
    return { permission, since: now };
  }),
  version: 1,
  updatedAt: now,
});

export const defaultRoles = (now: number): readonly Role[] => [
  roleOf(systemAdminRole, ['.*'], now),
  roleOf('UserAdminRole', userAdmin.map(operation), now),
  roleOf('VNodeCreatorRole', virtualNodeCreator.map(operation), now),
  roleOf('CordaDeveloperRole', developer.map(operation), now),
];
