/** Every operation there is, asked for by nobody, by somebody with a wrong password, and by somebody who may do nothing. */
import { beforeAll, expect, test } from 'vitest';
import { routes } from '../../../../src/workers/rest/api/api.ts';
import type { Route } from '../../../../src/workers/rest/routing/routing.ts';
import { useCluster } from './cluster.ts';

const cluster = useCluster();

/** Any text will do: who is not let in learns nothing of what is behind. */
const pathOf = (template: string): string => template.replace(/\{[^}]+\}/g, 'AAAAAAAAAAAA');

const stranger = { login: 'stranger', password: 'stranger-password' };
beforeAll(async () => {
  const { login: loginName, password: initialPassword } = stranger;
  expect((await cluster().call('POST', '/user', { json: { enabled: true, fullName: 'A Stranger', loginName, initialPassword } })).status).toBe(201);
});

/** Which version a resource speaks is told to every login, and a password is its owner's to change. */
const needsPermission = ({ path }: { readonly path: string }): boolean => !path.endsWith('/getprotocolversion') && path !== '/user/selfpassword';

/** Under which version it is served. */
const targetOf = (path: string, onlyInV1: boolean | undefined): string => `/api/${onlyInV1 === true ? 'v1' : 'v5_2'}${pathOf(path)}`;

test.each((routes as readonly Route[]).filter(needsPermission).map(({ method, path, onlyInV1 }) => [method, path, onlyInV1] as const))('%s %s is forbidden to a login without a role', async (method, path, onlyInV1) => {
  const refused = await cluster().call(method, targetOf(path, onlyInV1), { as: stranger });
  expect([refused.status, refused.json.details.code]).toEqual([403, 'REST_FORBIDDEN']);
});

test.each(routes.map(({ method, path }) => [method, path] as const))('%s %s answers nobody without a login', async (method, path) => {
  const { call } = cluster();
  const refused = await call(method, pathOf(path), { as: 'nobody' });
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, expect.stringContaining('Basic')]);
  expect(refused.json.details.code).toBe('REST_UNAUTHENTICATED');
});

test('a wrong password is as good as none, on any operation', async () => {
  const { call, admin } = cluster();
  for (const path of ['/cpi', '/virtualnode', '/nowhere']) expect((await call('GET', path, { as: { ...admin, password: 'wrong-password' } })).status).toBe(401);
});
