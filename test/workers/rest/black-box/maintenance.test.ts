import { beforeAll, expect, test } from 'vitest';
import { addNode, newSigner, openDepots, runFlow, trust, upload, type Depot } from './depot.ts';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const force = '/maintenance/virtualnode/forcecpiupload';
let openDepot: (groupId?: string) => Depot;
beforeAll(async () => {
  openDepot = await openDepots();
  await trust(cluster(), openDepot().signer, 'depot');
});

covers(cluster, 'GET /maintenance/virtualnode/getprotocolversion', 'happy', 'is the platform version of 5.2', async ({ call }) => {
  expect((await call('GET', '/maintenance/virtualnode/getprotocolversion')).json).toBe(50200);
});

covers(cluster, 'POST /maintenance/virtualnode/forcecpiupload', 'happy', 'virtual nodes run the new code over vaults that were brought to it', async (box) => {
  const depot = openDepot();
  const before = await upload(box, await depot.cpi({ version: '1.0' }));
  const hash = await addNode(box, before.json.cpiFileChecksum, 'O=Forced, L=London, C=GB');
  expect(await runFlow(box, hash, 'Keep', { id: 'a' })).toMatchObject({ flowStatus: 'COMPLETED' });
  const after = await upload(box, await depot.cpi({ version: '1.0', next: true }), force);
  expect([after.status, after.json]).toEqual([200, { status: 'OK', cpiFileChecksum: expect.not.stringMatching(before.json.cpiFileChecksum) }]);
  const { cpis } = (await box.call('GET', '/cpi')).json as { cpis: { cpiFileChecksum: string }[] };
  expect(cpis.map(({ cpiFileChecksum }) => cpiFileChecksum)).toContain(after.json.cpiFileChecksum);
  expect(cpis.map(({ cpiFileChecksum }) => cpiFileChecksum)).not.toContain(before.json.cpiFileChecksum);
  expect(await runFlow(box, hash, 'Shelves')).toMatchObject({ flowStatus: 'COMPLETED', flowResult: '[7]' });
});

covers(cluster, 'POST /maintenance/virtualnode/forcecpiupload', 'refused', 'what is not there, and what belongs to another group, is not replaced', async (box) => {
  const depot = openDepot();
  const nothing = await upload(box, await depot.cpi({ version: '9.9' }), force);
  expect([nothing.status, nothing.json.title]).toEqual([400, 'ValidationException']);
  await upload(box, await depot.cpi({ version: '2.0' }));
  const other = await upload(box, await openDepot().cpi({ version: '2.0', next: true }), force);
  expect([other.status, other.json.details.errorMessage]).toEqual([400, expect.stringContaining(depot.groupId)]);
  expect((await upload(box, await depot.cpi({ version: '2.0', signer: await newSigner() }), force)).status).toBe(400);
  expect((await box.call('POST', force, { json: {} })).status).toBe(415);
});

covers(cluster, 'POST /maintenance/virtualnode/{virtualnodeshortid}/vault-schema/force-resync', 'happy', 'the tables are there again, and empty', async (box) => {
  const { json } = await upload(box, await openDepot().cpi({ version: '3.0' }));
  const hash = await addNode(box, json.cpiFileChecksum, 'O=Resynced, L=London, C=GB');
  await runFlow(box, hash, 'Keep', { id: 'a' });
  expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '1' });
  expect((await box.call('POST', `/maintenance/virtualnode/${hash}/vault-schema/force-resync`)).status).toBe(204);
  expect(await runFlow(box, hash, 'Count')).toMatchObject({ flowResult: '0' });
  expect(await runFlow(box, hash, 'Keep', { id: 'a' })).toMatchObject({ flowStatus: 'COMPLETED' });
});

covers(cluster, 'POST /maintenance/virtualnode/{virtualnodeshortid}/vault-schema/force-resync', 'refused', 'of a node that is not there', async ({ call }) => {
  expect((await call('POST', '/maintenance/virtualnode/0123456789AB/vault-schema/force-resync')).status).toBe(404);
  expect((await call('POST', '/maintenance/virtualnode/nonsense/vault-schema/force-resync')).status).toBe(400);
});

test('every operation of maintenance is refused by its method', async () => {
  expect((await cluster().call('GET', force)).status).toBe(405);
});
