/** What members see of their network, asked for wrongly; `membership.test.ts` shows it asked for rightly. */
import { expect } from 'vitest';
import { alice, covers, useCluster } from './cluster.ts';

const cluster = useCluster();

covers(
  cluster,
  ['GET /members/{holdingidentityshorthash}', 'GET /members/{holdingidentityshorthash}/group-parameters', 'GET /membership/{holdingidentityshorthash}', 'GET /membership/{holdingidentityshorthash}/{registrationrequestid}'],
  'refused',
  'an unknown virtual node is 404, a malformed short hash 400, and so is a filter that is none',
  async ({ call, installApp, addMember }) => {
    const registration = 'f0a0f381-e0d6-49d2-abba-6094992cef02';
    for (const path of ['/members/HASH', '/members/HASH/group-parameters', '/membership/HASH', `/membership/HASH/${registration}`]) {
      expect([path, (await call('GET', path.replace('HASH', 'ABABABABABAB'))).status]).toEqual([path, 404]);
      expect([path, (await call('GET', path.replace('HASH', 'alice'))).status]).toEqual([path, 400]);
    }
    const hash = await addMember(await installApp([alice]), alice);
    expect((await call('GET', `/membership/${hash}/${registration}`)).status).toBe(404);
    expect((await call('GET', `/membership/${hash}/registration`)).status).toBe(400);
    expect((await call('GET', `/members/${hash}?statuses=ASLEEP`)).status).toBe(400);
    expect((await call('GET', `/members/${hash}?o=Alice%20Corp`)).json.members).toHaveLength(1);
    expect((await call('GET', `/members/${hash}?o=Nobody`)).json.members).toEqual([]);
  },
);
