/** Every operation there is, asked for by nobody and by somebody with a wrong password. */
import { expect, test } from 'vitest';
import { routes } from '../../../../src/workers/rest/api/api.ts';
import { useCluster } from './cluster.ts';

const cluster = useCluster();

/** Any text will do: who is not let in learns nothing of what is behind. */
const pathOf = (template: string): string => template.replace(/\{[^}]+\}/g, 'AAAAAAAAAAAA');

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
