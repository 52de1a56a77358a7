/** Sending to another cluster: a port, and how Node does it, with undici's pools. Edge runtimes use fetch-client.ts. */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Pool, buildConnector, errors } from 'undici';
import { AddressRefused, type AddressGuard } from './addresses.ts';
import type { TlsKey } from './http-server.ts';
import { peerChainOf } from './peer-chain.ts';

export type HttpPost = {
  readonly url: string;
  /** JSON text. */
  readonly body: string;
  /** Beside its content type. */
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM certificates one of which the server's must chain to. Empty trusts what the platform trusts. */
  readonly trustRootsPem: readonly string[];
  /** From the first byte sent to the head of the response. */
  readonly timeoutMs: number;
  /** Which certificate of ours is shown where the server asks for one, as `clientKey` knows it; without it, its choice. */
  readonly clientCertificate?: string | undefined;
};

export type HttpAnswer =
  | { readonly type: 'answered'; readonly status: number; /** Of `Retry-After`, in whole seconds. */ readonly retryAfterSeconds?: number }
  /** No answer: refused, untrusted, timed out, cut off. The request may have been handled even so. */
  | { readonly type: 'failed'; readonly code: string; readonly reason: string };

export type HttpClient = {
  /** Never throws. */
  post(request: HttpPost): Promise<HttpAnswer>;
  close(): Promise<void>;
};

export type HttpClientOptions = {
  /** Destinations whose connections are kept; the one used longest ago is closed for a new one. */
  readonly poolsMax?: number;
  readonly connectionsPerPool?: number;
  readonly connectTimeoutMs?: number;
  /** How long an unused connection is kept. */
  readonly keepAliveMs?: number;
  /** Which addresses may be connected to; without it, all. A request to any other fails with ADDRESS_REFUSED. */
  readonly addresses?: AddressGuard;
  /** What is shown to servers that ask for a certificate; looked at for each request, so that a new one is shown on new connections at once. */
  readonly clientKey?: (named: string | undefined) => TlsKey | undefined;
  /**
   * Called with a server's chain (DER, the leaf first, up to the root) once TLS has found it good; a reason refuses the
   * connection, and the request fails with CERTIFICATE_REFUSED.
   */
  readonly refuseServer?: (chain: readonly Uint8Array<ArrayBuffer>[]) => Promise<string | undefined>;
};

const defaults = { poolsMax: 500, connectionsPerPool: 2, connectTimeoutMs: 5_000, keepAliveMs: 30_000 } as const;

const retryAfterOf = (value: string | string[] | undefined): { retryAfterSeconds?: number } =>
  typeof value === 'string' && /^\d{1,6}$/.test(value) ? { retryAfterSeconds: Number(value) } : {};

const failureOf = (error: unknown): HttpAnswer => {
  const { code, message } = error instanceof Error ? { code: 'code' in error ? String(error.code) : error.name, message: error.message } : { code: 'UNKNOWN', message: String(error) };
  return { type: 'failed', code, reason: message };
};

export class CertificateRefused extends Error {
  readonly code = 'CERTIFICATE_REFUSED';
  constructor(reason: string) {
    super(reason);
    this.name = 'CertificateRefused';
  }
}

/** A connection is handed over once its server's chain has been looked at. */
const checking = (connect: buildConnector.connector, refuseServer: NonNullable<HttpClientOptions['refuseServer']>): buildConnector.connector => (target, done) =>
  connect(target, (...[failed, socket]) => {
    if (failed !== null || !(socket instanceof TLSSocket)) return failed === null ? done(null, socket) : done(failed, null);
    const give = (error: Error | null): void => {
      socket.off('error', give);
      if (error === null) return done(null, socket);
      socket.destroy();
      done(error, null);
    };
    socket.once('error', give);
    refuseServer(peerChainOf(socket)).then(
      (reason) => give(reason === undefined ? null : new CertificateRefused(reason)),
      (error: unknown) => give(error instanceof Error ? error : new CertificateRefused(String(error))),
    );
  });

/** An IPv6 address stands in brackets in a URL (RFC 3986 section 3.2.2). */
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '');

export const createHttpClient = (options: HttpClientOptions = {}): HttpClient => {
  const { poolsMax, connectionsPerPool, connectTimeoutMs, keepAliveMs, addresses } = { ...defaults, ...options };
  const pools = new Map<string, Pool>();

  const openPool = (url: URL, roots: readonly string[], clientKey: TlsKey | undefined): Pool => {
    const hostname = hostOf(url);
    // A name is checked where it is resolved, so that it cannot resolve to one address for the check and to another for us.
    if (addresses !== undefined && isIP(hostname) !== 0 && !addresses.allows(hostname)) throw new AddressRefused(hostname);
    const connect = buildConnector({
      timeout: connectTimeoutMs,
      minVersion: 'TLSv1.3',
      allowH2: false,
      // An address is checked against the certificate's addresses and sends no server name (RFC 6066 section 3).
      ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
      ...(roots.length === 0 ? {} : { ca: [...roots] }),
      ...(addresses === undefined ? {} : { lookup: addresses.lookup }),
      ...(clientKey === undefined ? {} : { cert: clientKey.certificateChainPem, key: clientKey.privateKeyPem }),
      // A resumed session does not show its chain again.
      ...(options.refuseServer === undefined ? {} : { maxCachedSessions: 0 }),
    });
    return new Pool(url.origin, {
      connections: connectionsPerPool,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      allowH2: false,
      connect: options.refuseServer === undefined ? connect : checking(connect, options.refuseServer),
    });
  };
  const poolOf = (url: URL, roots: readonly string[], named: string | undefined): Pool => {
    const clientKey = options.clientKey?.(named);
    const own = clientKey?.certificateChainPem ?? '';
    const id = `${url.origin} ${createHash('sha256').update([own, ...roots].join('\n')).digest('base64')}`;
    const pool = pools.get(id) ?? openPool(url, roots, clientKey);
    pools.delete(id);
    pools.set(id, pool);
    if (pools.size > poolsMax) {
      const [oldest, unused] = pools.entries().next().value!;
      pools.delete(oldest);
      void unused.close().catch(() => {});
    }
    return pool;
  };

  return {
    post: async ({ url, body, headers: more, trustRootsPem, timeoutMs, clientCertificate }) => {
      try {
        const target = new URL(url);
        const { statusCode, headers, body: answer } = await poolOf(target, trustRootsPem, clientCertificate).request({
          method: 'POST',
          path: target.pathname + target.search,
          headers: { 'content-type': 'application/json', ...more },
          body,
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
        });
        // The body says nothing that the status does not; reading it frees the connection.
        await answer.dump({ limit: 65_536 }).catch(() => {});
        return { type: 'answered', status: statusCode, ...retryAfterOf(headers['retry-after']) };
      } catch (error) {
        if (error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError) return { type: 'failed', code: 'CLOSED', reason: 'the client is closing' };
        return failureOf(error);
      }
    },
    close: async () => {
      const open = [...pools.values()];
      pools.clear();
      await Promise.all(open.map((pool) => pool.destroy()));
    },
  };
};
