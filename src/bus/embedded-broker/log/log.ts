/**
 * The log under the broker: one append-only sequence of frames for all topics, on disk or only in memory. One log, because
 * then a group commit is one write whatever the number of topics it touches.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../../host/clock.ts';
import type { Log as Logger } from '../../../observability/log.ts';
import { BusError } from '../../bus.ts';
import type { BrokerLimits } from '../config.ts';
import { locationOf, positionOf, segmentOf } from '../record.ts';
import type { Location } from '../record.ts';
import { CommitQueue } from './commit-queue.ts';
import type { Submission } from './commit-queue.ts';
import { lockDirectory } from './directory-lock.ts';
import type { LogEntry, Snapshot } from './entry.ts';
import { FrameWriter } from './frame.ts';
import { recoverLog } from './recovery.ts';
import type { RecoverySink } from './recovery.ts';
import { SegmentFile, syncDirectory } from './segment.ts';

export type SegmentInfo = { readonly number: number; readonly bytes: number; readonly appendedAt: number };

export type Log = {
  /** Throws where `submit` must not be called: closed, full, or broken. */
  assertOpen(): void;
  /** Queues records; `done` or `failed` is called once, later. */
  submit(submission: Submission): void;
  /** Writes what rides along, if nothing else brings it to disk. */
  kick(): void;
  /** The frame at a location, head included. Throws BUS_CORRUPT. */
  read(location: Location): Promise<Buffer>;
  /** Oldest first; the last one takes the next frames. */
  segments(): readonly SegmentInfo[];
  /** Removes segments; a snapshot that does not list them is durable by then. */
  remove(numbers: readonly number[]): Promise<void>;
  close(): Promise<void>;
};

/** Entries that need no write of their own and ride on the next frame. */
export type Riders = {
  /** Takes them out. */
  take(): readonly LogEntry[];
  /** True when they waited long enough for a frame and want their own. */
  due(): boolean;
  /** What was taken last did not reach the disk. */
  lost(): void;
};

export type LogOptions = {
  readonly limits: BrokerLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly riders: Riders;
  readonly snapshot: (segments: readonly number[]) => Snapshot;
  /** A frame is durable: how many bytes, how long it took. */
  readonly measured: (frame: { records: number; bytes: number; seconds: number }) => void;
  /** Every submission of a frame is done: time to wake who waits. */
  readonly shown: () => void;
};

export const createMemoryLog = (options: LogOptions): Log => {
  const { limits, clock } = options;
  type Virtual = { number: number; bytes: number; appendedAt: number };
  let segments: Virtual[] = [{ number: 1, bytes: 0, appendedAt: clock.now() }];
  const active = (): Virtual => {
    const last = segments.at(-1)!;
    if (last.bytes < limits.segmentBytesMax) return last;
    const next = { number: last.number + 1, bytes: 0, appendedAt: clock.now() };
    segments.push(next);
    return next;
  };
  const write = async (batch: readonly Submission[]): Promise<Location> => {
    for (const { entries } of batch) entries?.();
    options.riders.take();
    const segment = active();
    const location = locationOf(segment.number, segment.bytes);
    for (const { chars } of batch) segment.bytes += chars;
    segment.appendedAt = clock.now();
    return location;
  };
  const queue = new CommitQueue({
    frameCharsMax: limits.frameCharsMax,
    queueCharsMax: limits.publishQueueCharsMax,
    write,
    written: options.shown,
    ridersDue: () => false,
  });
  return {
    assertOpen: () => queue.assertOpen(),
    submit: (submission) => queue.submit(submission),
    kick: () => {},
    read: () => Promise.reject(new BusError('BUS_CORRUPT', 'a log in memory keeps its records with their partitions')),
    segments: () => segments,
    remove: async (numbers) => void (segments = segments.filter(({ number }) => !numbers.includes(number))),
    close: () => queue.close(),
  };
};

export type DiskLogOpening = LogOptions & {
  readonly directory: string;
  readonly sink: RecoverySink;
  /** All that the log holds was shown; what comes with this start may be added before its snapshot is written. */
  readonly recovered: () => void;
};

/** Opens the log of a directory, made when it does not exist; shows `sink` what it holds. Throws BUS_CORRUPT, BUS_REFUSED. */
export const openDiskLog = async (options: DiskLogOpening): Promise<Log> => {
  const { directory, sink, limits, log } = options;
  const made = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncDirectory(dirname(made));
  const unlock = lockDirectory(directory);
  try {
    const zeroAhead = { bytes: limits.zeroAheadBytes, frameBytesMax: limits.zeroAheadFrameBytesMax };
    const startedAt = performance.now();
    const recovered = await recoverLog({ directory, sink, zeroAhead, log });
    log.debug('bus.log_read', { directory, frames: recovered.frames, ms: Math.round(performance.now() - startedAt) });
    const disk = new DiskLog({ ...options, zeroAhead, segments: recovered.segments, sequence: recovered.nextSequence, unlock });
    options.recovered();
    await disk.begin();
    return disk;
  } catch (error) {
    unlock();
    throw error;
  }
};

const countRecords = (batch: readonly Submission[]): number => batch.reduce((sum, { records }) => sum + records.length, 0);

type DiskLogOptions = LogOptions & {
  readonly directory: string;
  readonly zeroAhead: { readonly bytes: number; readonly frameBytesMax: number };
  readonly segments: readonly SegmentFile[];
  readonly sequence: number;
  readonly unlock: () => void;
};

class DiskLog implements Log {
  readonly #options: DiskLogOptions;
  readonly #queue: CommitQueue;
  readonly #writer = new FrameWriter();
  #segments: SegmentFile[];
  #sequence: number;
  /** Set when the disk failed in a way that leaves unknown what it holds. */
  #broken: BusError | undefined;

  constructor(options: DiskLogOptions) {
    this.#options = options;
    this.#segments = [...options.segments];
    this.#sequence = options.sequence;
    this.#queue = new CommitQueue({
      frameCharsMax: options.limits.frameCharsMax,
      queueCharsMax: options.limits.publishQueueCharsMax,
      write: (batch) => this.#write(batch),
      written: options.shown,
      ridersDue: () => options.riders.due(),
    });
  }

  /** Writes the snapshot of this start: in a new file, or behind what the last one holds. */
  async begin(): Promise<void> {
    if (this.#segments.length === 0) return this.#roll();
    await this.#appendFrame(this.#active, this.#snapshotFrame(this.#active.number, this.#numbers()));
  }

  assertOpen(): void {
    if (this.#broken !== undefined) throw this.#broken;
    this.#queue.assertOpen();
  }

  submit(submission: Submission): void {
    this.#queue.submit(submission);
  }

  kick(): void {
    this.#queue.kick();
  }

  async read(location: Location): Promise<Buffer> {
    const segment = this.#segments.find(({ number }) => number === segmentOf(location));
    if (segment === undefined) throw new BusError('BUS_CORRUPT', `segment ${segmentOf(location)} is not part of the log`);
    return segment.read(positionOf(location));
  }

  segments(): readonly SegmentInfo[] {
    return this.#segments.map(({ number, end, appendedAt }) => ({ number, bytes: end, appendedAt }));
  }

  async remove(numbers: readonly number[]): Promise<void> {
    const removed = this.#segments.filter(({ number }) => numbers.includes(number));
    this.#segments = this.#segments.filter(({ number }) => !numbers.includes(number));
    for (const segment of removed) await segment.remove();
  }

  async close(): Promise<void> {
    await this.#queue.close();
    for (const segment of this.#segments) await segment.close();
    this.#options.unlock();
  }

  get #active(): SegmentFile {
    return this.#segments.at(-1)!;
  }

  #numbers(): number[] {
    return this.#segments.map(({ number }) => number);
  }

  async #write(batch: readonly Submission[]): Promise<Location> {
    if (this.#broken !== undefined) throw this.#broken;
    const startedAt = performance.now();
    try {
      if (this.#active.end >= this.#options.limits.segmentBytesMax) await this.#roll();
      const segment = this.#active;
      const frame = this.#build(batch, segment.number);
      const bytes = frame.length;
      const position = await this.#appendFrame(segment, frame);
      this.#options.measured({ records: countRecords(batch), bytes, seconds: (performance.now() - startedAt) / 1000 });
      return locationOf(segment.number, position);
    } catch (cause) {
      this.#options.riders.lost();
      throw await this.#repair(cause);
    }
  }

  #build(batch: readonly Submission[], segment: number): Buffer {
    const writer = this.#writer;
    writer.begin();
    for (const { records, owners, entries } of batch) {
      for (let i = 0; i < records.length; i++) writer.addRecord(owners[i]!.topicNumber, records[i]!, false);
      if (entries !== undefined) for (const entry of entries()) writer.add(entry);
    }
    for (const rider of this.#options.riders.take()) writer.add(rider);
    return writer.finish({ segment, sequence: this.#sequence, appendedAt: this.#options.clock.now() });
  }

  #snapshotFrame(segment: number, segments: readonly number[]): Buffer {
    this.#writer.begin();
    this.#writer.add({ type: 'snapshot', snapshot: this.#options.snapshot(segments) });
    return this.#writer.finish({ segment, sequence: this.#sequence, appendedAt: this.#options.clock.now() });
  }

  async #appendFrame(segment: SegmentFile, frame: Buffer): Promise<number> {
    const position = await segment.append(frame, this.#options.clock.now());
    this.#sequence++;
    return position;
  }

  /** Begins a new segment; it joins the log when its snapshot is durable (L2). */
  async #roll(): Promise<void> {
    const { directory, zeroAhead, clock } = this.#options;
    const before = this.#segments.at(-1);
    const number = (before?.number ?? 0) + 1;
    const segment = new SegmentFile({ directory, number, end: 0, fileBytes: 0, appendedAt: clock.now(), zeroAhead });
    await before?.seal();
    const sequence = this.#sequence;
    try {
      await segment.create();
      await this.#appendFrame(segment, this.#snapshotFrame(number, [...this.#numbers(), number]));
      await syncDirectory(directory);
    } catch (error) {
      this.#sequence = sequence;
      // What is left of it is removed at the next start: a file without a snapshot was never used (L2).
      await segment.remove().catch(() => {});
      throw error;
    }
    this.#segments.push(segment);
  }

  /** Brings the file back to its last good frame; where that fails, nothing is accepted any more. */
  async #repair(cause: unknown): Promise<BusError> {
    const { directory, log } = this.#options;
    const error = new BusError('BUS_UNREACHABLE', `the log in ${directory} could not be written; is the disk full?`, { cause });
    try {
      await this.#active.repair();
      log.error('bus.write_failed', { error });
      return error;
    } catch (repairFault) {
      this.#broken = new BusError('BUS_CORRUPT', `the log in ${directory} could not be written nor brought back to its last good frame; mend the disk and start again`, { cause: repairFault });
      log.error('bus.log_broken', { error: this.#broken });
      return this.#broken;
    }
  }
}
