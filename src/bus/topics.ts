/** Topics as brokers know them, derived from the wires; and the partition a key belongs to. */
import type { Retention, Wire } from '../messages/grammar/wire.ts';
import { partitionCountDefault } from './bus.ts';

export type TopicConfig = {
  readonly topic: string;
  readonly partitions: number;
  readonly retention: Retention;
};

/** One topic a wire, all with the same number of partitions, so that a key has the same partition number everywhere (B3). */
export const topicsOf = (wires: readonly Wire<any, any>[], partitions: number = partitionCountDefault): readonly TopicConfig[] =>
  wires.map(({ topic, retention }) => ({ topic, partitions, retention }));

const encoder = new TextEncoder();

/** Kafka's MurmurHash2 (32 bit, seed 0x9747b28c), so that every Kafka client would choose the partition that we choose. */
export const murmur2 = (bytes: Uint8Array, length: number = bytes.length): number => {
  const multiplier = 0x5bd1e995;
  const wordsEnd = length & ~3;
  let hash = 0x9747b28c ^ length;
  for (let i = 0; i < wordsEnd; i += 4) {
    let word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    word = Math.imul(word, multiplier);
    word = Math.imul(word ^ (word >>> 24), multiplier);
    hash = Math.imul(hash, multiplier) ^ word;
  }
  const rest = length - wordsEnd;
  if (rest > 2) hash ^= bytes[wordsEnd + 2]! << 16;
  if (rest > 1) hash ^= bytes[wordsEnd + 1]! << 8;
  if (rest > 0) hash = Math.imul(hash ^ bytes[wordsEnd]!, multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return hash ^ (hash >>> 15);
};

/** Every record passes here, so the bytes of a usual key go to one place that is used again. */
const scratch = new Uint8Array(1_024);
const utf8BytesPerCharMax = 3;

const hashOf = (key: string): number => {
  if (key.length * utf8BytesPerCharMax > scratch.length) return murmur2(encoder.encode(key));
  return murmur2(scratch, encoder.encodeInto(key, scratch).written);
};

/** Kafka's default partitioner for a record with a key. */
export const partitionOf = (key: string, partitions: number): number => (hashOf(key) & 0x7fffffff) % partitions;
