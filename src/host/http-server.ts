/** Serves a `fetch` handler on Node's HTTP server, with TLS where a certificate is given. */
import { createServer as createPlainServer, type IncomingMessage, type Server as PlainServer, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { X509Certificate } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { createAdaptorServer, type WebSocketServerLike } from '@hono/node-server';
import { endOfTurn } from './turn.ts';

export type TlsKey = { readonly certificateChainPem: string; /** PKCS#8. */ readonly privateKeyPem: string };

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

export type ListenOptions = {
  /** `env` is `{ incoming, outgoing }` of Node. */
  readonly fetch: (request: Request, env?: unknown) => Response | Promise<Response>;
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** One or more: the first whose certificate names the host that a client asks for (SNI, RFC 6066 section 3), else the first. */
  readonly tls?: readonly TlsKey[];
  /** Default: TLS 1.3. */
  readonly tlsVersionMin?: TlsVersion;
  /** Clients are asked for a certificate; none is refused here: `peerChainOf` tells what came. */
  readonly asksClientCertificate?: boolean;
  /** A longer body is answered 413, whether its length was told or not. */
  readonly bodyBytesMax?: number;
  readonly websocket?: { readonly server: WebSocketServerLike };
  readonly limits?: Partial<HttpServerLimits>;
};

export type HttpServerLimits = {
  readonly connectionsMax: number;
  /** Of one remote address: one neighbour must not take every place. A proxy in front has one address for all it serves. */
  readonly connectionsPerAddressMax: number;
  readonly tlsHandshakeMsMax: number;
  /** Until the head of a request is there. */
  readonly headersMsMax: number;
  /** Until the whole request is there. */
  readonly requestMsMax: number;
  /** An open connection without a request. */
  readonly idleMsMax: number;
  /** Requests under way when the server closes may take so long to end. */
  readonly closeMsMax: number;
};

export const httpServerLimits: HttpServerLimits = {
  connectionsMax: 10_000,
  connectionsPerAddressMax: 1_000,
  tlsHandshakeMsMax: 10_000,
  headersMsMax: 15_000,
  requestMsMax: 300_000,
  idleMsMax: 75_000,
  closeMsMax: 5_000,
};

const bodyBytesMaxDefault = 16 * 1024 * 1024;

export type Listener = {
  readonly url: string;
  readonly port: number;
  /** New connections get these certificates; open ones keep theirs. When one cannot be used, all stay as they were. */
  replaceCertificates(tls: readonly TlsKey[]): void;
  /** Whether clients of new connections are asked for a certificate. */
  askClientCertificates(ask: boolean): void;
  /** Takes no more requests, waits for those under way, then cuts. */
  close(): Promise<void>;
};

export type ListenErrorCode = 'LISTEN_PORT_TAKEN' | 'LISTEN_ADDRESS_UNKNOWN' | 'LISTEN_FORBIDDEN' | 'LISTEN_CERTIFICATE' | 'LISTEN_FAILED';

export class ListenError extends Error {
  readonly code: ListenErrorCode;
  constructor(code: ListenErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenError';
    this.code = code;
  }
}

const listenErrorOf = (error: unknown, hostname: string, port: number): ListenError => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const at = `${hostname}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return new ListenError('LISTEN_PORT_TAKEN', `${at} is taken by another process: stop it, or choose another port (0 takes a free one)`, { cause: error });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ListenError('LISTEN_ADDRESS_UNKNOWN', `${hostname} is not an address of this machine: use one that is, or 0.0.0.0 for all`, { cause: error });
    case 'EACCES':
      return new ListenError('LISTEN_FORBIDDEN', `this user may not listen on ${at}: ports below 1024 need a privilege`, { cause: error });
    default:
      return new ListenError('LISTEN_FAILED', `cannot listen on ${at}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
};

// ── Certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────

const pairOf = ({ certificateChainPem, privateKeyPem }: TlsKey, minVersion: TlsVersion) => ({ cert: certificateChainPem, key: privateKeyPem, minVersion });

/** What serves a host: its leaf to know it by, and the context that OpenSSL wants. */
type Served = { readonly leaf: X509Certificate; readonly context: SecureContext };

const certificateFault = (error: unknown): ListenError =>
  new ListenError('LISTEN_CERTIFICATE', `the TLS key or certificate cannot be used: ${error instanceof Error ? error.message : String(error)}`, { cause: error });

const servedOf = (tls: readonly TlsKey[], minVersion: TlsVersion): readonly Served[] => {
  if (tls.length === 0) throw new ListenError('LISTEN_CERTIFICATE', 'a TLS server needs a certificate');
  try {
    return tls.map((key) => ({
      leaf: new X509Certificate(key.certificateChainPem),
      context: createSecureContext(pairOf(key, minVersion)),
    }));
  } catch (error) {
    throw certificateFault(error);
  }
};

/** Chosen at each handshake, so that a change needs no restart. */
const createCertificates = (tls: readonly TlsKey[], minVersion: TlsVersion) => {
  let served = servedOf(tls, minVersion);
  return {
    replace: (next: readonly TlsKey[]): void => {
      served = servedOf(next, minVersion);
    },
    /** For clients that name no host. */
    pair: (keys: readonly TlsKey[]) => pairOf(keys[0]!, minVersion),
    /** @param host what the client names; empty where it names none. */
    contextFor: (host: string): SecureContext => (served.find(({ leaf }) => host !== '' && leaf.checkHost(host) !== undefined) ?? served[0]!).context,
  };
};
type Certificates = ReturnType<typeof createCertificates>;

const tlsOptions = (tls: readonly TlsKey[], certificates: Certificates, limits: HttpServerLimits) => ({
  // The clients that name a host come through the callback.
  ...certificates.pair(tls),
  SNICallback: (host: string, done: (error: Error | null, context?: SecureContext) => void): void => done(null, certificates.contextFor(host)),
  handshakeTimeout: limits.tlsHandshakeMsMax,
});

// ── Bodies ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const tooLarge = (bytesMax: number): Response =>
  Response.json({ error: `the body is larger than ${bytesMax} bytes` }, { status: 413, headers: { connection: 'close' } });

/** Counts a body whose length was not told; too much of it ends the handler's reading, and the answer is ours. */
const fetchCounting = async (fetch: ListenOptions['fetch'], request: Request, env: unknown, bytesMax: number): Promise<Response> => {
  let bytes = 0;
  let exceeded = false;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      bytes += chunk.byteLength;
      exceeded ||= bytes > bytesMax;
      if (exceeded) controller.error(new Error(`the body is larger than ${bytesMax} bytes`));
      else controller.enqueue(chunk);
    },
  });
  const { method, headers, signal } = request;
  // `duplex` is asked for by the standard where a body is a stream; TypeScript's library does not know it yet.
  const init = { method, headers, signal, body: request.body!.pipeThrough(counter), duplex: 'half' } as RequestInit;
  try {
    const response = await fetch(new Request(request.url, init), env);
    return exceeded ? tooLarge(bytesMax) : response;
  } catch (error) {
    if (exceeded) return tooLarge(bytesMax);
    throw error;
  }
};

const boundBody = (fetch: ListenOptions['fetch'], bytesMax: number): ListenOptions['fetch'] => (request, env) => {
  const told = request.headers.get('content-length');
  if (told !== null) return Number(told) > bytesMax ? tooLarge(bytesMax) : fetch(request, env);
  // To ask a request without a body for one makes the whole of it, which what is asked for rarely needs.
  if (request.method === 'GET' || request.method === 'HEAD' || request.body === null || request.headers.has('upgrade')) return fetch(request, env);
  return fetchCounting(fetch, request, env, bytesMax);
};

/**
 * Responses that are ready in one turn are written one after the other at its end: a client of many connections is woken once for all of them and
 * asks its next questions together. Waking it for each took a quarter of the processor time of a short call, here and in the client.
 */
const answerTogether = (fetch: ListenOptions['fetch']): ListenOptions['fetch'] => async (request, env) => {
  const response = await fetch(request, env);
  await endOfTurn();
  return response;
};

// ── The server ───────────────────────────────────────────────────────────────────────────────────────────────────────

const createServer = (options: ListenOptions, limits: HttpServerLimits, certificates: Certificates | undefined): PlainServer | TlsServer => {
  const { tls = [], asksClientCertificate = false, bodyBytesMax = bodyBytesMaxDefault, websocket } = options;
  const serverOptions = {
    headersTimeout: limits.headersMsMax,
    requestTimeout: limits.requestMsMax,
    keepAliveTimeout: limits.idleMsMax,
    noDelay: true,
  };
  const shared = { fetch: answerTogether(boundBody(options.fetch, bodyBytesMax)), ...(websocket === undefined ? {} : { websocket }) };
  const server =
    certificates === undefined
      ? createAdaptorServer({ ...shared, createServer: createPlainServer, serverOptions })
      : createAdaptorServer({ ...shared, createServer: createTlsServer, serverOptions: { ...serverOptions, ...tlsOptions(tls, certificates, limits), requestCert: asksClientCertificate, rejectUnauthorized: false } });
  // Which of its server types it made follows from the `createServer` given.
  return server as PlainServer | TlsServer;
};

/** Closes what one address opens beyond its bound, before TLS costs anything. */
const boundAddresses = (server: PlainServer | TlsServer, countMax: number): void => {
  const counts = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const count = (counts.get(address) ?? 0) + 1;
    counts.set(address, count);
    socket.once('close', () => {
      const left = counts.get(address)! - 1;
      if (left === 0) counts.delete(address);
      else counts.set(address, left);
    });
    if (count > countMax) socket.destroy();
  });
};

const bind = (server: PlainServer | TlsServer, hostname: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(listenErrorOf(error, hostname, port));
    server.once('error', fail);
    server.listen(port, hostname, () => {
      server.off('error', fail);
      resolve();
    });
  });

const closeGently = (server: PlainServer | TlsServer, closeMsMax: number): Promise<void> =>
  new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), closeMsMax);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
    // Whoever still asks on an open connection is told that it ends.
    server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
      if (!response.headersSent) response.setHeader('connection', 'close');
    });
  });

export const listen = async (options: ListenOptions): Promise<Listener> => {
  const { hostname, port, tls } = options;
  const limits = { ...httpServerLimits, ...options.limits };
  const certificates = tls === undefined ? undefined : createCertificates(tls, options.tlsVersionMin ?? 'TLSv1.3');
  const server = createServer(options, limits, certificates);
  server.maxConnections = limits.connectionsMax;
  boundAddresses(server, limits.connectionsPerAddressMax);
  let closing = false;
  server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
    response.once('close', () => {
      if (closing) setImmediate(() => server.closeIdleConnections());
    });
  });
  await bind(server, hostname, port);
  // A server that listens on a port has an address of this kind.
  const { port: taken } = server.address() as AddressInfo;
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${taken}`,
    port: taken,
    replaceCertificates: (next) => {
      if (certificates === undefined || !('setSecureContext' in server)) throw new ListenError('LISTEN_CERTIFICATE', 'the server was opened without TLS');
      certificates.replace(next);
      server.setSecureContext(certificates.pair(next));
    },
    askClientCertificates: (ask) => {
      // Node reads it for each new connection; its types do not name it.
      (server as unknown as { requestCert: boolean }).requestCert = ask;
    },
    close: () => {
      closing = true;
      return closeGently(server, limits.closeMsMax);
    },
  };
};
