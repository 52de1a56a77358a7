/** What the Deno entries share: serving, and ending when told to. The part of Deno's API that is used is declared here. */
import type { AcceptWebSocket } from '../src/host/web-socket.ts';
import type { Log } from '../src/observability/log.ts';

/** Who sent a request, as `fetch` of a worker is told beside it. */
export type DenoPeer = { readonly remoteAddr?: { readonly hostname?: string } };
type DenoServer = { readonly addr: { readonly hostname: string; readonly port: number }; shutdown(): Promise<void> };
type DenoApi = {
  readonly env: { toObject(): Record<string, string> };
  serve(options: { hostname: string; port: number; onListen(): void }, handler: (request: Request, peer: DenoPeer) => Promise<Response>): DenoServer;
  upgradeWebSocket(request: Request, options: { readonly idleTimeout: number }): { readonly socket: WebSocket; readonly response: Response };
  addSignalListener(signal: 'SIGINT' | 'SIGTERM', listener: () => void): void;
  exit(code: number): never;
};
// Node's types know no Deno; Deno itself checks these entries too.
const deno = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;

export const environment = (): Record<string, string> => deno.env.toObject();

export type ServeOptions = {
  readonly hostname: string;
  readonly port: number;
  readonly fetch: (request: Request, peer: DenoPeer) => Promise<Response>;
  readonly close: () => Promise<unknown>;
  readonly log: Log;
};

export const serveUntilSignal = ({ hostname, port, fetch, close, log }: ServeOptions): void => {
  const server = deno.serve({ hostname, port, onListen: () => {} }, fetch);
  log.info('edge.listening', { hostname: server.addr.hostname, port: server.addr.port });
  const end = async (): Promise<void> => {
    await server.shutdown();
    await close();
    deno.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    try {
      deno.addSignalListener(signal, () => void end());
    } catch {
      // Platforms that end processes themselves let nobody listen for it.
    }
  }
};

/** Deno's own WebSockets; who listens bounds how long one may be silent, so Deno does not. */
export const acceptDenoWebSocket: AcceptWebSocket = (context, listener) => {
  const { socket, response } = deno.upgradeWebSocket(context.req.raw, { idleTimeout: 0 });
  socket.addEventListener('open', () => listener.opened({ send: (text) => socket.send(text), close: (code, reason) => socket.close(code, reason) }));
  socket.addEventListener('message', () => listener.heard());
  socket.addEventListener('close', () => listener.closed());
  // `close` follows an error.
  socket.addEventListener('error', () => {});
  return response;
};

export const addressOfDeno = (_request: Request, peer: unknown): string | undefined =>
  // `serveUntilSignal` hands this beside every request.
  (peer as DenoPeer | undefined)?.remoteAddr?.hostname;
