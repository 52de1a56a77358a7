import { randomUUID } from 'node:crypto';
import { beforeAll, expect } from 'vitest';
import { alice, bob, covers, useCluster } from './cluster.ts';

const cluster = useCluster();
let hash: string;
beforeAll(async () => {
  const { installApp, addMember } = cluster();
  const app = await installApp();
  hash = await addMember(app, alice);
  await addMember(app, bob);
});

const greet = (clientRequestId: string) => ({ clientRequestId, flowClassName: 'com.cordage.samples.Greet', requestBody: { otherMember: bob } });

covers(cluster, ['POST /flow/{holdingidentityshorthash}', 'GET /flow/{holdingidentityshorthash}/{clientrequestid}'], 'happy', 'a flow is started, and ends with its result', async ({ call, until }) => {
  const id = randomUUID();
  const started = await call('POST', `/flow/${hash}`, { json: greet(id) });
  expect([started.status, started.json]).toEqual([
    202,
    { holdingIdentityShortHash: hash, clientRequestId: id, flowId: null, flowStatus: 'START_REQUESTED', flowResult: null, flowError: null, timestamp: expect.any(String) },
  ]);
  const ended = await until('GET', `/flow/${hash}/${id}`, ({ json }) => json.flowStatus === 'COMPLETED');
  expect(ended.json.flowResult).toBe('Hello Alice, best wishes from Bob');
});

covers(cluster, 'GET /flow/{holdingidentityshorthash}', 'happy', 'flows are listed newest first, page by page, and by status', async ({ call, until }) => {
  const ids = Array.from({ length: 5 }, (_, i) => `page-${i}`);
  for (const id of ids) await call('POST', `/flow/${hash}`, { json: greet(id) });
  for (const id of ids) await until('GET', `/flow/${hash}/${id}`, ({ json }) => json.flowStatus === 'COMPLETED');
  const seen: string[] = [];
  for (let after = ''; ; ) {
    const { json } = await call('GET', `/flow/${hash}?limit=2${after}`);
    if (json.flowStatusResponses.length === 0) break;
    expect(json.flowStatusResponses.length).toBeLessThanOrEqual(2);
    seen.push(...json.flowStatusResponses.map(({ clientRequestId }: { clientRequestId: string }) => clientRequestId));
    after = `&after=${json.flowStatusResponses.at(-1).flowId}`;
  }
  expect(seen.slice(0, 5)).toEqual(ids.toReversed());
  expect(new Set(seen).size).toBe(seen.length);
  const failed = await call('GET', `/flow/${hash}?status=failed`);
  expect(failed.json.flowStatusResponses).toEqual([]);
});

covers(cluster, 'GET /flow/{holdingidentityshorthash}', 'refused', 'an unknown status, a page behind nothing, and a virtual node that is not there', async ({ call }) => {
  expect((await call('GET', `/flow/${hash}?status=retrying`)).status).toBe(400);
  expect((await call('GET', `/flow/${hash}?after=first`)).status).toBe(400);
  expect((await call('GET', '/flow/ABABABABABAB')).status).toBe(404);
  expect((await call('GET', '/flow/alice')).status).toBe(400);
});

covers(cluster, 'POST /flow/{holdingidentityshorthash}', 'refused', 'a start is checked in the order in which Corda checks it', async ({ call }) => {
  const start = async (path: string, json: unknown): Promise<number> => (await call('POST', `/flow/${path}`, { json })).status;
  const body = greet('refused-1');
  expect(await start('alice', body)).toBe(400);
  expect(await start('ABABABABABAB', { ...body, clientRequestId: 'not allowed' })).toBe(404);
  expect(await start(hash, { ...body, clientRequestId: 'not allowed', flowClassName: 'no such flow' })).toBe(400);
  const unknown = await call('POST', `/flow/${hash}`, { json: { ...body, flowClassName: 'com.example.Nothing' } });
  expect([unknown.status, unknown.json.details.startableFlows]).toEqual([400, expect.stringContaining('com.cordage.samples.Greet')]);
  const nested = await call('POST', `/flow/${hash}`, { json: { startFlow: body } });
  expect(nested.status).toBe(202);
  const again = await call('POST', `/flow/${hash}`, { json: body });
  expect([again.status, again.json.title]).toEqual([409, expect.stringContaining('already started')]);
});

covers(cluster, 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/result', 'happy', 'a result is 200 once the flow has ended, with its value as JSON; a wait holds the answer until then', async ({ call }) => {
  const started = await call('POST', `/flow/${hash}?wait=PT10S`, { json: greet('waited') });
  expect([started.status, started.json.flowStatus]).toEqual([200, 'COMPLETED']);
  const result = await call('GET', `/flow/${hash}/waited/result?wait=PT10S`);
  expect([result.status, result.json.json]).toEqual([200, 'Hello Alice, best wishes from Bob']);
  // Whoever knows only the older versions is told the same.
  expect((await call('GET', `/api/v1/flow/${hash}/waited/result`)).json.json).toBe('Hello Alice, best wishes from Bob');
});

covers(cluster, ['GET /flow/{holdingidentityshorthash}/{clientrequestid}', 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/result', 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/journal'], 'refused', 'a flow that nobody started is 404', async ({ call }) => {
  for (const path of ['', '/result', '/journal']) {
    const answer = await call('GET', `/flow/${hash}/nobody-started-this${path}`);
    expect([answer.status, answer.json.details.code]).toEqual([404, 'REST_FLOW_UNKNOWN']);
  }
});

covers(
  cluster,
  ['POST /flow/{holdingidentityshorthash}/{clientrequestid}/kill', 'POST /flow/{holdingidentityshorthash}/{clientrequestid}/redrive'],
  'refused',
  'a flow that has ended is not killed, one that did not fail is not driven again',
  async ({ call }) => {
    await call('POST', `/flow/${hash}?wait=PT10S`, { json: greet('ended') });
    expect((await call('POST', `/flow/${hash}/ended/kill`)).status).toBe(409);
    expect((await call('POST', `/flow/${hash}/ended/redrive`)).status).toBe(409);
    expect((await call('POST', `/flow/${hash}/never/kill`)).status).toBe(404);
  },
);

covers(cluster, 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/journal', 'happy', 'the journal of a flow tells its operations', async ({ call }) => {
  await call('POST', `/flow/${hash}?wait=PT10S`, { json: greet('journal') });
  const { json } = await call('GET', `/flow/${hash}/journal/journal`);
  expect(json.flow).toMatchObject({ flowClassName: 'com.cordage.samples.Greet', startedBy: 'admin' });
  expect(json.parts.length).toBeGreaterThan(1);
});

covers(cluster, 'GET /flowclass/{holdingidentityshorthash}', 'happy', 'the flows that may be started are listed', async ({ call }) => {
  expect((await call('GET', `/flowclass/${hash}`)).json.flowClassNames).toContain('com.cordage.samples.Greet');
});

covers(cluster, 'GET /flowclass/{holdingidentityshorthash}', 'refused', 'an unknown virtual node is 404, a malformed short hash 400', async ({ call }) => {
  expect((await call('GET', '/flowclass/ABABABABABAB')).status).toBe(404);
  expect((await call('GET', '/flowclass/x')).status).toBe(400);
});

covers(cluster, 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/events', 'happy', 'a feed that is opened before its flow tells every status and ends', async ({ call }) => {
  const feed = call('GET', `/flow/${hash}/fed/events`, { headers: { accept: 'text/event-stream' } });
  await call('POST', `/flow/${hash}`, { json: greet('fed') });
  const told = [...(await feed).text.matchAll(/^id: (\w+)$/gm)].map(([, status]) => status);
  expect(told.at(-1)).toBe('COMPLETED');
  expect(told).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED'].filter((status) => told.includes(status)));
});

covers(cluster, 'GET /flow/{holdingidentityshorthash}/{clientrequestid}/events', 'refused', 'a feed of an unknown virtual node is 404', async ({ call }) => {
  expect((await call('GET', '/flow/ABABABABABAB/x/events')).status).toBe(404);
});
