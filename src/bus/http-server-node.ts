/** Serves the bus protocol on Node's own HTTP server: the way of every record between processes, so nothing stands between. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bodyBytesMaxDefault, headersFor, tooLarge } from './http-server.ts';
import type { BusServerOptions } from './http-server.ts';
import { createBusProtocol } from './http-server/protocol.ts';
import type { BusAnswer, BusProtocol } from './http-server/protocol.ts';

export type ServeBusOptions = BusServerOptions & {
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
};

export type BusServer = {
  readonly url: string;
  readonly port: number;
  /** Ends polls and connections. The broker is its owner's to close. */
  close(): Promise<void>;
};

/** Longer than the pauses of a client that works: a new connection for each poll would cost more than the poll. */
const keepAliveTimeoutMs = 75_000;
/** Each worker holds a connection per waiting poll and one to publish. */
const connectionsMax = 10_000;

/** What is being answered is answered within milliseconds; a client that sends no end of its request is not waited for. */
const closeGraceMs = 2_000;

export const serveBus = async (options: ServeBusOptions): Promise<BusServer> => {
  const { hostname, port, bodyBytesMax = bodyBytesMaxDefault } = options;
  const protocol = createBusProtocol(options);
  const polls = new Set<AbortController>();
  let stopping = false;
  const server = createServer({ keepAliveTimeout: keepAliveTimeoutMs, noDelay: true }, (request, response) => {
    void answerRequest({ protocol, request, response, bodyBytesMax, polls, stopping: () => stopping });
  });
  server.maxConnections = connectionsMax;
  await listen(server, hostname, port);
  // A server that listens on a port has an address of this kind.
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${taken}`,
    port: taken,
    close: () => {
      stopping = true;
      for (const poll of polls) poll.abort();
      return closeServer(server);
    },
  };
};

const listen = (server: Server, hostname: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, hostname, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });

const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), closeGraceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });

type Exchange = {
  readonly protocol: BusProtocol;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly bodyBytesMax: number;
  /** One for each request under way, to be ended with the server. */
  readonly polls: Set<AbortController>;
  readonly stopping: () => boolean;
};

const answerRequest = async ({ protocol, request, response, bodyBytesMax, polls, stopping }: Exchange): Promise<void> => {
  const body = await readBody(request, bodyBytesMax);
  if (body === 'gone') return;
  if (body === 'too large') {
    // What still comes is dropped; the connection ends with it, since where it ends is not worth waiting for.
    request.resume();
    return send(response, tooLarge(bodyBytesMax), true);
  }
  const gone = new AbortController();
  const end = (): void => gone.abort();
  response.once('close', end);
  polls.add(gone);
  if (stopping()) end();
  const answer = await protocol.answer({ method: request.method ?? '', target: request.url ?? '', headers: request.headers, body: body.text, signal: gone.signal });
  polls.delete(gone);
  response.removeListener('close', end);
  send(response, answer, stopping());
};

const send = (response: ServerResponse, { status, body }: BusAnswer, last: boolean): void => {
  if (response.destroyed) return;
  // Encoded once: as a string it would be walked for its length, and again to be written.
  const bytes = Buffer.from(body, 'utf8');
  response.writeHead(status, { ...headersFor(status), 'content-length': bytes.length, ...(last ? { connection: 'close' } : {}) });
  response.end(bytes);
};

const readBody = (request: IncomingMessage, bytesMax: number): Promise<{ text: string } | 'too large' | 'gone'> =>
  new Promise((resolve) => {
    if (Number(request.headers['content-length'] ?? 0) > bytesMax) return resolve('too large');
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        request.removeAllListeners('data');
        return resolve('too large');
      }
      chunks.push(chunk);
    });
    request.on('end', () => resolve({ text: chunks.length === 1 ? chunks[0]!.toString('utf8') : Buffer.concat(chunks, bytes).toString('utf8') }));
    request.on('error', () => resolve('gone'));
    request.on('close', () => resolve('gone'));
  });
