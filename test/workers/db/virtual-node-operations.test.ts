/** Operations on virtual nodes as db performs them: what they do to vaults, what is left when they fail, and that a repeat changes nothing. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { database as tablesOf, migration, type Migration } from '../../../src/flow-sdk/flow-sdk.ts';
import { allToDbAnswer } from '../../../src/messages/all-to-db.answer.ts';
import type { CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { dbToFlowEviction } from '../../../src/messages/db-to-flow.eviction.ts';
import { dbToMemberDeparture } from '../../../src/messages/db-to-member.departure.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import type { Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { restToDbTransfer } from '../../../src/messages/rest-to-db.transfer.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { parseSchema } from '../../../src/packaging/schema.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import { DatabaseError } from '../../../src/postgres/database-error.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { onAnswer } from '../../../src/workers/db/on-answer.ts';
import { createOnEntity } from '../../../src/workers/db/on-entity.ts';
import { onTransfer } from '../../../src/workers/db/on-transfer.ts';
import { onVirtualNode } from '../../../src/workers/db/on-virtual-node.ts';
import { createPostgresDbTx } from '../../../src/workers/db/worker.ts';
import { issue, now as keysNow } from '../../packaging/keys.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { answerBatch, codeOf, read, request } from './requests.ts';
import { hex64, testCpi } from './virtual-nodes.ts';

const tables = tablesOf<any>();
const piece = migration('0001-piece', [
  tables.schema.createTable('piece').addColumn('id', 'varchar(100)', (column) => column.primaryKey()).addColumn('label', 'text', (column) => column.notNull().defaultTo("it's new; $1")),
  tables.insertInto('piece').values([{ id: "o'clock", label: '$1' }]),
]);
const shelf = migration('0002-shelf', [
  tables.schema.alterTable('piece').addColumn('shelf', 'integer', (column) => column.notNull().defaultTo(7)),
  tables.schema.createIndex('piece_shelf').on('piece').columns(['shelf']),
]);
const wrong = migration('0002-wrong', [tables.insertInto('piece').values([{ id: "o'clock", label: 'twice' }])]);

const schemaText = (migrations: readonly Migration[]): string =>
  JSON.stringify({ version: 1, entities: [{ name: 'Order', indexes: ['state'] }], migrations: migrations.map(({ name, operations }) => ({ name, operations })) });

let server: TestServer;
let database: Database;
let count = 500;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database('plain');
});
afterAll(() => server.stop());

type Body = BodyOf<typeof restToDbVirtualNode>;
const answering = onVirtualNode(silentLog);
const now = Date.UTC(2026, 4, 5);
const askAs = async (id: string | undefined, body: Body) => (await answerBatch(answering, { transact: (work) => transactOn(database, work), now }, request(restToDbVirtualNode, body, id === undefined ? {} : { id })))[0]!;
const ask = (body: Body) => askAs(undefined, body);
const tell = async (answer: { requestId: string; outcome: Outcome }) => (await answerBatch(onAnswer(silentLog), { transact: (work) => transactOn(database, work), now }, request(allToDbAnswer, answer)))[0]!.effects!;

/** A CPI of this name with these migrations. */
const putCpi = async (name: string, version: string, migrations: readonly Migration[], changes: Partial<CpiMetadata> = {}): Promise<CpiMetadata> => {
  const hash = hex64(0xaaa000 + count++);
  const text = schemaText(migrations);
  expect(parseSchema(text)).toMatchObject({ type: 'schema' });
  const id = { name: 'cpk', version, signerSummaryHash: 'SHA-256:AB' };
  const cpi = testCpi(count++, { id: { name, version, signerSummaryHash: 'SHA-256:AB' }, cpks: [{ hash, id, flows: [], timestamp: now }], ...changes });
  await transactOn(database, (tx) => tx.cpis.put(cpi, [{ hash, code: new Uint8Array(), sourceMap: null, schema: text }]));
  return cpi;
};
const create = async (cpi: CpiMetadata): Promise<string> => {
  const { outcome } = await ask({ type: 'create', cpiFileChecksum: cpi.fullChecksum, x500Name: `O=Node ${count++}, L=London, C=GB` });
  if (outcome.type !== 'done' || outcome.value.status?.status !== 'SUCCEEDED') throw new Error(JSON.stringify(outcome));
  return outcome.value.requestId!;
};
const piecesOf = (shortHash: string) => database.sql.unsafe<{ id: string }[]>(`select * from vnode_vault_${shortHash.toLowerCase()}.piece order by id`);
const maintain = (shortHash: string) => ask({ type: 'set-state', shortHash, state: 'maintenance' });

describe('an upgrade', () => {
  test('is made once, whatever comes again, and its failure leaves everything as it was', async () => {
    const first = await putCpi('up', '1', [piece]);
    const next = await putCpi('up', '2', [piece, shelf]);
    const broken = await putCpi('up', '3', [piece, wrong]);
    const shortHash = await create(first);
    await maintain(shortHash);
    const failed = await ask({ type: 'upgrade', shortHash, cpiFileChecksum: broken.fullChecksum });
    expect(failed.outcome).toMatchObject({ value: { status: { status: 'FAILED', errorReason: expect.stringMatching(/0002-wrong of cpk, step 1/) as string } } });
    expect(failed.effects ?? []).toEqual([]);
    const done = await askAs('upgrade-1', { type: 'upgrade', shortHash, cpiFileChecksum: next.fullChecksum });
    expect(read(dbToAllVirtualNode, done.effects![0]!).body).toMatchObject({ cpiId: next.id, cpiFullChecksum: next.fullChecksum, cpkHashes: next.cpks.map(({ hash }) => hash), flowOperationalStatus: 'INACTIVE' });
    expect(await piecesOf(shortHash)).toEqual([{ id: "o'clock", label: '$1', shelf: 7 }]);
    expect(await askAs('upgrade-1', { type: 'upgrade', shortHash, cpiFileChecksum: next.fullChecksum })).toEqual(done);
  });

  test('keeps the group, the name and the signer', async () => {
    const first = await putCpi('rules', '1', []);
    const shortHash = await create(first);
    const upgrade = async (cpi: CpiMetadata) => codeOf((await ask({ type: 'upgrade', shortHash, cpiFileChecksum: cpi.fullChecksum })).outcome);
    const next = await putCpi('rules', '2', []);
    expect(await upgrade(next)).toBe('DB_UPGRADE_INVALID');
    await maintain(shortHash);
    expect(await upgrade(first)).toBe('DB_UPGRADE_INVALID');
    expect(await upgrade(await putCpi('other', '2', []))).toBe('DB_UPGRADE_INVALID');
    expect(await upgrade(await putCpi('rules', '2', [], { id: { name: 'rules', version: '2', signerSummaryHash: 'SHA-256:CD' } }))).toBe('DB_UPGRADE_INVALID');
    expect(await upgrade(await putCpi('rules', '3', [], { groupId: '00000000-0000-4000-8000-000000000000' }))).toBe('DB_UPGRADE_INVALID');
    expect(await upgrade(next)).toBe('done');
  });

  test('of which the vault knows nothing keeps a virtual node from being active', async () => {
    const shortHash = await create(await putCpi('step', '1', [piece]));
    await maintain(shortHash);
    await database.sql.unsafe(`delete from vnode_vault_${shortHash.toLowerCase()}.cordage_migration`);
    const refused = await ask({ type: 'set-state', shortHash, state: 'active' });
    expect(refused.outcome).toMatchObject({ code: 'DB_VAULT_OUT_OF_STEP', message: expect.stringContaining('0001-piece of cpk') as string });
    expect(codeOf((await ask({ type: 'resync', shortHash })).outcome)).toBe('done');
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('done');
  });
});

describe('the SQL for administrators', () => {
  const sqlOf = async (body: Body): Promise<string> => {
    const { outcome } = await ask(body);
    return outcome.type === 'done' ? outcome.value.sql! : outcome.code;
  };

  /** What stands in a schema, by the catalogue. */
  const describeSchema = async (schema: string): Promise<unknown> => [
    await database.sql`select table_name, column_name, data_type, is_nullable, replace(column_default, ${`${schema}.`}, '') as value, collation_name from information_schema.columns where table_schema = ${schema} order by 1, 2`,
    (await database.sql<{ text: string }[]>`select indexdef as text from pg_indexes where schemaname = ${schema} order by 1`).map(({ text }) => text.replaceAll(`${schema}.`, '')),
    (await database.sql<{ text: string }[]>`select conname || ' ' || pg_get_constraintdef(oid) as text from pg_constraint where connamespace = ${schema}::regnamespace order by 1`).map(({ text }) => text.replaceAll(`${schema}.`, '')),
  ];

  /** Runs the scripts as a person would, in a schema of its own. */
  const runByHand = async (...scripts: readonly string[]): Promise<string> => {
    const schema = `by_hand_${count++}`;
    await database.transact(async (sql) => {
      await sql.unsafe(`create schema ${schema}; set local search_path to ${schema}`);
      for (const script of scripts) await sql.unsafe(script);
    });
    return schema;
  };

  test('makes by hand the vault that the platform makes, rows of migrations among it', async () => {
    const first = await putCpi('sql', '1', [piece]);
    const next = await putCpi('sql', '2', [piece, shelf]);
    const shortHash = await create(first);
    const made = await runByHand(await sqlOf({ type: 'vault-sql', cpiFileChecksum: first.fullChecksum }), await sqlOf({ type: 'vault-sql', cpiFileChecksum: next.fullChecksum, shortHash }));
    await maintain(shortHash);
    await ask({ type: 'upgrade', shortHash, cpiFileChecksum: next.fullChecksum });
    const vault = `vnode_vault_${shortHash.toLowerCase()}`;
    // A vault in a database of its own keeps its answers, and whose it is.
    await database.sql.unsafe(`drop table ${made}.cordage_answer, ${made}.cordage_vault`);
    expect(await describeSchema(made)).toEqual(await describeSchema(vault));
    const rows = async (schema: string, table: string, columns: string): Promise<unknown> => database.sql.unsafe(`select ${columns} from ${schema}.${table} order by 1, 2`);
    expect(await rows(made, 'piece', 'id, label, shelf')).toEqual(await rows(vault, 'piece', 'id, label, shelf'));
    expect(await rows(made, 'cordage_migration', 'cpk_name, name, position, digest')).toEqual(await rows(vault, 'cordage_migration', 'cpk_name, name, position, digest'));
  });

  test('makes by hand the tables of keys that the platform makes, and leaves no trace where it was written', async () => {
    const before = await database.sql`select nspname from pg_namespace union all select rolname from pg_roles order by 1`;
    const shortHash = await create(await putCpi('keys', '1', []));
    const made = await runByHand(await sqlOf({ type: 'sql', schema: 'crypto' }));
    expect(await describeSchema(made)).toEqual(await describeSchema(`vnode_crypto_${shortHash.toLowerCase()}`));
    expect(await sqlOf({ type: 'sql', schema: 'uniqueness' })).toContain('there are none yet');
    const after = await database.sql<{ nspname: string }[]>`select nspname from pg_namespace union all select rolname from pg_roles order by 1`;
    expect(after.filter(({ nspname }) => nspname.includes('000000000000'))).toEqual([]);
    expect(after.length).toBeGreaterThan(before.length);
  });
});

describe('a deletion', () => {
  const questionIn = (records: readonly OutRecord[]): OutRecord => records.find(({ topic }) => topic === dbToFlowEviction.topic || topic === dbToMemberDeparture.topic)!;
  const idOf = (record: OutRecord): string => (JSON.parse(record.value) as { id: string }).id;
  const flowsSay = (question: OutRecord, running: number, ended: number) => tell({ requestId: idOf(question), outcome: { type: 'done', value: { running, ended } } });
  const statusOf = async (requestId: string) => {
    const { outcome } = await ask({ type: 'status', requestId });
    return outcome.type === 'done' ? outcome.value.status : outcome.code;
  };
  const begin = async (force: boolean, id = `delete-${count++}`) => {
    const shortHash = await create(await putCpi(`gone-${count}`, '1', [piece]));
    const begun = await askAs(id, { type: 'delete', shortHash, force });
    if (begun.outcome.type !== 'done') throw new Error(begun.outcome.code);
    return { id, shortHash, begun, requestId: begun.outcome.value.requestId! };
  };
  const namesOf = async (shortHash: string) => {
    const like = `vnode%${shortHash.toLowerCase()}%`;
    return database.sql`select nspname as name from pg_namespace where nspname like ${like} union all select rolname from pg_roles where rolname like ${like}`;
  };

  test('goes room by room, and what comes twice or late changes nothing', async () => {
    const { id, shortHash, begun, requestId } = await begin(false);
    expect(await namesOf(shortHash)).toHaveLength(9);
    await transactOn(database, (tx) => tx.certificates.put({ usage: 'p2p-tls', holder: shortHash, alias: 'tls', pem: 'a chain' }, now));
    expect(read(dbToAllVirtualNode, begun.effects![0]!).body).toMatchObject({ flowStartOperationalStatus: 'INACTIVE', flowOperationalStatus: 'ACTIVE', operationInProgress: requestId });
    const counting = questionIn(begun.effects!);
    expect(read(dbToFlowEviction, counting).body.type).toBe('count');
    expect((await askAs(id, { type: 'delete', shortHash, force: false })).effects).toEqual(begun.effects);
    const evicted = await flowsSay(counting, 0, 0);
    expect(read(dbToAllVirtualNode, evicted[0]!).body).toMatchObject({ flowOperationalStatus: 'INACTIVE', deleting: true });
    expect(await flowsSay(counting, 0, 0)).toEqual([]);
    const again = await flowsSay(questionIn(evicted), 3, 5);
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('DB_OPERATION_IN_PROGRESS');
    const departing = await flowsSay(questionIn(again), 0, 0);
    expect(read(dbToMemberDeparture, questionIn(departing)).body.shortHash).toBe(shortHash);
    const over = await tell({ requestId: idOf(questionIn(departing)), outcome: { type: 'done', value: {} } });
    expect(over.map(({ key, value }) => [key, (JSON.parse(value) as { body: unknown }).body])).toEqual([[`p2p-tls/${shortHash}/tls`, null], [shortHash, null]]);
    expect(await statusOf(requestId)).toMatchObject({ status: 'SUCCEEDED', operation: 'DELETE_VIRTUAL_NODE' });
    expect(await namesOf(shortHash)).toEqual([]);
    expect(codeOf((await ask({ type: 'get', shortHash })).outcome)).toBe('DB_VIRTUAL_NODE_NOT_FOUND');
    expect((await askAs(id, { type: 'delete', shortHash, force: false })).outcome).toMatchObject({ value: { status: { status: 'SUCCEEDED' } } });
  });

  test('is given up when flows run, and the virtual node is as before', async () => {
    const { shortHash, begun, requestId } = await begin(false);
    const given = await flowsSay(questionIn(begun.effects!), 2, 0);
    expect(read(dbToAllVirtualNode, given[0]!).body).toMatchObject({ flowStartOperationalStatus: 'ACTIVE', flowP2pOperationalStatus: 'ACTIVE' });
    expect(read(dbToAllVirtualNode, given[0]!).body.operationInProgress).toBeUndefined();
    expect(await statusOf(requestId)).toMatchObject({ status: 'ABORTED', errorReason: expect.stringContaining('2 or more flows run') as string });
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'maintenance' })).outcome)).toBe('done');
  });

  test('that failed goes on where it was when it is asked for again', async () => {
    const { shortHash, begun, requestId } = await begin(true);
    const evicting = questionIn(begun.effects!);
    expect(read(dbToFlowEviction, evicting).body.type).toBe('evict');
    expect(await tell({ requestId: idOf(evicting), outcome: { type: 'refused', code: 'FLOW_INTERNAL', message: 'no' } })).toEqual([]);
    expect(await statusOf(requestId)).toMatchObject({ status: 'FAILED', errorReason: 'FLOW_INTERNAL: no' });
    const resumed = await ask({ type: 'delete', shortHash, force: false });
    expect(resumed.outcome).toMatchObject({ value: { requestId, status: { status: 'IN_PROGRESS' } } });
    expect(await flowsSay(evicting, 0, 0)).toEqual([]);
    const departing = await flowsSay(questionIn(resumed.effects!), 0, 0);
    await tell({ requestId: idOf(questionIn(departing)), outcome: { type: 'done', value: {} } });
    expect(await namesOf(shortHash)).toEqual([]);
  });

  test('is learnt by who knew the virtual node before, at the next request', async () => {
    const shortHash = await create(await putCpi('known', '1', []));
    const onEntity = createOnEntity();
    const store = createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx });
    const find = () => store.transact((tx) => onEntity.answer([request(flowToDbEntity, { shortHash, operation: { type: 'find', entity: 'Order', ids: ['1'] } })], tx, now));
    expect((await find()).map(({ outcome }) => codeOf(outcome))).toEqual(['done']);
    await transactOn(database, (tx) => tx.virtualNodes.drop(shortHash));
    expect((await find().catch((error: unknown) => (error instanceof DatabaseError ? find() : Promise.reject(error)))).map(({ outcome }) => codeOf(outcome))).toEqual(['DB_VIRTUAL_NODE_NOT_FOUND']);
  });
});

describe('an export', () => {
  const transfer = async (body: BodyOf<typeof restToDbTransfer>) => (await answerBatch(onTransfer(silentLog), { transact: (work) => transactOn(database, work), now: keysNow }, request(restToDbTransfer, body)))[0]!;
  const valueOf = ({ outcome }: Awaited<ReturnType<typeof transfer>>) => (outcome.type === 'done' ? outcome.value : expect.fail(outcome.code));

  const exported = async (shortHash: string): Promise<string[]> => {
    const transferId = randomUUID();
    const { count: pieces } = valueOf(await transfer({ type: 'export', transferId, shortHash }));
    const texts: string[] = [];
    for (let index = 0; index < pieces!; index++) texts.push(valueOf(await transfer({ type: 'read', transferId, index })).text!);
    await transfer({ type: 'forget', transferId });
    expect(codeOf((await transfer({ type: 'read', transferId, index: 0 })).outcome)).toBe('DB_TRANSFER_UNKNOWN');
    return texts;
  };
  const imported = async (shortHash: string, texts: readonly string[]) => {
    const transferId = randomUUID();
    for (const [index, text] of texts.entries()) valueOf(await transfer({ type: 'write', transferId, index, text }));
    return { transferId, ...(await transfer({ type: 'import', transferId, count: texts.length, shortHash })) };
  };

  test('is imported in two steps, and what was broken off between them is held, and made anew when it is asked for again', async () => {
    const shortHash = await create(await putCpi('broken-off', '1', [piece]));
    await maintain(shortHash);
    const texts = await exported(shortHash);
    await transactOn(database, (tx) => tx.virtualNodes.drop(shortHash));
    const first = await imported(shortHash, texts);
    const held = read(dbToAllVirtualNode, first.effects![0]!).body;
    expect(held.operationInProgress).toMatch(/^[0-9a-f-]{36}$/);
    expect((await ask({ type: 'status', requestId: held.operationInProgress! })).outcome).toMatchObject({ value: { status: { status: 'IN_PROGRESS', operation: 'IMPORT_VIRTUAL_NODE', errorReason: expect.stringContaining('import the file again') as string } } });
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('DB_OPERATION_IN_PROGRESS');
    // The very request again, after a crash: its pieces are gone, and it was done.
    expect(await transfer({ type: 'import', transferId: first.transferId, count: texts.length, shortHash })).toEqual({ outcome: first.outcome, effects: first.effects });

    await database.sql.unsafe(`delete from vnode_vault_${shortHash.toLowerCase()}.piece`);
    const second = await imported(shortHash, texts);
    expect(codeOf(second.outcome)).toBe('done');
    expect(await piecesOf(shortHash)).toHaveLength(1);
    const finished = await transfer({ type: 'finish', transferId: second.transferId, shortHash });
    expect(read(dbToAllVirtualNode, finished.effects![0]!).body.operationInProgress).toBeUndefined();
    expect(await transfer({ type: 'finish', transferId: second.transferId, shortHash })).toEqual({ outcome: { type: 'done', value: {} } });
    expect(codeOf((await imported(shortHash, texts)).outcome)).toBe('DB_VIRTUAL_NODE_EXISTS');
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('done');
  });

  test('holds tables that refer to each other, long rows and certificates, and an import puts them back', async () => {
    const linked = migration('0001-linked', [
      tables.schema.createTable('z_order').addColumn('id', 'integer', (column) => column.primaryKey()).addColumn('cents', 'numeric(20, 4)'),
      tables.schema
        .createTable('a_line')
        .addColumn('order_id', 'integer', (column) => column.references('z_order.id'))
        .addColumn('text', 'text')
        .addColumn('at', 'timestamptz')
        .addColumn('tags', 'jsonb'),
    ]);
    const shortHash = await create(await putCpi('linked', '1', [linked]));
    const vault = `vnode_vault_${shortHash.toLowerCase()}`;
    await database.sql.unsafe(`insert into ${vault}.z_order values (1, 1.5), (2, null)`);
    await database.sql.unsafe(`insert into ${vault}.a_line values (2, repeat('ä"', 200000), '2026-05-05 10:00:00.123456+02', '{"a": [1, null]}'), (null, null, null, null)`);
    await database.sql.unsafe(`insert into ${vault}.entity (entity, id, value, updated_at) values ('Order', '1', '{"b": 1,  "a": "ä\\n"}', now())`);
    const pem = (await issue({ name: 'CN=Leaf, O=Acme, C=GB', algorithm: 'ES256' })).pem;
    await transactOn(database, (tx) => tx.certificates.put({ usage: 'p2p-tls', holder: shortHash, alias: 'tls', pem }, now));
    const rows = () => Promise.all(['a_line order by order_id', 'z_order order by id', 'entity', 'cordage_migration'].map((table) => database.sql.unsafe(`select * from ${vault}.${table}`)));
    const before = await rows();
    expect(codeOf((await transfer({ type: 'export', transferId: randomUUID(), shortHash })).outcome)).toBe('DB_TRANSFER_NOT_IN_MAINTENANCE');
    await maintain(shortHash);
    const texts = await exported(shortHash);
    expect(texts.length).toBeGreaterThan(1);
    expect(codeOf((await imported(shortHash, texts)).outcome)).toBe('DB_VIRTUAL_NODE_EXISTS');
    await transactOn(database, async (tx) => {
      await tx.certificates.removeOf(shortHash);
      await tx.virtualNodes.drop(shortHash);
    });
    // What is refused leaves nothing.
    expect(codeOf((await imported(shortHash, texts.slice(0, -1))).outcome)).toBe('DB_TRANSFER_INVALID');
    expect(codeOf((await imported('0123456789AB', texts)).outcome)).toBe('DB_TRANSFER_INVALID');
    expect(codeOf((await ask({ type: 'get', shortHash })).outcome)).toBe('DB_VIRTUAL_NODE_NOT_FOUND');
    const done = await imported(shortHash, texts);
    expect(done.outcome).toEqual({ type: 'done', value: {} });
    expect(done.effects!.map(({ topic }) => topic)).toEqual(['db-to-all.certificate', 'db-to-all.virtual-node']);
    expect(await rows()).toEqual(before);
    await expect(database.sql.unsafe(`insert into ${vault}.a_line (order_id) values (99)`)).rejects.toThrow('a_line_order_id_fkey');
  });
});
