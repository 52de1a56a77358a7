/** Whatever strangers send: an answer in the protocol's form, never a 500, never a dead process. */
import { connect } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { basic, admin, startServed } from './http-served.ts';
import type { Served } from './http-served.ts';

let served: Served;
beforeAll(async () => {
  served = await startServed({ bodyBytesMax: 100_000 });
});
afterAll(async () => {
  // It still does its work after all that.
  expect((await served.call('POST', '/produce/plain', { body: { value: 'v' } })).status).toBe(200);
  await served.close();
});

const routes = ['produce', 'fetch', 'consume', 'commit', 'committed', 'offsets', 'delete-consumer', 'topics', 'consumers', 'webhook', 'cancel', 'health', 'nowhere', ''];
const name = fc.oneof(fc.constantFrom('plain', 'db-to-all.cpi', 'group', 'one', 'latest', 'earliest', '0', '..', '%00'), fc.string({ unit: 'binary', maxLength: 12 }).map((text) => encodeURIComponent(text.toWellFormed())));
const target = fc.tuple(fc.constantFrom(...routes), fc.array(name, { maxLength: 4 }), fc.option(fc.webQueryParameters(), { nil: undefined })).map(
  ([route, names, query]) => `/${[route, ...names].join('/')}${query === undefined ? '' : `?${query}`}`,
);
const small = fc.oneof(fc.constantFrom('plain', 'db-to-all.cpi', 0, 1, -1, 1e20, null, true, '', '0'), fc.string({ maxLength: 5 }), fc.integer());
const fields = ['topic', 'topics', 'partition', 'offset', 'timeout', 'value', 'key', 'headers', 'timestamp', 'topicPartitionOffsets', '__proto__', 'constructor'];
/** Near to what the routes read, so that the fuzz comes past the first check; waits stay short. */
const near = fc.dictionary(fc.constantFrom(...fields), fc.oneof(small, fc.array(small, { maxLength: 3 }), fc.dictionary(fc.constantFrom(...fields), small)));
const body = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.oneof(near, fc.array(near, { maxLength: 3 })).map((json) => JSON.stringify(json, (key, value) => (key === 'timeout' && typeof value === 'number' ? 0 : value))),
  fc.json(),
);
const headers = fc.dictionary(
  fc.constantFrom('Kafka-Enable-Auto-Commit', 'Kafka-Auto-Commit-Interval', 'Kafka-Auto-Offset-Reset', 'Kafka-Session-Timeout-Ms', 'Cordage-Member', 'Cordage-Records-Max', 'Cordage-Poll', 'Cordage-Produce', 'Content-Type'),
  fc.oneof(fc.constantFrom('true', 'false', '0', '100', 'earliest', 'none', 'a/1'), fc.string({ unit: fc.constantFrom(...'abc019-/ ,;') })),
);

test('any request of a known credential ends in 200 or in a refusal with its reason', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'PATCH'), target, headers, body, async (method, path, more, text) => {
      const answering = fetch(served.url + path, { method, headers: { authorization: basic(admin), ...more }, ...(method === 'GET' ? {} : { body: text }) });
      // Polls without a time wait a second of the broker's clock.
      const ticking = setInterval(() => served.clock.advance(60_000), 5);
      const response = await answering.finally(() => clearInterval(ticking));
      const answer = (await response.json()) as { error?: string; status?: number };
      expect([200, 400, 401, 404, 405, 413]).toContain(response.status);
      if (response.status !== 200) expect(answer).toEqual({ error: expect.any(String), status: response.status });
    }),
    { numRuns: 400 },
  );
});

test('any bytes on the socket leave the server alive', async () => {
  const port = Number(new URL(served.url).port);
  const lines = fc.array(fc.oneof(fc.constantFrom('POST /produce/plain HTTP/1.1', 'Host: x', 'Content-Length: 5', 'Content-Length: -1', 'Transfer-Encoding: chunked', '', 'zz', '5\r\nhello', `Authorization: ${basic(admin)}`), fc.string({ unit: 'binary', maxLength: 40 })), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(lines, fc.boolean(), async (sent, cut) => {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.write(sent.join('\r\n'));
          if (cut) socket.destroy();
          else socket.end();
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
      });
    }),
    { numRuns: 200 },
  );
  expect((await fetch(`${served.url}/health`)).status).toBe(200);
});
