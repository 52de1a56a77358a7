/** The db room in its shell, on a real broker and a real database. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BusError, type Bus, type Follower } from '../../../src/bus/bus.ts';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { allToRestAnswer } from '../../../src/messages/all-to-rest.answer.ts';
import { database as tablesOf, migration } from '../../../src/flow-sdk/flow-sdk.ts';
import { dbToAllCpi } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import { flowToDbQuery } from '../../../src/messages/flow-to-db.query.ts';
import { decode, encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import { wires } from '../../../src/messages/messages.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../../src/postgres/parking-lot.ts';
import type { BatchPoint } from '../../../src/shell/operational.ts';
import { runWorker, type RunningWorker } from '../../../src/shell/run-worker.ts';
import { createDbWorker, createPostgresDbTx } from '../../../src/workers/db/worker.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { chunksOf, makeCpi, makeSigner, type TestSigner } from './packages.ts';

let server: TestServer;
let database: Database;
let signer: TestSigner;
let broker: EmbeddedBroker;
let bus: Bus;
let answers: Follower;
let running: RunningWorker | undefined;

beforeAll(async () => {
  server = await startTestServer();
  signer = await makeSigner();
});
afterAll(() => server.stop());
beforeEach(async () => {
  database = await server.database();
  broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires, 2), clock: systemClock, log: silentLog });
  bus = broker.connect();
  answers = bus.follow({ topics: [allToRestAnswer.topic], from: 'earliest' });
  heard = new Map();
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  await broker.close();
});

/** The certificates of these tests are valid now. */
const now = Date.UTC(2026, 5, 1);

const start = (probe?: (point: BatchPoint) => void): void => {
  running = runWorker({
    worker: createDbWorker({ log: silentLog }),
    bus,
    instance: 'one',
    clock: { ...systemClock, now: () => now },
    log: silentLog,
    metrics: createMetrics(),
    parking: createPostgresParkingLot({ database, schema: 'db' }),
    answers: createPostgresAnswerStore({ database, schema: 'db', makeTx: createPostgresDbTx }),
    ...(probe === undefined ? {} : { probe }),
  });
};

const say = <Body>(wire: Wire<Body, any>, key: string, body: Body, id: string = randomUUID()) =>
  encode(wire, { key, id, body, replyTo: { topic: allToRestAnswer.topic, key: 'me', partition: 0 } });

/** Every answer that came, by the id of its request. */
let heard: Map<string, Outcome[]>;
const idOf = (record: OutRecord): string => (JSON.parse(record.value) as { id: string }).id;
const waitForAnswers = async (records: readonly OutRecord[]): Promise<Outcome[]> => {
  const ids = records.map(idOf);
  while (!ids.every((id) => heard.has(id))) {
    for (const record of await answers.poll({ timeoutMs: 5_000 })) {
      const decoded = decode(allToRestAnswer, record);
      if (decoded.type !== 'message') continue;
      const { requestId, outcome } = decoded.delivery.body;
      heard.set(requestId, [...(heard.get(requestId) ?? []), outcome]);
    }
  }
  return ids.map((id) => heard.get(id)!.at(-1)!);
};
const ask = async (...records: OutRecord[]): Promise<Outcome[]> => {
  await bus.publish(records);
  return waitForAnswers(records);
};

const topicKeys = async (topic: string): Promise<string[]> => {
  const follower = bus.follow({ topics: [topic], from: 'earliest' });
  await follower.ready;
  const records = await follower.drain();
  await follower.close();
  return records.map(({ key }) => key);
};

const tables = tablesOf<{ visit: { place: string; times: number } }>();
const visits = migration('0001-visits', [tables.schema.createTable('visit').addColumn('place', 'text', (column) => column.primaryKey()).addColumn('times', 'integer')]);
const schema = JSON.stringify({ version: 1, entities: [], migrations: [{ name: visits.name, operations: visits.operations }] });

/** Counts a visit: done twice, it would show. */
const visit = async (shortHash: string, requestId?: string): Promise<OutRecord> => {
  const [cpk] = await database.sql<{ hash: string }[]>`select hash from config.cpk where schema is not null`;
  const query = tables.insertInto('visit').values({ place: 'Rome', times: 1 }).onConflict((conflict) => conflict.column('place').doUpdateSet((eb) => ({ times: eb('visit.times', '+', 1) }))).returning('times');
  return say(flowToDbQuery, 'flow', { shortHash, cpkHash: cpk!.hash, query: JSON.parse(JSON.stringify(query.toOperationNode())) as { kind: string } }, requestId);
};

/** From a trusted signer to a virtual node: the CPI's checksum and the short hash. */
const makeNode = async (): Promise<{ checksum: string; shortHash: string }> => {
  await ask(say(restToDbCertificate, 'code-signer', { type: 'import', usage: 'code-signer', alias: 'a', pem: signer.pem }));
  const uploadId = randomUUID();
  await ask(...chunksOf(uploadId, await makeCpi({ signer: signer.signer, schema })).map((chunk) => say(restToDbCpi, uploadId, chunk)));
  const [status] = await ask(say(restToDbCpi, uploadId, { type: 'status', uploadId }));
  const checksum = (status as { value: { cpiFileChecksum: string } }).value.cpiFileChecksum;
  const [created] = await ask(say(restToDbVirtualNode, checksum, { type: 'create', cpiFileChecksum: checksum, x500Name: 'O=Alice, L=London, C=GB' }));
  return { checksum, shortHash: (created as { value: { requestId: string } }).value.requestId };
};

const persist = (shortHash: string, id: string, flowId: string, requestId?: string) =>
  say(flowToDbEntity, flowId, { shortHash, operation: { type: 'persist', entity: 'Cat', items: [{ id, json: '1' }] } }, requestId);

describe('the db room', () => {
  test('stores a CPI, makes a virtual node and keeps its entities, over the bus alone', async () => {
    start();
    const { checksum, shortHash } = await makeNode();
    expect((await topicKeys(dbToAllCpi.topic)).map((key) => key.slice(0, 12))).toEqual([checksum]);
    expect(await topicKeys(dbToAllVirtualNode.topic)).toEqual([shortHash]);
    const [written, found] = await ask(persist(shortHash, 'a', 'flow'), say(flowToDbEntity, 'flow', { shortHash, operation: { type: 'find', entity: 'Cat', ids: ['a'] } }));
    expect(written).toEqual({ type: 'done', value: { items: [] } });
    expect(found).toEqual({ type: 'done', value: { items: [{ id: 'a', json: '1' }] } });
  });

  test.each(['stepped', 'saved', 'published'] as const)('a crash after the point "%s" loses nothing and does nothing twice', async (point) => {
    start();
    const { checksum, shortHash } = await makeNode();
    await running!.stop();

    const uploadId = randomUUID();
    const second = await makeCpi({ signer: signer.signer, version: '2.0' });
    const requests = [
      persist(shortHash, 'a', 'flow', 'persist-a'),
      await visit(shortHash, 'visit-rome'),
      say(restToDbVirtualNode, checksum, { type: 'create', cpiFileChecksum: checksum, x500Name: 'O=Bob, L=Paris, C=FR' }, 'create-bob'),
      ...chunksOf(uploadId, second, { bytesMax: 2_000 }).map((chunk, n) => say(restToDbCpi, uploadId, chunk, `chunk-${n}`)),
    ];
    const crashed = Promise.withResolvers<void>();
    let count = 0;
    start((reached) => {
      if (reached !== point) return;
      // Each of the four wires has a loop of its own.
      if (++count >= 4) crashed.resolve();
      throw new BusError('BUS_UNREACHABLE', 'the process dies here');
    });
    await bus.publish(requests);
    await crashed.promise;
    await running!.stop();

    start();
    await waitForAnswers(requests);
    for (const id of requests.map(idOf)) for (const outcome of heard.get(id)!) expect(outcome, id).toMatchObject({ type: 'done' });
    expect((await ask(say(restToDbCpi, uploadId, { type: 'status', uploadId })))[0]).toMatchObject({ value: { status: 'OK' } });
    expect(new Set(await topicKeys(dbToAllCpi.topic)).size).toBe(2);
    expect(new Set(await topicKeys(dbToAllVirtualNode.topic)).size).toBe(2);
    const rows = await database.sql.unsafe(`select id, version from vnode_vault_${shortHash.toLowerCase()}.entity`);
    expect(rows.map((row) => ({ ...row }))).toEqual([{ id: 'a', version: 1 }]);
    for (const outcome of heard.get('visit-rome')!) expect(outcome).toEqual({ type: 'done', value: { columns: ['times'], rows: [[1]], affected: 1, more: false } });
    expect((await ask(await visit(shortHash)))[0]).toMatchObject({ value: { rows: [[2]] } });
    expect(await running!.parked()).toEqual([]);
  });

  test('what cannot be read is parked, and the partition goes on', async () => {
    start();
    const { shortHash } = await makeNode();
    await bus.publish([{ topic: flowToDbEntity.topic, key: 'flow', value: '{"v":1,"id":"x","body":{"shortHash":"?"}}' }]);
    expect((await ask(persist(shortHash, 'a', 'flow')))[0]).toMatchObject({ type: 'done' });
    expect(await running!.parked()).toHaveLength(1);
    expect(await transactOn(database, (tx) => tx.virtualNodes.known([shortHash]))).toEqual(new Set([shortHash]));
  });
});
