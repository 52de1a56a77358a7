/**
 * Gives back what nobody needs: whole segments, by age or when the log is too large.
 *
 * - **R1** a record of a log topic goes only when every known group has committed it;
 * - **R2** the latest record of a key of a compacted topic never goes: it is written again at the end of the log before its
 *   segment is removed; a tombstone goes after a delay, and only with the oldest segment, so that no older value of its key
 *   can come back;
 * - **R3** a snapshot without the segment is durable before its file is removed.
 */
import type { Clock } from '../../host/clock.ts';
import type { Log as Logger } from '../../observability/log.ts';
import type { ColdFrames } from './cold-frames.ts';
import type { BrokerLimits } from './config.ts';
import type { Groups } from './groups.ts';
import type { LogEntry, Snapshot } from './log/entry.ts';
import type { Log, SegmentInfo } from './log/log.ts';
import type { CompactedPartition, LogPartition, Partition } from './partition.ts';
import type { LogRecord } from '../engine.ts';
import type { Location } from './record.ts';
import type { TopicTable } from './topic-table.ts';

/** For each segment, the last offset of each log partition in it. */
export class SegmentContents {
  readonly #segments = new Map<number, Map<LogPartition, number>>();

  of(segment: number): Map<LogPartition, number> {
    let contents = this.#segments.get(segment);
    if (contents === undefined) this.#segments.set(segment, (contents = new Map()));
    return contents;
  }

  forget(segment: number): void {
    this.#segments.delete(segment);
  }
}

export type RetentionOptions = {
  readonly log: Log;
  readonly topics: TopicTable;
  readonly groups: Groups;
  readonly contents: SegmentContents;
  readonly cold: ColdFrames;
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  readonly logger: Logger;
  readonly snapshot: (segments: readonly number[]) => Snapshot;
};

type Live = { readonly partition: CompactedPartition; readonly offset: number; readonly record: LogRecord };

export class Retention {
  readonly #options: RetentionOptions;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #cancelTimer: (() => void) | undefined;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#setTimer();
  }

  /** Looks through the log now, or once more after the look that is under way. */
  run(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#running === undefined) this.#running = this.#loop();
    else this.#again = true;
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #setTimer(): void {
    this.#cancelTimer = this.#options.clock.after(this.#options.limits.retentionIntervalMs, () => {
      void this.run();
      this.#setTimer();
    });
  }

  async #loop(): Promise<void> {
    // After the caller's turn: who calls is in the middle of showing records.
    await Promise.resolve();
    try {
      do {
        this.#again = false;
        await this.#look();
      } while (this.#again && !this.#closed);
    } catch (error) {
      this.#options.logger.error('bus.retention_failed', { error, next: 'tried again at the next interval' });
    } finally {
      this.#running = undefined;
    }
  }

  async #look(): Promise<void> {
    const { log, limits, clock } = this.#options;
    const segments = log.segments().slice(0, -1);
    let bytes = log.segments().reduce((sum, segment) => sum + segment.bytes, 0);
    let pin: { group: string | undefined; topic: string; partition: number } | undefined;
    let oldest = true;
    for (const segment of segments) {
      if (this.#closed) return;
      const due = bytes > limits.retentionBytesMax || clock.now() - segment.appendedAt > limits.retentionAgeMsMax;
      const segmentPin = due ? this.#pinOf(segment.number) : undefined;
      pin ??= segmentPin;
      if (due && segmentPin === undefined && (await this.#drop(segment, oldest))) bytes -= segment.bytes;
      else oldest = false;
    }
    if (bytes > 2 * limits.retentionBytesMax && pin !== undefined) this.#warn(bytes, pin);
  }

  /** R1: who still needs something of this segment. */
  #pinOf(segment: number): { group: string | undefined; topic: string; partition: number } | undefined {
    for (const [partition, last] of this.#options.contents.of(segment)) {
      if (last < partition.start) continue;
      const { group, offset } = this.#options.groups.slowest(partition);
      if (offset <= last) return { group, topic: partition.topic, partition: partition.number };
    }
    return undefined;
  }

  /** False where too much of the segment lives for a copy to be worth its writing. */
  async #drop(segment: SegmentInfo, oldest: boolean): Promise<boolean> {
    const { clock, limits, contents, log, logger } = this.#options;
    const compacted = this.#partitions().filter((partition) => partition.retention === 'compacted');
    const dead: { partition: CompactedPartition; offset: number }[] = [];
    const live: { partition: CompactedPartition; offset: number; chars: number }[] = [];
    for (const partition of compacted) {
      for (const { offset, tombstone, chars } of partition.keptIn(segment.number)) {
        const expired = tombstone && oldest && clock.now() - segment.appendedAt > limits.tombstoneKeepMs;
        if (expired) dead.push({ partition, offset });
        else live.push({ partition, offset, chars });
      }
    }
    const chars = live.reduce((sum, one) => sum + one.chars, 0);
    if (chars > segment.bytes / 2) return false;
    const copies = await this.#load(live);
    await this.#forget({ segment: segment.number, dead, copies, chars });
    contents.forget(segment.number);
    await log.remove([segment.number]);
    logger.debug('bus.segment_removed', { segment: segment.number, bytes: segment.bytes, copied: copies.length });
    return true;
  }

  /** One frame holds the copies and the snapshot without the segment (R2, R3). */
  #forget(plan: { segment: number; dead: readonly { partition: CompactedPartition; offset: number }[]; copies: readonly Live[]; chars: number }): Promise<void> {
    const { log, contents, snapshot } = this.#options;
    let written: readonly Live[] = [];
    const entries = (): readonly LogEntry[] => {
      for (const [partition, last] of contents.of(plan.segment)) partition.trim(last + 1);
      for (const { partition, offset } of plan.dead) partition.drop(offset);
      // What was replaced since the plan was made must not be written behind what replaced it.
      written = plan.copies.filter(({ partition, offset }) => partition.has(offset));
      const numbers = log.segments().flatMap(({ number }) => (number === plan.segment ? [] : number));
      return [
        ...written.map(({ partition, record }): LogEntry => ({ type: 'record', topic: partition.topicNumber, copy: true, record })),
        { type: 'snapshot', snapshot: snapshot(numbers) },
      ];
    };
    return new Promise((resolve, reject) => {
      log.assertOpen();
      const done = (location: Location): void => {
        for (const { partition, offset } of written) partition.relocate(offset, location);
        resolve();
      };
      log.submit({ records: [], owners: [], chars: plan.chars, entries, done, failed: reject });
    });
  }

  async #load(live: readonly { partition: CompactedPartition; offset: number }[]): Promise<Live[]> {
    const { cold } = this.#options;
    const loaded: Live[] = [];
    for (const { partition, offset } of live) {
      // The slot is looked up again after each wait: the record may have been replaced, its frame evicted.
      for (;;) {
        const slot = partition.slot(offset);
        if (slot === undefined) break;
        const record = typeof slot === 'number' ? cold.find(slot, partition, offset) : slot;
        if (record !== undefined) {
          loaded.push({ partition, offset, record });
          break;
        }
        await cold.load(slot as Location);
      }
    }
    return loaded;
  }

  #partitions(): readonly Partition[] {
    return this.#options.topics.all().flatMap(({ partitions }) => partitions);
  }

  #warn(bytes: number, pin: { group: string | undefined; topic: string; partition: number }): void {
    const { clock, limits, logger } = this.#options;
    if (clock.now() - this.#warnedAt < 10 * limits.retentionIntervalMs) return;
    this.#warnedAt = clock.now();
    logger.warn('bus.log_pinned', { bytes, bytesMax: limits.retentionBytesMax, ...pin, remedy: 'start the consumers of this group: the log keeps what they have not committed' });
  }
}
