/**
 * Reads a set of partitions from positions of its own: a group's member, a follower, or one fetch.
 *
 * It knows which of its partitions may have something new, so that neither a poll nor a wake looks at the others (B6).
 */
import type { Partition } from './partition.ts';
import { charsOf } from './record.ts';
import type { LogRecord, Location } from './record.ts';

export type Cursor = { readonly partition: Partition; position: number; readonly reader: Reader };
export type Budget = { readonly recordsMax: number; readonly charsMax: number };
/** `cold`: the next record is only in the log, in this frame. */
export type Taken = { readonly type: 'records'; readonly records: readonly LogRecord[] } | { readonly type: 'cold'; readonly location: Location };
/** Finds a record in the frames that were read back; `undefined` where its frame must be loaded first. */
export type FindCold = (location: Location, partition: Partition, offset: number) => LogRecord | undefined;

export class Reader {
  readonly #cursors = new Map<Partition, Cursor>();
  readonly #ready = new Set<Cursor>();
  #wake: (() => void) | undefined;

  get partitions(): IterableIterator<Partition> {
    return this.#cursors.keys();
  }

  has(partition: Partition): boolean {
    return this.#cursors.has(partition);
  }

  /** The next offset to be read there; `undefined` where this reader does not read. */
  position(partition: Partition): number | undefined {
    return this.#cursors.get(partition)?.position;
  }

  add(partition: Partition, position: number): void {
    const cursor = { partition, position, reader: this };
    this.#cursors.set(partition, cursor);
    partition.cursors.add(cursor);
    if (partition.seek(position) >= 0) this.#ready.add(cursor);
  }

  remove(partition: Partition): void {
    const cursor = this.#cursors.get(partition);
    if (cursor === undefined) return;
    this.#cursors.delete(partition);
    this.#ready.delete(cursor);
    partition.cursors.delete(cursor);
  }

  /** Leaves all partitions and ends a wait. */
  close(): void {
    for (const partition of this.#cursors.keys()) this.remove(partition);
    this.wake();
  }

  /** A record was shown there. */
  mark(cursor: Cursor): void {
    this.#ready.add(cursor);
  }

  /** True when something may be there to take. */
  get ready(): boolean {
    return this.#ready.size > 0;
  }

  /** Ends a wait. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Who is called at the next wake; one at a time. */
  onWake(wake: (() => void) | undefined): void {
    this.#wake = wake;
  }

  /** Takes records and moves the positions behind them. At least one record, however long, where there is one. */
  take(budget: Budget, findCold: FindCold): Taken {
    const records: LogRecord[] = [];
    let chars = 0;
    for (const cursor of this.#ready) {
      const { partition } = cursor;
      for (;;) {
        const offset = partition.seek(cursor.position);
        if (offset < 0) break;
        const slot = partition.slot(offset);
        if (slot === undefined) break;
        const record = typeof slot === 'number' ? findCold(slot, partition, offset) : slot;
        if (record === undefined) return records.length > 0 ? { type: 'records', records } : { type: 'cold', location: slot as Location };
        const length = charsOf(record);
        if (records.length >= budget.recordsMax || (records.length > 0 && chars + length > budget.charsMax)) {
          this.#toTheEnd(cursor);
          return { type: 'records', records };
        }
        records.push(record);
        chars += length;
        cursor.position = offset + 1;
      }
      this.#ready.delete(cursor);
    }
    return { type: 'records', records };
  }

  /** The others come first next time. */
  #toTheEnd(cursor: Cursor): void {
    this.#ready.delete(cursor);
    this.#ready.add(cursor);
  }
}
