/** A greeting, and what holds for all resources alike: their versions, the versions of the API, and the document. */
import { describe, expect, test } from 'vitest';
import { routes } from '../../../../src/workers/rest/worker.ts';
import { covers, useCluster } from './cluster.ts';

const cluster = useCluster();
const resources = routes.filter(({ path }) => path.endsWith('/getprotocolversion')).map(({ path }) => path);

covers(cluster, 'POST /hello', 'happy', 'greets the addressee, and says who calls', async ({ call }) => {
  const { json } = await call('POST', '/hello?addressee=you');
  expect(json).toBe('Hello, you! (from admin)');
});

covers(cluster, 'POST /hello', 'refused', 'wants somebody to greet', async ({ call }) => {
  const { status, json } = await call('POST', '/hello');
  expect([status, json.details.parameter]).toEqual([400, 'addressee']);
});

describe('versions', () => {
  test('are told by all nineteen resources of the contract', () => {
    expect(resources).toHaveLength(19);
  });

  test.each(resources)('%s is the platform version, for all API versions, in any case, with a slash or without', async (path) => {
    const { call } = cluster();
    const inV1 = path.replace(/^\/(key|certificate)\//, '/$1s/');
    for (const target of [path, `${path}/`, path.toUpperCase(), `/api/v5_1${path}`, `/api/v1${inV1}`]) {
      const { status, json } = await call('GET', target);
      expect([target, status, json]).toEqual([target, 200, 50_200]);
    }
  });

  test.each(resources)('%s is refused to other methods, which are told what it takes', async (path) => {
    const { status, headers } = await cluster().call('DELETE', path);
    // A path of another operation may take the method, with these words as its parameter.
    expect([status === 405 ? headers.get('allow') : 'other', status < 500]).toEqual([status === 405 ? expect.stringContaining('GET, HEAD') : 'other', true]);
  });
});

describe('version 1', () => {
  test('answers 200 where later versions answer 201, and finds a user by a parameter; what is its alone is deprecated', async () => {
    const { call } = cluster();
    const user = (loginName: string) => ({ json: { createUserType: { enabled: true, fullName: 'Some Body', loginName, initialPassword: 'a-password' } } });
    expect((await call('POST', '/api/v1/user', user('first'))).status).toBe(200);
    expect((await call('POST', '/user', user('second'))).status).toBe(201);
    const found = await call('GET', '/api/v1/user?loginname=first');
    expect([found.status, found.json.loginName, found.headers.get('warning')]).toEqual([200, 'first', expect.stringContaining('299')]);
    expect((await call('GET', '/api/v1/keys/p2p')).headers.get('warning')).toContain('/api/v5_2/key/{tenantid}');
  });
});

describe('the document', () => {
  test('is there for anybody, with Swagger UI beside it', async () => {
    const { url } = cluster();
    const document = (await (await fetch(`${url}/api/v5_2/swagger.json`)).json()) as { paths: object };
    expect(Object.keys(document.paths).sort()).toEqual([...new Set(routes.filter((route) => !('onlyInV1' in route && route.onlyInV1 === true)).map(({ path }) => path as string))].sort());
    const page = await fetch(`${url}/api/v5_2/swagger`);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('swagger-ui-bundle.js')]);
    expect((await fetch(`${url}/api/v5_2/swagger/swagger-ui-bundle.js`)).status).toBe(200);
  });
});

describe('answers', () => {
  test('are JSON or text by Accept, refusals too', async () => {
    const { call } = cluster();
    const asText = await call('GET', '/cpi/status/unknown', { headers: { accept: 'text/plain' } });
    expect([asText.status, asText.headers.get('content-type'), asText.text]).toEqual([400, 'text/plain; charset=utf-8', expect.stringContaining('requestId')]);
    const asJson = await call('GET', '/cpi/status/unknown');
    expect(asJson.json).toEqual({ title: expect.any(String), status: 400, details: expect.any(Object) });
    expect((await call('POST', '/hello?addressee=x', { headers: { accept: '*/*' } })).text).toBe('Hello, x! (from admin)');
  });

  test('name their request, carry no body for HEAD, and tell the methods of a path to OPTIONS', async () => {
    const { call } = cluster();
    expect((await call('GET', '/cpi', { headers: { 'x-request-id': 'black-box-1' } })).headers.get('x-request-id')).toBe('black-box-1');
    const head = await call('HEAD', '/cpi');
    expect([head.status, head.text]).toEqual([200, '']);
    expect((await call('OPTIONS', '/cpi')).headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
  });

  test('refuse what cannot be read: repeated keys, half an object, another type, too much', async () => {
    const { call } = cluster();
    const post = (body: string, type = 'application/json') => call('POST', '/virtualnode', { body, headers: { 'content-type': type } });
    expect((await post('{"request":{},"request":{}}')).status).toBe(400);
    expect((await post('{"request":')).status).toBe(400);
    expect((await post('<request/>', 'application/xml')).status).toBe(415);
    expect((await post(' '.repeat(5_000_000))).status).toBe(413);
    expect((await call('GET', `/cpi/status/${'x'.repeat(9_000)}`)).status).toBe(414);
    expect((await call('GET', '/nowhere')).status).toBe(404);
  });
});
