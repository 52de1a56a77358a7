import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromBase64url, textOf } from '../../../src/cipher/bytes.ts';
import { database as tablesOf, migration, type Migration } from '../../../src/flow-sdk/flow-sdk.ts';
import { dbToAllCpi } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { cpkChunkBytesMax, dbToFlowCpk } from '../../../src/messages/db-to-flow.cpk.ts';
import { recordValueCharsMax } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { silentLog } from '../../../src/observability/log.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { uploadIdleMsMax, uploadsOpenMax, uploadStatusAgeMsMax } from '../../../src/workers/db/config.ts';
import { onCpi } from '../../../src/workers/db/on-cpi.ts';
import { onVirtualNode } from '../../../src/workers/db/on-virtual-node.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { chunksOf, groupIdA, groupIdB, makeCpi, makeSigner, staticPolicy, uploadNow, type Chunk, type TestSigner } from './packages.ts';
import { answerBatch, codeOf, read, request } from './requests.ts';
import { testVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let trusted: TestSigner;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  trusted = await makeSigner();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await database.sql`truncate config.upload, config.cpi, config.cpk, config.virtual_node cascade`;
  await transactOn(database, (tx) => tx.certificates.put({ usage: 'code-signer', alias: 'ours', pem: trusted.pem }, uploadNow));
});

const answering = onCpi(silentLog);
const askAt = async (now: number, ...bodies: readonly BodyOf<typeof restToDbCpi>[]) =>
  answerBatch(answering, { transact: (work) => transactOn(database, work), now }, ...bodies.map((body) => request(restToDbCpi, body)));
const ask = (...bodies: readonly BodyOf<typeof restToDbCpi>[]) => askAt(uploadNow, ...bodies);

/** What became of the upload. */
const statusOf = async (uploadId: string, now = uploadNow) => (await askAt(now, { type: 'status', uploadId }))[0]!.outcome;

const upload = async (file: Uint8Array, options: { force?: boolean; bytesMax?: number } = {}) => {
  const uploadId = randomUUID();
  const answered = await ask(...chunksOf(uploadId, file, options));
  return { uploadId, answered, status: await statusOf(uploadId), effects: answered.flatMap(({ effects }) => effects ?? []) };
};

const topicsOf = (effects: readonly OutRecord[]): string[] => effects.map(({ topic }) => topic);
const ok = { type: 'done', value: { status: 'OK', cpiFileChecksum: expect.stringMatching(/^[0-9A-F]{12}$/) as string } };
const ids = async (): Promise<string[]> => (await transactOn(database, (tx) => tx.cpis.list())).map(({ fullChecksum }) => fullChecksum);

describe('upload', () => {
  test('a signed CPI that came in chunks is stored, and its code announced before its name', async () => {
    const code = `var cordageApp={flows:[]};//${'é'.repeat(cpkChunkBytesMax)}`;
    const { answered, status, effects } = await upload(await makeCpi({ signer: trusted.signer, code }), { bytesMax: 100_000 });
    expect(status).toEqual(ok);
    expect(answered.slice(0, -1).map(({ outcome }) => outcome)).toEqual(answered.slice(0, -1).map(() => ({ type: 'done', value: { status: 'Uploading', cpiFileChecksum: '' } })));
    expect(topicsOf(effects)).toEqual([dbToFlowCpk.topic, dbToFlowCpk.topic, dbToFlowCpk.topic, dbToAllCpi.topic]);
    expect(effects.every(({ value }) => value.length <= recordValueCharsMax)).toBe(true);
    const cpi = read(dbToAllCpi, effects[3]!).body;
    expect(cpi).toMatchObject({ id: { name: 'app', version: '1.0' }, groupId: groupIdA, groupPolicy: staticPolicy(groupIdA), cpks: [{ flows: [{ name: 'com.example.Ping', kind: 'startable' }] }] });
    expect((status as typeof ok).value.cpiFileChecksum).toBe(cpi.fullChecksum.slice(0, 12));
    const chunks = effects.slice(0, 3).map((record) => read(dbToFlowCpk, record).body);
    expect(chunks.map(({ hash, index, count }) => [hash, index, count])).toEqual([0, 1, 2].map((index) => [cpi.cpks[0]!.hash, index, 3]));
    expect(textOf(new Uint8Array(chunks.flatMap(({ bytes }) => [...fromBase64url(bytes)])))).toBe(code);
    expect((await ask({ type: 'list' }))[0]!.outcome).toEqual({ type: 'done', value: { cpis: [cpi] } });
  });

  test('a source map travels beside the code, before it', async () => {
    const sourceMap = JSON.stringify({ version: 3, sources: ['flows.ts'], mappings: 'A'.repeat(cpkChunkBytesMax) });
    const { status, effects } = await upload(await makeCpi({ signer: trusted.signer, sourceMap }));
    expect(status).toEqual(ok);
    const chunks = effects.slice(0, 3).map((record) => ({ key: record.key, ...read(dbToFlowCpk, record).body }));
    const [{ hash }] = chunks as [(typeof chunks)[0]];
    expect(chunks.map(({ key, index, count, sourceMapCount }) => [key, index, count, sourceMapCount])).toEqual([
      [`${hash}/map/0`, 0, 2, 2],
      [`${hash}/map/1`, 1, 2, 2],
      [`${hash}/0`, 0, 1, 2],
    ]);
    expect(textOf(new Uint8Array(chunks.slice(0, 2).flatMap(({ bytes }) => [...fromBase64url(bytes)])))).toBe(sourceMap);
  });

  test('chunks in any order, any of them twice, make the same CPI', async () => {
    const file = await makeCpi({ signer: trusted.signer });
    const uploadId = randomUUID();
    const chunks = chunksOf(uploadId, file, { bytesMax: 1_000 });
    await ask(...chunks.toReversed().flatMap((chunk, n) => (n % 2 === 0 ? [chunk, chunk] : [chunk])));
    expect(await statusOf(uploadId)).toEqual(ok);
    expect(await ids()).toHaveLength(1);
  });

  test('a chunk that is delivered again after the end has the same effects again, and stores nothing', async () => {
    const file = await makeCpi({ signer: trusted.signer });
    const uploadId = randomUUID();
    const chunks = chunksOf(uploadId, file, { bytesMax: 1_000 });
    const first = await ask(...chunks);
    const again = await ask(chunks.at(-1)!);
    expect(again[0]!.effects).toEqual(first.at(-1)!.effects);
    expect(again[0]!.outcome).toEqual(first.at(-1)!.outcome);
  });

  test('until the last chunk the status is Uploading, without a checksum', async () => {
    const uploadId = randomUUID();
    await ask(chunksOf(uploadId, await makeCpi({ signer: trusted.signer }), { bytesMax: 1_000 })[0]!);
    expect(await statusOf(uploadId)).toEqual({ type: 'done', value: { status: 'Uploading', cpiFileChecksum: '' } });
    expect(codeOf(await statusOf(randomUUID()))).toBe('DB_UPLOAD_UNKNOWN');
  });

  test('ten megabytes are verified and stored', async () => {
    const { status, effects } = await upload(await makeCpi({ signer: trusted.signer, code: 'x'.repeat(10 * 1024 * 1024) }));
    expect(status).toEqual(ok);
    expect(effects).toHaveLength(21);
  });
});

describe('refusals', () => {
  const expectNothingStored = async (effects: readonly OutRecord[]): Promise<void> => {
    expect(effects).toEqual([]);
    expect(await ids()).toEqual([]);
    expect(await database.sql`select hash from config.cpk`).toEqual([]);
    expect(await database.sql`select upload_id from config.upload_chunk`).toEqual([]);
  };

  test('a signer that is not trusted, bytes that are no CPI, and a bad group policy are shown by the status', async () => {
    const stranger = await makeSigner();
    const files = [
      await makeCpi({ signer: stranger.signer }),
      new Uint8Array(3_000).fill(7),
      (await makeCpi({ signer: trusted.signer })).with(700, 1),
      await makeCpi({ signer: trusted.signer, groupPolicy: '{"groupId":1}' }),
    ];
    for (const file of files) {
      const { answered, status, effects } = await upload(file);
      expect(answered.map(({ outcome }) => outcome.type)).toEqual(['done']);
      expect(status).toMatchObject({ type: 'refused', code: 'DB_CPI_INVALID', details: { errorType: expect.stringMatching(/^PACKAGE_/) as string } });
      await expectNothingStored(effects);
    }
  });

  test('a CPI that is there already is a duplicate, whatever its bytes', async () => {
    await upload(await makeCpi({ signer: trusted.signer }));
    const before = await ids();
    const { status, effects } = await upload(await makeCpi({ signer: trusted.signer, code: 'var cordageApp={flows:[]};//other' }));
    expect(codeOf(status)).toBe('DB_CPI_DUPLICATE');
    expect(effects).toEqual([]);
    expect(await ids()).toEqual(before);
    expect(await upload(await makeCpi({ signer: trusted.signer, version: '2.0' }))).toMatchObject({ status: ok });
  });

  test('chunks that contradict each other, are too large or no base64url are refused and change nothing', async () => {
    const chunk: Chunk = { type: 'chunk', uploadId: randomUUID(), index: 0, count: 2, bytes: 'AAAA', force: false };
    await ask(chunk);
    const bad: Chunk[] = [{ ...chunk, index: 1, count: 3 }, { ...chunk, index: 1, force: true }, { ...chunk, index: 2 }, { ...chunk, index: 1, bytes: 'A' }, { ...chunk, index: 1, bytes: 'A'.repeat(Math.ceil((512 * 1024 * 4) / 3) + 4) }];
    const answered = await ask(...bad);
    expect(answered.map(({ outcome }) => codeOf(outcome))).toEqual(bad.map(() => 'DB_CPI_INVALID'));
    expect(await statusOf(chunk.uploadId)).toMatchObject({ value: { status: 'Uploading' } });
    const [row] = await database.sql`select count(*)::int as count from config.upload_chunk`;
    expect(row).toEqual({ count: 1 });
  });

  test('only so many uploads may be under way; abandoned ones make room, and ended ones are forgotten in time', async () => {
    const begin = (): Chunk => ({ type: 'chunk', uploadId: randomUUID(), index: 0, count: 2, bytes: 'AAAA', force: false });
    const open = Array.from({ length: uploadsOpenMax }, begin);
    await ask(...open);
    expect(codeOf((await ask(begin()))[0]!.outcome)).toBe('DB_UPLOAD_LIMIT');
    const ended = begin();
    await ask({ ...open[0]!, index: 1 });
    expect(codeOf((await ask(ended))[0]!.outcome)).toBe('done');
    const later = uploadNow + uploadIdleMsMax + 1;
    expect(codeOf((await askAt(later, begin()))[0]!.outcome)).toBe('done');
    expect(codeOf(await statusOf(open[1]!.uploadId, later))).toBe('DB_UPLOAD_UNKNOWN');
    expect(codeOf(await statusOf(open[0]!.uploadId, later))).toBe('DB_CPI_INVALID');
    const muchLater = uploadNow + uploadStatusAgeMsMax + 1;
    await askAt(muchLater, begin());
    expect(codeOf(await statusOf(open[0]!.uploadId, muchLater))).toBe('DB_UPLOAD_UNKNOWN');
  });

  test('whatever bytes are uploaded, the upload ends in a refusal and nothing is stored', async () => {
    const good = await makeCpi({ signer: trusted.signer });
    const files = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
      fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => good.with(at, good[at]! ^ change)),
      fc.nat(good.length - 2).map((length) => good.slice(0, length + 1)),
    );
    await fc.assert(
      fc.asyncProperty(files, async (file) => {
        const { status, effects } = await upload(new Uint8Array(file));
        expect(codeOf(status)).toBe('DB_CPI_INVALID');
        await expectNothingStored(effects);
      }),
      { numRuns: 40 },
    );
  });
});

describe('force', () => {
  test('a forced upload replaces the code, keeps the policy, and its virtual nodes run the new code', async () => {
    const first = await upload(await makeCpi({ signer: trusted.signer }));
    const old = read(dbToAllCpi, first.effects.at(-1)!).body;
    const node = testVirtualNode(old);
    await transactOn(database, (tx) => tx.virtualNodes.create(node, []));
    const policy = staticPolicy(groupIdA, [{ name: 'O=Bob, L=Paris, C=FR' }]);
    const file = await makeCpi({ signer: trusted.signer, code: 'var cordageApp={flows:[]};//new', groupPolicy: policy });
    const { status, effects } = await upload(file, { force: true });
    expect(status).toEqual(ok);
    expect(topicsOf(effects)).toEqual([dbToFlowCpk.topic, dbToAllCpi.topic, dbToAllVirtualNode.topic, dbToAllCpi.topic]);
    const cpi = read(dbToAllCpi, effects[1]!).body;
    expect(cpi.groupPolicy).toBe(old.groupPolicy);
    expect(cpi.cpks[0]!.hash).not.toBe(old.cpks[0]!.hash);
    expect(read(dbToAllVirtualNode, effects[2]!).body).toMatchObject({ cpiFullChecksum: cpi.fullChecksum, cpkHashes: [cpi.cpks[0]!.hash], version: 2 });
    expect(effects[3]).toMatchObject({ key: old.fullChecksum, value: expect.stringContaining('"body":null') as string });
    // Flows that are under way keep the code they started with.
    expect(await transactOn(database, (tx) => tx.cpis.findCode([old.cpks[0]!.hash]))).toHaveLength(1);
  });

  test('brings the vaults up to date, or is refused whole where one of them cannot follow', async () => {
    const tables = tablesOf<any>();
    const first = migration('0001-stock', [tables.schema.createTable('stock').addColumn('item', 'text')]);
    const second = migration('0002-pieces', [tables.schema.alterTable('stock').addColumn('pieces', 'integer', (column) => column.defaultTo(1))]);
    const edited = migration('0001-stock', [tables.schema.createTable('stock').addColumn('item', 'varchar(5)')]);
    const fileOf = (...migrations: readonly Migration[]) =>
      makeCpi({ signer: trusted.signer, schema: JSON.stringify({ version: 1, entities: [], migrations: migrations.map(({ name, operations }) => ({ name, operations })) }) });
    const { effects } = await upload(await fileOf(first));
    const old = read(dbToAllCpi, effects.at(-1)!).body;
    const nodes = [testVirtualNode(old), testVirtualNode(old)];
    const body = (x500Name: string) => ({ type: 'create' as const, cpiFileChecksum: old.fullChecksum, x500Name });
    for (const { holdingIdentity } of nodes) await answerBatch(onVirtualNode(silentLog), { transact: (work) => transactOn(database, work), now: uploadNow }, request(restToDbVirtualNode, body(holdingIdentity.x500Name), { id: holdingIdentity.shortHash }));
    const columns = async (): Promise<string[]> =>
      (await database.sql<{ column_name: string }[]>`select column_name from information_schema.columns where table_name = 'stock' and table_schema like 'vnode_vault_%' order by table_schema, ordinal_position`).map(({ column_name }) => column_name);
    expect(await columns()).toEqual(['item', 'item']);

    const before = await ids();
    const { status } = await upload(await fileOf(edited, second), { force: true });
    expect(status).toMatchObject({ code: 'DB_CPI_INVALID', message: expect.stringMatching(/migration 0001-stock of app was applied as [0-9a-f]{64} and is [0-9a-f]{64} now/) as string });
    expect(await ids()).toEqual(before);
    expect(await columns()).toEqual(['item', 'item']);

    expect((await upload(await fileOf(first, second), { force: true })).status).toEqual(ok);
    expect(await columns()).toEqual(['item', 'pieces', 'item', 'pieces']);
  });

  test('there must be something to replace, and of the same group', async () => {
    const { status } = await upload(await makeCpi({ signer: trusted.signer }), { force: true });
    expect(codeOf(status)).toBe('DB_CPI_INVALID');
    await upload(await makeCpi({ signer: trusted.signer }));
    const before = await ids();
    const other = await upload(await makeCpi({ signer: trusted.signer, groupPolicy: staticPolicy(groupIdB) }), { force: true });
    expect(codeOf(other.status)).toBe('DB_CPI_INVALID');
    expect(await ids()).toEqual(before);
  });
});
