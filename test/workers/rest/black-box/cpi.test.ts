import { randomUUID } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { writeCpi } from '../../../../src/packaging/build/containers.ts';
import { staticPolicy } from '../../db/packages.ts';
import { addNode, newSigner, openDepots, trust, upload, type Depot } from './depot.ts';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
let openDepot: (groupId?: string) => Depot;
let trusted: Depot['signer'];
beforeAll(async () => {
  openDepot = await openDepots();
  trusted = openDepot().signer;
  await trust(cluster(), trusted, 'depot');
});

covers(cluster, 'GET /cpi/getprotocolversion', 'happy', 'is the platform version of 5.2', async ({ call }) => {
  expect((await call('GET', '/cpi/getprotocolversion')).json).toBe(50200);
});

covers(cluster, ['POST /cpi', 'GET /cpi/status/{id}', 'GET /cpi'], 'happy', 'what was uploaded is listed, with its code units', async (box) => {
  const depot = openDepot();
  const done = await upload(box, await depot.cpi({ version: '1.1' }));
  expect([done.status, done.json]).toEqual([200, { status: 'OK', cpiFileChecksum: expect.stringMatching(/^[0-9A-F]{12}$/) }]);
  const { cpis } = (await box.call('GET', '/cpi/')).json as { cpis: { cpiFileChecksum: string; cpiFileFullChecksum: string }[] };
  const listed = cpis.find(({ cpiFileChecksum }) => cpiFileChecksum === done.json.cpiFileChecksum);
  expect(listed).toMatchObject({ id: { cpiName: 'depot', cpiVersion: '1.1' }, groupPolicy: staticPolicy(depot.groupId), cpks: [{ id: { name: 'depot', version: '1.0.0' } }] });
  await upload(box, await depot.cpi({ version: '1.2' }));
  const checksums = async (query: string): Promise<string[]> => ((await box.call('GET', `/cpi${query}`)).json.cpis as { cpiFileFullChecksum: string }[]).map(({ cpiFileFullChecksum }) => cpiFileFullChecksum);
  const all = (await checksums('')).toSorted();
  const first = await checksums('?limit=1');
  expect([...first, ...(await checksums(`?limit=100&after=${first[0]}`))]).toEqual(all);
});

covers(cluster, ['POST /cpi', 'GET /cpi/status/{id}', 'GET /cpi'], 'refused', 'each fault of a file shows at its status', async (box) => {
  const depot = openDepot();
  const refusalOf = async (cpi: Uint8Array): Promise<[number, string, string]> => {
    const { status, json } = await upload(box, cpi);
    return [status, json.title, json.details.errorMessage];
  };
  expect(await refusalOf(new Uint8Array([1, 2, 3]))).toEqual([400, 'ValidationException', expect.any(String)]);
  const cpi = await depot.cpi({ version: '2.0' });
  expect((await upload(box, cpi)).json.status).toBe('OK');
  expect(await refusalOf(cpi)).toEqual([409, 'DuplicateCpiUploadException', expect.stringContaining('2.0')]);
  expect(await refusalOf(await depot.cpi({ version: '2.1', signer: await newSigner() }))).toEqual([400, 'ValidationException', expect.stringContaining('code-signer')]);
  const notOurs = { name: 'depot', version: '2.2', groupPolicy: JSON.stringify({ fileFormatVersion: 1, groupId: 'nonsense' }) };
  expect(await refusalOf(await writeCpi(notOurs, trusted))).toEqual([400, 'ValidationException', expect.stringContaining('GroupPolicy.json')]);
  const changed = cpi.slice();
  changed[Math.floor(changed.length / 2)]! ^= 1;
  expect((await refusalOf(changed))[0]).toBe(400);
  expect([(await box.call('GET', `/cpi/status/${randomUUID()}`)).status, (await box.call('GET', '/cpi/status/what')).json.title]).toEqual([400, 'No such requestId=what']);
  expect((await box.call('POST', '/cpi', { form: { upload: new Blob([]) } })).status).toBe(400);
  expect((await box.call('GET', '/cpi?limit=0')).status).toBe(400);
});

test("an MGM's CPI has no code, and its virtual nodes are each of a group of their own", async () => {
  const box = cluster();
  const groupPolicy = JSON.stringify({
    fileFormatVersion: 1,
    groupId: 'CREATE_ID',
    registrationProtocol: 'net.corda.membership.impl.registration.dynamic.mgm.MGMRegistrationService',
    synchronisationProtocol: 'net.corda.membership.impl.synchronisation.MgmSynchronisationServiceImpl',
  });
  const { json } = await upload(box, await writeCpi({ name: 'mgm', version: '1.0', groupPolicy }, trusted));
  expect(json.status).toBe('OK');
  const groupOf = async (): Promise<string> => (await box.call('GET', `/virtualnode/${await addNode(box, json.cpiFileChecksum, 'C=GB, L=London, O=MGM')}`)).json.holdingIdentity.groupId;
  const [one, other] = [await groupOf(), await groupOf()];
  expect(one).toMatch(/^[0-9a-f-]{36}$/);
  expect(other).not.toBe(one);
});
