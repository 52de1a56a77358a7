/**
 * Stateless fetches. Each names all its positions, yet nearly each goes on where the one before it ended; so its reader is kept
 * for the next, reads ahead, and only a fetch from elsewhere moves it.
 */
import type { FetchRequest, LogRecord } from '../engine.ts';
import type { Clock } from '../../host/clock.ts';
import { streamOf, type TopicPartitionOffset } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import type { Names } from './names.ts';
import { latestTime, listOffsets } from './offsets.ts';
import { pollReader } from './poll.ts';
import { KafkaReader } from './reader.ts';

export type FetchesOptions = { readonly cluster: KafkaCluster; readonly names: Names; readonly clock: Clock };

type Kept = { readonly key: string; readonly reader: KafkaReader; expiry: NodeJS.Timeout | undefined };

export class Fetches {
  readonly #options: FetchesOptions;
  /** Readers that wait for the next fetch, longest idle first. */
  readonly #idle = new Set<Kept>();
  readonly #busy = new Set<Kept>();
  #closed = false;

  constructor(options: FetchesOptions) {
    this.#options = options;
  }

  async fetch({ positions, timeoutMs, recordsMax, signal }: FetchRequest): Promise<readonly LogRecord[]> {
    const { cluster, clock } = this.#options;
    const { limits } = cluster;
    const kept = this.#take(positions);
    const { reader } = kept;
    for (const position of positions) reader.add(position, position.offset);
    this.#busy.add(kept);
    const budget = { recordsMax: recordsMax ?? limits.pollRecordsMax, charsMax: limits.pollCharsMax };
    try {
      return await pollReader(reader, { budget, timeoutMs, signal, ended: () => this.#closed, ends: () => this.#ends(positions) }, { clock, limits });
    } finally {
      this.#busy.delete(kept);
      this.#keep(kept);
    }
  }

  close(): void {
    this.#closed = true;
    for (const kept of [...this.#idle, ...this.#busy]) this.#drop(kept);
  }

  async #ends(positions: readonly TopicPartitionOffset[]): Promise<readonly TopicPartitionOffset[]> {
    const { cluster, names } = this.#options;
    const offsets = await listOffsets(cluster, latestTime, positions.map(({ topic, partition }) => ({ topic: names.topic(topic), partition })));
    return positions.map(({ topic, partition }, i) => ({ topic, partition, offset: offsets[i]! }));
  }

  #take(positions: readonly TopicPartitionOffset[]): Kept {
    const key = positions.map(streamOf).toSorted().join();
    const { cluster, names } = this.#options;
    const one = [...this.#idle].find((kept) => kept.key === key);
    if (one === undefined) return { key, reader: new KafkaReader({ cluster, kafkaName: names.topic, onGone: 'earliest' }), expiry: undefined };
    this.#idle.delete(one);
    clearTimeout(one.expiry);
    return one;
  }

  #keep(kept: Kept): void {
    const { readersMax, readerIdleMsMax } = this.#options.cluster.limits;
    if (this.#closed) return kept.reader.close();
    this.#idle.add(kept);
    kept.expiry = setTimeout(() => this.#drop(kept), readerIdleMsMax);
    const [oldest] = this.#idle;
    if (this.#idle.size > readersMax && oldest !== undefined) this.#drop(oldest);
  }

  #drop(kept: Kept): void {
    clearTimeout(kept.expiry);
    this.#idle.delete(kept);
    kept.reader.close();
  }
}
