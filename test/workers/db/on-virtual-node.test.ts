import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { holdingIdentityOf } from '../../../src/identity/holding-identity.ts';
import { parseX500 } from '../../../src/identity/x500.ts';
import { dbToAllVirtualNode, type VirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { silentLog } from '../../../src/observability/log.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { onVirtualNode } from '../../../src/workers/db/on-virtual-node.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, read, request } from './requests.ts';
import { testCode, testCpi } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
const cpi = testCpi(1);
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await database.sql`truncate config.cpi, config.cpk, config.virtual_node, config.virtual_node_operation cascade`;
  await transactOn(database, (tx) => tx.cpis.put(cpi, testCode(cpi)));
});

type Body = BodyOf<typeof restToDbVirtualNode>;
const answering = onVirtualNode(silentLog);
const now = Date.UTC(2026, 2, 3);
const askWith = (...requests: readonly { body: Body; id?: string }[]) =>
  answerBatch(answering, { transact: (work) => transactOn(database, work), now }, ...requests.map(({ body, id }) => request(restToDbVirtualNode, body, id === undefined ? {} : { id })));
const ask = (...bodies: readonly Body[]) => askWith(...bodies.map((body) => ({ body })));

let names = 0;
const newName = (): string => `O=Node ${++names}, L=London, C=GB`;
const create = (x500Name: string, cpiFileChecksum = cpi.fullChecksum.slice(0, 12)): Body => ({ type: 'create', cpiFileChecksum, x500Name });
const shortHashOf = (text: string): string => {
  const parsed = parseX500(text);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  return holdingIdentityOf(parsed.name, cpi.groupId).shortHash;
};

const schemas = async (): Promise<string[]> => {
  const rows = await database.sql<{ name: string }[]>`select nspname as name from pg_namespace where nspname like 'vnode%' order by 1`;
  return rows.map(({ name }) => name);
};

describe('creation', () => {
  test('makes the schemas of a vault, of keys and of uniqueness, and announces the virtual node', async () => {
    const name = newName();
    const shortHash = shortHashOf(name);
    const [answered] = await ask(create(name));
    const operation = { requestId: shortHash, operation: 'CREATE_VIRTUAL_NODE', status: 'SUCCEEDED', lastUpdatedTimestamp: now, resourceId: shortHash, errorReason: null };
    expect(answered!.outcome).toEqual({ type: 'done', value: { requestId: shortHash, status: operation } });
    const id = shortHash.toLowerCase();
    expect(await schemas()).toEqual(expect.arrayContaining([`vnode_crypto_${id}`, `vnode_uniq_${id}`, `vnode_vault_${id}`]));
    expect(answered!.effects).toHaveLength(1);
    const node = read(dbToAllVirtualNode, answered!.effects![0]!).body;
    expect(node).toMatchObject({
      cpiId: cpi.id,
      cpiFullChecksum: cpi.fullChecksum,
      cpkHashes: cpi.cpks.map(({ hash }) => hash),
      flowOperationalStatus: 'ACTIVE',
      version: 1,
      timestamp: now,
    } satisfies Partial<VirtualNode>);
    expect(node.holdingIdentity).toMatchObject({ x500Name: name, groupId: cpi.groupId, shortHash });
    const [status, got, list] = await ask({ type: 'status', requestId: shortHash }, { type: 'get', shortHash }, { type: 'list' });
    expect(status!.outcome).toEqual({ type: 'done', value: { status: operation } });
    expect(got!.outcome).toEqual({ type: 'done', value: { virtualNodes: [node] } });
    expect(list!.outcome).toEqual({ type: 'done', value: { virtualNodes: [node] } });
  });

  test('a name in any order of attributes is the same virtual node, and it exists only once', async () => {
    const name = newName();
    const [first, second] = await ask(create(name), create(name.split(', ').toReversed().join(', ')));
    expect([first, second].map((answered) => codeOf(answered!.outcome))).toEqual(['done', 'DB_VIRTUAL_NODE_EXISTS']);
    expect(second!.effects ?? []).toEqual([]);
  });

  test('a request that is delivered again is answered again, with the same effects', async () => {
    const body = create(newName());
    const [first] = await askWith({ body, id: 'r-1' });
    const [again] = await askWith({ body, id: 'r-1' });
    expect(again).toEqual(first);
    const [other] = await askWith({ body, id: 'r-2' });
    expect(codeOf(other!.outcome)).toBe('DB_VIRTUAL_NODE_EXISTS');
  });

  test('when its schemas cannot be made the request has FAILED, nothing of it is left, and others of the batch are done', async () => {
    const [bad, good] = [newName(), newName()];
    const id = shortHashOf(bad).toLowerCase();
    // Somebody else's schema of that name, without what a tenant of crypto has.
    await database.sql.unsafe(`create table config.vnode_trap (x int); create schema vnode_crypto_${id}; create table vnode_crypto_${id}.wrapping_key (x int)`);
    const [failed, done] = await ask(create(bad), create(good));
    expect(failed!.outcome).toMatchObject({ type: 'done', value: { status: { status: 'FAILED', resourceId: null, errorReason: expect.stringContaining('wrapping_key') as string } } });
    expect(failed!.effects ?? []).toEqual([]);
    expect(done!.outcome).toMatchObject({ value: { status: { status: 'SUCCEEDED' } } });
    expect(await schemas()).not.toContain(`vnode_vault_${id}`);
    const [got, status] = await ask({ type: 'get', shortHash: shortHashOf(bad) }, { type: 'status', requestId: shortHashOf(bad) });
    expect(codeOf(got!.outcome)).toBe('DB_VIRTUAL_NODE_NOT_FOUND');
    expect(status!.outcome).toMatchObject({ value: { status: { status: 'FAILED' } } });
    // The operator mends it and asks again.
    await database.sql.unsafe(`drop schema vnode_crypto_${id} cascade`);
    const [mended] = await ask(create(bad));
    expect(mended!.outcome).toMatchObject({ value: { status: { status: 'SUCCEEDED' } } });
  });

  test('two transactions that create one virtual node at once make it once', async () => {
    const body = create(newName());
    const both = await Promise.all([ask(body), ask(body)]);
    expect(both.map(([answered]) => codeOf(answered!.outcome)).sort()).toEqual(['DB_VIRTUAL_NODE_EXISTS', 'done']);
  });

  test('an MGM whose policy asks for it gets a group of its own, at each request another and at its repeat the same', async () => {
    const mgm = testCpi(2, { groupId: 'CREATE_ID', cpks: [] });
    await transactOn(database, (tx) => tx.cpis.put(mgm, []));
    const body = create(newName(), mgm.fullChecksum);
    const answered = [...(await askWith({ body, id: 'mgm-1' })), ...(await askWith({ body, id: 'mgm-2' })), ...(await askWith({ body, id: 'mgm-1' }))];
    const [first, second, again] = answered.map(({ effects }) => read(dbToAllVirtualNode, effects![0]!).body);
    expect(first!.holdingIdentity.groupId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(first!.cpkHashes).toEqual([]);
    expect(second!.holdingIdentity.groupId).not.toBe(first!.holdingIdentity.groupId);
    expect(again).toEqual(first);
  });
});

describe('refusals', () => {
  test('each names what is wrong and changes nothing', async () => {
    const before = await schemas();
    const bodies: [Body, string][] = [
      [create(newName(), '000000000000'), 'DB_CPI_NOT_FOUND'],
      [create(newName(), cpi.fullChecksum.slice(0, 11)), 'DB_CPI_NOT_FOUND'],
      [create(newName(), '%'.repeat(12)), 'DB_CPI_NOT_FOUND'],
      [create('CN=Nobody'), 'DB_X500_INVALID'],
      [{ type: 'status', requestId: 'unknown' }, 'DB_REQUEST_UNKNOWN'],
      [{ type: 'status', requestId: '\u0000' }, 'DB_REQUEST_UNKNOWN'],
      [{ type: 'get', shortHash: '000000000000' }, 'DB_VIRTUAL_NODE_NOT_FOUND'],
    ];
    const answered = await ask(...bodies.map(([body]) => body));
    expect(answered.map(({ outcome }) => codeOf(outcome))).toEqual(bodies.map(([, code]) => code));
    expect(answered.flatMap(({ effects }) => effects ?? [])).toEqual([]);
    expect(await schemas()).toEqual(before);
  });

  test('a checksum that several CPIs share is not guessed', async () => {
    const twin = testCpi(3, { fullChecksum: `${cpi.fullChecksum.slice(0, 12)}${'F'.repeat(52)}` });
    await transactOn(database, (tx) => tx.cpis.put(twin, testCode(twin)));
    const [short, long] = await ask(create(newName()), create(newName(), cpi.fullChecksum.toLowerCase()));
    expect([short, long].map((answered) => codeOf(answered!.outcome))).toEqual(['DB_CPI_NOT_FOUND', 'done']);
  });

  test('whatever is asked for, it is answered or refused', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 });
    const bodies = fc.oneof(
      fc.record({ type: fc.constant('create' as const), cpiFileChecksum: fc.oneof(text, fc.constant(cpi.fullChecksum)), x500Name: fc.oneof(text.filter((one) => one !== ''), text.map((one) => `O=${one}, L=London, C=GB`)) }),
      fc.record({ type: fc.constant('status' as const), requestId: text }),
    );
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const [answered] = await ask(body);
        expect(['done', 'DB_CPI_NOT_FOUND', 'DB_X500_INVALID', 'DB_REQUEST_UNKNOWN', 'DB_VIRTUAL_NODE_EXISTS']).toContain(codeOf(answered!.outcome));
      }),
      { numRuns: 100 },
    );
  });
});
