/** One request of the protocol, apart from any HTTP server. */
import type { Grant } from '../http-server-access.ts';

export type BusRequest = {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  readonly body: string;
  /** Fires when the client is gone. */
  readonly signal?: AbortSignal | undefined;
};
export type BusAnswer = { readonly status: number; readonly body: string };

export type Call = {
  readonly request: BusRequest;
  /** Decoded parts of the path behind the route's name. */
  readonly names: readonly string[];
  readonly query: URLSearchParams;
  readonly grant: Grant;
};

export const headerOf = ({ headers }: BusRequest, name: string): string | undefined => {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
};

/** The protocol's answer where there is nothing to tell. */
export const success = '{"result":"Success","status":200}';
