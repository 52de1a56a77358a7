/** What each route of the protocol does. Bodies, answers and defaults are Upstash's. */
import { BusError } from '../bus.ts';
import type { BusEngine, LogRecord, NewRecord } from '../engine.ts';
import type { Grant } from '../http-server-access.ts';
import { headerOf, success } from './call.ts';
import type { BusRequest, Call } from './call.ts';
import { nameOf, parseChoice, parseConsume, parseCount, parseFetch, parseJson, parseMessages, parsePartitions, parsePositions, Refused } from './parse.ts';

/** The protocol's defaults, in milliseconds. */
const defaults = { fetchTimeoutMs: 1_000, consumeTimeoutMs: 1_000, autoCommitMs: 5_000, sessionTimeoutMs: 120_000 } as const;

const forbid = (what: string): Refused => new Refused(403, `this credential may not ${what}`);

// ── Producing ──

export const produce = async (broker: BusEngine, { request, names, query, grant }: Call): Promise<string> => {
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

const append = async (broker: BusEngine, grant: Grant, records: readonly NewRecord[]): Promise<readonly LogRecord[]> => {
  let checked: string | undefined;
  for (const { topic } of records) {
    if (topic === checked) continue;
    await requireTopic(broker, topic);
    if (!grant.mayProduce(topic)) throw forbid(`produce to ${topic}`);
    checked = topic;
  }
  return broker.append(records);
};

/** What an HTTP message carries for its own sake; the other headers of a webhook become the record's. */
const standardHeaders = new Set([
  'accept', 'accept-charset', 'accept-encoding', 'accept-language', 'authorization', 'cache-control', 'connection',
  'content-encoding', 'content-length', 'content-type', 'cookie', 'date', 'dnt', 'expect', 'forwarded', 'from', 'host',
  'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'keep-alive', 'max-forwards',
  'origin', 'pragma', 'proxy-authorization', 'range', 'referer', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent', 'via', 'warning',
]);

export const webhook = async (broker: BusEngine, { request, names, query, grant }: Call): Promise<string> => {
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

const requireTopic = async (broker: BusEngine, topic: string): Promise<void> => {
  if (!(await broker.hasTopic(topic))) throw new BusError('BUS_UNKNOWN_TOPIC', `the broker has no topic "${topic}"`);
};

const requireReadable = async (broker: BusEngine, grant: Grant, topicNames: Iterable<string>): Promise<void> => {
  for (const topic of new Set(topicNames)) {
    await requireTopic(broker, topic);
    if (!grant.mayRead(topic)) throw forbid(`read ${topic}`);
  }
};

const recordsMaxOf = (request: BusRequest): { recordsMax?: number } => {
  const recordsMax = parseCount(headerOf(request, 'cordage-records-max'), 'Cordage-Records-Max');
  return recordsMax === undefined || recordsMax === 0 ? {} : { recordsMax };
};

export const fetchRecords = async (broker: BusEngine, { request, names, grant }: Call, signal: AbortSignal): Promise<string> => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  const { positions, timeoutMs = defaults.fetchTimeoutMs } = parseFetch(parseJson(request.body));
  await requireReadable(broker, grant, positions.map(({ topic }) => topic));
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

export const consume = async (broker: BusEngine, call: Call, signal: AbortSignal): Promise<string> => {
  const { request, names, query, grant } = call;
  const member = memberOf(call, 3);
  const inPath = { topic: names[2], timeout: parseCount(query.get('timeout'), 'timeout') };
  const { topics: topicNames, timeoutMs = defaults.consumeTimeoutMs } = parseConsume(names.length === 3 ? inPath : parseJson(request.body));
  await requireReadable(broker, grant, topicNames);
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

export const commit = async (broker: BusEngine, call: Call): Promise<string> => {
  const member = memberOf(call);
  const { body } = call.request;
  await broker.commit(member, body.trim() === '' ? 'consumed' : parsePositions(parseJson(body)));
  return success;
};

export const committed = async (broker: BusEngine, call: Call): Promise<string> => {
  const { group } = memberOf(call);
  return JSON.stringify(await broker.committed(group, parsePartitions(parseJson(call.request.body))));
};

export const deleteConsumer = async (broker: BusEngine, call: Call): Promise<string> => {
  await broker.leave(memberOf(call));
  return success;
};

export const offsets = async (broker: BusEngine, { request, names, grant }: Call): Promise<string> => {
  if (names.length !== 1) throw new Refused(404, 'no such route');
  const at = names[0] === 'earliest' || names[0] === 'latest' ? names[0] : parseCount(names[0], 'the time');
  if (at === undefined) throw new Refused(400, 'offsets are asked for by a time, earliest, or latest');
  const partitions = parsePartitions(parseJson(request.body));
  await requireReadable(broker, grant, partitions.map(({ topic }) => topic));
  return JSON.stringify(await broker.offsets(at, partitions));
};

// ── Listing: what the credential may touch ──

export const topics = async (broker: BusEngine, { names, grant }: Call): Promise<string> => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  const visible = (await broker.topics()).filter(({ topic }) => grant.mayProduce(topic) || grant.mayRead(topic));
  return JSON.stringify(Object.fromEntries(visible.map(({ topic, partitions }) => [topic, partitions])));
};

export const consumers = (broker: BusEngine, { names, grant }: Call): string => {
  if (names.length > 0) throw new Refused(404, 'no such route');
  return JSON.stringify(broker.groups().filter(({ name }) => grant.mayUseGroup(name)));
};
