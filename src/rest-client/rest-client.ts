/**
 * The typed client of the REST API: for the CLI, consoles and tests, on Node, Deno and in browsers.
 *
 *     const client = createRestClient({ url: 'https://rest.example', credentials: { login, password } });
 *     const { flowStatus } = await client.call('GET /flow/{holdingidentityshorthash}/{clientrequestid}', { path: { … }, query: { wait: 'PT10S' } });
 *
 * An operation is named as the contract names it. What it takes and gives is read off the declarations of the routes, as types alone:
 * nothing of the server is loaded, and there is no second list.
 */
import type { Operations } from '../workers/rest/worker.ts';
import { errorOf, RestUnreachable } from './rest-error.ts';

export { RestError, RestUnreachable } from './rest-error.ts';

export type OperationName = keyof Operations;
export type GivenTo<Name extends OperationName> = Operations[Name]['given'];
export type ValueOf<Name extends OperationName> = Operations[Name]['value'];

export type Credentials =
  | { readonly login: string; readonly password: string }
  /** A bearer token, or how to come by one that is fresh; it is asked for at each call. */
  | { readonly token: string | (() => string | Promise<string>) };

export type RestClientOptions = {
  /** Of the server, without `/api/…`. */
  readonly url: string;
  readonly credentials: Credentials;
  /** How long one call may take, in ms; default 60,000. Waits of flows are below it. */
  readonly timeoutMs?: number;
  /** Default: the platform's own. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
};

export type CallOptions = { readonly signal?: AbortSignal; readonly headers?: Readonly<Record<string, string>> };

export type Answer<Value> = {
  readonly status: number;
  readonly value: Value;
  /** Names the request in the server's log. */
  readonly requestId: string | null;
};

type Arguments<Name extends OperationName> = {} extends GivenTo<Name> ? [given?: GivenTo<Name>, options?: CallOptions] : [given: GivenTo<Name>, options?: CallOptions];

export type RestClient = {
  /** The value of a success. Throws RestError when it is refused, RestUnreachable when nobody answers. */
  call<Name extends OperationName>(name: Name, ...given: Arguments<Name>): Promise<ValueOf<Name>>;
  /** The same with its status, which tells a result (200) from a flow that still runs (202). */
  ask<Name extends OperationName>(name: Name, ...given: Arguments<Name>): Promise<Answer<ValueOf<Name>>>;
  /** The response as it comes, unread: for streams of events and for files. Its time is not bounded. */
  open<Name extends OperationName>(name: Name, ...given: Arguments<Name>): Promise<Response>;
};

const timeoutMsDefault = 60_000;

/** The parts that any operation may take. */
type AnyGiven = {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string | Blob | readonly Blob[]>>;
};

const pathOf = (template: string, given: AnyGiven['path'] = {}): string =>
  template.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const value = given[name];
    if (value === undefined) throw new TypeError(`${template} needs the path parameter ${name}`);
    return encodeURIComponent(value);
  });

const searchOf = (query: AnyGiven['query'] = {}): string => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) search.append(name, String(one));
  }
  return search.size === 0 ? '' : `?${search}`;
};

const formOf = (fields: NonNullable<AnyGiven['form']>): FormData => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of typeof value === 'string' || value instanceof Blob ? [value] : value) form.append(name, one);
  }
  return form;
};

/** Basic takes UTF-8 here (RFC 7617 section 2.1); `btoa` takes bytes. */
const basic = (login: string, password: string): string => `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${login}:${password}`)))}`;

const authorizationOf = async (credentials: Credentials): Promise<string> => {
  if ('login' in credentials) return basic(credentials.login, credentials.password);
  return `Bearer ${typeof credentials.token === 'string' ? credentials.token : await credentials.token()}`;
};

const valueIn = (text: string): unknown => {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

type Send = (name: string, given: AnyGiven, options: CallOptions, timeoutMs: number | undefined) => Promise<Response>;

const createSend = ({ url, credentials, fetch = (target, init) => globalThis.fetch(target, init) }: RestClientOptions): Send => {
  const base = `${url.replace(/\/+$/, '')}/api/v5_2`;
  return async (name, { path, query, json, form }, { signal, headers }, timeoutMs) => {
    const [method = '', template = ''] = name.split(' ');
    const ending = [...(signal === undefined ? [] : [signal]), ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)])];
    const target = `${base}${pathOf(template, path)}${searchOf(query)}`;
    const init: RequestInit = {
      method,
      headers: { accept: 'application/json', authorization: await authorizationOf(credentials), ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(json !== undefined ? { body: JSON.stringify(json) } : form !== undefined ? { body: formOf(form) } : {}),
      ...(ending.length === 0 ? {} : { signal: AbortSignal.any(ending) }),
    };
    try {
      return await fetch(target, init);
    } catch (cause) {
      // Whoever asked for the end hears of it as the platform tells it.
      if (signal?.aborted === true) throw cause;
      throw new RestUnreachable(`${name}: ${url} does not answer`, { cause });
    }
  };
};

export const createRestClient = (options: RestClientOptions): RestClient => {
  const { timeoutMs = timeoutMsDefault } = options;
  const send = createSend(options);
  // Each operation's own type of what it takes is one of this shape.
  const given = (args: readonly unknown[]): AnyGiven => (args[0] ?? {}) as AnyGiven;
  const optionsOf = (args: readonly unknown[]): CallOptions => (args[1] ?? {}) as CallOptions;
  const ask = async (name: string, args: readonly unknown[]): Promise<Answer<any>> => {
    const response = await send(name, given(args), optionsOf(args), timeoutMs);
    // A file is the caller's to read, within the time of the call; `open` gives it more.
    if (response.headers.get('content-type') === 'application/octet-stream') return { status: response.status, value: response.body, requestId: response.headers.get('x-request-id') };
    const text = await response.text().catch((cause: unknown) => Promise.reject(new RestUnreachable(`${name}: the answer broke off`, { cause })));
    if (response.status >= 400) throw errorOf(name, response, text);
    return { status: response.status, value: valueIn(text), requestId: response.headers.get('x-request-id') };
  };
  return {
    ask: (name, ...args) => ask(name, args),
    call: async (name, ...args) => (await ask(name, args)).value,
    open: async (name, ...args) => {
      const response = await send(name, given(args), optionsOf(args), undefined);
      if (response.status >= 400) throw errorOf(name, response, await response.text());
      return response;
    },
  };
};
