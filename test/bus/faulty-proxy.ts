/** An HTTP proxy that loses what it is told to lose (the request before it arrives, the answer after the work is done), or holds it. */
import { createServer, request as send } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault = 'none' | 'lose request' | 'lose answer' | 'hold answer';
export type FaultyProxy = {
  readonly url: string;
  /** Paths of the requests so far. */
  readonly paths: string[];
  /** Asked for each request. */
  fault: (path: string) => Fault;
  /** Resolves when an answer is held. */
  held(): Promise<void>;
  /** Lets held answers go. */
  release(): void;
  close(): Promise<void>;
};

const readAll = async (stream: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

export const startFaultyProxy = async (target: string): Promise<FaultyProxy> => {
  const holding = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    proxy.paths.push(path);
    const fault = proxy.fault(path);
    const body = await readAll(request);
    if (fault === 'lose request') return response.destroy();
    const forwarded = send(target + path, { method: request.method, headers: request.headers });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    forwarded.on('response', async (answer) => {
      const text = await readAll(answer);
      if (fault === 'lose answer') return response.destroy();
      if (fault === 'hold answer') {
        holding.resolve();
        await released.promise;
      }
      response.writeHead(answer.statusCode ?? 500, { 'content-type': 'application/json', 'content-length': text.length });
      response.end(text);
    });
    forwarded.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    paths: [],
    fault: () => 'none',
    held: () => holding.promise,
    release: () => released.resolve(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
};
