/**
 * The bus port: all that a worker knows of Kafka.
 *
 * Promises every implementation keeps (one contract suite, `test/bus`):
 * - **B1** a record that `publish` acknowledged is durable and is delivered at least once to every group that hears its topic;
 * - **B2** records of one key keep the order in which they were acknowledged;
 * - **B3** consumers of one group share the partitions; a partition has one owner at a time, and equal partition numbers of
 *   the topics that a consumer hears go to the same owner, so a key has one owner across topics;
 * - **B4** what was polled and not committed is delivered again after the consumer is gone;
 * - **B5** a compacted topic can be read from its beginning and ends with the latest record of each key;
 * - **B6** waiting costs nothing: polls are long, and wake when a record comes;
 * - **B7** only who asks for it hears records *early*, before they are durable: in their order, each with the promise that it becomes so.
 *   Those that cannot be written are taken back before anything comes in their place.
 */
import type { HeardRecord, InRecord, OutRecord, TopicPartitionOffset } from '../messages/grammar/record.ts';

export type Bus = {
  /**
   * Appends records, several topics in one call, and resolves when all are durable. Positions come in the same order.
   * Throws BusError.
   */
  publish(records: readonly OutRecord[]): Promise<readonly TopicPartitionOffset[]>;
  /** Joins a consumer group. Nothing is committed unless the caller commits. A new group begins at the earliest record. */
  consume(options: ConsumeOptions): Consumer;
  /** Reads whole topics, or one partition, outside any group. */
  follow(options: FollowOptions): Follower;
  /** Ends consumers and followers, waits for what is in flight. */
  close(): Promise<void>;
};

export type ConsumeOptions = {
  readonly group: string;
  /** Stable name of this replica: a restarted process with the same name takes its partitions back at once. */
  readonly instance: string;
  readonly topics: readonly string[];
  /** Records may come early (B7), from a bus that can. Such a consumer commits and tells nothing of a record before it is durable. */
  readonly early?: boolean;
};

export type PollOptions = {
  /** How long to wait for a first record. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
};

export type Consumer = {
  /** The next records, in order per partition; empty after the time-out. Never polled twice at once. */
  poll(options: PollOptions & { readonly recordsMax: number }): Promise<readonly HeardRecord[]>;
  /**
   * Says that everything before these offsets is done (`offset` is the next to read, as in Kafka). A partition that has
   * moved to another consumer is left out without error: its new owner decides.
   */
  commit(positions: readonly TopicPartitionOffset[]): Promise<void>;
  /** Leaves the group at once. */
  close(): Promise<void>;
};

export type FollowOptions = {
  readonly topics: readonly string[];
  /** `latest` is fixed before `follow`'s first poll resolves, see `ready`. */
  readonly from: 'earliest' | 'latest';
  /** Only this partition of each topic. */
  readonly partition?: number;
};

export type Follower = {
  /** Resolves when the start position is fixed: what is published from then on will be read. */
  readonly ready: Promise<void>;
  poll(options: PollOptions): Promise<readonly InRecord[]>;
  /** Everything published before this call, not yet polled; empty when there is none. Does not wait. */
  drain(): Promise<readonly InRecord[]>;
  close(): Promise<void>;
};

export type BusErrorCode =
  | 'BUS_UNREACHABLE'
  | 'BUS_REFUSED'
  | 'BUS_UNKNOWN_TOPIC'
  | 'BUS_RECORD_TOO_LARGE'
  | 'BUS_CLOSED'
  | 'BUS_CORRUPT';

/** Every failure of the bus. The shell retries BUS_UNREACHABLE; the others are configuration or damage and say so. */
export class BusError extends Error {
  readonly code: BusErrorCode;
  constructor(code: BusErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BusError';
    this.code = code;
  }
}

/** Partitions of every log topic, unless the broker is told otherwise: equal for all, so that keys co-locate (B3). */
export const partitionCountDefault = 8;
