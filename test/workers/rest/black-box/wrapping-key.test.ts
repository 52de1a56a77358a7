import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCluster, type ClusterProcess } from '../../../../src/cli/cluster-process.ts';
import { keysPerRotationStep } from '../../../../src/workers/crypto/config.ts';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const tenant = 'A11CE0000001';
const rotation = '/wrappingkey/rotation';
const csr = { x500Name: 'CN=Alice, O=Org, L=London, C=GB' };

covers(cluster, ['POST /wrappingkey/rotation/{tenantid}', 'GET /wrappingkey/rotation/{tenantid}'], 'happy', 'a tenant’s keys and all wrapping keys are sealed anew, and still sign', async ({ call, until }) => {
  const { masterKeyAlias } = (await call('POST', `/hsm/soft/${tenant}/LEDGER`)).json;
  const { id } = (await call('POST', `/key/${tenant}/alias/a/category/LEDGER/scheme/CORDA.ECDSA.SECP256R1`)).json;
  const begun = await call('POST', `${rotation}/${tenant.toLowerCase()}`);
  expect([begun.status, begun.json]).toEqual([202, { requestId: expect.stringMatching(/^[0-9a-f-]{36}$/), tenantId: tenant }]);
  const done = await until('GET', `${rotation}/${tenant}`, ({ json }) => json.status === 'done');
  const at = expect.stringMatching(/^\d{4}-.*Z$/);
  expect(done.json).toEqual({ tenantId: tenant, status: 'done', rotationInitiatedTimestamp: at, lastUpdatedTimestamp: at, rotatedKeyStatus: [{ first: masterKeyAlias, second: { rotatedKeys: 1, total: 1 } }] });
  expect((await call('POST', `/certificate/${tenant}/${id}`, { json: csr })).status).toBe(200);
  // The root key is the same: no wrapping key has another.
  expect((await call('POST', `${rotation}/master`)).status).toBe(202);
  expect((await until('GET', `${rotation}/master`, ({ json }) => json.status === 'done')).json.rotatedKeyStatus).toEqual([]);
  expect((await call('GET', '/wrappingkey/getprotocolversion')).json).toBe(50_200);
});

covers(cluster, ['POST /wrappingkey/rotation/{tenantid}', 'GET /wrappingkey/rotation/{tenantid}'], 'refused', 'tenants without keys, and what is no tenant', async ({ call }) => {
  expect((await call('POST', `${rotation}/B0B000000002`)).status).toBe(404);
  expect((await call('GET', `${rotation}/B0B000000002`)).status).toBe(404);
  for (const method of ['POST', 'GET']) expect((await call(method, `${rotation}/everybody`)).status).toBe(400);
});

/** REST calls of a cluster that is killed and started again, at whatever port. */
const callerOf = (process: ClusterProcess) => async (method: string, path: string, json?: unknown): Promise<any> => {
  const response = await fetch(`${process.restUrl}/api/v5_2${path}`, {
    method,
    headers: { authorization: `Basic ${btoa('admin:admin-password')}`, accept: 'application/json', ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
};

describe('a cluster that is killed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cordage-rotation-'));
  const environment = { CORDAGE_FLOW_SANDBOXES: '1' };
  const start = (more: Record<string, string> = {}) =>
    startCluster({ name: 'rotation', directory, restPort: 0, gatewayPort: 0, adminPassword: 'admin-password', environment: { ...environment, ...more } });
  let running: ClusterProcess;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(async () => {
    await running?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test('in the middle of a rotation goes on with it, and every key still signs; so under a new passphrase, and then the old one is not needed', async () => {
    let call = callerOf(running);
    await call('POST', `/hsm/soft/${tenant}/LEDGER`);
    const count = 4 * keysPerRotationStep;
    const ids: string[] = [];
    const makeSome = async (from: number): Promise<void> => {
      for (let i = from; i < count; i += 30) ids.push((await call('POST', `/key/${tenant}/alias/key-${i}/category/LEDGER/scheme/CORDA.EDDSA.ED25519`)).id);
    };
    await Promise.all(Array.from({ length: 30 }, (_, i) => makeSome(i)));
    const sign = async (id: string): Promise<void> => void (await call('POST', `/certificate/${tenant}/${id}`, csr));
    const rotated = async (path: string): Promise<[string, number]> => {
      const { status, rotatedKeyStatus } = await call('GET', `${rotation}/${path}`);
      return [status, rotatedKeyStatus[0]?.second.rotatedKeys ?? 0];
    };

    await call('POST', `${rotation}/${tenant}`);
    // Killed as soon as some keys are sealed anew and others are not; keys sign meanwhile.
    let [status, done] = await rotated(tenant);
    while (done === 0 && status === 'inProgress') {
      await sign(ids[0]!);
      [status, done] = await rotated(tenant);
    }
    process.kill(running.pid, 'SIGKILL');
    await running.gone;
    expect([status, done < count]).toEqual(['inProgress', true]);

    // Up again under a new passphrase, beside the old one that is kept in the cluster's folder.
    running = await start({ CORDAGE_CRYPTO_PASSPHRASE: 'a new passphrase for the root key' });
    call = callerOf(running);
    const finish = async (path: string): Promise<void> => {
      const deadline = performance.now() + 30_000;
      while ((await rotated(path))[0] !== 'done') if (performance.now() > deadline) throw new Error(`the rotation of ${path} does not end`);
    };
    await finish(tenant);
    await call('POST', `${rotation}/master`);
    await finish('master');
    expect(readFileSync(running.logFile, 'utf8')).toContain('"crypto.rotation-done"');
    await Promise.all(ids.map(sign));
    await running.stop();

    // The secret that was made with the folder is forgotten: nothing needs it.
    running = await start({ CORDAGE_CRYPTO_PASSPHRASE: 'a new passphrase for the root key', CORDAGE_CRYPTO_PASSPHRASE_BEFORE: 'not the one that was made' });
    call = callerOf(running);
    await Promise.all(ids.slice(0, 50).map(sign));
  }, 90_000);
});
