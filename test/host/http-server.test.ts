import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect as connectPlain } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { createAddressGuard } from '../../src/host/addresses.ts';
import { createHttpClient } from '../../src/host/http-client.ts';
import { listen, type Listener, type ListenOptions } from '../../src/host/http-server.ts';
import { makeTlsKey } from '../workers/gateway/gateway-fixture.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
});
const serve = async (options: Partial<ListenOptions> & Pick<ListenOptions, 'fetch'>): Promise<Listener> => {
  const listener = await listen({ hostname: '127.0.0.1', port: 0, ...options });
  closing.push(() => listener.close());
  return listener;
};
const [key, nextKey] = [await makeTlsKey(), await makeTlsKey()];

const certificateOf = (port: number, versions: { minVersion?: 'TLSv1.2'; maxVersion?: 'TLSv1.2'; servername?: string } = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false, ...versions }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(raw.toString('base64'));
    });
    socket.once('error', reject);
  });
const derOf = (pem: string): string => pem.replace(/-----[^-]+-----|\s/g, '');

describe('the HTTP server', () => {
  test('speaks TLS 1.3 and nothing older', async () => {
    const { port } = await serve({ fetch: () => new Response('ok'), tls: [key] });
    expect(await certificateOf(port)).toBe(derOf(key.certificateChainPem));
    await expect(certificateOf(port, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })).rejects.toThrow();
  });

  test('takes a new certificate without a restart, and keeps the old one when the new is bad', async () => {
    const listener = await serve({ fetch: () => new Response('ok'), tls: [key] });
    listener.replaceCertificates([nextKey]);
    expect(await certificateOf(listener.port)).toBe(derOf(nextKey.certificateChainPem));
    expect(() => listener.replaceCertificates([nextKey, { certificateChainPem: 'nonsense', privateKeyPem: 'nonsense' }])).toThrow(expect.objectContaining({ code: 'LISTEN_CERTIFICATE' }));
    expect(await certificateOf(listener.port)).toBe(derOf(nextKey.certificateChainPem));
  });

  test('serves each host with the certificate that names it, and who names none or another with the first', async () => {
    const named = await makeTlsKey(['one.example', '*.two.example']);
    const listener = await serve({ fetch: () => new Response('ok'), tls: [key, named] });
    for (const servername of ['one.example', 'a.two.example']) expect(await certificateOf(listener.port, { servername }), servername).toBe(derOf(named.certificateChainPem));
    for (const servername of ['localhost', 'two.example', '']) expect(await certificateOf(listener.port, { servername }), servername).toBe(derOf(key.certificateChainPem));
    listener.replaceCertificates([named, nextKey]);
    expect(await certificateOf(listener.port, { servername: 'localhost' })).toBe(derOf(nextKey.certificateChainPem));
    expect(await certificateOf(listener.port, { servername: '' })).toBe(derOf(named.certificateChainPem));
  });

  test('gives one address no more than its share of connections, and its places back when they close', async () => {
    const { port } = await serve({ fetch: () => new Response('ok'), tls: [key], limits: { connectionsPerAddressMax: 2, closeMsMax: 50 } });
    const open = (localAddress: string): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const socket = connectTls({ socket: connectPlain({ host: '127.0.0.1', port, localAddress }), rejectUnauthorized: false }, () => resolve(socket));
        socket.once('error', reject);
      });
    const [first] = [await open('127.0.0.1'), await open('127.0.0.1')];
    await expect(open('127.0.0.1')).rejects.toThrow();
    (await open('127.0.0.2')).destroy();
    const closed = once(first, 'close');
    first.end();
    await closed;
    await expect.poll(() => open('127.0.0.1').then((socket) => socket.destroy().destroyed, () => false)).toBe(true);
  });

  test('says why it cannot listen and what to do', async () => {
    const { port } = await serve({ fetch: () => new Response('ok') });
    await expect(listen({ fetch: () => new Response('ok'), hostname: '127.0.0.1', port })).rejects.toMatchObject({ code: 'LISTEN_PORT_TAKEN', message: expect.stringContaining('another port') });
    await expect(listen({ fetch: () => new Response('ok'), hostname: '203.0.113.7', port: 0 })).rejects.toMatchObject({ code: 'LISTEN_ADDRESS_UNKNOWN' });
    await expect(listen({ fetch: () => new Response('ok'), hostname: '127.0.0.1', port: 0, tls: [{ certificateChainPem: '', privateKeyPem: 'x' }] })).rejects.toMatchObject({ code: 'LISTEN_CERTIFICATE' });
  });

  test('bounds a body whose length is told and one whose length is not', async () => {
    const { url } = await serve({ fetch: async (request) => new Response(String((await request.text()).length)), bodyBytesMax: 1_000 });
    expect((await fetch(url, { method: 'POST', body: 'x'.repeat(1_000) })).status).toBe(200);
    expect((await fetch(url, { method: 'POST', body: 'x'.repeat(1_001) })).status).toBe(413);
    const streamed = (bytes: number): RequestInit => {
      const chunks = [new Uint8Array(bytes / 2), new Uint8Array(bytes / 2)];
      const body = new ReadableStream<Uint8Array>({ pull: (controller) => { const chunk = chunks.pop(); if (chunk === undefined) controller.close(); else controller.enqueue(chunk); } });
      return { method: 'POST', body, duplex: 'half' } as RequestInit;
    };
    const short = await fetch(url, streamed(1_000));
    expect([short.status, await short.text()]).toEqual([200, '1000']);
    expect((await fetch(url, streamed(4_000))).status).toBe(413);
  });

  test('ends requests under way when it closes, and takes no new ones', async () => {
    let entered = (): void => {};
    const isUnderWay = new Promise<void>((resolve) => { entered = resolve; });
    let finish = (): void => {};
    const listener = await listen({ hostname: '127.0.0.1', port: 0, fetch: async () => {
      entered();
      await new Promise<void>((resolve) => { finish = resolve; });
      return new Response('done');
    } });
    const answer = fetch(listener.url);
    await isUnderWay;
    const closed = listener.close();
    finish();
    expect(await (await answer).text()).toBe('done');
    await closed;
    await expect(fetch(listener.url)).rejects.toThrow();
  });

  test('cuts a request that does not end within its time', async () => {
    let entered = (): void => {};
    const isUnderWay = new Promise<void>((resolve) => { entered = resolve; });
    const listener = await listen({ hostname: '127.0.0.1', port: 0, limits: { closeMsMax: 20 }, fetch: () => (entered(), new Promise<Response>(() => {})) });
    const answer = fetch(listener.url);
    await isUnderWay;
    await Promise.all([listener.close(), expect(answer).rejects.toThrow()]);
  });

  test('answers together what is ready in one turn', async () => {
    const ready = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const outgoings: ServerResponse[] = [];
    const { url } = await serve({
      fetch: async (_request, env) => {
        // `listen` promises this shape of `env`.
        if (outgoings.push((env as { outgoing: ServerResponse }).outgoing) === 2) begun.resolve();
        await ready.promise;
        return new Response('ok');
      },
    });
    const answers = [fetch(url), fetch(url)];
    await begun.promise;
    ready.resolve();
    // As long as this turn lasts, however many continuations run in it.
    for (let i = 0; i < 1_000; i++) await Promise.resolve();
    expect(outgoings.map(({ writableEnded }) => writableEnded)).toEqual([false, false]);
    for (const answer of answers) expect(await (await answer).text()).toBe('ok');
  });

  test('outlives nonsense on its port', async () => {
    const { port, url } = await serve({ fetch: () => new Response('ok') });
    await new Promise<void>((resolve, reject) => {
      const socket = connectPlain(port, '127.0.0.1', () => socket.write('\u0000\u0001 nonsense\r\n\r\n'));
      socket.once('close', () => resolve()).once('error', reject).resume();
    });
    expect((await fetch(url)).status).toBe(200);
  });
});

describe('the HTTP client', () => {
  test('gives a failure as a value, never an exception', async () => {
    const client = createHttpClient();
    closing.push(() => client.close());
    const { port, close } = await listen({ fetch: () => new Response('ok'), hostname: '127.0.0.1', port: 0 });
    await close();
    for (const url of [`https://127.0.0.1:${port}`, 'not a url', 'https://does-not-exist.invalid']) {
      expect(await client.post({ url, body: '{}', trustRootsPem: [], timeoutMs: 2_000 }), url).toMatchObject({ type: 'failed' });
    }
  });

  test('trusts the roots it is given, for a name and for an address', async () => {
    const { port } = await serve({ fetch: () => new Response('', { status: 503, headers: { 'retry-after': '7' } }), tls: [key] });
    const client = createHttpClient();
    closing.push(() => client.close());
    for (const host of ['localhost', '127.0.0.1']) {
      const post = (trustRootsPem: readonly string[]) => client.post({ url: `https://${host}:${port}/path`, body: '{}', trustRootsPem, timeoutMs: 2_000 });
      expect(await post([key.certificateChainPem])).toEqual({ type: 'answered', status: 503, retryAfterSeconds: 7 });
      expect(await post([nextKey.certificateChainPem])).toMatchObject({ type: 'failed' });
      expect(await post([])).toMatchObject({ type: 'failed' });
    }
  });

  test('connects to no address that its guard refuses, whether it is named or written out', async () => {
    let requests = 0;
    const { port } = await serve({ fetch: () => (requests++, new Response('ok')), tls: [key] });
    const post = async (ranges: readonly string[], host: string) => {
      const client = createHttpClient({ addresses: createAddressGuard(ranges) });
      closing.push(() => client.close());
      return await client.post({ url: `https://${host}:${port}`, body: '{}', trustRootsPem: [key.certificateChainPem], timeoutMs: 2_000 });
    };
    for (const host of ['localhost', '127.0.0.1', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1']) {
      expect(await post([], host), host).toMatchObject({ type: 'failed', code: 'ADDRESS_REFUSED' });
    }
    expect(requests).toBe(0);
    for (const host of ['localhost', '127.0.0.1']) expect(await post(['127.0.0.0/8'], host), host).toEqual({ type: 'answered', status: 200 });
  });

  test('gives up on an answer that does not come in time', async () => {
    const { port } = await serve({ fetch: () => new Promise<Response>(() => {}), tls: [key], limits: { closeMsMax: 20 } });
    const client = createHttpClient();
    closing.push(() => client.close());
    const answer = await client.post({ url: `https://localhost:${port}`, body: '{}', trustRootsPem: [key.certificateChainPem], timeoutMs: 100 });
    expect(answer).toMatchObject({ type: 'failed', code: 'UND_ERR_HEADERS_TIMEOUT' });
  });
});
