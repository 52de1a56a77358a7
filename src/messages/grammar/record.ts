/** Records as the bus carries them (Kafka's words). Values are JSON text; binary inside them is base64url. */

export type OutRecord = {
  readonly topic: string;
  readonly key: string;
  readonly value: string;
  /** Set only where the caller owns a partition (replies to rest and gateway); else the bus hashes the key. */
  readonly partition?: number;
};

export type InRecord = {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch, set by the broker. */
  readonly timestamp: number;
  readonly key: string;
  readonly value: string;
};

/** A record that may have been heard before it was durable: then it says when it is. Where that rejects, it was never there, and its offset is given to another. */
export type HeardRecord = InRecord & { readonly durable?: Promise<void> };

export type TopicPartition = { readonly topic: string; readonly partition: number };
export type TopicPartitionOffset = TopicPartition & { readonly offset: number };

/** `topic/partition`: names one ordered stream of records. */
export const streamOf = (record: TopicPartition): string => `${record.topic}/${record.partition}`;
