/** What the repositories beside entities promise, of each implementation. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database } from '../../../src/postgres/database.ts';
import type { Upload } from '../../../src/workers/db/db-tx.ts';
import { createMemoryDb, type DbTx } from '../../../src/workers/db/worker.ts';
import { defaultRoles } from '../../../src/workers/db/default-roles.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { testCode, testCpi, testVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

type Transact = <Result>(work: (tx: DbTx) => Promise<Result>) => Promise<Result>;

const inMemory = async (): Promise<Transact> => {
  const memory = createMemoryDb();
  return async (work) => {
    try {
      return await work(memory.makeTx());
    } catch (error) {
      memory.rollback();
      throw error;
    }
  };
};

const inPostgres = async (): Promise<Transact> => {
  const database: Database = await server.database();
  return (work) => transactOn(database, work);
};

const uploadId = '8c5a9a2e-6f0b-4b8c-9a55-0d6b6d1f5a10';
const bytes = (...values: readonly number[]): Uint8Array => new Uint8Array(values);

describe.each([
  ['memory', inMemory],
  ['PostgreSQL', inPostgres],
] as const)('repositories in %s', (_, open) => {
  let transact: Transact;
  beforeAll(async () => {
    transact = await open();
  });

  test('an upload counts its chunks once each, is assembled in order, and keeps its outcome', async () => {
    await transact((tx) => tx.uploads.begin({ id: uploadId, count: 2, force: true }, 1_000));
    expect(await transact((tx) => tx.uploads.addChunk(uploadId, 1, bytes(3, 4), 1_001))).toEqual({ chunks: 1, bytes: 2 });
    expect(await transact((tx) => tx.uploads.addChunk(uploadId, 1, bytes(9), 1_001))).toEqual({ chunks: 1, bytes: 2 });
    expect(await transact((tx) => tx.uploads.addChunk(uploadId, 0, bytes(1, 2), 1_002))).toEqual({ chunks: 2, bytes: 4 });
    expect([...(await transact((tx) => tx.uploads.assemble(uploadId)))]).toEqual([1, 2, 3, 4]);
    expect(await transact((tx) => tx.uploads.countOpen())).toBe(1);
    const end: Upload['end'] = { type: 'refused', refusal: { type: 'refused', code: 'DB_CPI_INVALID', message: 'no \u0000', details: { a: 'b' } } };
    await transact((tx) => tx.uploads.finish(uploadId, end, 1_003));
    expect(await transact((tx) => tx.uploads.find(uploadId))).toMatchObject({ id: uploadId, count: 2, force: true, end });
    expect(await transact((tx) => tx.uploads.countOpen())).toBe(0);
    expect(await transact((tx) => tx.uploads.forget(10_000, 1_003))).toBe(0);
    expect(await transact((tx) => tx.uploads.forget(0, 1_004))).toBe(1);
    expect(await transact((tx) => tx.uploads.find(uploadId))).toBeUndefined();
  });

  test('a CPI is found by id and by the first digits of its checksum, and its code by hash', async () => {
    const cpi = testCpi(10);
    await transact((tx) => tx.cpis.put(cpi, testCode(cpi)));
    expect(await transact((tx) => tx.cpis.findById(cpi.id))).toEqual(cpi);
    expect(await transact((tx) => tx.cpis.findById({ ...cpi.id, version: '9' }))).toBeUndefined();
    expect(await transact((tx) => tx.cpis.findByChecksum(cpi.fullChecksum.slice(0, 60)))).toEqual([cpi]);
    const code = await transact((tx) => tx.cpis.findCode([cpi.cpks[0]!.hash, 'none']));
    expect(code.map(({ hash, code: text }) => [hash, new TextDecoder().decode(text)])).toEqual(testCode(cpi).map(({ hash, code: text }) => [hash, new TextDecoder().decode(text)]));
  });

  test('a virtual node is made once, and shows what its CPI holds now', async () => {
    const cpi = testCpi(11);
    const other = { ...testCpi(12), id: cpi.id };
    const node = testVirtualNode(cpi);
    await transact((tx) => tx.cpis.put(cpi, testCode(cpi)));
    expect(await transact((tx) => tx.virtualNodes.create(node, []))).toEqual({ type: 'created' });
    expect(await transact((tx) => tx.virtualNodes.create(node, []))).toEqual({ type: 'exists' });
    expect(await transact((tx) => tx.virtualNodes.find(node.holdingIdentity.shortHash))).toEqual(node);
    await transact((tx) => tx.cpis.put(other, testCode(other)));
    const renewed = { ...node, version: 2, cpiFullChecksum: other.fullChecksum, cpkHashes: other.cpks.map(({ hash }) => hash) };
    await transact((tx) => tx.virtualNodes.update({ ...node, version: 2 }));
    expect(await transact((tx) => tx.virtualNodes.findByCpi(cpi.id))).toEqual([renewed]);
    expect(await transact((tx) => tx.virtualNodes.known([node.holdingIdentity.shortHash, 'ABCDEFABCDEF']))).toEqual(new Set([node.holdingIdentity.shortHash]));
  });

  test('users, certificates and operations are replaced by their key', async () => {
    const [role] = defaultRoles(1);
    const user = { id: role!.id, login: 'admin', fullName: 'A', enabled: true, password: { n: 2, r: 1, p: 1, salt: 'AA', hash: 'BB' }, passwordExpiry: 5, parentGroup: null, roles: [], version: 1, updatedAt: 1 };
    await transact((tx) => tx.rbac.putUser(user));
    await transact((tx) => tx.rbac.addPermissions(role!.permissions.map(({ permission }) => permission)));
    await transact((tx) => tx.rbac.putRole(role!));
    const changed = { ...user, enabled: false, password: null, passwordExpiry: null, roles: [{ id: role!.id, since: 7 }], version: 2, updatedAt: 2 };
    await transact((tx) => tx.rbac.putUser(changed));
    expect(await transact((tx) => tx.rbac.listUsers())).toEqual([changed]);
    expect(await transact((tx) => tx.rbac.listRoles())).toEqual([role]);
    expect(await transact((tx) => tx.rbac.findUser('nobody'))).toBeUndefined();
    for (const [alias, pem] of [['b', '1'], ['a', '2'], ['b', '3']] as const) await transact((tx) => tx.certificates.put({ usage: 'code-signer', alias, pem }, 1));
    expect(await transact((tx) => tx.certificates.list({ usage: 'code-signer' }))).toEqual([{ alias: 'a', pem: '2' }, { alias: 'b', pem: '3' }]);
    const operation = { requestId: 'r', operation: 'CREATE', status: 'FAILED' as const, lastUpdatedTimestamp: 5, resourceId: null, errorReason: 'x' };
    await transact((tx) => tx.virtualNodes.putOperation({ operation, messageId: 'm' }));
    expect(await transact((tx) => tx.virtualNodes.findOperation('r'))).toEqual({ operation, messageId: 'm', stage: undefined, awaited: undefined });
  });

  test('what a failed transaction wrote is gone', async () => {
    const cpi = testCpi(13);
    const failing = transact(async (tx) => {
      await tx.cpis.put(cpi, testCode(cpi));
      await tx.certificates.put({ usage: 'rest-tls', alias: 'a', pem: '1' }, 1);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await transact((tx) => tx.cpis.findById(cpi.id))).toBeUndefined();
    expect(await transact((tx) => tx.certificates.find({ usage: 'rest-tls', alias: 'a' }))).toBeUndefined();
  });
});
