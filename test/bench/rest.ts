/**
 * How many flows a second one rest worker starts, and how many it starts and tells the end of in one call each, when nothing behind it takes
 * time: a flow room that answers whole batches on a broker in memory, and completes every flow at once. Every call is authenticated. The
 * floor is a bare Hono server that answers the same requests with the same bodies, to the same client in the same process.
 */
import type { AddressInfo } from 'node:net';
import { serve, type ServerType } from '@hono/node-server';
import { Hono } from 'hono';
import { openEmbeddedBroker } from '../../src/bus/embedded-broker/embedded-broker.ts';
import type { Bus } from '../../src/bus/bus.ts';
import { topicsOf } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/host/clock.ts';
import { listen } from '../../src/host/http-server.ts';
import { allToRestAnswer } from '../../src/messages/all-to-rest.answer.ts';
import { flowToRestStatus } from '../../src/messages/flow-to-rest.status.ts';
import { answerTo, decode, encode } from '../../src/messages/grammar/envelope.ts';
import type { OutRecord } from '../../src/messages/grammar/record.ts';
import { wires } from '../../src/messages/messages.ts';
import { restToFlowStart } from '../../src/messages/rest-to-flow.start.ts';
import { createLog, silentLog } from '../../src/observability/log.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { createRequests } from '../../src/shell/create-requests.ts';
import { createRestWorker } from '../../src/workers/rest/worker.ts';
import { openHttpLoad } from './http-load.ts';
import { benchSeconds, runFor } from './load.ts';
import { ms } from './machine.ts';
import { admin, alice, aliceHash, cpi, everythingRole, userOf } from '../workers/rest/rest-under-test.ts';

const measuredSeconds = benchSeconds(5);
const warmUpSeconds = measuredSeconds / 2;
const callers = 32;

const answerFlows = async (bus: Bus): Promise<void> => {
  const consumer = bus.consume({ group: 'flow', instance: 'one', topics: [restToFlowStart.topic] });
  for (;;) {
    const records = await consumer.poll({ timeoutMs: 60_000, recordsMax: 500 });
    const out: OutRecord[] = [];
    for (const record of records) {
      const decoded = decode(restToFlowStart, record);
      if (decoded.type !== 'message') continue;
      const { key: flowId, body } = decoded.delivery;
      const timestamp = Date.now();
      out.push(answerTo(decoded.delivery, { type: 'done', value: { type: 'accepted', flowId, timestamp } })!);
      const status = { holdingIdentityShortHash: body.holdingIdentity.shortHash, clientRequestId: body.clientRequestId, flowId, flowResult: null, flowError: null, timestamp };
      out.push(encode(flowToRestStatus, { key: flowId, id: `${flowId}/1`, body: { ...status, flowStatus: 'RUNNING' } }));
      out.push(encode(flowToRestStatus, { key: flowId, id: `${flowId}/2`, body: { ...status, flowStatus: 'COMPLETED', flowResult: '{"greeting":"Hello"}' } }));
    }
    if (out.length > 0) await bus.publish(out);
  }
};

/** The views of a cluster that does not change. */
const fixedView = <Body>(key: string, body: Body) => ({ get: (asked: string) => (asked === key ? body : undefined), entries: () => new Map([[key, body]]).entries(), refresh: async () => {} });

/** Starts a flow; gives the status. */
type Call = (path: string, body: string) => Promise<number>;

/** What a start answers, and with what. */
const kinds = { 'started and ended': { query: '?wait=10000', status: 200 }, started: { query: '', status: 202 } } as const;
type Kind = keyof typeof kinds;

/** Flows a second. */
const measure = async (label: string, kind: Kind, call: Call, seconds = measuredSeconds): Promise<number> => {
  const { query, status: wanted } = kinds[kind];
  const cpuFrom = process.cpuUsage();
  const { count, perSecond, p50, p99 } = await runFor(callers, seconds * 1_000, async (index) => {
    const id = `${label}-${kind.length}-${seconds}-${index}`;
    const status = await call(`/api/v5_2/flow/${aliceHash}${query}`, `{"clientRequestId":"${id}","flowClassName":"com.example.Ping","requestBody":{"to":"Bob"}}`);
    if (status !== wanted) throw new Error(`${id}: ${status}`);
  });
  const { user, system } = process.cpuUsage(cpuFrom);
  if (seconds < measuredSeconds) return perSecond;
  console.log(`${label}: ${perSecond.toFixed(0)} flows/s ${kind}, ${callers} callers, p50 ${ms(p50)}, p99 ${ms(p99)}, ${((user + system) / count).toFixed(0)} µs of CPU each in all parts`);
  return perSecond;
};

const headers = { authorization: admin, 'content-type': 'application/json' };

type Door = { readonly port: number; close(): unknown };

/** The same client against whatever answers. */
const overHttp = async (label: string, kind: Kind, open: () => Promise<Door>): Promise<number> => {
  const door = await open();
  const http = openHttpLoad(`http://127.0.0.1:${door.port}`, callers);
  const call: Call = async (path, body) => (await http.ask({ method: 'POST', path, headers, body })).status;
  await measure(label, kind, call, warmUpSeconds);
  const perSecond = await measure(label, kind, call);
  await http.close();
  await door.close();
  return perSecond;
};

const openBareHono = (): Promise<Door> =>
  new Promise((resolve) => {
    // A TCP server has an address of this kind.
    const started: ServerType = serve({ fetch: bareHono().fetch, hostname: '127.0.0.1', port: 0 }, () => resolve({ port: (started.address() as AddressInfo).port, close: () => started.close() }));
  });

const bareHono = (): Hono => {
  const app = new Hono();
  const timestamp = new Date().toISOString();
  const answer = (clientRequestId: string, flowStatus: string) => ({ clientRequestId, flowError: null, flowId: null, flowStatus, holdingIdentityShortHash: aliceHash, timestamp, json: { greeting: 'Hello' } });
  app.post('/api/v5_2/flow/:hash', async (context) => {
    const { clientRequestId } = await context.req.json<{ clientRequestId: string }>();
    return context.req.query('wait') === undefined ? context.json(answer(clientRequestId, 'START_REQUESTED'), 202) : context.json(answer(clientRequestId, 'COMPLETED'));
  });
  return app;
};

const nothing = { get: () => undefined, entries: () => new Map().entries(), refresh: async () => {} };

export const run = async (): Promise<void> => {
  const broker = await openEmbeddedBroker({ storage: { type: 'memory' }, topics: topicsOf(wires), clock: systemClock, log: silentLog });
  const bus = broker.connect();
  void answerFlows(bus).catch(() => {});
  const requests = await createRequests({ bus, room: 'rest', answerWire: allToRestAnswer, instance: 'bench', log: silentLog });
  const worker = createRestWorker({
    requests,
    views: { users: fixedView('admin', userOf('admin', 'admin-password')), cpis: fixedView(cpi.fullChecksum, cpi), virtualNodes: fixedView(aliceHash, alice), roles: fixedView(everythingRole.id, everythingRole), permissions: nothing, config: nothing },
    statusFollower: bus,
    clock: systemClock,
    log: createLog({ level: 'info', write: () => {} }),
    metrics: createMetrics(),
  });

  const direct: Call = async (path, body) => {
    const response = await worker.fetch(new Request(`http://rest.test${path}`, { method: 'POST', headers, body }));
    await response.text();
    return response.status;
  };

  await measure('fetch', 'started and ended', direct, warmUpSeconds);
  await measure('fetch', 'started and ended', direct);
  for (const kind of ['started', 'started and ended'] as const) {
    const [ours, floor] = [await overHttp('http', kind, () => listen({ fetch: worker.fetch, hostname: '127.0.0.1', port: 0 })), await overHttp('floor', kind, openBareHono)];
    console.log(`${kind}: ${(ours / floor).toFixed(2)} of the floor`);
  }
  await worker.close();
  await requests.close();
  await bus.close();
  await broker.close();
};

if (import.meta.main) await run();
