/**
 * `client-to-rest.api`: one request in, one response out.
 *
 *     path → caller → route → permission → parameters → body → handler → response
 *
 * Every way out of here is a response of the contract: what a handler throws is answered 503 when the bus or a room does
 * not answer, else 500 with a reference to the log, and no more.
 */
import { Hono } from 'hono';
import { BusError } from '../../bus/bus.ts';
import type { AcceptWebSocket, SocketListener } from '../../host/web-socket.ts';
import type { Refusal } from '../../messages/grammar/envelope.ts';
import type { Counter, Histogram, Metrics } from '../../observability/metrics.ts';
import { isOperational } from '../../shell/operational.ts';
import { RequestTimeout } from '../../shell/requests.ts';
import type { Authenticate, Caller } from './auth/auth.ts';
import { needsPermission, operationOf, ownPasswordPath, socketOf } from './auth/operation.ts';
import { passwordStandingOf } from './auth/password-expiry.ts';
import { createSocketFeed } from './feed/socket-feed.ts';
import { createGate, type Gate } from './gate.ts';
import { createOpenApi, type OpenApi } from './openapi/openapi.ts';
import { readForm, readJson, readPath, readQuery, type Parsed } from './parsing/parsing.ts';
import { faultError, httpErrorOf, refuse, type HttpError } from './refusal.ts';
import { emptyResponse, errorResponse, eventResponse, fileResponse, jsonResponse, valueResponse, type HeaderMap } from './response.ts';
import type { RestRoom } from './room.ts';
import { createRouteTable, type Method, type Route } from './routing/routing.ts';
import { documentPath, isDocumentation, swaggerResponse, type ReadSwaggerFile } from './swagger.ts';

export type ServeOptions = {
  readonly room: RestRoom;
  readonly routes: readonly Route[];
  readonly authenticate: Authenticate;
  readonly metrics: Metrics;
  readonly acceptWebSocket: AcceptWebSocket | undefined;
  readonly readSwaggerFile?: ReadSwaggerFile | undefined;
  /** Where the request came from, as the host knows it. */
  readonly addressOf: (request: Request, env: unknown) => string;
};

export type Serve = (request: Request, env?: unknown) => Promise<Response>;

/** One request on its way. What is not known yet is `undefined`. */
type Exchange = {
  readonly request: Request;
  /** The host's own, beside the request. */
  readonly env: unknown;
  readonly path: string;
  readonly search: string;
  readonly accept: string | null;
  /** Names this request in the answer and in the log: the client's own name for it, where it gave one. */
  readonly id: string;
  /** The route's path, for metrics and the log. */
  label: string;
  login?: string;
  /** What every answer to this caller says beside. */
  warning?: string;
  /** Why it was refused. */
  code?: string;
};

const forbidden = refuse('REST_FORBIDDEN', 'User not authorized.');
const passwordExpired = refuse('REST_PASSWORD_EXPIRED', 'The password has expired; change it with POST /user/selfpassword');

const socketPattern = /^\/api\/(?:v1|v5_1|v5_2)\/flow\/([^/]+)\/([^/]+)\/?$/i;
/** A request id that a client or a proxy may choose: text that is safe in a header and a log. */
const requestIdPattern = /^[-._A-Za-z0-9]{1,128}$/;
const contentMethods = new Set(['POST', 'PUT', 'DELETE', 'PATCH']);

const splitUrl = (url: string): { path: string; search: string } => {
  const start = url.indexOf('/', url.indexOf('://') + 3);
  if (start < 0) return { path: '/', search: '' };
  const [target = '/'] = url.slice(start).split('#');
  const query = target.indexOf('?');
  return query < 0 ? { path: target, search: '' } : { path: target.slice(0, query), search: target.slice(query + 1) };
};

/** A page of another site may neither change anything here nor listen, even where the browser knows a login. */
const isCrossSite = (request: Request, isSocket: boolean): boolean => {
  if (contentMethods.has(request.method)) return request.headers.get('sec-fetch-site') === 'cross-site';
  if (!isSocket) return false;
  const origin = request.headers.get('origin');
  return origin !== null && (!URL.canParse(origin) || new URL(origin).host !== new URL(request.url).host);
};

const requestIdOf = (request: Request): string => {
  const given = request.headers.get('x-request-id');
  return given !== null && requestIdPattern.test(given) ? given : crypto.randomUUID();
};

const isV1 = ({ path }: Exchange): boolean => path.slice(0, 8).toLowerCase() === '/api/v1/';

/** RFC 9110 section 10.2.1: HEAD goes with GET, and every path answers OPTIONS. */
const allowOf = (methods: readonly Method[]): string => [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].toSorted().join(', ');

/** Clients of version 1 are told where its ways part from those of later ones. */
const deprecationOf = (route: Route): string | undefined => {
  if (route.onlyInV1 === true) return '299 - "Deprecated: this operation is in version 1 alone"';
  return route.pathInV1 === undefined ? undefined : `299 - "Deprecated: /api/v5_2${route.path} takes its place"`;
};

const withoutBody = async (response: Response): Promise<Response> => {
  await response.body?.cancel();
  return new Response(null, { status: response.status, headers: response.headers });
};

const thrownRefusal = (cause: unknown): Refusal | undefined => {
  if (cause instanceof RequestTimeout) return refuse('REST_ROOM_SILENT', 'The worker that does this does not answer; try again later');
  if (cause instanceof BusError && cause.code === 'BUS_RECORD_TOO_LARGE') return refuse('REST_BODY_TOO_LARGE', 'The request is longer than a record of the bus');
  return isOperational(cause) ? refuse('REST_UNAVAILABLE', 'The cluster cannot do this now; try again later') : undefined;
};

/** WebSockets are taken by way of Hono, which each runtime has an adapter for; no other request needs its context. */
const upgradeBy = (acceptWebSocket: AcceptWebSocket, { request, env }: Exchange, listener: SocketListener): Response | Promise<Response> =>
  // A host gives an object or nothing.
  new Hono().all('*', (context) => acceptWebSocket(context, listener)).fetch(request, env as object | undefined);

class Server {
  readonly #options: ServeOptions;
  readonly #table: ReturnType<typeof createRouteTable>;
  readonly #uploads: Gate;
  readonly #seconds: Histogram;
  readonly #faults: Counter;
  #openApi: OpenApi | undefined;

  constructor(options: ServeOptions) {
    const { metrics, room, routes } = options;
    this.#options = options;
    this.#table = createRouteTable(routes);
    this.#uploads = createGate({ atOnceMax: room.limits.uploadsAtOnceMax, waitingMax: 0 });
    this.#seconds = metrics.histogram('cordage_rest_request_seconds', 'Time from a request to its response, by route.');
    this.#faults = metrics.counter('cordage_rest_faults_total', 'Requests answered 500.');
  }

  async serve(request: Request, env: unknown): Promise<Response> {
    const { clock, log } = this.#options.room;
    const startedAt = clock.now();
    const exchange: Exchange = { request, env, ...splitUrl(request.url), accept: request.headers.get('accept'), id: requestIdOf(request), label: 'unknown' };
    const response = await this.#respond(exchange).catch((cause: unknown) => this.#answerThrown(exchange, cause));
    const { status } = response;
    const seconds = (clock.now() - startedAt) / 1000;
    this.#seconds.observe(seconds, { method: request.method, route: exchange.label, status: String(status) });
    const fields = { method: request.method, route: exchange.label, status, seconds, requestId: exchange.id, login: exchange.login, code: exchange.code };
    if (status >= 500) log.error('rest.request', { ...fields, path: exchange.path });
    else if (status >= 400) log.info('rest.request', { ...fields, path: exchange.path });
    else log.debug('rest.request', fields);
    return request.method === 'HEAD' ? withoutBody(response) : response;
  }

  async #respond(exchange: Exchange): Promise<Response> {
    const { request, path } = exchange;
    const { authenticate, addressOf, room } = this.#options;
    if (request.url.length > room.limits.urlCharsMax) return this.#refused(exchange, refuse('REST_URL_TOO_LONG', `The URL is longer than ${room.limits.urlCharsMax} characters`));
    if (!path.toLowerCase().startsWith('/api/')) return this.#refused(exchange, refuse('REST_ROUTE_UNKNOWN', 'There is nothing here; the API is under /api/v5_2'));
    if (isDocumentation(path)) return this.#document(exchange);
    const socket = request.headers.get('upgrade')?.toLowerCase() === 'websocket' ? socketPattern.exec(path) : null;
    const caller = await authenticate(request.headers.get('authorization'), addressOf(request, exchange.env));
    if (caller.type === 'refused') return this.#refused(exchange, caller);
    exchange.login = caller.login;
    const standing = passwordStandingOf(caller, room);
    if (standing.type === 'ending') exchange.warning = standing.warning;
    if (isCrossSite(request, socket !== null)) return this.#refused(exchange, refuse('REST_CROSS_SITE', 'Pages of other sites may not call this API'));
    if (socket !== null) return this.#upgrade(exchange, caller, socket[1]!, socket[2]!);
    const match = this.#table.match(request.method === 'HEAD' ? 'GET' : request.method, path);
    switch (match.type) {
      case 'unknown':
        return this.#refused(exchange, refuse('REST_ROUTE_UNKNOWN', `There is no operation at ${path.slice(0, 300)}`));
      case 'method':
        if (request.method === 'OPTIONS') return emptyResponse(204, { ...this.#headers(exchange), allow: allowOf(match.allowed) });
        return this.#refused(exchange, refuse('REST_METHOD_NOT_ALLOWED', `${request.method} is not allowed here`), match.allowed);
      case 'route':
        exchange.label = match.route.path;
        return (await this.#forbidden(exchange, caller, match.route, match.segments)) ?? this.#run(exchange, match.route, match.segments, caller);
    }
  }

  /** The answer to a caller who may not do this; `undefined` for one who may. */
  async #forbidden(exchange: Exchange, caller: Caller, route: Route, segments: Readonly<Record<string, string>>): Promise<Response | undefined> {
    const { room } = this.#options;
    if (route.path === ownPasswordPath) return undefined;
    if (passwordStandingOf(caller, room).type === 'expired') return this.#refused(exchange, passwordExpired);
    if (!needsPermission(route)) return undefined;
    const { request, path, search } = exchange;
    const operation = operationOf({ method: request.method === 'HEAD' ? 'GET' : request.method, path, search }, segments);
    return (await room.authority.permits(caller.user, operation)) ? undefined : this.#refused(exchange, forbidden);
  }

  async #run(exchange: Exchange, route: Route, segments: Readonly<Record<string, string>>, { login, user }: Caller): Promise<Response> {
    const path = readPath(route.pathParameters, segments);
    if (path.type === 'refused') return this.#refused(exchange, path);
    const query = readQuery(route.queryParameters, exchange.search);
    if (query.type === 'refused') return this.#refused(exchange, query);
    const finish = async (): Promise<Response> => {
      const body = await this.#readBody(exchange, route);
      if (body.type === 'refused') return this.#refused(exchange, body);
      const { room } = this.#options;
      const ended = await route.handle({ room, path: path.value, query: query.value, body: body.value, login, user, headers: exchange.request.headers });
      if (ended.type === 'refused') return this.#refused(exchange, ended);
      return this.#succeeded(exchange, route, ended.value, ended.status);
    };
    if (route.body?.type !== 'form') return finish();
    const passed = await this.#uploads.pass(finish);
    return passed === 'full' ? this.#refused(exchange, refuse('REST_BUSY', 'Too many uploads are under way')) : passed.value;
  }

  async #readBody({ request }: Exchange, { body }: Route): Promise<Parsed<unknown>> {
    const { limits } = this.#options.room;
    if (body === undefined) return { type: 'parsed', value: undefined };
    return body.type === 'json' ? readJson(body, request, limits) : readForm(body, request, limits);
  }

  #headers({ id, warning }: Exchange): HeaderMap {
    return { 'x-request-id': id, ...(warning === undefined ? {} : { warning }) };
  }

  #succeeded(exchange: Exchange, route: Route, value: unknown, status = 200): Response {
    const { reply } = route;
    const deprecation = isV1(exchange) ? deprecationOf(route) : undefined;
    const headers = { ...this.#headers(exchange), ...(deprecation === undefined ? {} : { warning: exchange.warning === undefined ? deprecation : `${exchange.warning}, ${deprecation}` }) };
    switch (reply.type) {
      case 'nothing':
        return emptyResponse(204, headers);
      case 'events':
        // `eventRoute` lets its handler give nothing else.
        return value === undefined ? emptyResponse(204, headers) : eventResponse(value as ReadableStream<Uint8Array>, headers);
      case 'file':
        // `fileRoute` lets its handler give nothing else.
        return fileResponse(value as ReadableStream<Uint8Array>, headers);
      case 'json':
        // Version 1 knew no 201.
        return valueResponse(status === 201 && isV1(exchange) ? 200 : status, value, exchange.accept, headers);
    }
  }

  /** `allowed`: the methods that this path takes, for a 405. */
  #refused(exchange: Exchange, refusal: Refusal, allowed: readonly Method[] = ['GET']): Response {
    exchange.code = refusal.code;
    const error = httpErrorOf(refusal) ?? this.#unmapped(refusal);
    return errorResponse(error, exchange.accept, { ...this.#headers(exchange), ...this.#headersOf(error, refusal, allowed) });
  }

  #headersOf({ status }: HttpError, { details }: Refusal, allowed: readonly Method[]): HeaderMap {
    switch (status) {
      case 401:
        return { 'www-authenticate': this.#challenge() };
      case 405:
        return { allow: allowOf(allowed) };
      case 429:
      case 503:
        return { 'retry-after': details?.['retryAfterSeconds'] ?? String(this.#options.room.limits.retryAfterSeconds) };
      default:
        return {};
    }
  }

  /** The ways to log in (RFC 7617, RFC 6750). */
  #challenge(): string {
    const basic = 'Basic realm="Corda REST Worker", charset="UTF-8"';
    const { oidc, azureAd } = this.#options.room.config.get('corda.rest').sso;
    return oidc === undefined && azureAd === undefined ? basic : `${basic}, Bearer realm="Corda REST Worker"`;
  }

  #unmapped(refusal: Refusal): HttpError {
    const reference = crypto.randomUUID();
    this.#faults.add();
    this.#options.room.log.error('rest.refusal.unmapped', { reference, code: refusal.code, message: refusal.message, remedy: 'give the code its HTTP status in src/workers/rest/refusal.ts' });
    return faultError(reference);
  }

  #answerThrown(exchange: Exchange, cause: unknown): Response {
    const refusal = thrownRefusal(cause);
    if (refusal !== undefined) {
      this.#options.room.log.warn('rest.unavailable', { route: exchange.label, cause });
      return this.#refused(exchange, refusal);
    }
    const reference = crypto.randomUUID();
    this.#faults.add();
    exchange.code = 'REST_FAULT';
    this.#options.room.log.error('rest.fault', { reference, route: exchange.label, cause, stack: cause instanceof Error ? cause.stack : undefined });
    return errorResponse(faultError(reference), exchange.accept, this.#headers(exchange));
  }

  async #document(exchange: Exchange): Promise<Response> {
    exchange.label = '/swagger';
    const { method } = exchange.request;
    if (method !== 'GET' && method !== 'HEAD') return this.#refused(exchange, refuse('REST_METHOD_NOT_ALLOWED', 'only GET is allowed here'));
    if (exchange.path.toLowerCase() === documentPath) return jsonResponse(200, (this.#openApi ??= createOpenApi(this.#options.routes)), this.#headers(exchange));
    const response = await swaggerResponse(exchange.path, this.#options.readSwaggerFile);
    return response ?? this.#refused(exchange, refuse('REST_ROUTE_UNKNOWN', 'Swagger UI has no such file'));
  }

  async #upgrade(exchange: Exchange, caller: Caller, hash: string, clientRequestId: string): Promise<Response> {
    exchange.label = '/flow/{holdingidentityshorthash}/{clientrequestid}';
    const { acceptWebSocket, room } = this.#options;
    if (passwordStandingOf(caller, room).type === 'expired') return this.#refused(exchange, passwordExpired);
    if (!(await room.authority.permits(caller.user, socketOf(exchange.path, hash)))) return this.#refused(exchange, forbidden);
    if (acceptWebSocket === undefined) return this.#refused(exchange, refuse('REST_UNSUPPORTED', 'This server has no WebSocket; read the events at /api/v5_2/flow/{hash}/{id}/events'));
    return upgradeBy(acceptWebSocket, exchange, createSocketFeed(room, hash, clientRequestId));
  }
}

export const createServe = (options: ServeOptions): Serve => {
  const server = new Server(options);
  return (request, env) => server.serve(request, env);
};
