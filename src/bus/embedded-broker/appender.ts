/** The way in: checks records, gives them offsets, brings them to the log, shows them when they are durable, and before to who hears early. */
import { BusError } from '../bus.ts';
import type { LogRecord, NewRecord } from '../engine.ts';
import { partitionOf } from '../topics.ts';
import type { Clock } from '../../host/clock.ts';
import { endOfTurn } from '../../host/turn.ts';
import type { BrokerLimits } from './config.ts';
import type { Log } from './log/log.ts';
import type { Partition } from './partition.ts';
import type { Reader } from './reader.ts';
import { charsOf, segmentOf } from './record.ts';
import type { Location } from './record.ts';
import type { SegmentContents } from './retention.ts';
import type { Topic, TopicTable } from './topic-table.ts';

export type AppenderOptions = {
  readonly topics: TopicTable;
  readonly contents: SegmentContents;
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  readonly log: () => Log;
  /** Whether the log can give records back, so that memory need not hold all of them. */
  readonly evicts: boolean;
  readonly segmentBegun: () => void;
};

type Batch = { readonly records: readonly LogRecord[]; readonly owners: readonly Partition[]; readonly chars: number };

export class Appender {
  readonly #options: AppenderOptions;
  /** Readers of what was shown since the last wake. */
  readonly #touched = new Set<Reader>();
  /** Those who hear early, of what was submitted in this turn. */
  readonly #early = new Set<Reader>();
  /** What memory holds, oldest first. */
  #cached: (Batch & { readonly location: Location })[] = [];
  #cachedFrom = 0;
  #cachedChars = 0;
  #turn = 0;
  #segment = -1;

  constructor(options: AppenderOptions) {
    this.#options = options;
  }

  /** Resolves with the records as they stand, when all are durable. Nothing is appended where one is refused. Throws BusError. */
  async append(records: readonly NewRecord[]): Promise<readonly LogRecord[]> {
    const owners = records.map((record) => this.#place(record));
    this.#options.log().assertOpen();
    const now = this.#options.clock.now();
    const appended = records.map((record, i) => makeRecord(record, owners[i]!, now));
    const batches = this.#split(appended, owners);
    if (batches.length === 1) await this.#submit(batches[0]!);
    else await Promise.all(batches.map((batch) => this.#submit(batch)));
    return appended;
  }

  /** Wakes who waits for what was shown. */
  readonly wakeReaders = (): void => {
    for (const reader of this.#touched) reader.wake();
    this.#touched.clear();
  };

  #place(record: NewRecord): Partition {
    const { topics, limits } = this.#options;
    const topic = topics.get(record.topic);
    if (record.value.length > limits.recordValueCharsMax) throw tooLarge(record, 'value', record.value.length, limits.recordValueCharsMax);
    if (record.key !== undefined && record.key.length > limits.recordKeyCharsMax) throw tooLarge(record, 'key', record.key.length, limits.recordKeyCharsMax);
    if (topic.retention === 'compacted' && record.key === undefined) throw new BusError('BUS_REFUSED', `topic ${topic.name} is compacted: its records need a key`);
    if (record.partition !== undefined) return topics.partition(record.topic, record.partition);
    return topic.partitions[this.#numberFor(record, topic)]!;
  }

  #numberFor({ key }: NewRecord, { partitions }: Topic): number {
    if (partitions.length === 1) return 0;
    return key === undefined ? this.#turn++ % partitions.length : partitionOf(key, partitions.length);
  }

  /** A call larger than a frame becomes several. */
  #split(records: readonly LogRecord[], owners: readonly Partition[]): Batch[] {
    const batches: Batch[] = [];
    let from = 0;
    let chars = 0;
    for (let i = 0; i < records.length; i++) {
      const length = charsOf(records[i]!);
      if (i > from && chars + length > this.#options.limits.frameCharsMax) {
        batches.push({ records: records.slice(from, i), owners: owners.slice(from, i), chars });
        from = i;
        chars = 0;
      }
      chars += length;
    }
    if (from === 0) return records.length === 0 ? [] : [{ records, owners, chars }];
    batches.push({ records: records.slice(from), owners: owners.slice(from), chars });
    return batches;
  }

  #submit(batch: Batch): Promise<void> {
    const durable = this.#write(batch);
    // A log in memory is as quick as this.
    if (this.#options.evicts) this.#showEarly(batch, durable);
    return durable;
  }

  #write(batch: Batch): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (location: Location): void => {
        this.#show(batch, location);
        resolve();
      };
      const failed = (error: BusError): void => {
        this.#options.topics.resetAssigned();
        reject(error);
      };
      this.#options.log().submit({ ...batch, done, failed });
    });
  }

  /** B7. Who waits is woken at the end of the turn, with all that was submitted in it. */
  #showEarly({ records, owners }: Batch, durable: Promise<void>): void {
    let isHeard = false;
    for (let i = 0; i < records.length; i++) {
      const partition = owners[i]!;
      if (partition.retention !== 'log') continue;
      let hears = false;
      for (const cursor of partition.cursors) {
        if (!cursor.reader.early) continue;
        hears = true;
        cursor.reader.mark(cursor);
        this.#early.add(cursor.reader);
      }
      if (hears) partition.submit(records[i]!, durable);
      isHeard ||= hears;
    }
    if (!isHeard) return;
    // Each who hears it early asks of it; nobody else is to be told of it twice.
    durable.catch(() => {});
    void endOfTurn().then(this.#wakeEarly);
  }

  readonly #wakeEarly = (): void => {
    for (const reader of this.#early) reader.wake();
    this.#early.clear();
  };

  #show({ records, owners, chars }: Batch, location: Location): void {
    const segment = segmentOf(location);
    const contents = this.#options.contents.of(segment);
    for (let i = 0; i < records.length; i++) {
      const partition = owners[i]!;
      partition.show(records[i]!, location);
      if (partition.retention === 'log') contents.set(partition, records[i]!.offset);
      for (const cursor of partition.cursors) {
        // It has heard it early.
        if (cursor.position > records[i]!.offset) continue;
        cursor.reader.mark(cursor);
        this.#touched.add(cursor.reader);
      }
    }
    if (this.#options.evicts) this.#cache({ records, owners, chars, location });
    if (segment !== this.#segment) {
      this.#segment = segment;
      this.#options.segmentBegun();
    }
  }

  #cache(batch: Batch & { readonly location: Location }): void {
    this.#cached.push(batch);
    this.#cachedChars += batch.chars;
    while (this.#cachedChars > this.#options.limits.cacheCharsMax) {
      const { records, owners, chars, location } = this.#cached[this.#cachedFrom++]!;
      for (let i = 0; i < records.length; i++) owners[i]!.evict(records[i]!.offset, location);
      this.#cachedChars -= chars;
    }
    if (this.#cachedFrom < 1_000 || this.#cachedFrom < this.#cached.length / 2) return;
    this.#cached = this.#cached.slice(this.#cachedFrom);
    this.#cachedFrom = 0;
  }
}

const makeRecord = (record: NewRecord, owner: Partition, now: number): LogRecord => {
  const { value, key = '', timestamp = now, headers } = record;
  const plain = {
    topic: owner.topic,
    partition: owner.number,
    offset: owner.assigned++,
    timestamp,
    // What UTF-8 cannot write would come back from the disk as something else.
    key: key.isWellFormed() ? key : key.toWellFormed(),
    value: value.isWellFormed() ? value : value.toWellFormed(),
  };
  return headers === undefined || headers.length === 0 ? plain : { ...plain, headers };
};

const tooLarge = ({ topic }: NewRecord, what: string, chars: number, max: number): BusError =>
  new BusError('BUS_RECORD_TOO_LARGE', `a record for ${topic} has a ${what} of ${chars} characters, the most is ${max}; send it in chunks, or store it once and name it by its hash`);
