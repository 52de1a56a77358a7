import { beforeAll, expect } from 'vitest';
import { covers, useCluster } from './cluster.ts';
import { makeKey, openMgm, openWorkshop, prepareMgm, setUp, type Mgm, type Workshop } from './dynamic-network.ts';

const cluster = useCluster();
let workshop: Workshop;
let mgm: Mgm;

beforeAll(async () => {
  workshop = await openWorkshop();
  mgm = await openMgm(cluster(), { signer: workshop.signer, gatewayUrl: cluster().gatewayUrl });
}, 60_000);

covers(cluster, ['PUT /network/setup/{holdingidentityshorthash}'], 'happy', 'a virtual node is set up, again and before it registers', async (box) => {
  expect((await setUp(box, mgm.hash, mgm.sessionKeyId)).status).toBe(204);
  const other = await prepareMgm(box, { signer: workshop.signer, gatewayUrl: box.gatewayUrl });
  expect((await setUp(box, other.hash, other.sessionKeyId)).status).toBe(204);
});

covers(cluster, ['PUT /network/setup/{holdingidentityshorthash}'], 'refused', 'exactly one key is preferred, and keys and certificates are there', async (box) => {
  const request = (json: object) => box.call('PUT', `/network/setup/${mgm.hash}`, { json });
  const sessionKeyId = mgm.sessionKeyId;
  const alias = { p2pTlsCertificateChainAlias: 'p2p-tls-cert' };
  expect((await request({ ...alias, sessionKeysAndCertificates: [] })).status).toBe(400);
  expect((await request({ ...alias, sessionKeysAndCertificates: [{ sessionKeyId, preferred: false }] })).status).toBe(400);
  expect((await request({ ...alias, sessionKeysAndCertificates: [{ sessionKeyId, preferred: true }, { sessionKeyId, preferred: true }] })).status).toBe(400);
  expect((await request({ ...alias, sessionKeysAndCertificates: [{ sessionKeyId: 'AAAAAAAAAAAA', preferred: true }] })).json).toMatchObject({ status: 400, title: expect.stringContaining('AAAAAAAAAAAA') });
  const ledger = await makeKey(box, mgm.hash, 'LEDGER', `${mgm.hash}-ledger`);
  expect((await request({ ...alias, sessionKeysAndCertificates: [{ sessionKeyId: ledger, preferred: true }] })).status).toBe(400);
  expect((await request({ p2pTlsCertificateChainAlias: 'what', sessionKeysAndCertificates: [{ sessionKeyId, preferred: true }] })).json).toMatchObject({ status: 400, title: expect.stringContaining('what') });
  expect((await setUp(box, mgm.hash, sessionKeyId, { sessionCertificateChainAlias: 'none' })).status).toBe(400);
  expect((await setUp(box, '0123456789AB', sessionKeyId)).status).toBe(404);
});
