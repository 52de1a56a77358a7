/**
 * One partition: which offsets may be read and where their records are, in memory or at a location of the log.
 *
 * What is shown here is durable; what was submitted may be read before by those who hear early (B7). Offsets are given in order when a record is submitted (`assigned`), and shown in that order.
 */
import { BusError } from '../bus.ts';
import type { Retention } from '../../messages/grammar/wire.ts';
import type { HeardRecord } from '../../messages/grammar/record.ts';
import type { LogRecord } from '../engine.ts';
import type { Location } from './record.ts';
import { segmentOf } from './record.ts';
import type { Cursor } from './reader.ts';

/** A record in memory, or where it stands in the log. */
export type Slot = LogRecord | Location;

type Shared = {
  readonly topic: string;
  readonly number: number;
  /** The topic's number in the log's table. */
  readonly topicNumber: number;
  /** The next offset to be given. */
  assigned: number;
  /** Who reads here, to be told of new records. */
  readonly cursors: Set<Cursor>;
  /** The first offset that may be read. */
  readonly start: number;
  /** The offset behind the last record shown. */
  readonly next: number;
  /** Shows a durable record; offsets come in order. */
  show(record: LogRecord, location: Location): void;
  /** The first offset at or behind `position` that has a record, or -1. */
  seek(position: number): number;
  /** The record of an offset that `seek` gave. */
  slot(offset: number): Slot | undefined;
  /** Lets the cache forget a record. */
  evict(offset: number, location: Location): void;
  /** No record below this offset is to be read any more. */
  trim(before: number): void;
  /** Recovery: what a snapshot says. */
  restoreBounds(start: number, next: number): void;
};

export type Partition = LogPartition | CompactedPartition;
export type PartitionOptions = {
  readonly topic: string;
  readonly number: number;
  readonly topicNumber: number;
  /** Whether a value removes its key. */
  readonly isTombstone: (value: string) => boolean;
};

export const createPartition = (retention: Retention, options: PartitionOptions): Partition =>
  retention === 'log' ? new LogPartition(options) : new CompactedPartition(options);

/** Every record stays until retention trims the oldest: offsets have no holes. */
export class LogPartition implements Shared {
  readonly retention = 'log';
  readonly topic: string;
  readonly number: number;
  readonly topicNumber: number;
  readonly cursors = new Set<Cursor>();
  assigned = 0;
  /** Slots of the offsets from `#base`; those before `start` are trimmed and wait to be cut off together. */
  #slots: (Slot | undefined)[] = [];
  #base = 0;
  #start = 0;
  /** Submitted while somebody heard early, and not shown yet, in order. */
  readonly #submitted: HeardRecord[] = [];

  constructor({ topic, number, topicNumber }: PartitionOptions) {
    this.topic = topic;
    this.number = number;
    this.topicNumber = topicNumber;
  }

  get start(): number {
    return this.#start;
  }

  get next(): number {
    return this.#base + this.#slots.length;
  }

  show(record: LogRecord): void {
    this.#slots.push(record);
    if (this.#submitted[0]?.offset === record.offset) this.#submitted.shift();
  }

  /** For those who hear early. Offsets come in order. */
  submit(record: LogRecord, durable: Promise<void>): void {
    this.#submitted.push({ ...record, durable });
  }

  /** The record of an offset behind those that are shown, if it was submitted for those who hear early. */
  earlyAt(offset: number): HeardRecord | undefined {
    const submitted = this.#submitted[offset - (this.#submitted[0]?.offset ?? 0)];
    // Where nobody heard early for a while, there is a hole.
    return submitted?.offset === offset ? submitted : undefined;
  }

  /** What was submitted and not shown could not be written: who has heard it hears what comes in its place. */
  takeBack(): void {
    this.#submitted.length = 0;
    for (const cursor of this.cursors) cursor.position = Math.min(cursor.position, this.next);
  }

  seek(position: number): number {
    const offset = position < this.#start ? this.#start : position;
    return offset < this.next ? offset : -1;
  }

  slot(offset: number): Slot | undefined {
    return this.#slots[offset - this.#base];
  }

  evict(offset: number, location: Location): void {
    if (offset >= this.#start) this.#slots[offset - this.#base] = location;
  }

  trim(before: number): void {
    if (before <= this.#start) return;
    this.#start = Math.min(before, this.next);
    this.#slots.fill(undefined, 0, this.#start - this.#base);
    // Cutting moves all that stays, so it waits until as much has gone.
    if (this.#start - this.#base < this.#slots.length / 2) return;
    this.#slots = this.#slots.slice(this.#start - this.#base);
    this.#base = this.#start;
  }

  restoreBounds(start: number, next: number): void {
    if (next > this.next) this.#restartAt(next);
    this.trim(start);
    this.assigned = this.next;
  }

  /**
   * Recovery: records come in order. Where retention took a segment out, the snapshot at the beginning of the next one has
   * moved the start behind it, so a hole here is damage.
   */
  restore(offset: number, location: Location): void {
    if (offset < this.next) return;
    if (offset > this.next) throw new BusError('BUS_CORRUPT', `the log has offset ${offset} of ${this.topic}/${this.number} where ${this.next} is due; restore the directory from a copy`);
    this.#slots.push(location);
    this.assigned = this.next;
  }

  #restartAt(offset: number): void {
    this.#slots = [];
    this.#base = offset;
    this.#start = offset;
  }
}

type Kept = { readonly offset: number; location: Location; slot: Slot; readonly key: string; readonly chars: number; readonly tombstone: boolean };

/** Only the latest record of each key can be read; those it replaced are holes between the offsets. */
export class CompactedPartition implements Shared {
  readonly retention = 'compacted';
  readonly topic: string;
  readonly number: number;
  readonly topicNumber: number;
  readonly cursors = new Set<Cursor>();
  assigned = 0;
  readonly #isTombstone: (value: string) => boolean;
  #next = 0;
  /** Offsets in order; some of replaced records too, until they are half of all. */
  #offsets: number[] = [];
  #sorted = true;
  readonly #kept = new Map<number, Kept>();
  readonly #latest = new Map<string, number>();

  constructor({ topic, number, topicNumber, isTombstone }: PartitionOptions) {
    this.topic = topic;
    this.number = number;
    this.topicNumber = topicNumber;
    this.#isTombstone = isTombstone;
  }

  readonly start = 0;

  get next(): number {
    return this.#next;
  }

  show(record: LogRecord, location: Location): void {
    const { offset, key, value } = record;
    this.#keep({ offset, location, slot: record, key, chars: key.length + value.length, tombstone: this.#isTombstone(value) });
  }

  seek(position: number): number {
    if (position >= this.#next) return -1;
    const offsets = this.#inOrder();
    let low = 0;
    let high = offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (offsets[middle]! < position) low = middle + 1;
      else high = middle;
    }
    for (; low < offsets.length; low++) if (this.#kept.has(offsets[low]!)) return offsets[low]!;
    return -1;
  }

  slot(offset: number): Slot | undefined {
    return this.#kept.get(offset)?.slot;
  }

  evict(offset: number): void {
    const kept = this.#kept.get(offset);
    if (kept !== undefined) kept.slot = kept.location;
  }

  /** Compacted topics have no first offset: their records go when others replace them. */
  trim(): void {}

  restoreBounds(_start: number, next: number): void {
    this.#next = Math.max(this.#next, next);
    this.assigned = this.#next;
  }

  restore(offset: number, location: Location, text: { key: string; value: string }): void {
    const { key, value } = text;
    this.#keep({ offset, location, slot: location, key, chars: key.length + value.length, tombstone: this.#isTombstone(value) });
    this.assigned = this.#next;
  }

  /** Records that stand in this segment and are the latest of their keys. */
  keptIn(segment: number): readonly Readonly<Kept>[] {
    return [...this.#kept.values()].filter(({ location }) => segmentOf(location) === segment);
  }

  has(offset: number): boolean {
    return this.#kept.has(offset);
  }

  /** The record was written again elsewhere. */
  relocate(offset: number, location: Location): void {
    const kept = this.#kept.get(offset);
    if (kept === undefined) return;
    if (typeof kept.slot === 'number') kept.slot = location;
    kept.location = location;
  }

  /** Forgets a tombstone: nothing older of its key is left. */
  drop(offset: number): void {
    const kept = this.#kept.get(offset);
    if (kept === undefined) return;
    this.#kept.delete(offset);
    this.#latest.delete(kept.key);
  }

  #keep(kept: Kept): void {
    const before = this.#latest.get(kept.key);
    // Copies are made of live records only, so none should stand behind what replaced it; if one does, the newer wins.
    if (before !== undefined && before > kept.offset) return;
    if (before !== undefined && before !== kept.offset) this.#kept.delete(before);
    if (before !== kept.offset) {
      if (kept.offset < (this.#offsets.at(-1) ?? -1)) this.#sorted = false;
      this.#offsets.push(kept.offset);
    }
    this.#latest.set(kept.key, kept.offset);
    this.#kept.set(kept.offset, kept);
    this.#next = Math.max(this.#next, kept.offset + 1);
    if (this.#offsets.length > 64 && this.#offsets.length > 2 * this.#kept.size) this.#offsets = this.#offsets.filter((offset) => this.#kept.has(offset));
  }

  /** Only recovery meets offsets out of order: copies stand behind newer records. */
  #inOrder(): readonly number[] {
    if (!this.#sorted) this.#offsets.sort((a, b) => a - b);
    this.#sorted = true;
    return this.#offsets;
  }
}
