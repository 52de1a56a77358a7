/**
 * The Upstash Kafka REST protocol over an embedded broker, apart from any HTTP server: a request comes as a value and ends in
 * one. The hosted service is gone, so the protocol is frozen; what Cordage adds is in further routes and headers only:
 *
 * - `GET /health` without credentials; `POST /cancel/{poll}` ends the poll that carries that name in `Cordage-Poll`;
 * - `Cordage-Member` names one life of an instance: another name takes the instance over (B4 when an answer was lost, too);
 * - `Cordage-Records-Max` bounds the records of one poll.
 */
import { BusError } from './bus.ts';
import type { BusErrorCode } from './bus.ts';
import type { Log } from '../observability/log.ts';
import { parseBasic } from './http-server-access.ts';
import type { BusAccess, Grant } from './http-server-access.ts';
import { nameOf, parseChoice, parseConsume, parseCount, parseFetch, parseJson, parseMessages, parsePartitions, parsePositions, Refused } from './http-server-parse.ts';
import type { EmbeddedBroker, LogRecord, NewRecord } from './embedded-broker/embedded-broker.ts';

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
export type BusProtocol = {
  /** Never rejects. */
  answer(request: BusRequest): Promise<BusAnswer>;
};

export type BusProtocolOptions = { readonly broker: EmbeddedBroker; readonly access: BusAccess; readonly log: Log };

/** The protocol's defaults, in milliseconds. */
const defaults = { fetchTimeoutMs: 1_000, consumeTimeoutMs: 1_000, autoCommitMs: 5_000, sessionTimeoutMs: 120_000 } as const;
/** Polls whose cancel came first are remembered, as the two take different connections. */
const cancelledMax = 10_000;

type Call = {
  readonly request: BusRequest;
  /** Decoded parts of the path behind the route's name. */
  readonly names: readonly string[];
  readonly query: URLSearchParams;
  readonly grant: Grant;
};
type Route = { readonly methods: readonly string[]; readonly answer: (call: Call) => string | Promise<string> };

const success = '{"result":"Success","status":200}';

export const createBusProtocol = (options: BusProtocolOptions): BusProtocol => {
  const { broker, access, log } = options;
  const polls = createPolls();
  const routes: Readonly<Record<string, Route>> = {
    produce: { methods: ['GET', 'POST'], answer: (call) => produce(broker, call) },
    webhook: { methods: ['GET', 'POST'], answer: (call) => webhook(broker, call) },
    fetch: { methods: ['GET', 'POST'], answer: (call) => polls.run(call, (signal) => fetchRecords(broker, call, signal)) },
    consume: { methods: ['GET', 'POST'], answer: (call) => polls.run(call, (signal) => consume(broker, call, signal)) },
    commit: { methods: ['GET', 'POST'], answer: (call) => commit(broker, call) },
    committed: { methods: ['GET', 'POST'], answer: (call) => committed(broker, call) },
    offsets: { methods: ['GET', 'POST'], answer: (call) => offsets(broker, call) },
    'delete-consumer': { methods: ['POST', 'DELETE'], answer: (call) => deleteConsumer(broker, call) },
    topics: { methods: ['GET'], answer: (call) => topics(broker, call) },
    consumers: { methods: ['GET'], answer: (call) => consumers(broker, call) },
    cancel: { methods: ['POST'], answer: (call) => polls.cancel(call) },
  };
  const answer = async (request: BusRequest): Promise<BusAnswer> => {
    try {
      const { names, query } = parseTarget(request.target);
      const [name = '', ...rest] = names;
      if (name === 'health' && rest.length === 0 && request.method === 'GET') return { status: 200, body: '{"status":"UP"}' };
      const route = Object.hasOwn(routes, name) ? routes[name] : undefined;
      if (route === undefined) throw new Refused(404, 'no such route');
      const grant = authenticate(access, request, name === 'webhook' ? query : undefined);
      if (!route.methods.includes(request.method)) throw new Refused(405, `use ${route.methods.join(' or ')}`);
      return { status: 200, body: await route.answer({ request, names: rest, query, grant }) };
    } catch (error) {
      return refusal(error, request, log);
    }
  };
  return { answer };
};

const parseTarget = (target: string): { names: string[]; query: URLSearchParams } => {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  try {
    const names = path.split('/').slice(1).map(decodeURIComponent);
    return { names, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) };
  } catch {
    throw new Refused(400, 'the path is not well encoded');
  }
};

const headerOf = ({ headers }: BusRequest, name: string): string | undefined => {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
};

/** `/webhook` alone takes its credential from the query: its callers can often set nothing but a URL. */
const authenticate = (access: BusAccess, request: BusRequest, query: URLSearchParams | undefined): Grant => {
  const basic = parseBasic(headerOf(request, 'authorization'));
  const username = query?.get('user') ?? basic?.username;
  const password = query?.get('pass') ?? basic?.password;
  const grant = username === undefined || password === undefined ? undefined : access.authenticate(username, password);
  if (grant === undefined) throw new Refused(401, 'unknown user name or password');
  return grant;
};

const statuses: Record<BusErrorCode, number> = {
  BUS_UNKNOWN_TOPIC: 404,
  BUS_REFUSED: 400,
  BUS_RECORD_TOO_LARGE: 413,
  BUS_CLOSED: 503,
  BUS_UNREACHABLE: 503,
  BUS_CORRUPT: 500,
};

export const errorAnswer = (status: number, error: string): BusAnswer => ({ status, body: JSON.stringify({ error, status }) });

const refusal = (error: unknown, request: BusRequest, log: Log): BusAnswer => {
  if (error instanceof Refused) {
    if (error.status === 401 || error.status === 403) log.warn('bus.refused', { method: request.method, route: request.target.split('/')[1], status: error.status, reason: error.message });
    return errorAnswer(error.status, error.message);
  }
  if (error instanceof BusError) return errorAnswer(statuses[error.code], error.message);
  log.error('bus.request_failed', { method: request.method, error });
  return errorAnswer(500, 'the broker failed on this request; its log says why');
};

const forbid = (what: string): Refused => new Refused(403, `this credential may not ${what}`);

// ── Producing ──

const produce = async (broker: EmbeddedBroker, { request, names, query, grant }: Call): Promise<string> => {
  const [topic, message] = names;
  if (names.length > 2) throw new Refused(404, 'no such route');
  if (message !== undefined) {
    if (request.method !== 'GET') throw new Refused(405, 'use GET, or send the message in the body');
    const [one] = await append(broker, grant, [{ topic: nameOf(topic, 'topic'), value: message, key: query.get('key') ?? undefined }]);
    return metadataOf(one!);
  }
  const records = parseMessages(parseJson(request.body), topic === undefined ? undefined : nameOf(topic, 'topic'));
  return `[${(await append(broker, grant, records)).map(metadataOf).join(',')}]`;
};

const append = async (broker: EmbeddedBroker, grant: Grant, records: readonly NewRecord[]): Promise<readonly LogRecord[]> => {
  let checked: string | undefined;
  for (const { topic } of records) {
    if (topic === checked) continue;
    requireTopic(broker, topic);
    if (!grant.mayProduce(topic)) throw forbid(`produce to ${topic}`);
    checked = topic;
  }
  return broker.append(records);
};

/** What an HTTP message carries for its own sake; the other headers of a webhook become the record's. */
const standardHeaders = new Set(
  'accept accept-charset accept-encoding accept-language authorization cache-control connection content-encoding content-length content-type cookie date dnt expect forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive max-forwards origin pragma proxy-authorization range referer te trailer transfer-encoding upgrade user-agent via warning'.split(' '),
);

const webhook = async (broker: EmbeddedBroker, { request, names, query, grant }: Call): Promise<string> => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  const topic = nameOf(query.get('topic') ?? undefined, 'topic');
  const headers = Object.entries(request.headers).flatMap(([key, value]) =>
    standardHeaders.has(key) || key.startsWith('sec-') || value === undefined ? [] : [{ key, value: typeof value === 'string' ? value : value.join(', ') }],
  );
  const [one] = await append(broker, grant, [{ topic, value: request.body, key: query.get('key') ?? undefined, headers }]);
  return `[${metadataOf(one!)}]`;
};

const metadataOf = ({ topic, partition, offset, timestamp }: LogRecord): string =>
  `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp}}`;

// ── Reading ──

const noHeaders: readonly never[] = [];

/** One call for the whole answer: the serialiser is faster on it than on parts. */
const encodeRecords = (records: readonly LogRecord[]): string =>
  JSON.stringify(
    records.map(({ topic, partition, offset, timestamp, key, value, headers = noHeaders }) => ({ topic, partition, offset, timestamp, key, value, headers })),
  );

const requireTopic = (broker: EmbeddedBroker, topic: string): void => {
  if (!broker.hasTopic(topic)) throw new BusError('BUS_UNKNOWN_TOPIC', `the broker has no topic "${topic}"`);
};

const requireReadable = (broker: EmbeddedBroker, grant: Grant, topicNames: Iterable<string>): void => {
  for (const topic of new Set(topicNames)) {
    requireTopic(broker, topic);
    if (!grant.mayRead(topic)) throw forbid(`read ${topic}`);
  }
};

const recordsMaxOf = (request: BusRequest): { recordsMax?: number } => {
  const recordsMax = parseCount(headerOf(request, 'cordage-records-max'), 'Cordage-Records-Max');
  return recordsMax === undefined || recordsMax === 0 ? {} : { recordsMax };
};

const fetchRecords = async (broker: EmbeddedBroker, { request, names, grant }: Call, signal: AbortSignal): Promise<string> => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  const { positions, timeoutMs = defaults.fetchTimeoutMs } = parseFetch(parseJson(request.body));
  requireReadable(broker, grant, positions.map(({ topic }) => topic));
  return encodeRecords(await broker.fetch({ positions, timeoutMs: Math.min(timeoutMs, broker.limits.pollTimeoutMsMax), signal, ...recordsMaxOf(request) }));
};

const memberOf = ({ request, names, grant }: Call, namesMax = 2): { group: string; instance: string; member: string | undefined } => {
  if (names.length > namesMax) throw new Refused(404, 'no such route');
  const group = nameOf(names[0], 'group');
  const instance = nameOf(names[1], 'instance');
  if (!grant.mayUseGroup(group)) throw forbid(`use the group ${group}`);
  const member = headerOf(request, 'cordage-member');
  return { group, instance, member: member === undefined ? undefined : nameOf(member, 'Cordage-Member') };
};

const consume = async (broker: EmbeddedBroker, call: Call, signal: AbortSignal): Promise<string> => {
  const { request, names, query, grant } = call;
  const member = memberOf(call, 3);
  const inPath = { topic: names[2], timeout: parseCount(query.get('timeout'), 'timeout') };
  const { topics: topicNames, timeoutMs = defaults.consumeTimeoutMs } = parseConsume(names.length === 3 ? inPath : parseJson(request.body));
  requireReadable(broker, grant, topicNames);
  const { limits } = broker;
  const autoCommit = parseChoice(headerOf(request, 'kafka-enable-auto-commit'), ['true', 'false'], 'Kafka-Enable-Auto-Commit') ?? 'true';
  const autoCommitMs = parseCount(headerOf(request, 'kafka-auto-commit-interval'), 'Kafka-Auto-Commit-Interval') ?? defaults.autoCommitMs;
  const reset = parseChoice(headerOf(request, 'kafka-auto-offset-reset'), ['earliest', 'latest', 'none'], 'Kafka-Auto-Offset-Reset') ?? 'latest';
  const session = parseCount(headerOf(request, 'kafka-session-timeout-ms'), 'Kafka-Session-Timeout-Ms') ?? defaults.sessionTimeoutMs;
  const records = await broker.consume({
    ...member,
    topics: topicNames,
    reset,
    sessionTimeoutMs: Math.min(Math.max(session, limits.sessionTimeoutMsMin), limits.sessionTimeoutMsMax),
    autoCommitMs: autoCommit === 'true' ? autoCommitMs : undefined,
    recordsMax: limits.pollRecordsMax,
    ...recordsMaxOf(request),
    timeoutMs: Math.min(timeoutMs, limits.pollTimeoutMsMax),
    signal,
  });
  return encodeRecords(records);
};

const commit = (broker: EmbeddedBroker, call: Call): string => {
  const member = memberOf(call);
  const { body } = call.request;
  broker.commit(member, body.trim() === '' ? 'consumed' : parsePositions(parseJson(body)));
  return success;
};

const committed = (broker: EmbeddedBroker, call: Call): string => {
  const { group } = memberOf(call);
  return JSON.stringify(broker.committed(group, parsePartitions(parseJson(call.request.body))));
};

const deleteConsumer = (broker: EmbeddedBroker, call: Call): string => {
  broker.leave(memberOf(call));
  return success;
};

const offsets = async (broker: EmbeddedBroker, { request, names, grant }: Call): Promise<string> => {
  if (names.length !== 1) throw new Refused(404, 'no such route');
  const at = names[0] === 'earliest' || names[0] === 'latest' ? names[0] : parseCount(names[0], 'the time');
  if (at === undefined) throw new Refused(400, 'offsets are asked for by a time, earliest, or latest');
  const partitions = parsePartitions(parseJson(request.body));
  requireReadable(broker, grant, partitions.map(({ topic }) => topic));
  return JSON.stringify(await broker.offsets(at, partitions));
};

// ── Listing: what the credential may touch ──

const topics = (broker: EmbeddedBroker, { names, grant }: Call): string => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  const visible = broker.topics().filter(({ topic }) => grant.mayProduce(topic) || grant.mayRead(topic));
  return JSON.stringify(Object.fromEntries(visible.map(({ topic, partitions }) => [topic, partitions])));
};

const consumers = (broker: EmbeddedBroker, { names, grant }: Call): string => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  return JSON.stringify(broker.groups().filter(({ name }) => grant.mayUseGroup(name)));
};

// ── Polls that can be ended ──

/** Polls by name, so that their client can end them. */
const createPolls = () => {
  const running = new Map<string, AbortController>();
  const cancelled = new Set<string>();
  const keyOf = (grant: Grant, name: string): string => `${grant.username}\n${name}`;
  const run = async (call: Call, poll: (signal: AbortSignal) => Promise<string>): Promise<string> => {
    const { request, grant } = call;
    const name = headerOf(request, 'cordage-poll');
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    if (request.signal?.aborted === true) abort();
    request.signal?.addEventListener('abort', abort, { once: true });
    const key = name === undefined ? undefined : keyOf(grant, nameOf(name, 'Cordage-Poll'));
    if (key !== undefined) {
      if (cancelled.delete(key)) abort();
      running.set(key, controller);
    }
    try {
      return await poll(controller.signal);
    } finally {
      request.signal?.removeEventListener('abort', abort);
      if (key !== undefined) running.delete(key);
    }
  };
  const cancel = ({ names, grant }: Call): string => {
    if (names.length !== 1) throw new Refused(404, 'no such route');
    const key = keyOf(grant, nameOf(names[0], 'the poll'));
    const controller = running.get(key);
    if (controller === undefined) cancelled.add(key);
    else controller.abort();
    const [oldest] = cancelled;
    if (cancelled.size > cancelledMax && oldest !== undefined) cancelled.delete(oldest);
    return success;
  };
  return { run, cancel };
};
