/** Reads what clients of the HTTP protocol send. Everything here is outside input: what cannot be read is a `Refused`. */
import type { TopicPartition, TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { NewRecord, RecordHeader } from '../engine.ts';

/** The protocol's error: answered as `{ error, status }` with that status. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'Refused';
    this.status = status;
  }
}

const bad = (message: string): Refused => new Refused(400, message);

/** One call's partitions; a follower of all topics asks for that many. */
const partitionsInCallMax = 20_000;
const headersMax = 100;
const headerCharsMax = 8_000;
const nameCharsMax = 255;

type Json = { readonly [name: string]: unknown };

/** Without the echo of a parser's message: it may quote the body. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw bad('the body is not JSON');
  }
};

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const objectOf = (value: unknown, what: string): Json => {
  if (!isObject(value)) throw bad(`${what} must be an object`);
  return value;
};
/** Several, or one without its array. */
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

const stringOf = (value: unknown, what: string, charsMax: number): string => {
  if (typeof value !== 'string') throw bad(`${what} must be a string`);
  if (value.length === 0 || value.length > charsMax) throw bad(`${what} must have 1 to ${charsMax} characters`);
  return value;
};
const countOf = (value: unknown, what: string): number => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw bad(`${what} must be a whole number from 0 on`);
  return value;
};

/** A name in a path, or a topic in a body. */
export const nameOf = (value: unknown, what: string): string => stringOf(value, what, nameCharsMax);

/** Messages of `/produce`; `topic` is the path's, else each message names its own. */
export const parseMessages = (body: unknown, topic: string | undefined): NewRecord[] => listOf(body).map((message) => messageOf(message, topic));

const messageOf = (json: unknown, topic: string | undefined): NewRecord => {
  const message = objectOf(json, 'a message');
  if (typeof message['value'] !== 'string') throw bad('the value of a message must be a string');
  const { key, partition, timestamp, headers } = message;
  return {
    topic: topic ?? nameOf(message['topic'], 'topic'),
    value: message['value'],
    key: isAbsent(key) ? undefined : keyOf(key),
    partition: isAbsent(partition) ? undefined : countOf(partition, 'partition'),
    timestamp: isAbsent(timestamp) ? undefined : countOf(timestamp, 'timestamp'),
    headers: isAbsent(headers) ? undefined : headersOf(headers),
  };
};

const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null;
const keyOf = (value: unknown): string => {
  if (typeof value !== 'string') throw bad('the key of a message must be a string');
  return value;
};

const headersOf = (value: unknown): RecordHeader[] => {
  if (!Array.isArray(value)) throw bad('headers must be an array of { key, value }');
  if (value.length > headersMax) throw bad(`a message may have ${headersMax} headers`);
  return value.map((json: unknown) => {
    const { key, value: text } = objectOf(json, 'a header');
    if (typeof key !== 'string' || typeof text !== 'string') throw bad('key and value of a header must be strings');
    if (key.length + text.length > headerCharsMax) throw bad(`a header may have ${headerCharsMax} characters`);
    return { key, value: text };
  });
};

const partitionOf = (json: unknown): TopicPartition => {
  const { topic, partition } = objectOf(json, 'a topic partition');
  return { topic: nameOf(topic, 'topic'), partition: countOf(partition, 'partition') };
};
const positionOf = (json: unknown): TopicPartitionOffset => ({ ...partitionOf(json), offset: countOf(objectOf(json, 'a position')['offset'], 'offset') });

const bounded = (values: readonly unknown[]): readonly unknown[] => {
  if (values.length > partitionsInCallMax) throw bad(`one call may name ${partitionsInCallMax} partitions`);
  return values;
};

export const parsePartitions = (body: unknown): TopicPartition[] => bounded(listOf(body)).map(partitionOf);
export const parsePositions = (body: unknown): TopicPartitionOffset[] => bounded(listOf(body)).map(positionOf);

export const parseFetch = (body: unknown): { positions: TopicPartitionOffset[]; timeoutMs: number | undefined } => {
  const request = objectOf(body, 'a fetch request');
  const { topic, topicPartitionOffsets, timeout } = request;
  const single = isAbsent(topic) ? [] : [positionOf(request)];
  if (!isAbsent(topicPartitionOffsets) && !Array.isArray(topicPartitionOffsets)) throw bad('topicPartitionOffsets must be an array');
  const positions = [...single, ...bounded(topicPartitionOffsets ?? []).map(positionOf)];
  if (positions.length === 0) throw bad('a fetch request names a topic, a partition and an offset, or topicPartitionOffsets');
  return { positions, timeoutMs: isAbsent(timeout) ? undefined : countOf(timeout, 'timeout') };
};

export const parseConsume = (body: unknown): { topics: string[]; timeoutMs: number | undefined } => {
  const { topic, topics, timeout } = objectOf(body, 'a consume request');
  if (!isAbsent(topics) && !Array.isArray(topics)) throw bad('topics must be an array');
  const names = isAbsent(topics) ? [topic] : bounded(topics);
  if (names.length === 0) throw bad('a consume request names a topic, or topics');
  return { topics: [...new Set(names.map((name) => nameOf(name, 'topic')))], timeoutMs: isAbsent(timeout) ? undefined : countOf(timeout, 'timeout') };
};

/** A count in a header or a query. */
export const parseCount = (text: string | undefined | null, what: string): number | undefined => {
  if (text === undefined || text === null || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text)) throw bad(`${what} must be a whole number from 0 on`);
  return Number(text);
};

export const parseChoice = <Choice extends string>(text: string | undefined, choices: readonly Choice[], what: string): Choice | undefined => {
  if (text === undefined || text === '') return undefined;
  const choice = choices.find((one) => one === text.toLowerCase());
  if (choice === undefined) throw bad(`${what} must be one of ${choices.join(', ')}`);
  return choice;
};
