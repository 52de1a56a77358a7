import { randomUUID } from 'node:crypto';
import { beforeAll, expect } from 'vitest';
import { alice, bob, covers, useCluster } from './cluster.ts';

const cluster = useCluster();
let hash: string;
beforeAll(async () => {
  const { installApp, addMember } = cluster();
  const app = await installApp();
  hash = await addMember(app, alice);
  await addMember(app, bob);
});

const greet = (clientRequestId: string) => ({ clientRequestId, flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember: bob } });

covers(cluster, ['POST /flow/{holdingidentityshorthash}', 'GET /flow/{holdingidentityshorthash}/{clientrequestid}'], 'happy', 'a flow is started, and ends with its result', async ({ call, until }) => {
  const id = randomUUID();
  const started = await call('POST', `/flow/${hash}`, { json: greet(id) });
  expect([started.status, started.json]).toEqual([
    202,
    { holdingIdentityShortHash: hash, clientRequestId: id, flowId: null, flowStatus: 'START_REQUESTED', flowResult: null, flowError: null, timestamp: expect.any(String) },
  ]);
  const ended = await until('GET', `/flow/${hash}/${id}`, ({ json }) => json.flowStatus === 'COMPLETED');
  expect(ended.json.flowResult).toBe('Hello Alice, best wishes from Bob');
});
