/**
 * Reads partitions from positions of its own, ahead of who takes the records, within a bound of bytes.
 *
 *     leaders ◀─fetch (waits at the broker)── reader ──records──▶ take
 *
 * - **R1** a partition is in one fetch at a time, and records are kept in the order of their offsets.
 * - **R2** what was removed or moved to another position while a fetch was under way takes nothing from that fetch.
 * - **R3** a fetch that waits for others does not make a partition wait: it is fetched beside, or the waiting fetch is ended.
 */
import { fetchV12, type Connection } from '@platformatic/kafka';
import type { BusError } from '../bus.ts';
import type { LogRecord } from '../engine.ts';
import { streamOf, type TopicPartition } from '../../messages/grammar/record.ts';
import type { KafkaCluster } from './cluster.ts';
import { busErrorOf, errorOf, mayPass, responseOf } from './failure.ts';
import { earliestTime, latestTime, listOffsets } from './offsets.ts';
import { endOf, incoming } from './records.ts';

/** One partition that is read. Another position makes another cursor (R2). */
type Cursor = {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to be taken, and the next to be fetched. */
  position: number;
  fetchedTo: number;
  readonly records: LogRecord[];
  fetching: boolean;
  /** Not before this time (milliseconds since the epoch), after a failure. */
  restUntil: number;
};

type Fetch = {
  readonly leader: number;
  readonly cursors: readonly Cursor[];
  connection: Connection | undefined;
  /** By ourselves, so that its partitions are fetched together with others (R3). */
  ended: boolean;
};
type FetchResponse = fetchV12.FetchResponse;
type Budget = { readonly recordsMax: number; readonly charsMax: number };
type PartResponse = FetchResponse['responses'][number]['partitions'][number];

export type ReaderOptions = {
  readonly cluster: KafkaCluster;
  /** Kafka's name of a topic. */
  readonly kafkaName: (topic: string) => string;
  /** Where to go on when the records at a position are gone: the earliest that is left, or the end. */
  readonly onGone: 'earliest' | 'latest';
};

/** Unused connections to one leader that a reader keeps. */
type Idle = Map<number, Connection[]>;

const overheadBytes = 64;
const bytesOf = ({ key, value }: LogRecord): number => key.length + value.length + overheadBytes;

export class KafkaReader {
  readonly #options: ReaderOptions;
  readonly #cursors = new Map<string, Cursor>();
  readonly #fetches = new Set<Fetch>();
  readonly #idle: Idle = new Map();
  readonly #watchers = new Set<() => void>();
  #bufferedBytes = 0;
  #closed = false;
  #turn = 0;
  #failure: BusError | undefined;
  #kick: NodeJS.Timeout | undefined;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  get partitions(): readonly TopicPartition[] {
    return [...this.#cursors.values()];
  }

  has(partition: TopicPartition): boolean {
    return this.#cursors.has(streamOf(partition));
  }

  /** The next offset to be taken there. */
  position(partition: TopicPartition): number | undefined {
    return this.#cursors.get(streamOf(partition))?.position;
  }

  /** Reads there from now on, from this offset; nothing changes where it stands there already. */
  add(place: TopicPartition, offset: number): void {
    const name = streamOf(place);
    if (this.#cursors.get(name)?.position === offset) return;
    this.remove(place);
    const { topic, partition } = place;
    this.#cursors.set(name, { topic, partition, position: offset, fetchedTo: offset, records: [], fetching: false, restUntil: 0 });
    this.#schedule();
  }

  remove(place: TopicPartition): void {
    const name = streamOf(place);
    const cursor = this.#cursors.get(name);
    if (cursor === undefined) return;
    this.#cursors.delete(name);
    for (const record of cursor.records.splice(0)) this.#bufferedBytes -= bytesOf(record);
  }

  /** True when there is something to take. */
  get ready(): boolean {
    return this.#bufferedBytes > 0;
  }

  /** Records of all partitions in turn; at least one, however long, where there is one. Throws what fetching met with and cannot mend. */
  take(budget: Budget): LogRecord[] {
    const taken: LogRecord[] = [];
    const cursors = [...this.#cursors.values()].filter(({ records }) => records.length > 0);
    let left = budget.charsMax;
    // Others come first at the next take.
    const start = cursors.length === 0 ? 0 : this.#turn++ % cursors.length;
    for (let share = Math.ceil(budget.recordsMax / Math.max(cursors.length, 1)), more = true; more; share = Number.POSITIVE_INFINITY) {
      more = share !== Number.POSITIVE_INFINITY;
      for (let i = 0; i < cursors.length; i++) left = this.#takeFrom(cursors[(start + i) % cursors.length]!, taken, { share, left, recordsMax: budget.recordsMax });
    }
    if (taken.length > 0) this.#schedule();
    else this.#throwFailure();
    return taken;
  }

  #takeFrom(cursor: Cursor, taken: LogRecord[], { share, left, recordsMax }: { share: number; left: number; recordsMax: number }): number {
    let count = 0;
    while (count < cursor.records.length && count < share && taken.length < recordsMax) {
      const record = cursor.records[count]!;
      const bytes = bytesOf(record);
      if (taken.length > 0 && bytes > left) break;
      taken.push(record);
      this.#bufferedBytes -= bytes;
      left -= bytes;
      count++;
    }
    cursor.records.splice(0, count);
    cursor.position = cursor.records[0]?.offset ?? cursor.fetchedTo;
    return left;
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Whether everything before these ends is here or was taken. Partitions that are not read do not count. */
  reached(ends: readonly (TopicPartition & { readonly offset: number })[]): boolean {
    return ends.every((end) => (this.#cursors.get(streamOf(end))?.fetchedTo ?? end.offset) >= end.offset);
  }

  /** Calls at every change, until the returned function is called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  wake(): void {
    for (const watcher of this.#watchers) watcher();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#kick);
    const { cluster } = this.#options;
    for (const { connection } of this.#fetches) if (connection !== undefined) cluster.discard(connection);
    for (const connections of this.#idle.values()) for (const connection of connections) cluster.discard(connection);
    this.#idle.clear();
    this.#cursors.clear();
    this.#bufferedBytes = 0;
    this.wake();
  }

  /** After this turn: what changes together is fetched together. */
  #schedule(delayMs = 0): void {
    if (this.#closed) return;
    if (delayMs === 0) {
      clearTimeout(this.#kick);
      this.#kick = setTimeout(() => this.#fetchAll(), 0);
    } else this.#kick ??= setTimeout(() => this.#fetchAll(), delayMs);
  }

  #fetchAll(): void {
    this.#kick = undefined;
    const { cluster, kafkaName } = this.#options;
    if (this.#closed || cluster.closed || this.#bufferedBytes >= cluster.limits.prefetchBytesMax) return;
    const now = Date.now();
    const wanted = new Map<number, Cursor[]>();
    let leaderless = false;
    let restUntil = Number.POSITIVE_INFINITY;
    for (const cursor of this.#cursors.values()) {
      if (cursor.fetching) continue;
      if (cursor.restUntil > now) {
        restUntil = Math.min(restUntil, cursor.restUntil);
        continue;
      }
      const leader = cluster.leaderOf(kafkaName(cursor.topic), cursor.partition);
      if (leader === undefined) leaderless = true;
      else wanted.set(leader, [...(wanted.get(leader) ?? []), cursor]);
    }
    if (leaderless) void this.#findLeaders();
    if (restUntil < Number.POSITIVE_INFINITY) this.#schedule(Math.max(1, restUntil - now));
    for (const [leader, cursors] of wanted) this.#begin(leader, cursors);
  }

  async #findLeaders(): Promise<void> {
    const { cluster } = this.#options;
    await cluster.refresh().catch((error: unknown) => this.#fail(error));
    this.#schedule(cluster.limits.retryMsMin * 4);
  }

  /** R3 */
  #begin(leader: number, cursors: readonly Cursor[]): void {
    const { cluster } = this.#options;
    const waiting = [...this.#fetches].filter((fetch) => fetch.leader === leader);
    if (waiting.length >= cluster.limits.fetchesMax) {
      const [oldest] = waiting;
      // Its partitions are free once it has ended, and all are fetched together.
      if (oldest?.connection === undefined) return;
      oldest.ended = true;
      cluster.discard(oldest.connection);
      return;
    }
    for (const cursor of cursors) cursor.fetching = true;
    const fetch: Fetch = { leader, cursors, connection: undefined, ended: false };
    this.#fetches.add(fetch);
    void this.#run(fetch);
  }

  async #run(fetch: Fetch): Promise<void> {
    const { cluster } = this.#options;
    try {
      fetch.connection = this.#idle.get(fetch.leader)?.pop() ?? (await cluster.connect(fetch.leader));
      if (this.#closed) return cluster.discard(fetch.connection);
      this.#accept(fetch, await this.#request(fetch.connection, fetch.cursors));
    } catch (error) {
      const response = responseOf<FetchResponse>(error);
      if (response?.responses !== undefined && response.errorCode === 0) this.#accept(fetch, response);
      else this.#failed(fetch, error);
    } finally {
      this.#end(fetch);
    }
  }

  #request(connection: Connection, cursors: readonly Cursor[]): Promise<FetchResponse> {
    const { fetchMsMax, fetchBytesMax, fetchPartitionBytesMax: partitionMaxBytes } = this.#options.cluster.limits;
    const topics = new Map<string, fetchV12.FetchRequestPartition[]>();
    for (const { topic, partition, fetchedTo } of cursors) {
      const name = this.#options.kafkaName(topic);
      const part = { partition, currentLeaderEpoch: -1, fetchOffset: BigInt(fetchedTo), lastFetchedEpoch: -1, partitionMaxBytes };
      const parts = topics.get(name);
      if (parts === undefined) topics.set(name, [part]);
      else parts.push(part);
    }
    // This version's field for the topic's name is called as later versions call its id.
    const requested = [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
    const [firstByte, uncommittedToo, noSession, noEpoch] = [1, 0, 0, -1];
    return fetchV12.api.async(connection, fetchMsMax, firstByte, fetchBytesMax, uncommittedToo, noSession, noEpoch, requested, [], '');
  }

  #accept(fetch: Fetch, { responses }: FetchResponse): void {
    const parts = new Map<string, PartResponse>();
    for (const { topicId, partitions } of responses) for (const part of partitions) parts.set(streamOf({ topic: topicId, partition: part.partitionIndex }), part);
    let changed = false;
    // The leader answers: what went wrong before is over, unless it goes wrong below.
    this.#failure = undefined;
    for (const cursor of fetch.cursors) {
      const part = parts.get(streamOf({ topic: this.#options.kafkaName(cursor.topic), partition: cursor.partition }));
      if (part === undefined || !this.#isCurrent(cursor)) continue;
      if (part.errorCode !== 0) this.#partFailed(cursor, errorOf(part.errorCode), part);
      else if (part.records !== null && part.records !== undefined) changed = this.#append(cursor, part.records) || changed;
    }
    if (changed) this.wake();
  }

  #append(cursor: Cursor, batches: NonNullable<PartResponse['records']>): boolean {
    for (const batch of batches) {
      for (const record of incoming(cursor.topic, cursor.partition, batch, cursor.fetchedTo)) {
        cursor.records.push(record);
        this.#bufferedBytes += bytesOf(record);
      }
      cursor.fetchedTo = Math.max(cursor.fetchedTo, endOf(batch));
    }
    if (cursor.records.length === 0) cursor.position = cursor.fetchedTo;
    return batches.length > 0;
  }

  #isCurrent(cursor: Cursor): boolean {
    return this.#cursors.get(streamOf(cursor)) === cursor;
  }

  #partFailed(cursor: Cursor, error: Error, part: PartResponse): void {
    if ('apiId' in error && error.apiId === 'OFFSET_OUT_OF_RANGE') return void this.#restart(cursor, Number(part.logStartOffset));
    cursor.restUntil = Date.now() + this.#options.cluster.limits.retryMsMin * 4;
    if (!mayPass(error)) this.#fail(error);
    else void this.#options.cluster.refresh().catch((failure: unknown) => this.#fail(failure));
  }

  /** What stood there is gone: by retention, or by a leader that had not heard of it. */
  async #restart(cursor: Cursor, logStart: number): Promise<void> {
    const { cluster, kafkaName, onGone } = this.#options;
    cursor.restUntil = Number.POSITIVE_INFINITY;
    try {
      const name = kafkaName(cursor.topic);
      const at = onGone === 'earliest' || cursor.fetchedTo < logStart ? earliestTime : latestTime;
      const [offset] = await listOffsets(cluster, at, [{ topic: name, partition: cursor.partition }]);
      cluster.log.warn('bus.kafka_offset_gone', { topic: name, partition: cursor.partition, wanted: cursor.fetchedTo, goesOnAt: offset });
      if (this.#isCurrent(cursor)) this.add(cursor, offset!);
      this.wake();
    } catch (error) {
      cursor.restUntil = Date.now() + cluster.limits.retryMsMax;
      this.#fail(error);
      this.#schedule(cluster.limits.retryMsMax);
    }
  }

  #failed(fetch: Fetch, error: unknown): void {
    const { cluster } = this.#options;
    if (this.#closed || cluster.closed) return;
    const dropped = fetch.connection;
    fetch.connection = undefined;
    if (dropped !== undefined) cluster.discard(dropped);
    if (fetch.ended) return;
    const restUntil = Date.now() + cluster.limits.retryMsMin * 4;
    for (const cursor of fetch.cursors) cursor.restUntil = restUntil;
    cluster.log.debug('bus.kafka_fetch_failed', { leader: fetch.leader, error });
    void cluster.refresh().catch((failure: unknown) => this.#fail(failure));
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#failure = busErrorOf(error, 'read');
    this.wake();
  }

  #end(fetch: Fetch): void {
    this.#fetches.delete(fetch);
    for (const cursor of fetch.cursors) cursor.fetching = false;
    const { connection, leader } = fetch;
    if (connection !== undefined && !this.#closed) {
      const kept = this.#idle.get(leader) ?? [];
      if (connection.isConnected() && kept.length < this.#options.cluster.limits.fetchesMax) this.#idle.set(leader, [...kept, connection]);
      else this.#options.cluster.discard(connection);
    }
    // At once, not after a turn: the next fetch is under way while this one's records are read.
    if (!this.#closed) this.#fetchAll();
  }
}
