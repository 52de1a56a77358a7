import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Database } from '../../../src/postgres/database.ts';
import { createMemoryDb, createPostgresDbTx } from '../../../src/workers/db/worker.ts';
import { startTestServer, transactOn, waitForLocks, type TestServer } from './database.ts';
import { entityContract, type EntityWorld } from './entity-contract.ts';
import { makeVirtualNode } from './virtual-nodes.ts';

entityContract('memory', async (): Promise<EntityWorld> => {
  const memory = createMemoryDb();
  const transact: EntityWorld['transact'] = async (work) => {
    try {
      return await work(memory.makeTx());
    } catch (error) {
      memory.rollback();
      throw error;
    }
  };
  return { transact, vault: () => transact(makeVirtualNode), close: async () => {} };
});

let server: TestServer;
let database: Database;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
});
afterAll(() => server.stop());

entityContract('PostgreSQL', async (): Promise<EntityWorld> => ({
  transact: (work) => transactOn(database, work),
  vault: () => transactOn(database, makeVirtualNode),
  close: async () => {},
}));

describe('vaults', () => {
  const asRole = (shortHash: string, kind: 'dml' | 'ddl', statement: string): Promise<unknown> =>
    database.transact(async (sql) => {
      await sql`select set_config('role', config.role_of(${`vnode_vault_${shortHash.toLowerCase()}`}, ${kind}), true)`;
      return sql.unsafe(statement);
    });

  test("a virtual node's roles reach neither another's vault, nor its uniqueness schema, nor the cluster's tables, nor keys", async () => {
    const [mine, other] = [await transactOn(database, makeVirtualNode), await transactOn(database, makeVirtualNode)].map((id) => id.toLowerCase()) as [string, string];
    await expect(asRole(mine, 'dml', `select * from vnode_vault_${mine}.entity`)).resolves.toEqual([]);
    const forbidden = [
      `select * from vnode_vault_${other}.entity`,
      `insert into vnode_vault_${other}.entity (entity, id, value, updated_at) values ('Cat', 'a', '1', now())`,
      `create table vnode_uniq_${other}.t (x int)`,
      'select * from config.virtual_node',
      'select * from rbac.account',
      'select * from crypto.signing_key',
      `select * from vnode_crypto_${mine}.signing_key`,
      'select * from db.answer',
      'create table public.t (x int)',
    ];
    for (const kind of ['dml', 'ddl'] as const) {
      for (const statement of forbidden) await expect(asRole(mine, kind, statement), statement).rejects.toThrow(/permission denied/);
    }
    for (const statement of [`drop table vnode_vault_${mine}.entity`, `create table vnode_vault_${mine}.t (x int)`, `truncate vnode_vault_${mine}.entity`]) {
      await expect(asRole(mine, 'dml', statement), statement).rejects.toThrow(/permission denied|must be owner/);
    }
  });

  test('a batch runs its statements as the role of each virtual node in turn', async () => {
    const vaults = [await transactOn(database, makeVirtualNode), await transactOn(database, makeVirtualNode)] as const;
    await database.sql.unsafe(`revoke select on vnode_vault_${vaults[1].toLowerCase()}.entity from ${await roleName(vaults[1])}`);
    const find = (shortHash: string) => ({ flowId: shortHash, shortHash, operation: { type: 'find' as const, entity: 'Cat', ids: ['a'] } });
    await expect(transactOn(database, (tx) => tx.entities.apply([find(vaults[0])], 0))).resolves.toHaveLength(1);
    await expect(transactOn(database, (tx) => tx.entities.apply([find(vaults[0]), find(vaults[1])], 0))).rejects.toThrow(/permission denied/);
  });

  const roleName = async (shortHash: string): Promise<string> => {
    const [row] = await database.sql<{ role: string }[]>`select config.role_of(${`vnode_vault_${shortHash.toLowerCase()}`}, 'dml') as role`;
    return row!.role;
  };

  test('of two transactions that persist overlapping ids at once one is whole and the other leaves nothing', async () => {
    const shortHash = await transactOn(database, makeVirtualNode);
    const persist = (flowId: string, ...ids: string[]) => ({ flowId, shortHash, operation: { type: 'persist' as const, entity: 'Cat', items: ids.map((id) => ({ id, json: '1' })) } });
    const first = Promise.withResolvers<void>();
    const both = await Promise.all([
      transactOn(database, async (tx) => {
        const results = await tx.entities.apply([persist('f', 'b')], 0);
        first.resolve();
        // The other waits on the row by now; that it does is seen from outside, since it cannot tell us.
        await waitForLocks(database, 1);
        return results;
      }),
      first.promise.then(() => transactOn(database, (tx) => tx.entities.apply([persist('g', 'a', 'b', 'c'), persist('h', 'd')], 0))),
    ]);
    expect(both.map((results) => results.map(({ type }) => type))).toEqual([['done'], ['exists', 'done']]);
    const rows = await database.sql.unsafe(`select id from vnode_vault_${shortHash.toLowerCase()}.entity order by id`);
    expect(rows.map(({ id }) => String(id))).toEqual(['b', 'd']);
  });

  test('a filtered query uses the index on fields', async () => {
    const shortHash = await transactOn(database, makeVirtualNode);
    const items = Array.from({ length: 1_000 }, (_, n) => ({ id: `id-${n}`, json: JSON.stringify({ owner: `o${n % 100}`, n }) }));
    await transactOn(database, (tx) => tx.entities.apply([{ flowId: 'f', shortHash, operation: { type: 'persist', entity: 'Cat', items } }], 0));
    const schema = `vnode_vault_${shortHash.toLowerCase()}`;
    await database.transact(async (sql) => {
      await sql`select pg_stat_force_next_flush()`;
      return createPostgresDbTx(sql).entities.apply([{ flowId: 'f', shortHash, operation: { type: 'query', entity: 'Cat', where: { owner: 'o7' }, countMax: 5 } }], 0);
    });
    const [row] = await database.sql<{ scans: number }[]>`select idx_scan::int as scans from pg_stat_all_indexes where schemaname = ${schema} and indexrelname = 'entity_fields'`;
    expect(row!.scans).toBe(1);
  });
});
