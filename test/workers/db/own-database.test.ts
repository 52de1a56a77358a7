/** Vaults in databases of their own: what makes them, what keeps them apart, and that requests are answered there once, whatever breaks. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openEmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { fromBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { sealConfigSecret } from '../../../src/cipher/config-secret.ts';
import { sealTo } from '../../../src/cipher/sealed.ts';
import { database as tablesOf, migration, type Migration } from '../../../src/flow-sdk/flow-sdk.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { allToRestAnswer } from '../../../src/messages/all-to-rest.answer.ts';
import type { CpiMetadata } from '../../../src/messages/db-to-all.cpi.ts';
import { flowToDbEntity } from '../../../src/messages/flow-to-db.entity.ts';
import { flowToDbQuery } from '../../../src/messages/flow-to-db.query.ts';
import { connectionContext, parseConnection, type SealedConnection } from '../../../src/messages/grammar/database-connection.ts';
import { decode, encode, type Outcome } from '../../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../../src/messages/grammar/record.ts';
import type { BodyOf } from '../../../src/messages/grammar/wire.ts';
import { wires } from '../../../src/messages/messages.ts';
import { restToDbTransfer } from '../../../src/messages/rest-to-db.transfer.ts';
import { restToDbVirtualNode } from '../../../src/messages/rest-to-db.virtual-node.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createPostgresAnswerStore } from '../../../src/postgres/answer-store.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { createPostgresParkingLot } from '../../../src/postgres/parking-lot.ts';
import type { BatchPoint } from '../../../src/shell/operational.ts';
import { runWorker } from '../../../src/shell/run-worker.ts';
import { onTransfer } from '../../../src/workers/db/on-transfer.ts';
import { onVirtualNode } from '../../../src/workers/db/on-virtual-node.ts';
import { createDbWorker, createPostgresDbTx, createVaults, type DbTx, type Vaults } from '../../../src/workers/db/worker.ts';
import { startTestServer, type TestServer } from './database.ts';
import { startDatabaseProxy, type DatabaseProxy } from './database-proxy.ts';
import { answerBatch, codeOf, request } from './requests.ts';
import { hex64, testCpi } from './virtual-nodes.ts';

const passphrase = 'the passphrase of the configuration';
const now = Date.UTC(2026, 4, 5);
const tables = tablesOf<{ visit: { place: string; times: number } }>();
const visits = migration('0001-visits', [tables.schema.createTable('visit').addColumn('place', 'text', (column) => column.primaryKey()).addColumn('times', 'integer')]);
const shelf = migration('0002-shelf', [tables.schema.alterTable('visit').addColumn('shelf', 'integer', (column) => column.notNull().defaultTo(7))]);
const wrong = migration('0002-wrong', [tables.insertInto('visit').values([{ place: 'Rome', times: 1 }, { place: 'Rome', times: 2 }])]);

type Own = Awaited<ReturnType<TestServer['ownDatabase']>>;
type Body = BodyOf<typeof restToDbVirtualNode>;

let server: TestServer;
let database: Database;
let vaults: Vaults;
let count = 900;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
  vaults = createVaults({ database, passphrase, clock: systemClock, log: silentLog });
});
afterAll(async () => {
  await vaults.close();
  await server.stop();
});

const transact = <Result>(work: (tx: DbTx) => Promise<Result>, by = vaults): Promise<Result> => database.transact((sql) => work(createPostgresDbTx(sql, by)));
const ask = async (body: Body, by = vaults) => (await answerBatch(onVirtualNode(silentLog), { transact: (work) => transact(work, by), now }, request(restToDbVirtualNode, body, { id: randomUUID() })))[0]!;
const statusOf = async (body: Body, by = vaults) => {
  const { outcome } = await ask(body, by);
  return outcome.type === 'done' ? outcome.value.status! : expect.fail(`${outcome.code}: ${outcome.message}`);
};

const seal = async (given: unknown): Promise<SealedConnection> => {
  const parsed = parseConnection(given);
  if (parsed.type === 'invalid') throw new Error(parsed.reason);
  const reader = await vaults.publicKey();
  return { reader, sealed: await sealTo(fromBase64url(reader), utf8(JSON.stringify(parsed.connection)), connectionContext) };
};
const urlOf = ({ url }: Own, user: string, { port = url.port, schema = 'vault', password = 'secret' } = {}): string => `postgres://${user}:${password}@127.0.0.1:${port}${url.pathname}?currentSchema=${schema}`;
const both = async (own: Own, options = {}) => ({ dml: await seal(urlOf(own, own.reader, options)), ddl: await seal(urlOf(own, own.owner, options)) });

const putCpi = async (name: string, version: string, migrations: readonly Migration[]): Promise<CpiMetadata> => {
  const hash = hex64(0xbbb000 + count++);
  const text = JSON.stringify({ version: 1, entities: [{ name: 'Cat', indexes: ['age'] }], migrations: migrations.map(({ name: title, operations }) => ({ name: title, operations })) });
  const cpi = testCpi(count++, { id: { name, version, signerSummaryHash: 'SHA-256:AB' }, cpks: [{ hash, id: { name: 'cpk', version, signerSummaryHash: 'SHA-256:AB' }, flows: [], timestamp: now }] });
  await transact((tx) => tx.cpis.put(cpi, [{ hash, code: new Uint8Array(), sourceMap: null, schema: text }]));
  return cpi;
};
type Given = Extract<Body, { type: 'create' }>['connections'];
const createNode = (cpi: CpiMetadata, connections?: Given, name = `O=Own ${count++}, L=London, C=GB`) =>
  statusOf({ type: 'create', cpiFileChecksum: cpi.fullChecksum, x500Name: name, ...(connections === undefined ? {} : { connections }) });
const made = async (cpi: CpiMetadata, connections?: Given): Promise<string> => {
  const status = await createNode(cpi, connections);
  if (status.status !== 'SUCCEEDED') throw new Error(status.errorReason!);
  return status.requestId;
};
const maintain = (shortHash: string) => ask({ type: 'set-state', shortHash, state: 'maintenance' });
const nodeOf = (shortHash: string) => transact((tx) => tx.virtualNodes.find(shortHash));
/** All that the cluster keeps of connections. */
const keptTexts = async (): Promise<string> => JSON.stringify([await database.sql`select * from config.vault_connection`, await database.sql`select * from config.virtual_node_operation`, await database.sql`select * from db.answer`]);

describe('a virtual node with a database of its own', () => {
  test('has its tables, migrations and rows there and none here, and its password nowhere', async () => {
    const own = await server.ownDatabase();
    const shortHash = await made(await putCpi('own', '1', [visits]), await both(own));
    const names = (await own.sql<{ name: string }[]>`select tablename as name from pg_tables where schemaname = 'vault' order by 1`).map(({ name }) => name);
    expect(names).toEqual(['cordage_answer', 'cordage_migration', 'cordage_vault', 'entity', 'visit']);
    expect(await database.sql`select 1 from pg_namespace where nspname = ${`vnode_vault_${shortHash.toLowerCase()}`}`).toHaveLength(0);
    expect(await database.sql`select 1 from pg_namespace where nspname = ${`vnode_crypto_${shortHash.toLowerCase()}`}`).toHaveLength(1);
    expect(await keptTexts()).not.toMatch(/secret|_reader|_owner/);
    expect((await nodeOf(shortHash))!.vaultDdlConnectionId).toMatch(/^[0-9a-f-]{36}$/);
    expect(vaults.storesOf(['000000000001'])).toBeInstanceOf(Promise);
    expect(await vaults.storesOf([shortHash, '000000000001'])).toEqual([expect.anything(), undefined]);
  });

  test('may be given a secret of the configuration as its password', async () => {
    const own = await server.ownDatabase();
    const pass = { configSecret: { encryptedSecret: await sealConfigSecret(passphrase, 'secret') } };
    const connection = await seal({ database: { jdbc: { url: `jdbc:postgresql://127.0.0.1:${own.url.port}${own.url.pathname}` }, user: own.reader, pass } });
    expect(await createNode(await putCpi('secret', '1', []), { dml: connection, ddl: connection })).toMatchObject({ status: 'FAILED', errorReason: expect.stringContaining('permission denied for schema public') as string });
    await own.sql.unsafe(`grant create on schema public to ${own.reader}`);
    await made(await putCpi('secret', '2', []), { dml: connection, ddl: connection });
  });

  test('without a connection that changes tables waits for an administrator, at creation and at an upgrade', async () => {
    const own = await server.ownDatabase();
    const first = await putCpi('dba', '1', [visits]);
    const next = await putCpi('dba', '2', [visits, shelf]);
    const dml = await seal(urlOf(own, own.reader, { schema: 'public' }));
    const name = `O=Own ${count++}, L=London, C=GB`;
    const failed = await createNode(first, { dml }, name);
    expect(failed).toMatchObject({ status: 'FAILED', resourceId: null, errorReason: expect.stringMatching(/no table entity.*GET \/virtualnode\/create\/db\/vault/) as string });
    expect(await nodeOf(failed.requestId)).toBeUndefined();

    const run = async (body: Body): Promise<void> => {
      const { outcome } = await ask(body);
      await own.sql.unsafe(outcome.type === 'done' ? outcome.value.sql! : expect.fail(outcome.code));
      await own.sql.unsafe(`grant select, insert, update, delete on all tables in schema public to ${own.reader}`);
    };
    await run({ type: 'vault-sql', cpiFileChecksum: first.fullChecksum });
    const { requestId: shortHash } = await createNode(first, { dml }, name);
    expect((await nodeOf(shortHash))!.vaultDdlConnectionId).toBeNull();

    await maintain(shortHash);
    const upgrade = { type: 'upgrade', shortHash, cpiFileChecksum: next.fullChecksum } as const;
    expect(await statusOf(upgrade)).toMatchObject({ status: 'FAILED', errorReason: expect.stringContaining('lacks migration 0002-shelf of cpk') as string });
    expect(codeOf((await ask({ type: 'resync', shortHash })).outcome)).toBe('DB_VAULT_RESYNC_FAILED');
    await run({ type: 'vault-sql', cpiFileChecksum: next.fullChecksum, shortHash });
    expect(await statusOf(upgrade)).toMatchObject({ status: 'SUCCEEDED' });
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('done');
    await own.sql`delete from cordage_migration where name = '0002-shelf'`;
    await maintain(shortHash);
    expect(codeOf((await ask({ type: 'set-state', shortHash, state: 'active' })).outcome)).toBe('DB_VAULT_OUT_OF_STEP');
  });

  test('fails with its reason and leaves nothing where the database is none for it', async () => {
    const own = await server.ownDatabase();
    const cpi = await putCpi('unfit', '1', [visits]);
    const broken = await putCpi('unfit', '2', [visits, wrong]);
    const faults: [CpiMetadata, Given, RegExp][] = [
      [cpi, await both(own, { port: '1' }), /ECONNREFUSED/],
      [cpi, await both(own, { password: 'guessed' }), /password authentication failed/],
      [broken, await both(own), /0002-wrong of cpk/],
      [cpi, { dml: await seal(urlOf(own, own.reader, { schema: 'one' })), ddl: await seal(urlOf(own, own.owner, { schema: 'other' })) }, /names the schema other/],
    ];
    for (const [wanted, connections, reason] of faults) {
      const status = await createNode(wanted, connections);
      expect(status).toMatchObject({ status: 'FAILED', errorReason: expect.stringMatching(reason) as string });
      expect(await nodeOf(status.requestId)).toBeUndefined();
      expect(await database.sql`select 1 from pg_namespace where nspname like ${`vnode_%_${status.requestId.toLowerCase()}`}`).toHaveLength(0);
    }
    expect(await own.sql`select 1 from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`).toHaveLength(0);
  });

  test('has its schema to itself', async () => {
    const own = await server.ownDatabase();
    const cpi = await putCpi('alone', '1', [visits]);
    const first = await made(cpi, await both(own));
    expect(await createNode(cpi, await both(own))).toMatchObject({ status: 'FAILED', errorReason: expect.stringContaining(`is the vault of virtual node ${first}`) as string });
    await own.sql.unsafe('create schema used; create table used.accounts (id integer)');
    await own.sql.unsafe(`grant all on schema used to ${own.owner}`);
    expect(await createNode(cpi, await both(own, { schema: 'used' }))).toMatchObject({ status: 'FAILED', errorReason: expect.stringContaining('holds tables already (accounts)') as string });
    await made(cpi, await both(own, { schema: 'another' }));
    // It outlives its virtual node, and is that one's again.
    await transact((tx) => tx.virtualNodes.drop(first));
    expect(await own.sql`select short_hash from vault.cordage_vault`).toEqual([{ short_hash: first }]);
    expect(await database.sql`select 1 from config.vault_connection where short_hash = ${first}`).toHaveLength(0);
  });
});

describe('other connections', () => {
  test('are taken in maintenance, and what fails leaves those of before', async () => {
    const own = await server.ownDatabase();
    const cpi = await putCpi('move', '1', [visits]);
    const shortHash = await made(cpi);
    const before = await nodeOf(shortHash);
    const given = await both(own);
    expect(codeOf((await ask({ type: 'connect', shortHash, ...given })).outcome)).toBe('DB_CONNECTION_INVALID');
    await maintain(shortHash);
    expect(codeOf((await ask({ type: 'connect', shortHash, ddl: given.ddl })).outcome)).toBe('DB_CONNECTION_INVALID');
    expect(await statusOf({ type: 'connect', shortHash, ...(await both(own, { port: '1' })) })).toMatchObject({ status: 'FAILED', operation: 'UPDATE_VIRTUAL_NODE_DB' });
    expect(await vaults.storesOf([shortHash])).toSatisfy((stores: unknown) => stores === undefined || (Array.isArray(stores) && stores[0] === undefined));

    expect(await statusOf({ type: 'connect', shortHash, ...given })).toMatchObject({ status: 'SUCCEEDED', resourceId: shortHash });
    const moved = await nodeOf(shortHash);
    expect(moved!.vaultDmlConnectionId).not.toBe(before!.vaultDmlConnectionId);
    expect(moved!.version).toBeGreaterThan(before!.version);
    // Who has not heard of it neither finds nor writes anything where it was.
    const write = transact((tx) => tx.entities.apply([{ flowId: 'f', shortHash, operation: { type: 'persist', entity: 'Cat', items: [{ id: 'a', json: '1' }] } }], now));
    await expect(write).rejects.toMatchObject({ code: '42P01' });
    await expect(transact((tx) => tx.virtualNodes.known([shortHash]))).rejects.toMatchObject({ code: 'DATABASE_CONFLICT' });

    expect(await statusOf({ type: 'connect', shortHash, dml: await seal(urlOf(own, own.owner)) })).toMatchObject({ status: 'SUCCEEDED' });
    expect((await nodeOf(shortHash))!.vaultDmlConnectionId).not.toBe(moved!.vaultDmlConnectionId);
  });

  test('are asked for again where the passphrase has changed', async () => {
    const own = await server.ownDatabase();
    const shortHash = await made(await putCpi('changed', '1', [visits]), await both(own));
    await maintain(shortHash);
    const later = createVaults({ database, passphrase: 'another passphrase', clock: systemClock, log: silentLog });
    try {
      const refused = await ask({ type: 'set-state', shortHash, state: 'active' }, later);
      expect(refused.outcome).toMatchObject({ code: 'DB_CONNECTION_KEY', message: expect.stringContaining('PUT /virtualnode') as string });
      const reader = await later.publicKey();
      expect(reader).not.toBe(await vaults.publicKey());
      const parsed = parseConnection(urlOf(own, own.owner));
      const dml = { reader, sealed: await sealTo(fromBase64url(reader), utf8(JSON.stringify(parsed.type === 'connection' && parsed.connection)), connectionContext) };
      expect(await statusOf({ type: 'connect', shortHash, dml, ddl: dml }, later)).toMatchObject({ status: 'SUCCEEDED' });
    } finally {
      await later.close();
    }
    const without = createVaults({ database, passphrase: undefined, clock: systemClock, log: silentLog });
    expect((await ask({ type: 'connection-key' }, without)).outcome).toMatchObject({ code: 'DB_CONNECTION_KEY', message: expect.stringContaining('CORDAGE_CONFIG_PASSPHRASE') as string });
  });
});

test('tables are made anew there, and an export of it is imported into the cluster', async () => {
  const own = await server.ownDatabase();
  const shortHash = await made(await putCpi('carried', '1', [visits]), await both(own));
  await own.sql`insert into vault.visit values ('Rome', 1)`;
  await maintain(shortHash);
  expect(codeOf((await ask({ type: 'resync', shortHash })).outcome)).toBe('done');
  expect(await own.sql`select * from vault.visit`).toEqual([]);
  await own.sql`insert into vault.visit values ('Oslo', 2)`;
  await own.sql`insert into vault.entity values ('Cat', 'a', '{"age":3}', 1, now())`;

  const transfer = async (body: BodyOf<typeof restToDbTransfer>) => {
    const [answered] = await answerBatch(onTransfer(silentLog), { transact, now }, request(restToDbTransfer, body, { id: randomUUID() }));
    return answered!.outcome.type === 'done' ? answered!.outcome.value : expect.fail(`${answered!.outcome.code}: ${answered!.outcome.message}`);
  };
  const transferId = randomUUID();
  const { count: pieces } = await transfer({ type: 'export', transferId, shortHash });
  const { text } = await transfer({ type: 'read', transferId, index: 0 });
  expect(pieces).toBe(1);
  expect(text).not.toMatch(/secret|_reader|cordage_answer/);
  await transact((tx) => tx.virtualNodes.drop(shortHash));
  await transfer({ type: 'write', transferId, index: 0, text: text! });
  await transfer({ type: 'import', transferId, count: 1, shortHash });
  const schema = `vnode_vault_${shortHash.toLowerCase()}`;
  expect(await database.sql.unsafe(`select place, times from ${schema}.visit`)).toEqual([{ place: 'Oslo', times: 2 }]);
  expect(await database.sql.unsafe(`select id, value from ${schema}.entity`)).toEqual([{ id: 'a', value: { age: 3 } }]);
  expect(await transact((tx) => tx.virtualNodes.connections(shortHash))).toBeUndefined();
});

describe('requests of flows', () => {
  let stop: (() => Promise<void>) | undefined;
  let proxy: DatabaseProxy;
  afterEach(async () => {
    await stop?.();
    stop = undefined;
    await proxy.close();
  });

  /** The room in its shell, over a broker, and one virtual node here and one elsewhere, behind the proxy. */
  const start = async (probe?: (point: BatchPoint) => void) => {
    const own = await server.ownDatabase();
    proxy = await startDatabaseProxy(own.url.href);
    const cpi = await putCpi(`run-${count}`, '1', [visits]);
    const elsewhere = await made(cpi, { dml: await seal(urlOf(own, own.reader, { port: `${proxy.port}` })), ddl: await seal(urlOf(own, own.owner)) });
    const here = await made(cpi);
    const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires, 2), clock: systemClock, log: silentLog });
    const bus = broker.connect();
    const mine = createVaults({ database, passphrase, clock: systemClock, log: silentLog });
    const running = runWorker({
      worker: createDbWorker({ vaults: mine, log: silentLog }),
      bus,
      instance: 'one',
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics(),
      parking: createPostgresParkingLot({ database, schema: 'db' }),
      answers: createPostgresAnswerStore({ database, schema: 'db', makeTx: (sql) => createPostgresDbTx(sql, mine) }),
      ...(probe === undefined ? {} : { probe }),
    });
    const answers = bus.follow({ topics: [allToRestAnswer.topic], from: 'earliest' });
    const heard = new Map<string, Outcome[]>();
    stop = async () => {
      await running.stop();
      await broker.close();
    };
    const envelope = (id: string) => ({ id, replyTo: { topic: allToRestAnswer.topic, key: 'me', partition: 0 } });
    const visit = (shortHash: string, id: string, flow: string = randomUUID()): OutRecord => {
      const query = tables.insertInto('visit').values({ place: 'Rome', times: 1 }).onConflict((conflict) => conflict.column('place').doUpdateSet((eb) => ({ times: eb('visit.times', '+', 1) }))).returning('times');
      return encode(flowToDbQuery, { key: flow, ...envelope(id), body: { shortHash, cpkHash: cpi.cpks[0]!.hash, query: JSON.parse(JSON.stringify(query.toOperationNode())) as { kind: string } } });
    };
    const persist = (shortHash: string, id: string, cat: string): OutRecord =>
      encode(flowToDbEntity, { key: randomUUID(), ...envelope(id), body: { shortHash, operation: { type: 'persist', entity: 'Cat', items: [{ id: cat, json: '{"age":1}' }] } } });
    const hear = async (...ids: string[]): Promise<Outcome[]> => {
      while (!ids.every((id) => heard.has(id))) {
        for (const record of await answers.poll({ timeoutMs: 5_000 })) {
          const decoded = decode(allToRestAnswer, record);
          if (decoded.type !== 'message') continue;
          const { requestId, outcome } = decoded.delivery.body;
          heard.set(requestId, [...(heard.get(requestId) ?? []), outcome]);
        }
      }
      return ids.map((id) => {
        const outcome = heard.get(id)!.at(-1)!;
        heard.delete(id);
        return outcome;
      });
    };
    /** As the flow room does: what is refused for a while is asked again, under its id. */
    const askUntil = async (make: () => OutRecord, id: string): Promise<Outcome> => {
      for (;;) {
        await bus.publish([make()]);
        const [outcome] = await hear(id);
        if (outcome!.type === 'done' || outcome!.fault !== 'transient') return outcome!;
      }
    };
    return { own, bus, here, elsewhere, visit, persist, hear, askUntil };
  };

  test('are answered where the vault is, in one batch with those of others, and a repeat is answered the same', async () => {
    const { own, bus, here, elsewhere, visit, persist, hear } = await start();
    await bus.publish([visit(elsewhere, 'one', 'flow'), visit(here, 'two'), visit(elsewhere, 'three', 'flow'), persist(elsewhere, 'four', 'a')]);
    const rows = (times: number) => ({ type: 'done', value: { columns: ['times'], rows: [[times]], affected: 1, more: false } });
    const first = await hear('one', 'two', 'three', 'four');
    expect(first).toEqual([rows(1), rows(1), rows(2), { type: 'done', value: { items: [] } }]);
    await bus.publish([visit(elsewhere, 'one', 'flow'), persist(elsewhere, 'four', 'a')]);
    expect(await hear('one', 'four')).toEqual([first[0], first[3]]);
    expect(await own.sql`select times from vault.visit`).toEqual([{ times: 2 }]);
    expect(await own.sql`select count(*)::int as count from vault.cordage_answer`).toEqual([{ count: 3 }]);
    expect(await database.sql`select 1 from db.answer where request_id like '%/three'`).toHaveLength(0);
    expect(proxy.count()).toBeLessThanOrEqual(4);
  });

  // Cut: the work is lost. Muted: it is done, and nobody hears so.
  test.for(['cut', 'mute'] as const)('are done once when the connection is %s in the middle of a batch', async (how) => {
    let breaks = 1;
    const { own, elsewhere, visit, askUntil } = await start((point) => {
      if (point !== 'stepped' || breaks === 0) return;
      breaks--;
      proxy[how]();
      setTimeout(() => proxy.heal(), 300);
    });
    const outcome = await askUntil(() => visit(elsewhere, 'once', 'flow'), 'once');
    expect(outcome).toMatchObject({ type: 'done', value: { rows: [[1]] } });
    expect(breaks).toBe(0);
    expect(await own.sql`select times from vault.visit`).toEqual([{ times: 1 }]);
  });

  test('wait for nobody whose database does not answer', async () => {
    const { bus, here, elsewhere, visit, persist, hear, askUntil } = await start();
    await bus.publish([persist(elsewhere, 'warm', 'w')]);
    await hear('warm');
    proxy.cut();
    proxy.hang();
    await bus.publish([visit(elsewhere, 'away'), persist(elsewhere, 'away too', 'a')]);
    for (let round = 0; round < 5; round++) {
      await bus.publish([visit(here, `here ${round}`), persist(here, `cat ${round}`, `${round}`)]);
      expect((await hear(`here ${round}`, `cat ${round}`)).map(({ type }) => type)).toEqual(['done', 'done']);
    }
    const refused = await hear('away', 'away too');
    expect(refused).toEqual([1, 2].map(() => expect.objectContaining({ code: 'DB_VAULT_UNREACHABLE', fault: 'transient' }) as Outcome));
    proxy.heal();
    expect(await askUntil(() => visit(elsewhere, 'away'), 'away')).toMatchObject({ type: 'done', value: { rows: [[1]] } });
  });
});
