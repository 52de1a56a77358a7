import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { serve, type ServerType } from '@hono/node-server';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createNodeWebSockets } from '../../../src/host/web-socket.ts';
import { restToFlowQuery } from '../../../src/messages/rest-to-flow.query.ts';
import { admin, aliceHash, basic, openRest, strangerHash, type RestUnderTest, type UnderTestOptions } from './rest-under-test.ts';
import { createManualClock } from './manual-clock.ts';

type Served = RestUnderTest & { readonly port: number; stop(): Promise<void> };

const openServed = async (options: UnderTestOptions = {}): Promise<Served> => {
  const sockets = createNodeWebSockets();
  const rest = await openRest({ ...options, change: (deps) => ({ ...deps, acceptWebSocket: sockets.accept }) });
  const server = await new Promise<ServerType>((resolve) => {
    const started = serve({ fetch: rest.worker.fetch, hostname: '127.0.0.1', port: 0, websocket: { server: sockets.server } }, () => resolve(started));
  });
  // A TCP server has an address of this kind.
  const { port } = server.address() as AddressInfo;
  return {
    ...rest,
    port,
    stop: async () => {
      await rest.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

type Heard = { readonly messages: any[]; readonly closed: Promise<{ code: number; reason: string }>; readonly socket: WebSocket; nextMessage(): Promise<any> };

const opened: WebSocket[] = [];
const connect = (port: number, path: string, headers: Record<string, string> = { authorization: admin }): Heard => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
  opened.push(socket);
  const messages: any[] = [];
  let waiting = Promise.withResolvers<any>();
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as unknown;
    messages.push(message);
    waiting.resolve(message);
    waiting = Promise.withResolvers();
  });
  // Refused and broken connections are told by `close` too.
  socket.on('error', () => {});
  const closed = new Promise<{ code: number; reason: string }>((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
  return { messages, closed, socket, nextMessage: () => waiting.promise };
};
afterEach(() => opened.splice(0).forEach((socket) => socket.terminate()));

let rest: Served;
beforeAll(async () => {
  rest = await openServed();
});
afterAll(() => rest.stop());

let count = 0;
const nextId = (): string => `feed-${++count}`;
const begin = async (id: string): Promise<void> => {
  const json = { clientRequestId: id, flowClassName: 'com.example.Ping', requestBody: {} };
  expect((await rest.call('POST', `/flow/${aliceHash}`, { json })).status).toBe(202);
};

describe('the WebSocket feed', () => {
  test('tells three statuses of a flow that ended in its first step, of which the flow room says the last', async () => {
    const id = nextId();
    const heard = connect(rest.port, `/api/v5_2/flow/${aliceHash}/${id}`);
    await once(heard.socket, 'open');
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: 'at once' });
    expect(await heard.closed).toEqual({ code: 1000, reason: 'Flow COMPLETED' });
    expect(heard.messages.map(({ flowStatus, flowResult }) => [flowStatus, flowResult])).toEqual([
      ['START_REQUESTED', null],
      ['RUNNING', null],
      ['COMPLETED', 'at once'],
    ]);
  });

  test.each(['v1', 'v5_1', 'v5_2'])('under %s, opened before the start, tells three statuses and closes with the state', async (version) => {
    const id = nextId();
    const heard = connect(rest.port, `/api/${version}/flow/${aliceHash}/${id}`);
    await once(heard.socket, 'open');
    const first = heard.nextMessage();
    await begin(id);
    await first;
    await rest.rooms.flows.move(aliceHash, id, 'RUNNING');
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: 'done' });
    expect(await heard.closed).toEqual({ code: 1000, reason: 'Flow COMPLETED' });
    expect(heard.messages.map(({ flowStatus }) => flowStatus)).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED']);
    expect(heard.messages[2]).toEqual({
      holdingIdentityShortHash: aliceHash,
      clientRequestId: id,
      flowId: expect.any(String),
      flowStatus: 'COMPLETED',
      flowResult: 'done',
      flowError: null,
      timestamp: expect.stringMatching(/Z$/),
    });
  });

  test('of a flow that has ended tells one status and closes', async () => {
    const id = nextId();
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'FAILED', { flowError: { type: 'T', message: 'm' } });
    const heard = connect(rest.port, `/api/v1/flow/${aliceHash}/${id}`);
    expect(await heard.closed).toEqual({ code: 1000, reason: 'Flow FAILED' });
    expect(heard.messages).toHaveLength(1);
  });

  test('may be opened several times for one flow', async () => {
    const id = nextId();
    const both = [1, 2].map(() => connect(rest.port, `/api/v5_2/flow/${aliceHash}/${id}`));
    await Promise.all(both.map(({ socket }) => once(socket, 'open')));
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'KILLED');
    for (const { closed } of both) expect((await closed).reason).toBe('Flow KILLED');
  });

  test('closes with 1008 when the client speaks', async () => {
    const heard = connect(rest.port, `/api/v5_2/flow/${aliceHash}/${nextId()}`);
    await once(heard.socket, 'open');
    heard.socket.send('hello?');
    expect((await heard.closed).code).toBe(1008);
  });

  test.each([
    ['a malformed hash', 'xyz', 'a'],
    ['an unknown virtual node', strangerHash, 'a'],
    ['an endless hash', 'f'.repeat(300), 'a'],
    ['a malformed client request id', aliceHash, 'ä'],
  ])('closes with 1003 for %s', async (_, hash, id) => {
    const { code, reason } = await connect(rest.port, `/api/v5_2/flow/${hash}/${encodeURIComponent(id)}`).closed;
    expect(code).toBe(1003);
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
    expect(reason).not.toBe('');
  });

  test.each([
    ['no login', {}, 401],
    ['a wrong password', { authorization: basic('admin', 'wrong') }, 401],
    ['the page of another site', { authorization: admin, origin: 'https://evil.example' }, 403],
  ])('is not opened with %s', async (_, headers, status) => {
    const { socket } = connect(rest.port, `/api/v5_2/flow/${aliceHash}/x`, headers as Record<string, string>);
    const [, response] = await once(socket, 'unexpected-response');
    expect(response.statusCode).toBe(status);
  });

  test('closes with 1001 after silence, 1011 when the flow room is silent, 1013 when there are too many', async () => {
    const clock = createManualClock();
    const own = await openServed({ clock, limits: { webSocketIdleMs: 30_000 } });
    const idle = connect(own.port, `/api/v5_2/flow/${aliceHash}/idle`);
    await clock.waitForTimer(30_000);
    clock.advance(30_000);
    expect(await idle.closed).toEqual({ code: 1001, reason: 'Connection Idle Timeout' });
    await own.stop();

    const silent = await openServed({ limits: { askTimeoutMs: 20 } });
    silent.rooms.on(restToFlowQuery, () => 'silent');
    expect((await connect(silent.port, `/api/v5_2/flow/${aliceHash}/x`).closed).code).toBe(1011);
    await silent.stop();

    const full = await openServed({ limits: { listenersMax: 0 } });
    expect((await connect(full.port, `/api/v5_2/flow/${aliceHash}/x`).closed).code).toBe(1013);
    await full.stop();
  });

  test('leaves nothing behind when the client goes away', async () => {
    const id = nextId();
    const heard = connect(rest.port, `/api/v5_2/flow/${aliceHash}/${id}`);
    await once(heard.socket, 'open');
    heard.socket.terminate();
    await heard.closed;
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED');
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=10000`)).status).toBe(200);
    expect(rest.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('the feed as events', () => {
  const eventsOf = (text: string): { id: string; data: any }[] =>
    text
      .split('\n\n')
      .filter((block) => block.includes('data: '))
      .map((block) => ({ id: /^id: (.*)$/m.exec(block)![1]!, data: JSON.parse(/^data: (.*)$/m.exec(block)![1]!) as unknown }));
  const open = (id: string, headers: Record<string, string> = {}, port = rest.port): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/api/v5_2/flow/${aliceHash}/${id}/events`, { headers: { authorization: admin, ...headers } });

  test('tells each status as it comes, and ends with the flow', async () => {
    const id = nextId();
    const response = await open(id);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const readUntil = async (part: string): Promise<void> => {
      while (!text.includes(part)) text += (await reader.read()).value ?? '';
    };
    await readUntil('retry: ');
    await begin(id);
    await readUntil('id: START_REQUESTED');
    await rest.rooms.flows.move(aliceHash, id, 'RUNNING');
    await readUntil('id: RUNNING');
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED', { flowResult: '1' });
    for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
    expect(eventsOf(text).map((event) => [event.id, event.data.flowStatus])).toEqual(['START_REQUESTED', 'RUNNING', 'COMPLETED'].map((name) => [name, name]));
  });

  test('goes on after the last event that the client saw, and is 204 after the end', async () => {
    const id = nextId();
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'RUNNING');
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED');
    const again = await open(id, { 'last-event-id': 'RUNNING' });
    expect(eventsOf(await again.text()).map((event) => event.id)).toEqual(['COMPLETED']);
    expect((await open(id, { 'last-event-id': 'COMPLETED' })).status).toBe(204);
  });

  test('beats while nothing happens', async () => {
    const clock = createManualClock();
    const own = await openServed({ clock, limits: { eventStreamBeatMs: 15_000, eventStreamMsMax: 40_000 } });
    const response = await open('quiet', {}, own.port);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value ?? '';
    clock.advance(15_000);
    while (!text.includes('\n:\n\n')) text += (await reader.read()).value ?? '';
    clock.advance(25_000);
    for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
    await own.stop();
  });

  test('is refused for unknown virtual nodes, and only under v5_2', async () => {
    expect((await rest.call('GET', `/flow/${strangerHash}/x/events`)).status).toBe(404);
    expect((await rest.call('GET', `/flow/${aliceHash}/x/events`, { version: 'v1' })).status).toBe(404);
  });

  test('is let go when the client leaves', async () => {
    const abort = new AbortController();
    const id = nextId();
    const response = await fetch(`http://127.0.0.1:${rest.port}/api/v5_2/flow/${aliceHash}/${id}/events`, { headers: { authorization: admin }, signal: abort.signal });
    await response.body!.getReader().read();
    abort.abort();
    await begin(id);
    await rest.rooms.flows.move(aliceHash, id, 'COMPLETED');
    expect((await rest.call('GET', `/flow/${aliceHash}/${id}/result?wait=10000`)).status).toBe(200);
  });
});
