/** The typed client against the server whose types it has: a rest worker behind Node's HTTP server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listen, type Listener } from '../../src/host/http-server.ts';
import { restToDbCertificate } from '../../src/messages/rest-to-db.certificate.ts';
import { followFlow } from '../../src/rest-client/follow-flow.ts';
import { createRestClient, RestError, RestUnreachable, type OperationName, type RestClient } from '../../src/rest-client/rest-client.ts';
import { until, untilFlowEnded, WaitTimeout } from '../../src/rest-client/waits.ts';
import { aliceHash, openRest, userOf, type RestUnderTest } from '../workers/rest/rest-under-test.ts';
import { doneWith } from '../workers/rest/rooms.ts';

let rest: RestUnderTest;
let server: Listener;
let client: RestClient;
const credentials = { login: 'admin', password: 'admin-password' };
beforeAll(async () => {
  rest = await openRest();
  server = await listen({ fetch: rest.worker.fetch, hostname: '127.0.0.1', port: 0 });
  client = createRestClient({ url: `${server.url}/`, credentials });
});
afterAll(async () => {
  await server.close();
  await rest.close();
});

const greeting = (clientRequestId: string) => ({ path: { holdingidentityshorthash: aliceHash }, json: { clientRequestId, flowClassName: 'com.example.Ping', requestBody: {} } });

describe('a call', () => {
  test('sends path, query and JSON where they belong, and gives the value in its type', async () => {
    const started = await client.ask('POST /flow/{holdingidentityshorthash}', greeting('typed 1'.replace(' ', '-')));
    expect([started.status, started.value.flowStatus, started.value.flowId]).toEqual([202, 'START_REQUESTED', null]);
    const listed = await client.call('GET /flow/{holdingidentityshorthash}', { path: { holdingidentityshorthash: aliceHash }, query: { status: undefined } });
    expect(listed.flowStatusResponses.map(({ clientRequestId }) => clientRequestId)).toEqual(['typed-1']);
    expect(await client.call('POST /hello', { query: { addressee: 'a b&c=d' } })).toBe('Hello, a b&c=d! (from admin)');
    expect(await client.call('GET /hello/getprotocolversion')).toBeTypeOf('number');
  });

  test('sends files, several under one name', async () => {
    rest.rooms.on(restToDbCertificate, () => doneWith({}));
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    const value = await client.call('PUT /certificate/cluster/{usage}', { path: { usage: 'code-signer' }, form: { alias: 'a', certificate: [new Blob([pem]), new Blob([pem])] } });
    expect(value).toBeUndefined();
    expect(rest.rooms.heard(restToDbCertificate).at(-1)).toMatchObject({ alias: 'a', pem: pem + pem });
  });

  test('that is refused throws what the server says', async () => {
    const refused = await client.call('GET /flow/{holdingidentityshorthash}/{clientrequestid}', { path: { holdingidentityshorthash: aliceHash, clientrequestid: 'none' } }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RestError);
    expect(refused).toMatchObject({ status: 404, code: 'REST_FLOW_UNKNOWN', title: expect.stringContaining('none'), requestId: expect.stringMatching(/^[-0-9a-f]{36}$/) });
  });

  test('that nobody answers throws that, not what the platform calls it', async () => {
    await expect(createRestClient({ url: 'http://127.0.0.1:9', credentials }).call('GET /cpi')).rejects.toBeInstanceOf(RestUnreachable);
    const silent = createRestClient({ url: server.url, credentials, timeoutMs: 20, fetch: (_url, { signal }) => new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason as Error))) });
    await expect(silent.call('GET /cpi')).rejects.toBeInstanceOf(RestUnreachable);
  });

  test('takes a password of any letters, and a token that is asked for each time', async () => {
    await rest.publishUser(userOf('anna', 'grün-ß'));
    expect(await createRestClient({ url: server.url, credentials: { login: 'anna', password: 'grün-ß' } }).call('POST /hello', { query: { addressee: 'x' } })).toContain('anna');
    const sent: string[] = [];
    let count = 0;
    const bearer = createRestClient({
      url: server.url,
      credentials: { token: async () => `token-${++count}` },
      fetch: async (_url, init) => (sent.push(new Headers(init.headers).get('authorization')!), Response.json({ cpis: [] })),
    });
    await bearer.call('GET /cpi');
    await bearer.call('GET /cpi');
    expect(sent).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  test('is checked by its types before it is made', () => {
    const calls = (): unknown[] => [
      // @ts-expect-error -- there is no such operation; were a path of a route any text, this line would pass
      client.call('GET /nowhere'),
      // @ts-expect-error -- the addressee is missing
      client.call('POST /hello'),
      // @ts-expect-error -- the body is missing
      client.call('POST /flow/{holdingidentityshorthash}', { path: { holdingidentityshorthash: aliceHash } }),
      // @ts-expect-error -- a file is no text
      client.call('POST /cpi', { form: { upload: 'text' } }),
    ];
    expect(calls).toBeTypeOf('function');
    const named: OperationName = 'GET /cpi';
    expect(named).toBe('GET /cpi');
  });
});

describe('waits', () => {
  test('a flow is waited for until it has ended', async () => {
    await client.call('POST /flow/{holdingidentityshorthash}', greeting('waited'));
    const ended = untilFlowEnded(client, aliceHash, 'waited');
    await rest.rooms.flows.move(aliceHash, 'waited', 'RUNNING');
    await rest.rooms.flows.move(aliceHash, 'waited', 'COMPLETED', { flowResult: '{"greeting":"Hello"}' });
    expect(await ended).toMatchObject({ flowStatus: 'COMPLETED', json: { greeting: 'Hello' } });
  });

  test('what does not come about is given up', async () => {
    await expect(until('a miracle', async () => undefined, 1)).rejects.toBeInstanceOf(WaitTimeout);
  });
});

describe('following a flow', () => {
  test('gives each status once, from before its start to its end', async () => {
    const heard: string[] = [];
    const following = (async () => {
      for await (const { flowStatus } of followFlow(client, aliceHash, 'followed')) {
        heard.push(flowStatus);
        if (flowStatus === 'START_REQUESTED') await rest.rooms.flows.move(aliceHash, 'followed', 'RUNNING');
        if (flowStatus === 'RUNNING') await rest.rooms.flows.move(aliceHash, 'followed', 'COMPLETED', { flowResult: '1' });
      }
    })();
    await client.call('POST /flow/{holdingidentityshorthash}', greeting('followed'));
    await following;
    expect(heard).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED']);
  });

  test('ends when it is told to', async () => {
    const ending = new AbortController();
    const following = followFlow(client, aliceHash, 'never', ending.signal).next();
    ending.abort();
    expect(await following).toEqual({ done: true, value: undefined });
  });

  test('that is refused says why', async () => {
    await expect(followFlow(client, 'ABABABABABAB', 'x').next()).rejects.toMatchObject({ status: 404 });
  });
});
