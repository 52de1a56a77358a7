/**
 * Reads a set of partitions from positions of its own: a group's member, a follower, or one fetch.
 *
 * A reader that hears *early* (B7) is ahead of what is shown by what was submitted; when that cannot be written, it is set back.
 *
 * It knows which of its partitions may have something new, so that neither a poll nor a wake looks at the others (B6).
 */
import type { Partition } from './partition.ts';
import { charsOf } from './record.ts';
import type { HeardRecord } from '../../messages/grammar/record.ts';
import type { LogRecord } from '../engine.ts';
import type { Location } from './record.ts';

export type Cursor = { readonly partition: Partition; position: number; readonly reader: Reader };
export type Budget = { readonly recordsMax: number; readonly charsMax: number };
/** `cold`: the next record is only in the log, in this frame; with it loaded there is more to take. */
export type Taken = { readonly records: LogRecord[]; readonly chars: number; readonly cold: Location | undefined };
type Batch = { readonly records: LogRecord[]; chars: number; cold: Location | undefined };
/** Finds a record in the frames that were read back; `undefined` where its frame must be loaded first. */
export type FindCold = (location: Location, partition: Partition, offset: number) => LogRecord | undefined;

export class Reader {
  /** Whether it reads records before they are durable (B7). */
  readonly early: boolean;
  readonly #cursors = new Map<Partition, Cursor>();
  readonly #ready = new Set<Cursor>();
  #wake: (() => void) | undefined;
  #turn: Promise<unknown> | undefined;

  constructor({ early = false }: { readonly early?: boolean } = {}) {
    this.early = early;
  }

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

  /**
   * Takes records and moves the positions behind them. At least one record, however long, where there is one.
   *
   * What must be read back from the log comes first and in the log's order, so that each frame is read once for all
   * partitions; then the partitions share what is left of the budget, so that none waits for the others.
   */
  take(budget: Budget, findCold: FindCold): Taken {
    const batch: Batch = { records: [], chars: 0, cold: undefined };
    // Each turn takes a record at least, or ends.
    while (this.#ready.size > 0) {
      const location = this.#coldest();
      const fair = Math.max(1, Math.ceil((budget.recordsMax - batch.records.length) / this.#ready.size));
      const share = location === undefined ? fair : Number.POSITIVE_INFINITY;
      if (!this.#takeAll(batch, { ...budget, share, findCold, location })) return batch;
    }
    return batch;
  }

  /** False when the batch takes no more. */
  #takeAll(batch: Batch, bounds: Bounds): boolean {
    for (const cursor of this.#ready) {
      const end = takeFrom(cursor, batch, bounds);
      if (end === 'cold') return false;
      if (end === 'empty') this.#ready.delete(cursor);
      if (end === 'full') {
        // The others come first next time.
        this.#ready.delete(cursor);
        this.#ready.add(cursor);
        return false;
      }
    }
    return true;
  }

  /** Where the log is to be read next, if it is. */
  #coldest(): Location | undefined {
    let coldest: Location | undefined;
    for (const { partition, position } of this.#ready) {
      const offset = partition.seek(position);
      const slot = offset < 0 ? undefined : partition.slot(offset);
      if (typeof slot === 'number' && (coldest === undefined || slot < coldest)) coldest = slot;
    }
    return coldest;
  }

  /** True when nobody's turn is under way. */
  get isFree(): boolean {
    return this.#turn === undefined;
  }

  /** Does one work after the other: records that were taken first are to be handed out first. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn === undefined ? work() : this.#turn.then(work, work);
    const turn = result.finally(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
    turn.catch(() => {});
    this.#turn = turn;
    return result;
  }
}

type Bounds = Budget & {
  /** How many records one partition may give. */
  readonly share: number;
  readonly findCold: FindCold;
  /** Only records of this frame; where left out, only records in memory. */
  readonly location: Location | undefined;
};

/** Why it took no more from this partition: the share is taken, or what comes next stands elsewhere. */
const takeFrom = (cursor: Cursor, batch: Batch, bounds: Bounds): 'empty' | 'elsewhere' | 'full' | 'cold' => {
  const { recordsMax, charsMax, share, findCold, location } = bounds;
  const { partition } = cursor;
  for (let taken = 0; taken < share; taken++) {
    const offset = partition.seek(cursor.position);
    const slot = offset < 0 ? earlyAt(cursor) : partition.slot(offset);
    if (slot === undefined) return 'empty';
    if ((typeof slot === 'number' ? slot : undefined) !== location) return 'elsewhere';
    if (batch.records.length >= recordsMax) return 'full';
    const record = typeof slot === 'number' ? findCold(slot, partition, offset) : slot;
    if (record === undefined) {
      batch.cold = location;
      return 'cold';
    }
    const chars = charsOf(record);
    if (batch.records.length > 0 && batch.chars + chars > charsMax) return 'full';
    batch.records.push(record);
    batch.chars += chars;
    cursor.position = record.offset + 1;
  }
  return 'elsewhere';
};

/** What was submitted and is not shown yet. */
const earlyAt = ({ partition, position, reader }: Cursor): HeardRecord | undefined =>
  reader.early && partition.retention === 'log' ? partition.earlyAt(position) : undefined;
