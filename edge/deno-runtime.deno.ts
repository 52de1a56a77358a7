/** What the Deno entries share: serving, and ending when told to. The part of Deno's API that is used is declared here. */
import type { Log } from '../src/observability/log.ts';

type DenoServer = { readonly addr: { readonly hostname: string; readonly port: number }; shutdown(): Promise<void> };
type DenoApi = {
  readonly env: { toObject(): Record<string, string> };
  serve(options: { hostname: string; port: number; onListen(): void }, handler: (request: Request) => Promise<Response>): DenoServer;
  addSignalListener(signal: 'SIGINT' | 'SIGTERM', listener: () => void): void;
  exit(code: number): never;
};
// Node's types know no Deno; Deno itself checks these entries too.
const deno = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;

export const environment = (): Record<string, string> => deno.env.toObject();

export type ServeOptions = {
  readonly hostname: string;
  readonly port: number;
  readonly fetch: (request: Request) => Promise<Response>;
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
