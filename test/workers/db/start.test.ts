/** What the db room does when it starts: migrations, the first administrator, filling the compacted topics. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Bus } from '../../../src/bus/bus.ts';
import { openEmbeddedBroker, type EmbeddedBroker } from '../../../src/bus/embedded-broker/embedded-broker.ts';
import { topicsOf } from '../../../src/bus/topics.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { verifyScrypt } from '../../../src/host/scrypt.ts';
import { dbToAllCpi } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { cpkChunkBytesMax, dbToFlowCpk } from '../../../src/messages/db-to-flow.cpk.ts';
import { dbToRestUser } from '../../../src/messages/db-to-rest.user.ts';
import { decode } from '../../../src/messages/grammar/envelope.ts';
import type { Wire } from '../../../src/messages/grammar/wire.ts';
import { wires } from '../../../src/messages/messages.ts';
import { silentLog } from '../../../src/observability/log.ts';
import type { Database } from '../../../src/postgres/database.ts';
import { readMigrations } from '../../../src/workers/db/migrations.ts';
import { applyMigrations, ensureBootstrapAdmin, publishSnapshot } from '../../../src/workers/db/worker.ts';
import { cpiRecord, cpkRecords, virtualNodeRecord } from '../../../src/workers/db/publication.ts';
import { startTestServer, transactOn, type TestServer } from './database.ts';
import { makeVirtualNode, testCode, testCpi, testVirtualNode } from './virtual-nodes.ts';

let server: TestServer;
let database: Database;
let broker: EmbeddedBroker;
let bus: Bus;
beforeAll(async () => {
  server = await startTestServer();
  database = await server.database();
});
afterAll(() => server.stop());

const openBroker = async (): Promise<void> => {
  broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires, 2), clock: systemClock, log: silentLog });
  bus = broker.connect();
};
beforeEach(openBroker);

/** What a worker that follows the topic has. */
const viewOf = async <Body>(wire: Wire<Body, any>): Promise<Map<string, Body>> => {
  const follower = bus.follow({ topics: [wire.topic], from: 'earliest' });
  await follower.ready;
  const bodies = new Map<string, Body>();
  for (const record of await follower.drain()) {
    const decoded = decode(wire, record);
    if (decoded.type === 'message') bodies.set(record.key, decoded.delivery.body);
    else bodies.delete(record.key);
  }
  await follower.close();
  return bodies;
};

/** Counts what is published from now on. */
const counting = (): { bus: Bus; published: string[] } => {
  const published: string[] = [];
  return {
    published,
    bus: { ...bus, publish: (records) => (published.push(...records.map(({ topic, key }) => `${topic} ${key}`)), bus.publish(records)), follow: (options) => bus.follow(options) },
  };
};

describe('migrations', () => {
  test('have numbers in order, and applying them again changes nothing', async () => {
    const names = readMigrations().map(({ name }) => name);
    expect(names).toEqual(names.toSorted());
    expect(new Set(names.map((name) => name.slice(0, 4))).size).toBe(names.length);
    await applyMigrations(database, silentLog);
    const tables = await database.sql<{ name: string }[]>`select table_schema || '.' || table_name as name from information_schema.tables where table_schema in ('flow', 'link_manager', 'member', 'db', 'config', 'rbac', 'crypto')`;
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['flow.state', 'link_manager.item', 'member.parked', 'db.answer', 'db.parked', 'config.cpi', 'rbac.account', 'crypto.signing_key']));
  });
});

describe('a role that is no superuser', () => {
  test('but may make roles can own the whole cluster', async () => {
    const plain = await server.database('plain');
    const shortHash = await transactOn(plain, makeVirtualNode);
    const operation = { type: 'persist' as const, entity: 'Cat', items: [{ id: 'a', json: '1' }] };
    expect(await transactOn(plain, (tx) => tx.entities.apply([{ flowId: 'f', shortHash, operation }], 0))).toMatchObject([{ type: 'done' }]);
    // The same identity on another cluster of the same server has roles of its own.
    const other = await server.database('plain');
    await transactOn(other, async (tx) => {
      const cpi = testCpi(0);
      await tx.cpis.put(cpi, testCode(cpi));
      const [node] = await transactOn(plain, (first) => first.virtualNodes.list());
      expect(await tx.virtualNodes.create(node!, [])).toEqual({ type: 'created' });
    });
  });
});

describe('the first administrator', () => {
  const admin = (password: string) => ensureBootstrapAdmin({ database, bus, clock: systemClock, log: silentLog, login: 'admin', password });

  test('may log in with the password given, and only its scrypt is kept', async () => {
    await admin('correct horse');
    const user = (await viewOf(dbToRestUser)).get('admin')!;
    expect(user).toMatchObject({ login: 'admin', enabled: true });
    expect(user.password!.n).toBeGreaterThanOrEqual(2 ** 15);
    expect(await verifyScrypt('correct horse', user.password!)).toBe(true);
    expect(await verifyScrypt('correct horses', user.password!)).toBe(false);
    expect(JSON.stringify(await database.sql`select * from rbac.account`)).not.toContain('correct');
  });

  test('keeps its record when the password is the same, and gets a new one when it is not', async () => {
    await admin('first password');
    const before = (await viewOf(dbToRestUser)).get('admin')!;
    await openBroker();
    await admin('first password');
    expect((await viewOf(dbToRestUser)).get('admin')).toEqual(before);
    await admin('second password');
    const after = (await viewOf(dbToRestUser)).get('admin')!;
    expect(await verifyScrypt('second password', after.password!)).toBe(true);
    expect(await verifyScrypt('first password', after.password!)).toBe(false);
  });

  test('is not made without a password or with a login that REST cannot take', async () => {
    await expect(admin('')).rejects.toThrow(/password is empty/);
    await expect(ensureBootstrapAdmin({ database, bus, clock: systemClock, log: silentLog, login: 'a b', password: 'x' })).rejects.toThrow(/login/);
  });
});

describe('snapshot', () => {
  const cpi = testCpi(20);
  const large = testCpi(21);
  const node = testVirtualNode(cpi);
  const code = new Uint8Array(2 * cpkChunkBytesMax + 1).fill(0x20);
  beforeAll(() =>
    transactOn(database, async (tx) => {
      await tx.cpis.put(cpi, testCode(cpi));
      await tx.cpis.put(large, [{ hash: large.cpks[0]!.hash, code, sourceMap: code, schema: null }]);
      await tx.virtualNodes.create(node, []);
    }),
  );

  test('fills an empty broker with everything, code first, and the second time publishes nothing', async () => {
    const first = counting();
    await publishSnapshot({ database, bus: first.bus, log: silentLog });
    expect((await viewOf(dbToAllCpi)).get(cpi.fullChecksum)).toEqual(cpi);
    expect((await viewOf(dbToAllVirtualNode)).get(node.holdingIdentity.shortHash)).toEqual(node);
    expect([...(await viewOf(dbToFlowCpk)).keys()].filter((key) => key.startsWith(large.cpks[0]!.hash))).toHaveLength(6);
    const topics = first.published.map((place) => place.split(' ')[0]);
    expect(topics.lastIndexOf(dbToFlowCpk.topic)).toBeLessThan(topics.indexOf(dbToAllCpi.topic));
    const second = counting();
    await publishSnapshot({ database, bus: second.bus, log: silentLog });
    expect(second.published).toEqual([]);
  });

  test('publishes what is missing or older, and takes back what the database does not know', async () => {
    await publishSnapshot({ database, bus, log: silentLog });
    const stranger = testCpi(22);
    const hash = large.cpks[0]!.hash;
    await bus.publish([cpiRecord(stranger), virtualNodeRecord({ ...node, version: 7 }), { topic: dbToFlowCpk.topic, key: `${hash}/map/1`, value: '{"v":1,"id":"x","body":null}' }]);
    const { bus: watched, published } = counting();
    await publishSnapshot({ database, bus: watched, log: silentLog });
    expect(published.sort()).toEqual(
      [`${dbToAllCpi.topic} ${stranger.fullChecksum}`, `${dbToAllVirtualNode.topic} ${node.holdingIdentity.shortHash}`, ...[0, 1, 2].flatMap((index) => [`${dbToFlowCpk.topic} ${hash}/${index}`, `${dbToFlowCpk.topic} ${hash}/map/${index}`])].sort(),
    );
    expect((await viewOf(dbToAllCpi)).has(stranger.fullChecksum)).toBe(false);
    expect((await viewOf(dbToAllVirtualNode)).get(node.holdingIdentity.shortHash)).toEqual(node);
    expect([...(await viewOf(dbToFlowCpk)).keys()]).toContain(`${hash}/map/1`);
  });

  test('says the same as the handlers did', async () => {
    await publishSnapshot({ database, bus, log: silentLog });
    await bus.publish([...testCode(cpi).flatMap(cpkRecords), cpiRecord(cpi), virtualNodeRecord(node)]);
    const { bus: watched, published } = counting();
    await publishSnapshot({ database, bus: watched, log: silentLog });
    expect(published).toEqual([]);
  });
});
