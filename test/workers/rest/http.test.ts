import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOpenApi } from '../../../src/workers/rest/openapi/openapi.ts';
import { routes } from '../../../src/workers/rest/api/api.ts';
import { restToDbCertificate } from '../../../src/messages/rest-to-db.certificate.ts';
import { restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { aliceHash, openRest, type RestUnderTest } from './rest-under-test.ts';
import { doneWith } from './rooms.ts';

let rest: RestUnderTest;
beforeAll(async () => {
  rest = await openRest({ limits: { jsonBytesMax: 2_000, uploadBytesMax: 5_000, urlCharsMax: 500 } });
});
afterAll(() => rest.close());

const start = { clientRequestId: 'x', flowClassName: 'com.example.Ping', requestBody: {} };
const streamOf = (...texts: string[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start: (controller) => {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });

describe('paths', () => {
  test.each(['/cpi/', '/CPI', '/Cpi/GetProtocolVersion', '/api/v5_2/cpi', '/API/V5_2/cpi'])('%s leads to its operation', async (path) => {
    expect((await rest.call('GET', path)).status).toBe(200);
  });

  test.each(['v1', 'v5_1', 'v5_2'])('%s serves the operations', async (version) => {
    expect((await rest.call('GET', `/flowclass/${aliceHash}`, { version })).status).toBe(200);
  });

  test.each(['/nothing', '/cpi/a/b/c', '/cpi//', '//cpi', '/', '', '/flow', '/api/v5_3/cpi', `/${'a/'.repeat(100)}`, '/__proto__', '/cpi/constructor/prototype/x'])('%j is 404', async (path) => {
    expect((await rest.call('GET', path)).status).toBe(404);
  });

  test('keep the case of parameters', async () => {
    await rest.call('POST', `/FLOW/${aliceHash.toLowerCase()}`, { json: { ...start, clientRequestId: 'CamelCase' } });
    expect((await rest.call('GET', `/flow/${aliceHash}/CamelCase`)).status).toBe(200);
    expect((await rest.call('GET', `/flow/${aliceHash}/camelcase`)).status).toBe(404);
  });

  test('are decoded once, and 400 when that fails', async () => {
    expect((await rest.call('GET', '/cpi/status/%ff')).json.details.parameter).toBe('id');
    expect((await rest.call('GET', '/cpi/status/%2541')).json.title).toBe('No such requestId=%41');
  });

  test('outside the API are 404 without a login', async () => {
    const response = await rest.worker.fetch(new Request('http://rest.test/favicon.ico'));
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([404, null]);
  });

  test('that are too long are 414', async () => {
    expect((await rest.call('GET', `/cpi/status/${'x'.repeat(600)}`)).status).toBe(414);
  });
});

describe('methods', () => {
  test('that an operation does not take are 405 and name those it takes', async () => {
    const answer = await rest.call('DELETE', '/cpi');
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS, POST']);
    expect((await rest.call('PATCH', `/flow/${aliceHash}/r1`)).status).toBe(405);
  });

  test('OPTIONS is told the methods of a path', async () => {
    const answer = await rest.call('OPTIONS', '/hello');
    expect([answer.status, answer.headers.get('allow'), answer.text]).toEqual([204, 'OPTIONS, POST', '']);
    expect((await rest.call('OPTIONS', '/nowhere')).status).toBe(404);
  });

  test('HEAD is GET without a body', async () => {
    const answer = await rest.call('HEAD', '/cpi');
    expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([200, '', 'application/json']);
  });
});

describe('version 1', () => {
  test('has its own names for keys and certificates, which later versions do not, and says that they are deprecated', async () => {
    for (const resource of ['keys', 'certificates']) {
      const answer = await rest.call('GET', `/${resource}/getprotocolversion`, { version: 'v1' });
      expect([answer.status, answer.headers.get('warning')]).toEqual([200, `299 - "Deprecated: /api/v5_2/${resource.slice(0, -1)}/getprotocolversion takes its place"`]);
      expect((await rest.call('GET', `/${resource}/getprotocolversion`)).status).toBe(404);
      expect((await rest.call('GET', `/${resource.slice(0, -1)}/getprotocolversion`)).headers.get('warning')).toBeNull();
    }
  });
});

describe('a request', () => {
  test('is named in its answer as the client named it, else by a name of our own; and so in the log', async () => {
    const named = await rest.call('GET', '/cpi', { headers: { 'x-request-id': 'mine-1' } });
    expect(named.headers.get('x-request-id')).toBe('mine-1');
    expect(rest.logged.find(({ requestId }) => requestId === 'mine-1')).toMatchObject({ event: 'rest.request', route: '/cpi', status: 200 });
    const odd = await rest.call('GET', '/nowhere', { headers: { 'x-request-id': 'a name; of=nothing' } });
    expect(odd.headers.get('x-request-id')).toMatch(/^[-0-9a-f]{36}$/);
  });
});

describe('JSON bodies', () => {
  const post = (body: BodyInit, headers: Record<string, string> = { 'content-type': 'application/json' }) => rest.call('POST', '/virtualnode', { body, headers });

  test.each([
    ['nothing', ''],
    ['half an object', '{"a":'],
    ['a word', 'hello'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a key twice', '{"cpiFileChecksum":"AB12CD34EF56","cpiFileChecksum":"AB12CD34EF56","x500Name":"O=a"}'],
    ['a key twice in another spelling', String.raw`{"x500Name":"O=a","x500\u004eame":"O=b"}`],
    ['a key twice, deep inside', '{"request":{"a":[{"b":{"c":1,"c":2}}]}}'],
    ['too deep a nest', '['.repeat(500) + ']'.repeat(500)],
  ])('are 400 with %s', async (_, body) => {
    expect((await post(body)).status).toBe(400);
  });

  test('are 400 when they are not UTF-8', async () => {
    expect((await post(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).json.title).toContain('UTF-8');
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1', 'application/jsonp', 'multipart/form-data; boundary=x'])('are 415 as %s', async (type) => {
    expect((await post('{}', { 'content-type': type })).status).toBe(415);
  });

  test('are 415 when compressed', async () => {
    expect((await post('{}', { 'content-type': 'application/json', 'content-encoding': 'gzip' })).status).toBe(415);
  });

  test.each(['application/json', 'Application/JSON; charset=UTF-8', 'application/json;charset="utf-8"'])('are read as %s', async (type) => {
    expect((await post('{}', { 'content-type': type })).json.details).toMatchObject({ code: 'REST_BODY_INVALID' });
  });

  test('are 413 when too long, by their word or in fact', async () => {
    expect((await post(JSON.stringify({ a: 'x'.repeat(3_000) }))).status).toBe(413);
    expect((await post('{}', { 'content-type': 'application/json', 'content-length': '3000' })).status).toBe(413);
    expect((await post(streamOf('{"a":"', 'x'.repeat(1_900), 'x'.repeat(200), '"}'))).status).toBe(413);
  });

  test('of unknown length are read as they come', async () => {
    expect((await post(streamOf('{"cpiFileChec', 'ksum":1}'))).json.details).toMatchObject({ code: 'REST_BODY_INVALID', cpiFileChecksum: expect.any(String) });
  });

  test('that break off are 400', async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('connection reset')),
    });
    expect((await post(broken)).status).toBe(400);
  });

  test('say which field is wrong', async () => {
    const answer = await post('{"cpiFileChecksum":"AB12CD34EF56"}');
    expect(answer.json.details).toEqual({ code: 'REST_BODY_INVALID', x500Name: expect.any(String) });
  });
});

describe('forms', () => {
  const send = (body: BodyInit, type = 'multipart/form-data; boundary=b') => rest.call('POST', '/cpi', { body, headers: { 'content-type': type } });
  const part = (name: string, content: string): string => `--b\r\nContent-Disposition: form-data; name="${name}"; filename="x"\r\n\r\n${content}\r\n`;

  test.each([
    ['nothing', ''],
    ['no closing boundary', part('upload', 'abc')],
    ['no boundary at all', 'abc'],
    ['a part without a name', '--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--'],
    ['a part without a head', '--b\r\n\r\nabc\r\n--b--'],
    ['an attachment', '--b\r\nContent-Disposition: attachment; name="upload"\r\n\r\nabc\r\n--b--'],
    ['the field twice', `${part('upload', 'a')}${part('upload', 'b')}--b--`],
    ['another field', `${part('upload', 'a')}${part('uplaod', 'b')}--b--`],
    ['a head without end', `--b\r\nX: ${'x'.repeat(3_000)}`],
  ])('are 400 with %s', async (_, body) => {
    expect((await send(body)).status).toBe(400);
  });

  test.each(['multipart/form-data', 'multipart/form-data; boundary=', `multipart/form-data; boundary=${'b'.repeat(71)}`, 'multipart/mixed; boundary=b'])('are refused as %s', async (type) => {
    expect([400, 415]).toContain((await send(`${part('upload', 'a')}--b--`, type)).status);
  });

  test('are 413 when too long, by their word or in fact', async () => {
    expect((await send(`${part('upload', 'x'.repeat(6_000))}--b--`)).status).toBe(413);
    expect((await send(streamOf(part('upload', 'x'.repeat(4_900)), part('more', 'x'.repeat(500)), '--b--'))).status).toBe(413);
  });

  test('are taken a few at a time; one more is 503', async () => {
    const crowded = await openRest({ limits: { uploadsAtOnceMax: 1 } });
    try {
      let release = (): void => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      const arrived = Promise.withResolvers<void>();
      crowded.rooms.on(restToDbCpi, async () => {
        arrived.resolve();
        await held;
        return doneWith({});
      });
      const upload = () => crowded.call('POST', '/cpi', { body: `${part('upload', 'a')}--b--`, headers: { 'content-type': 'multipart/form-data; boundary=b' } });
      const first = upload();
      await arrived.promise;
      expect((await upload()).status).toBe(503);
      release();
      expect((await first).status).toBe(200);
    } finally {
      await crowded.close();
    }
  });
});

describe('errors', () => {
  test.each([
    ['application/json', true],
    ['*/*', true],
    ['application/*;q=0.5, text/plain', true],
    ['text/html, application/xhtml+xml', false],
    ['text/plain', false],
    ['application/json;q=0, */*', false],
  ])('to %s are JSON: %s', async (accept, json) => {
    const answer = await rest.call('GET', '/nothing', { headers: { accept } });
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toBe(json ? 'application/json' : 'text/plain; charset=utf-8');
    if (json) expect(answer.json).toMatchObject({ status: 404, details: { code: 'REST_ROUTE_UNKNOWN' } });
    else expect(answer.text).toMatch(/^There is no operation at .*\ncode: REST_ROUTE_UNKNOWN$/);
  });

  test('are JSON to a client that says nothing of what it accepts', async () => {
    const response = await rest.worker.fetch(new Request('http://rest.test/api/v5_2/cpi'));
    expect(await response.json()).toMatchObject({ status: 401 });
  });

  test('inside a handler are 500 with a reference to the log, and tell nothing', async () => {
    const failing = (): never => {
      throw new Error('the password is swordfish');
    };
    const faulty = await openRest({ change: (deps) => ({ ...deps, views: { ...deps.views, virtualNodes: { ...deps.views.virtualNodes, get: failing } } }) });
    try {
      const answer = await faulty.call('GET', `/virtualnode/${aliceHash}`);
      expect([answer.status, answer.json.title]).toEqual([500, 'Internal server error']);
      expect(answer.text).not.toContain('swordfish');
      expect(faulty.logged.find(({ event }) => event === 'rest.fault')).toMatchObject({ reference: answer.json.details.reference, cause: { message: 'the password is swordfish' } });
    } finally {
      await faulty.close();
    }
  });
});

describe('every response', () => {
  test.each([
    ['GET', '/cpi'],
    ['GET', '/nothing'],
    ['GET', '/swagger.json'],
    ['DELETE', '/cpi'],
  ])('of %s %s carries the headers of a careful server', async (method, path) => {
    const { headers } = await rest.call(method, path);
    expect(Object.fromEntries(headers)).toMatchObject({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  });

  test('is counted by its route’s pattern, and logged', async () => {
    await rest.call('GET', `/flow/${aliceHash}/not-there`);
    expect(rest.metrics.text()).toContain('cordage_rest_request_seconds_count{method="GET",route="/flow/{holdingidentityshorthash}/{clientrequestid}",status="404"}');
    expect(rest.logged.findLast(({ event }) => event === 'rest.request')).toMatchObject({ level: 'info', method: 'GET', status: 404, login: 'admin', code: 'REST_FLOW_UNKNOWN' });
  });
});

describe('pages of other sites', () => {
  test('may not change anything', async () => {
    expect((await rest.call('POST', '/hello?addressee=x', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
    expect((await rest.call('POST', '/hello?addressee=x', { headers: { 'sec-fetch-site': 'same-origin' } })).status).toBe(200);
  });
});

describe('swagger.json', () => {
  test('is open to everybody and is the document of the routes', async () => {
    const response = await rest.worker.fetch(new Request('http://rest.test/api/v5_2/swagger.json'));
    expect(await response.json()).toEqual(JSON.parse(JSON.stringify(createOpenApi(routes))));
  });
});

describe('a silent cluster', () => {
  test('is 503 with Retry-After', async () => {
    const silent = await openRest({ limits: { askTimeoutMs: 20 } });
    try {
      for (const wire of [restToDbCertificate, restToFlowQuery] as const) silent.rooms.on(wire, () => 'silent');
      for (const path of ['/certificate/cluster/p2p-tls', `/flow/${aliceHash}/r1`, `/flow/${aliceHash}`]) {
        const answer = await silent.call('GET', path);
        expect([path, answer.status, answer.headers.get('retry-after')]).toEqual([path, 503, '1']);
      }
    } finally {
      await silent.close();
    }
  });

  test('whose bus is gone is 503 too', async () => {
    const gone = await openRest();
    await gone.bus.close();
    const answer = await gone.call('GET', `/flow/${aliceHash}/r1`);
    expect(answer.status).toBe(503);
    await gone.close().catch(() => {});
  });
});
