/**
 * What stands behind the HTTP protocol: the embedded broker, or the bridge to a real Kafka. Both keep the promises of bus.ts and
 * pass the same contract suite. Failures are BusErrors.
 */
import type { InRecord, TopicPartition, TopicPartitionOffset } from '../messages/grammar/record.ts';
import type { TopicConfig } from './topics.ts';

export type RecordHeader = { readonly key: string; readonly value: string };
export type LogRecord = InRecord & { readonly headers?: readonly RecordHeader[] };

export type NewRecord = {
  readonly topic: string;
  /** Without a key or a partition, partitions take turns. */
  readonly key?: string | undefined;
  readonly value: string;
  readonly partition?: number | undefined;
  /** Milliseconds since the epoch; the broker's time when left out. */
  readonly timestamp?: number | undefined;
  readonly headers?: readonly RecordHeader[] | undefined;
};

export type FetchRequest = {
  readonly positions: readonly TopicPartitionOffset[];
  readonly timeoutMs: number;
  readonly recordsMax?: number;
  readonly signal?: AbortSignal | undefined;
};

/** Where a member begins in a partition of which its group has committed nothing. */
export type OffsetReset = 'earliest' | 'latest' | 'none';

export type ConsumeRequest = {
  readonly group: string;
  readonly instance: string;
  /** Names one life of the instance: another name takes over. Left out by clients that have only the instance's name. */
  readonly member?: string | undefined;
  readonly topics: readonly string[];
  readonly reset: OffsetReset;
  readonly sessionTimeoutMs: number;
  /** Records may be handed out before they are durable (B7); an engine that cannot does not. */
  readonly early?: boolean | undefined;
  /** Commits by itself what was handed out, this often; not at all when left out. */
  readonly autoCommitMs?: number | undefined;
  readonly recordsMax: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
};

export type MemberName = { readonly group: string; readonly instance: string; readonly member?: string | undefined };
export type InstanceView = { readonly name: string; readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[] };
export type GroupView = { readonly name: string; readonly instances: readonly InstanceView[] };

/** What the protocol must know of an engine's bounds (its own config.ts says why they are what they are). */
export type EngineLimits = {
  readonly pollRecordsMax: number;
  readonly pollTimeoutMsMax: number;
  readonly sessionTimeoutMsMin: number;
  readonly sessionTimeoutMsMax: number;
};

type Maybe<Value> = Value | Promise<Value>;

export type BusEngine = {
  /** Resolves with the records as they stand, when all are durable. Nothing is appended where one is refused. */
  append(records: readonly NewRecord[]): Promise<readonly LogRecord[]>;
  /** Reads from positions without a group; waits for a first record. */
  fetch(request: FetchRequest): Promise<readonly LogRecord[]>;
  /** Joins a group if need be, and waits for records. */
  consume(request: ConsumeRequest): Promise<readonly LogRecord[]>;
  /** `consumed`: everything handed out to the member. */
  commit(by: MemberName, positions: readonly TopicPartitionOffset[] | 'consumed'): Maybe<void>;
  leave(by: MemberName): Maybe<void>;
  /** -1 where the group has committed nothing. */
  committed(group: string, partitions: readonly TopicPartition[]): Maybe<readonly TopicPartitionOffset[]>;
  /** The earliest, the next, or the first offset at or after a time. */
  offsets(at: number | 'earliest' | 'latest', partitions: readonly TopicPartition[]): Promise<readonly TopicPartitionOffset[]>;
  topics(): Maybe<readonly Pick<TopicConfig, 'topic' | 'partitions'>[]>;
  hasTopic(topic: string): Maybe<boolean>;
  groups(): readonly GroupView[];
  /** Why it cannot serve now; `undefined` when it can. */
  ailment(): Maybe<string | undefined>;
  readonly limits: EngineLimits;
};
