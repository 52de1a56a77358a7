import { expect } from 'vitest';
import { covers, useCluster, type BlackBox } from './cluster.ts';

const cluster = useCluster();

let count = 0;
/** A user of a name of its own. */
const newUser = async ({ call }: BlackBox, more: object = {}): Promise<{ login: string; password: string }> => {
  const login = `user-${++count}`;
  const password = `password of ${login}`;
  const { status } = await call('POST', '/user', { json: { enabled: true, fullName: 'Some Body', loginName: login, initialPassword: password, ...more } });
  expect(status).toBe(201);
  return { login, password };
};
const newRole = async ({ call }: BlackBox, ...permissions: readonly { type: 'ALLOW' | 'DENY'; text: string }[]): Promise<string> => {
  const role = await call('POST', '/role', { json: { roleName: `role-${++count}` } });
  if (permissions.length > 0) {
    const permissionsToCreate = permissions.map(({ type, text }) => ({ permissionType: type, permissionString: text }));
    expect((await call('POST', '/permission/bulk', { json: { permissionsToCreate, roleIds: [role.json.id] } })).status).toBe(201);
  }
  return role.json.id;
};
const adminRoleOf = async ({ call }: BlackBox): Promise<string> => (await call('GET', '/role')).json.find(({ roleName }: { roleName: string }) => roleName === 'Default System Admin').id;

covers(cluster, ['POST /user', 'GET /user/{loginname}'], 'happy', 'a user is created once, without roles, its login in lower case', async ({ call }) => {
  const parentGroup = '8d1f5d2a-1111-4222-8333-444455556666';
  const json = { createUserType: { enabled: true, fullName: "Ann O'Nym", loginName: 'Ann@Example.com', initialPassword: 'secret', parentGroup, passwordExpiry: '2099-01-01T00:00:00Z' } };
  const created = await call('POST', '/user', { json });
  expect(created.status).toBe(201);
  expect(created.json).toMatchObject({ loginName: 'ann@example.com', fullName: "Ann O'Nym", enabled: true, ssoAuth: false, roleAssociations: [], properties: [], parentGroup, version: 1 });
  expect(Date.parse(created.json.passwordExpiry)).toBe(Date.UTC(2099, 0, 1));
  expect(created.text).not.toContain('secret');
  expect((await call('GET', '/user/ANN@example.com')).json).toEqual(created.json);
  expect((await call('GET', '/api/v1/user?loginname=ann@example.com')).json).toEqual(created.json);
});

covers(cluster, ['POST /user', 'GET /user/{loginname}'], 'refused', 'a login that is taken is 409, what is malformed 400, one that is not there 404', async (box) => {
  const { login } = await newUser(box);
  const base = { enabled: true, fullName: 'Some Body', loginName: 'somebody', initialPassword: 'password' };
  const statusOf = async (change: object): Promise<number> => (await box.call('POST', '/user', { json: { ...base, ...change } })).status;
  expect(await statusOf({ loginName: login.toUpperCase() })).toBe(409);
  for (const change of [{ loginName: 'a' }, { loginName: 'a b c' }, { fullName: ' ' }, { fullName: 'a<b>' }, { initialPassword: 'abc' }, { initialPassword: 'x'.repeat(256) }, { parentGroup: 'group' }, { enabled: 'yes' }]) {
    expect(await statusOf(change), JSON.stringify(change)).toBe(400);
  }
  expect((await box.call('GET', '/user/nobody-at-all')).status).toBe(404);
});

covers(cluster, ['PUT /user/{loginname}/role/{roleid}', 'DELETE /user/{loginname}/role/{roleid}', 'GET /user/{loginname}/permissionsummary'], 'happy', 'what a user may do follows its roles at once', async (box) => {
  const { call } = box;
  const as = await newUser(box);
  expect((await call('GET', '/cpi', { as })).status).toBe(403);
  const reader = await newRole(box, { type: 'ALLOW', text: 'GET:/api/v[_a-z0-9]{1,30}/(cpi|virtualnode)' });
  const added = await call('PUT', `/user/${as.login}/role/${reader}`);
  expect(added.json.roleAssociations).toEqual([{ roleId: reader, createTimestamp: expect.any(String) }]);
  expect((await call('GET', '/cpi', { as })).status).toBe(200);
  expect((await call('GET', '/api/v1/virtualnode', { as })).status).toBe(200);
  expect((await call('GET', '/role', { as })).status).toBe(403);
  const denier = await newRole(box, { type: 'DENY', text: '.*/cpi' });
  await call('PUT', `/user/${as.login}/role/${denier}`);
  expect((await call('GET', '/cpi', { as })).status).toBe(403);
  const summary = await call('GET', `/user/${as.login}/permissionsummary`);
  expect(summary.json).toMatchObject({ loginName: as.login, enabled: true });
  expect(summary.json.permissions.map(({ permissionType }: { permissionType: string }) => permissionType)).toEqual(['DENY', 'ALLOW']);
  await call('DELETE', `/user/${as.login}/role/${denier}`);
  expect((await call('GET', '/cpi', { as })).status).toBe(200);
});

covers(cluster, ['PUT /user/{loginname}/role/{roleid}', 'DELETE /user/{loginname}/role/{roleid}', 'GET /user/{loginname}/permissionsummary'], 'refused', 'a role twice is 409, one that is not there 404, one that the user has not 400', async (box) => {
  const { call } = box;
  const { login } = await newUser(box);
  const role = await newRole(box);
  await call('PUT', `/user/${login}/role/${role}`);
  expect((await call('PUT', `/user/${login}/role/${role}`)).status).toBe(409);
  expect((await call('PUT', `/user/${login}/role/11111111-2222-4333-8444-555555555555`)).status).toBe(404);
  expect((await call('PUT', `/user/nobody-at-all/role/${role}`)).status).toBe(404);
  await call('DELETE', `/user/${login}/role/${role}`);
  expect((await call('DELETE', `/user/${login}/role/${role}`)).status).toBe(400);
  expect((await call('GET', '/user/nobody-at-all/permissionsummary')).status).toBe(404);
});

covers(cluster, 'POST /user/selfpassword', 'happy', 'a user changes its own password, needing no permission; the old one ends at once', async (box) => {
  const { call } = box;
  const as = await newUser(box);
  const changed = await call('POST', '/user/selfpassword', { as, json: { password: 'another password' } });
  expect(changed.status).toBe(200);
  const days = (Date.parse(changed.json.passwordExpiry) - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(89.9);
  expect(days).toBeLessThanOrEqual(90);
  expect((await call('POST', '/user/selfpassword', { as, json: { password: 'a third password' } })).status).toBe(401);
  expect((await call('GET', '/cpi', { as: { ...as, password: 'another password' } })).status).toBe(403);
});

covers(cluster, 'POST /user/selfpassword', 'refused', 'a password that is blank, short, too long or the one before is 400', async (box) => {
  const as = await newUser(box);
  for (const password of ['', '     ', 'abcd', 'x'.repeat(256), as.password]) expect((await box.call('POST', '/user/selfpassword', { as, json: { password } })).status, password).toBe(400);
});

covers(cluster, 'POST /user/otheruserpassword', 'happy', 'an administrator sets a password for a week; one that ends soon is said with each answer', async (box) => {
  const { call } = box;
  const as = await newUser(box);
  const changed = await call('POST', '/user/otheruserpassword', { json: { username: as.login, password: 'set by another' } });
  const days = (Date.parse(changed.json.passwordExpiry) - Date.now()) / 86_400_000;
  expect(Math.round(days)).toBe(7);
  const answer = await call('GET', '/hello/getprotocolversion', { as: { ...as, password: 'set by another' } });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('warning')).toContain('299');
  expect((await call('GET', '/hello/getprotocolversion')).headers.get('warning')).toBeNull();
});

covers(cluster, 'POST /user/otheruserpassword', 'refused', 'for nobody it is 404, and without permission 403', async (box) => {
  const as = await newUser(box);
  expect((await box.call('POST', '/user/otheruserpassword', { json: { username: 'nobody-at-all', password: 'whatever' } })).status).toBe(404);
  expect((await box.call('POST', '/user/otheruserpassword', { as, json: { username: 'admin', password: 'taken over' } })).status).toBe(403);
});

covers(cluster, ['PUT /user/{loginname}', 'GET /user', 'DELETE /user/{loginname}'], 'happy', 'a user is disabled and enabled again, has its password expire, and is deleted', async (box) => {
  const { call } = box;
  const as = await newUser(box);
  const own = () => call('GET', '/hello/getprotocolversion', { as });
  expect((await own()).status).toBe(200);
  await call('PUT', `/user/${as.login}`, { json: { enabled: false } });
  expect((await own()).status).toBe(401);
  await call('PUT', `/user/${as.login}`, { json: { enabled: true, fullName: 'Renamed' } });
  expect((await own()).status).toBe(200);
  await call('PUT', `/user/${as.login}`, { json: { passwordExpiry: '2020-01-01T00:00:00Z' } });
  const expired = await own();
  expect([expired.status, expired.json.details.code]).toEqual([403, 'REST_PASSWORD_EXPIRED']);
  expect((await call('POST', '/user/selfpassword', { as, json: { password: 'fresh password' } })).status).toBe(200);
  expect((await call('GET', '/user')).json.find(({ loginName }: { loginName: string }) => loginName === as.login)).toMatchObject({ fullName: 'Renamed' });
  expect((await call('DELETE', `/user/${as.login}`)).status).toBe(200);
  expect((await call('GET', '/hello/getprotocolversion', { as: { ...as, password: 'fresh password' } })).status).toBe(401);
});

covers(cluster, ['PUT /user/{loginname}', 'DELETE /user/{loginname}', 'DELETE /user/{loginname}/role/{roleid}'], 'refused', 'the bootstrap administrator stays enabled, in its role, and there', async (box) => {
  const { call } = box;
  const refusals = [await call('PUT', '/user/admin', { json: { enabled: false } }), await call('DELETE', '/user/admin'), await call('DELETE', `/user/admin/role/${await adminRoleOf(box)}`)];
  expect(refusals.map(({ status, json }) => [status, json.details.code])).toEqual(refusals.map(() => [400, 'DB_USER_PROTECTED']));
  expect(refusals[2]!.json.title).toBe('Default System Admin cannot be removed from Default Admin');
});

covers(cluster, 'GET /user', 'refused', 'needs its permission', async (box) => {
  expect((await box.call('GET', '/user', { as: await newUser(box) })).status).toBe(403);
});

covers(cluster, 'GET /user/getprotocolversion', 'happy', 'says the version', async ({ call }) => {
  expect((await call('GET', '/user/getprotocolversion')).json).toBe(50_200);
});

covers(cluster, 'GET /audit', 'happy', 'who changed what, and what was refused, is kept and read in pages', async (box) => {
  const { call } = box;
  const { login } = await newUser(box);
  await call('PUT', `/user/${login}/role/11111111-2222-4333-8444-555555555555`);
  const page = await call('GET', `/audit?limit=1&target=${login}`);
  expect(page.json.entries).toMatchObject([{ actor: 'admin', action: 'add-role', target: login, outcome: 'DB_ROLE_UNKNOWN' }]);
  const next = await call('GET', `/audit?limit=5&target=${login}&before=${page.json.next}`);
  expect(next.json).toMatchObject({ entries: [{ action: 'create-user', outcome: 'done' }], next: null });
  expect(page.text + next.text).not.toContain('password of');
});

covers(cluster, 'GET /audit', 'refused', 'a page has its bounds', async ({ call }) => {
  expect((await call('GET', '/audit?limit=0')).status).toBe(400);
});
