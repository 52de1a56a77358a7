import { expect } from 'vitest';
import { alice, bob, covers, useCluster, type BlackBox } from './cluster.ts';

const cluster = useCluster();

covers(cluster, ['POST /permission', 'GET /permission/{id}', 'GET /permission'], 'happy', 'a permission is created, read, and found by type, prefix and virtual node', async ({ call }) => {
  const json = { createPermissionType: { permissionType: 'DENY', permissionString: 'FIND:/me', virtualNode: '0123456789AB', groupVisibility: '8d1f5d2a-1111-4222-8333-444455556666' } };
  const created = await call('POST', '/permission', { json });
  expect(created.status).toBe(201);
  expect(created.json).toMatchObject({ ...json.createPermissionType, version: 1 });
  expect((await call('GET', `/permission/${created.json.id}`)).json).toEqual(created.json);
  const find = async (query: string): Promise<unknown[]> => (await call('GET', `/permission?${query}`)).json;
  expect(await find('limit=10&permissiontype=DENY&permissionstringprefix=FIND:')).toEqual([created.json]);
  expect(await find('limit=10&permissiontype=DENY&virtualnode=0123456789AB')).toEqual([created.json]);
  expect(await find('limit=10&permissiontype=ALLOW&permissionstringprefix=FIND:')).toEqual([]);
  expect(await find('limit=3&permissiontype=ALLOW')).toHaveLength(3);
});

covers(cluster, ['POST /permission', 'GET /permission/{id}', 'GET /permission'], 'refused', 'a pattern that could cost too much or cannot be matched is 400 with its reason', async ({ call }) => {
  for (const permissionString of ['', '(a', 'a{3,1}', '(?=a)b', '(a)\\1', '((a{1,250}){1,250}){1,250}', 'ä', 'x'.repeat(1_025)]) {
    expect((await call('POST', '/permission', { json: { permissionType: 'ALLOW', permissionString } })).status, permissionString.slice(0, 50)).toBe(400);
  }
  const { json } = await call('POST', '/permission', { json: { permissionType: 'ALLOW', permissionString: '(a' } });
  expect(json.title).toContain('not closed');
  expect((await call('POST', '/permission', { json: { permissionType: 'ALLOW', permissionString: '.*', virtualNode: 'Alice' } })).status).toBe(400);
  expect((await call('POST', '/permission', { json: { permissionType: 'MAYBE', permissionString: '.*' } })).status).toBe(400);
  expect((await call('GET', '/permission/11111111-2222-4333-8444-555555555555')).status).toBe(404);
  for (const query of ['permissiontype=ALLOW', 'limit=10', 'limit=0&permissiontype=ALLOW', 'limit=10&permissiontype=x']) expect((await call('GET', `/permission?${query}`)).status, query).toBe(400);
});

const bulk = { permissionsToCreate: [{ permissionType: 'ALLOW', permissionString: 'BULK:/1' }, { permissionType: 'DENY', permissionString: 'BULK:/2' }, { permissionType: 'ALLOW', permissionString: 'BULK:/1' }] };

covers(cluster, 'POST /permission/bulk', 'happy', 'a set of permissions is created and given to roles', async ({ call }) => {
  const role = (await call('POST', '/role', { json: { roleName: 'Bulk' } })).json.id;
  const created = await call('POST', '/permission/bulk', { json: { ...bulk, roleIds: [role] } });
  expect(created.status).toBe(201);
  expect(created.json).toEqual({ permissionIds: [expect.any(String), expect.any(String)], roleIds: [role] });
  const ids = (await call('GET', `/role/${role}`)).json.permissions.map(({ id }: { id: string }) => id);
  expect(ids.toSorted()).toEqual(created.json.permissionIds.toSorted());
});

covers(cluster, 'POST /permission/bulk', 'refused', 'with a role that is not there nothing is created', async ({ call }) => {
  const json = { permissionsToCreate: [{ permissionType: 'ALLOW', permissionString: 'NONE:/1' }], roleIds: ['11111111-2222-4333-8444-555555555555'] };
  expect((await call('POST', '/permission/bulk', { json })).status).toBe(404);
  expect((await call('GET', '/permission?limit=10&permissiontype=ALLOW&permissionstringprefix=NONE:')).json).toEqual([]);
  expect((await call('POST', '/permission/bulk', { json: { permissionsToCreate: [], roleIds: [] } })).status).toBe(400);
});

covers(cluster, 'GET /permission/getprotocolversion', 'happy', 'says the version', async ({ call }) => {
  expect((await call('GET', '/permission/getprotocolversion')).json).toBe(50_200);
});

const userWith = async ({ call }: BlackBox, login: string, permissionsToCreate: readonly object[]) => {
  const role = (await call('POST', '/role', { json: { roleName: `role of ${login}` } })).json.id;
  await call('POST', '/permission/bulk', { json: { permissionsToCreate, roleIds: [role] } });
  await call('POST', '/user', { json: { enabled: true, fullName: login, loginName: login, initialPassword: 'password' } });
  await call('PUT', `/user/${login}/role/${role}`);
  return { login, password: 'password' };
};

covers(cluster, 'POST /flow/{holdingidentityshorthash}', 'happy', 'a permission of one virtual node allows a flow there, and nowhere else', async (box) => {
  const app = await box.installApp();
  const [aliceHash, bobHash] = [await box.addMember(app, alice), await box.addMember(app, bob)];
  const version = 'v[_a-zA-Z0-9]{1,30}';
  // As Corda's own role for starting flows is written, and one that Corda would let do more than it says.
  const executor = await userWith(box, 'executor', [
    { permissionType: 'ALLOW', permissionString: `POST:/api/${version}/flow/[a-fA-F0-9]{12}` },
    { permissionType: 'ALLOW', permissionString: 'StartFlow:[._$a-zA-Z0-9]{1,250}', virtualNode: aliceHash },
    { permissionType: 'DENY', permissionString: 'StartFlow:.*Forbidden' },
  ]);
  const start = (hash: string, flowClassName: string) => box.call('POST', `/flow/${hash}`, { as: executor, json: { clientRequestId: `r-${flowClassName}`, flowClassName, requestBody: { otherMember: bob } } });
  expect((await start(aliceHash, 'com.cordage.samples.Greet')).status).toBe(202);
  const elsewhere = await start(bobHash, 'com.cordage.samples.Greet');
  expect([elsewhere.status, elsewhere.json.title]).toEqual([403, 'User [executor] is not allowed to start a flow: com.cordage.samples.Greet']);
  expect((await start(aliceHash, 'com.example.Forbidden')).status).toBe(403);
  const scoped = await userWith(box, 'scoped', [{ permissionType: 'ALLOW', permissionString: 'GET:.*', virtualNode: aliceHash.toLowerCase() }, { permissionType: 'DENY', permissionString: '.*/members/.*', virtualNode: aliceHash }]);
  const statusOf = async (path: string): Promise<number> => (await box.call('GET', path, { as: scoped })).status;
  expect(await statusOf(`/flow/${aliceHash}`)).toBe(200);
  expect(await statusOf(`/flow/${aliceHash.toLowerCase()}?status=RUNNING`)).toBe(200);
  expect(await statusOf(`/flow/${bobHash}`)).toBe(403);
  expect(await statusOf('/cpi')).toBe(403);
  expect(await statusOf(`/members/${aliceHash}`)).toBe(403);
});
