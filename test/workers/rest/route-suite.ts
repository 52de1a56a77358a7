/** What the REST API promises on every runtime: declared once, run on Node, Deno and workerd. It speaks HTTP to whatever serves. */
import { describe, expect, test } from 'vitest';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { admin, aliceHash, mallory } from './rest-under-test.ts';
import { doneWith, refusedWith, type Rooms } from './rooms.ts';

export type Served = { readonly url: string; readonly rooms: Rooms };
type Answer = { readonly status: number; readonly headers: Headers; readonly text: string; readonly json: any };

const start = { flowClassName: 'com.example.Ping', requestBody: { to: 'Bob' } };
const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

/** @param name of the runtime; ids are made from it, so that runs do not meet. */
export const describeRoutes = (name: string, served: () => Served): void => {
  const call = async (method: string, path: string, { json, ...more }: { json?: unknown; body?: BodyInit; headers?: Record<string, string> } = {}): Promise<Answer> => {
    const response = await fetch(`${served().url}${path.startsWith('/api/') ? path : `/api/v5_2${path}`}`, {
      method,
      ...more,
      headers: { authorization: admin, accept: 'application/json', ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...more.headers },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: text.startsWith('{') || text.startsWith('[') || text.startsWith('"') ? JSON.parse(text) : text };
  };
  const statusOf = async (...given: Parameters<typeof call>): Promise<number> => (await call(...given)).status;
  const flows = `/flow/${aliceHash}`;

  describe(`the routes on ${name}`, () => {
    test('paths: any case, a trailing slash, three versions; what is unknown is 404', async () => {
      for (const path of ['/hello/getprotocolversion', '/HELLO/GetProtocolVersion/', '/api/v1/hello/getprotocolversion', '/api/v5_1/hello/getprotocolversion', '/api/v1/keys/getprotocolversion']) {
        expect([path, await statusOf('GET', path)]).toEqual([path, 200]);
      }
      for (const path of ['/nowhere', '/api/v5_3/hello/getprotocolversion', '/api/v5_2']) expect([path, await statusOf('GET', path)]).toEqual([path, 404]);
    });

    test('methods: 405 names those that are taken, OPTIONS too; HEAD has no body', async () => {
      const refused = await call('DELETE', '/cpi');
      expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS, POST']);
      expect((await call('OPTIONS', '/cpi')).headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
      const head = await call('HEAD', '/hello/getprotocolversion');
      expect([head.status, head.text]).toEqual([200, '']);
    });

    test('bodies: flat or nested; what cannot be read is 400, 415 or 413', async () => {
      expect(await statusOf('POST', flows, { json: { ...start, clientRequestId: `${name}-flat` } })).toBe(202);
      expect(await statusOf('POST', flows, { json: { startFlow: { ...start, clientRequestId: `${name}-nested` } } })).toBe(202);
      const type = { 'content-type': 'application/json' };
      expect(await statusOf('POST', flows, { body: '{"startFlow":', headers: type })).toBe(400);
      expect(await statusOf('POST', flows, { body: '{"clientRequestId":"a","clientRequestId":"b"}', headers: type })).toBe(400);
      expect(await statusOf('POST', flows, { body: '<a/>', headers: { 'content-type': 'application/xml' } })).toBe(415);
      expect(await statusOf('POST', flows, { body: ' '.repeat(5_000_000), headers: type })).toBe(413);
    });

    test('errors: JSON or text by Accept, with the title, the status and details', async () => {
      const refused = await call('GET', '/flow/alice');
      expect(refused.json).toEqual({ title: expect.any(String), status: 400, details: expect.objectContaining({ parameter: 'holdingidentityshorthash' }) });
      const asText = await call('GET', '/flow/alice', { headers: { accept: 'text/plain' } });
      expect([asText.status, asText.headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
      const nobody = await call('GET', '/cpi', { headers: { authorization: '' } });
      expect([nobody.status, nobody.headers.get('www-authenticate')]).toEqual([401, expect.stringContaining('Basic realm=')]);
    });

    test('flows: 404, 405, 409, 400 and 202 as Corda answers them; a list in pages', async () => {
      const id = `${name}-flow`;
      expect(await statusOf('POST', '/flow/0123456789AB', { json: { ...start, clientRequestId: id } })).toBe(404);
      expect(await statusOf('POST', `/flow/${mallory.holdingIdentity.shortHash}`, { json: { ...start, clientRequestId: id } })).toBe(405);
      expect(await statusOf('POST', flows, { json: { ...start, flowClassName: 'com.example.Pong', clientRequestId: id } })).toBe(400);
      expect(await statusOf('POST', flows, { json: { ...start, clientRequestId: id } })).toBe(202);
      expect(await statusOf('POST', flows, { json: { ...start, clientRequestId: id } })).toBe(409);
      expect(await statusOf('GET', `${flows}/${id}/result`)).toBe(202);
      await served().rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '{"greeting":"Hello"}' });
      const ended = await call('GET', `${flows}/${id}/result?wait=PT10S`);
      expect([ended.status, ended.json.json]).toEqual([200, { greeting: 'Hello' }]);
      expect((await call('GET', `${flows}?limit=1`)).json.flowStatusResponses).toHaveLength(1);
    });

    test('files arrive whole, and an operation without a value answers 204', async () => {
      const { rooms } = served();
      rooms.on(restToDbCpi, () => doneWith({}));
      rooms.on(restToDbCertificate, () => doneWith({}));
      const upload = new FormData();
      upload.append('upload', new Blob([new Uint8Array(1_500_000)]));
      expect(await statusOf('POST', '/cpi', { body: upload })).toBe(200);
      const certificate = new FormData();
      certificate.append('alias', name);
      certificate.append('certificate', new Blob([pem]));
      const imported = await call('PUT', '/certificate/cluster/code-signer', { body: certificate });
      expect([imported.status, imported.text]).toEqual([204, '']);
      expect(rooms.heard(restToDbCertificate).at(-1)).toMatchObject({ alias: name, pem });
    });

    test('a room that refuses or cannot now is told by its status', async () => {
      const { rooms } = served();
      rooms.on(restToDbCertificate, () => refusedWith('DB_CERTIFICATE_NOT_FOUND'));
      expect(await statusOf('GET', '/certificate/cluster/p2p-tls/none')).toBe(404);
      rooms.on(restToDbCpi, () => refusedWith('DB_UPLOAD_LIMIT'));
      const upload = new FormData();
      upload.append('upload', new Blob(['x']));
      const busy = await call('POST', '/cpi', { body: upload });
      expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '1']);
    });

    test('a feed of events tells every status and ends', async () => {
      const id = `${name}-events`;
      const feed = call('GET', `${flows}/${id}/events`, { headers: { accept: 'text/event-stream' } });
      await call('POST', flows, { json: { ...start, clientRequestId: id } });
      await served().rooms.flows.move(aliceHash, id, 'RUNNING');
      await served().rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '1' });
      expect([...(await feed).text.matchAll(/^id: (\w+)$/gm)].at(-1)?.[1]).toBe('COMPLETED');
    });

    test('the document stands without a login, and Swagger UI or a page in its place', async () => {
      const anybody = { headers: { authorization: '' } };
      expect((await call('GET', '/swagger.json', anybody)).json.openapi).toBe('3.0.1');
      expect((await call('GET', '/swagger', anybody)).text).toContain('<!doctype html>');
    });
  });
};

/** For runtimes that have WebSockets. */
export const describeSocketFeed = (name: string, served: () => Served): void => {
  test(`the feed over a WebSocket on ${name} tells every status and closes`, async () => {
    const { WebSocket } = await import('ws');
    const id = `${name}-socket`;
    const { url, rooms } = served();
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/flow/${aliceHash}/${id}`, { headers: { authorization: admin } });
    const heard: string[] = [];
    const closed = new Promise<number>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', resolve);
    });
    socket.on('message', (data) => heard.push((JSON.parse(String(data)) as { flowStatus: string }).flowStatus));
    await new Promise((resolve) => socket.on('open', resolve));
    await fetch(`${url}/api/v5_2/flow/${aliceHash}`, { method: 'POST', headers: { authorization: admin, 'content-type': 'application/json' }, body: JSON.stringify({ ...start, clientRequestId: id }) });
    await rooms.flows.move(aliceHash, id, 'RUNNING');
    await rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '1' });
    expect([await closed, heard.at(-1)]).toEqual([1000, 'COMPLETED']);
  });
};
