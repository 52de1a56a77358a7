import { expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();

covers(cluster, ['POST /hsm/soft/{tenantid}/{category}', 'GET /hsm/{tenantid}/{category}'], 'happy', 'every category is given once, and found', async ({ call }) => {
  for (const category of ['ACCOUNTS', 'CI', 'LEDGER', 'NOTARY', 'SESSION_INIT', 'TLS', 'JWT_KEY', 'PRE_AUTH']) {
    const given = await call('POST', `/hsm/soft/A11CE0000001/${category}`);
    expect(given.json).toEqual({ category, deprecatedAt: 0, hsmId: 'SOFT', id: expect.any(String), masterKeyAlias: expect.stringMatching(/^[0-9a-f]{12}$/) });
    expect((await call('POST', `/hsm/soft/a11ce0000001/${category.toLowerCase()}`)).json).toEqual(given.json);
    expect((await call('GET', `/hsm/A11CE0000001/${category}`)).json).toEqual(given.json);
  }
});

covers(cluster, ['POST /hsm/soft/{tenantid}/{category}', 'GET /hsm/{tenantid}/{category}'], 'refused', 'other categories and tenants there are none', async ({ call }) => {
  const statusOf = async (method: string, path: string) => (await call(method, path)).status;
  expect(await statusOf('POST', '/hsm/soft/A11CE0000001/NONSENSE')).toBe(404);
  expect(await statusOf('GET', '/hsm/A11CE0000001/NONSENSE')).toBe(404);
  expect(await statusOf('POST', '/hsm/soft/everybody/TLS')).toBe(400);
  expect(await statusOf('GET', '/hsm/everybody/TLS')).toBe(400);
  // Nobody gave it one.
  expect(await statusOf('GET', '/hsm/B0B000000002/LEDGER')).toBe(404);
});
