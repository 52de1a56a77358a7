import { expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const nobody = '11111111-2222-4333-8444-555555555555';

covers(cluster, 'GET /role', 'happy', 'a new cluster has the roles that Corda makes', async ({ call }) => {
  const { json } = await call('GET', '/role');
  expect(json.map(({ roleName }: { roleName: string }) => roleName)).toEqual(['CordaDeveloperRole', 'Default System Admin', 'UserAdminRole', 'VNodeCreatorRole']);
});

covers(cluster, ['POST /role', 'GET /role/{id}'], 'happy', 'a role is created empty', async ({ call }) => {
  const created = await call('POST', '/role', { json: { createRoleType: { roleName: 'Auditor' } } });
  expect([created.status, created.json.permissions, created.json.version]).toEqual([201, [], 1]);
  expect((await call('GET', `/role/${created.json.id}`)).json).toEqual(created.json);
  expect((await call('POST', '/api/v1/role', { json: { roleName: 'Auditor of version 1' } })).status).toBe(200);
});

covers(cluster, ['POST /role', 'GET /role/{id}'], 'refused', 'a name twice is 409, a blank one 400, an unknown role 404', async ({ call }) => {
  await call('POST', '/role', { json: { roleName: 'Twice' } });
  expect((await call('POST', '/role', { json: { roleName: 'Twice' } })).status).toBe(409);
  expect((await call('POST', '/role', { json: { roleName: '  ' } })).status).toBe(400);
  for (const id of [nobody, 'no-uuid', '__proto__']) expect((await call('GET', `/role/${id}`)).status).toBe(404);
});

covers(cluster, 'GET /role', 'refused', 'needs its permission', async ({ call }) => {
  await call('POST', '/user', { json: { enabled: true, fullName: 'No Body', loginName: 'no-role', initialPassword: 'password' } });
  const { status, json } = await call('GET', '/role', { as: { login: 'no-role', password: 'password' } });
  expect([status, json.title]).toEqual([403, 'User not authorized.']);
});

covers(cluster, ['PUT /role/{roleid}/permission/{permissionid}', 'DELETE /role/{roleid}/permission/{permissionid}'], 'happy', 'a permission is given to a role and taken away', async ({ call }) => {
  const role = (await call('POST', '/role', { json: { roleName: 'Changing' } })).json.id;
  const permission = (await call('POST', '/permission', { json: { permissionType: 'ALLOW', permissionString: 'GET:/x' } })).json.id;
  const given = await call('PUT', `/role/${role}/permission/${permission}`);
  expect(given.json).toMatchObject({ permissions: [{ id: permission }], version: 2 });
  expect((await call('DELETE', `/role/${role}/permission/${permission}`)).json).toMatchObject({ permissions: [], version: 3 });
});

covers(cluster, ['PUT /role/{roleid}/permission/{permissionid}', 'DELETE /role/{roleid}/permission/{permissionid}'], 'refused', 'twice is 409, not there 404, not had 400, and the administrator\'s role cannot be changed', async ({ call }) => {
  const role = (await call('POST', '/role', { json: { roleName: 'Guarded' } })).json.id;
  const permission = (await call('POST', '/permission', { json: { permissionType: 'ALLOW', permissionString: 'GET:/y' } })).json.id;
  await call('PUT', `/role/${role}/permission/${permission}`);
  expect((await call('PUT', `/role/${role}/permission/${permission}`)).status).toBe(409);
  expect((await call('PUT', `/role/${role}/permission/${nobody}`)).status).toBe(404);
  expect((await call('PUT', `/role/${nobody}/permission/${permission}`)).status).toBe(404);
  await call('DELETE', `/role/${role}/permission/${permission}`);
  expect((await call('DELETE', `/role/${role}/permission/${permission}`)).status).toBe(400);
  const admin = (await call('GET', '/role')).json.find(({ roleName }: { roleName: string }) => roleName === 'Default System Admin');
  for (const method of ['PUT', 'DELETE']) {
    const { status, json } = await call(method, `/role/${admin.id}/permission/${method === 'PUT' ? permission : admin.permissions[0].id}`);
    expect([status, json.title]).toEqual([400, 'Default System Admin cannot be changed']);
  }
});

covers(cluster, 'GET /role/getprotocolversion', 'happy', 'says the version', async ({ call }) => {
  expect((await call('GET', '/role/getprotocolversion')).json).toBe(50_200);
});
