/** The same worker behind Node's HTTP server, as a process runs it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../src/cipher/digest.ts';
import { concat, fromBase64url, randomBytes, toHex } from '../../../src/cipher/bytes.ts';
import { listen, type Listener } from '../../../src/host/http-server.ts';
import { cpiChunkBytesMax, restToDbCpi } from '../../../src/messages/rest-to-db.cpi.ts';
import { restLimits } from '../../../src/workers/rest/worker.ts';
import { admin, aliceHash, basic, openRest, type RestUnderTest } from './rest-under-test.ts';
import { doneWith } from './rooms.ts';

let rest: RestUnderTest;
let server: Listener;
beforeAll(async () => {
  rest = await openRest();
  rest.rooms.on(restToDbCpi, () => doneWith({}));
  server = await listen({ fetch: rest.worker.fetch, hostname: '127.0.0.1', port: 0, bodyBytesMax: 2 * restLimits.uploadBytesMax });
});
afterAll(async () => {
  await server.close();
  await rest.close();
});

const call = (method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}/api/v5_2${path}`, { method, headers: { authorization: admin, accept: 'application/json', ...headers }, ...(body === undefined ? {} : { body }) });

const upload = (bytes: Uint8Array<ArrayBuffer>, headers?: Record<string, string>): Promise<Response> => {
  const form = new FormData();
  form.append('upload', new Blob([bytes]));
  return call('POST', '/cpi', form, headers);
};

describe('over HTTP', () => {
  test('a large file arrives whole, in chunks of the wire’s size', async () => {
    // The platform draws at most 65,536 bytes at once.
    const file = concat(...Array.from({ length: 50 }, () => randomBytes(60_000)));
    const before = rest.rooms.heard(restToDbCpi).length;
    expect((await upload(file)).status).toBe(200);
    const chunks = rest.rooms.heard(restToDbCpi).slice(before).map((chunk) => (chunk.type === 'chunk' ? fromBase64url(chunk.bytes) : new Uint8Array()));
    expect(chunks.map(({ length }) => length)).toEqual([...Array.from({ length: 5 }, () => cpiChunkBytesMax), 3_000_000 - 5 * cpiChunkBytesMax]);
    expect(toHex(sha256(concat(...chunks)))).toBe(toHex(sha256(file)));
  });

  test('an upload without a login is told 401, however large it is', async () => {
    const answer = await upload(new Uint8Array(5_000_000), { authorization: basic('admin', 'wrong') });
    expect([answer.status, (await answer.json()).status]).toEqual([401, 401]);
  });

  test('a JSON body that is too long is told 413, and the server goes on', async () => {
    const answer = await call('POST', `/flow/${aliceHash}`, 'x'.repeat(restLimits.jsonBytesMax + 1), { 'content-type': 'application/json' });
    expect([answer.status, (await answer.json()).details.code]).toEqual([413, 'REST_BODY_TOO_LARGE']);
    expect((await call('GET', '/cpi')).status).toBe(200);
  });

  test('many callers start flows and wait for them at once', async () => {
    rest.rooms.flows.onStart = ({ clientRequestId }) => void rest.rooms.flows.move(aliceHash, clientRequestId, 'COMPLETED', { flowResult: JSON.stringify(clientRequestId) });
    const one = async (id: string): Promise<unknown> => {
      const started = await call('POST', `/flow/${aliceHash}`, JSON.stringify({ clientRequestId: id, flowClassName: 'com.example.Ping', requestBody: {} }), { 'content-type': 'application/json' });
      const ended = await call('GET', `/flow/${aliceHash}/${id}/result?wait=20000`);
      return [started.status, ended.status, (await ended.json()).json];
    };
    const ids = Array.from({ length: 200 }, (_, i) => `many-${i}`);
    expect(await Promise.all(ids.map(one))).toEqual(ids.map((id) => [202, 200, id]));
    expect(rest.metrics.text()).toContain('cordage_rest_request_seconds_count{method="POST",route="/flow/{holdingidentityshorthash}",status="202"} 200');
  });
});
