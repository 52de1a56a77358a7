/** From the journal store to the caller: a real flow room over a real PostgreSQL whose states another transaction has locked. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toBase64url, utf8 } from '../../../src/cipher/bytes.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { dbToAllCpi } from '../../../src/messages/db-to-all.cpi.ts';
import { dbToAllVirtualNode } from '../../../src/messages/db-to-all.virtual-node.ts';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { restToFlowStart } from '../../../src/messages/rest-to-flow.start.ts';
import { silentLog } from '../../../src/observability/log.ts';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { createPostgresParkingLot } from '../../../src/postgres/parking-lot.ts';
import { createPostgresStateStore } from '../../../src/postgres/state-store.ts';
import { openView } from '../../../src/shell/open-view.ts';
import { runWorker, type RunningWorker } from '../../../src/shell/run-worker.ts';
import { createFlowWorker, createTrustingSandbox, type FlowViews } from '../../../src/workers/flow/worker.ts';
import { startTestServer, type TestServer } from '../../postgres/server.ts';
import { bundleOf } from '../flow/world/bundle.ts';
import { viewOf } from '../flow/world/world.ts';
import { aliceHash, cpi, openRest, virtualNodeOf, type Answer, type RestUnderTest } from './rest-under-test.ts';

let server: TestServer;
beforeAll(async () => void (server = await startTestServer()));
afterAll(() => server.stop());

const code = `export const flows = [startableFlow({ name: 'com.example.Ping', run: async () => 'pong' })];`;
const carol = virtualNodeOf('CN=Carol, O=Carol Corp, L=London, C=GB');
const carolHash = carol.holdingIdentity.shortHash;

/** The real flow room, on the bus of the rest worker. */
const runFlowRoom = async ({ bus, rooms }: RestUnderTest, schema: string): Promise<RunningWorker> => {
  // The stand-in of the flow room keeps silent.
  rooms.on(restToFlowStart, () => 'silent');
  rooms.on(restToFlowQuery, () => 'silent');
  const [virtualNodes, cpis] = await Promise.all([openView({ bus, wire: dbToAllVirtualNode, log: silentLog }), openView({ bus, wire: dbToAllCpi, log: silentLog })]);
  const { hash } = cpi.cpks[0]!;
  const chunk = { hash, index: 0, count: 1, sourceMapCount: 0, bytes: toBase64url(utf8(await bundleOf(code))) };
  const views: FlowViews = { virtualNodes, cpis, cpks: viewOf([[`${hash}/0`, chunk]]), members: viewOf([]), groupParameters: viewOf([]) };
  const { database } = server;
  const worker = createFlowWorker({ views, sandbox: createTrustingSandbox(), log: silentLog, metrics: createMetrics() });
  const close = async (): Promise<void> => {
    await worker.close?.();
    await Promise.all([virtualNodes.close(), cpis.close()]);
  };
  return runWorker({
    worker: { ...worker, close },
    bus,
    instance: 'flow-1',
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics(),
    states: createPostgresStateStore({ database, schema }),
    parking: createPostgresParkingLot({ database, schema }),
  });
};

/** Keeps every other transaction from the states until it is let go. */
const lockStates = async (schema: string): Promise<() => Promise<void>> => {
  const locked = Promise.withResolvers<void>();
  const free = Promise.withResolvers<void>();
  const locking = server.database.transact(async (sql) => {
    await sql.unsafe(`lock table ${schema}.state in access exclusive mode`);
    locked.resolve();
    await free.promise;
  });
  await locked.promise;
  return async () => {
    free.resolve();
    await locking;
  };
};

test('while the store stalls, starts beyond the bound are refused with Retry-After; all that were taken are kept, and all are taken afterwards', { timeout: 30_000 }, async () => {
  const rest = await openRest({ limits: { startsUnansweredMax: 6, startsUnansweredPerNodeMax: 4 } });
  await rest.publishVirtualNode(carol);
  const schema = await server.makeSchema();
  const flowRoom = await runFlowRoom(rest, schema);
  const answers: Answer[] = [];
  const refused = Promise.withResolvers<void>();
  const start = async (node: string, id: string, suffix = ''): Promise<Answer> => {
    const answer = await rest.call('POST', `/flow/${node}${suffix}`, { json: { clientRequestId: id, flowClassName: 'com.example.Ping', requestBody: {} } });
    answers.push(answer);
    // Four places for one node, and what the other finds free: two.
    if (answers.length === 10) refused.resolve();
    return answer;
  };
  const letGo = await lockStates(schema);
  const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `start-${i}`);
  const first = [...ids(10).map((id) => start(aliceHash, id)), ...ids(6).map((id) => start(carolHash, id))];
  await refused.promise;
  expect(answers.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual(Array.from({ length: 10 }, () => [503, '1']));

  await letGo();
  const statuses = (await Promise.all(first)).map(({ status }) => status);
  expect(statuses.slice(0, 10)).toEqual([202, 202, 202, 202, 503, 503, 503, 503, 503, 503]);
  expect(statuses.slice(10)).toEqual([202, 202, 503, 503, 503, 503]);

  for (const id of ids(10).slice(4)) expect((await start(aliceHash, id, '?wait=20000')).status).toBe(200);
  for (const id of ids(10)) {
    const { json } = await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=20000`);
    expect([json.flowStatus, json.json]).toEqual(['COMPLETED', 'pong']);
  }
  const [row] = await server.database.sql.unsafe<{ flows: number }[]>(`select count(*)::integer as flows from ${schema}.state`);
  expect(row!.flows).toBe(12);
  await flowRoom.stop();
  await rest.close();
});
