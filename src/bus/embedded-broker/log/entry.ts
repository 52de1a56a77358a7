/** What a frame of the log holds. */
import * as z from 'zod';
import type { LogRecord } from '../../engine.ts';

/** `copy` marks a live record of a compacted topic, written again so that its old segment could go. */
export type RecordEntry = { readonly type: 'record'; readonly topic: number; readonly copy: boolean; readonly record: LogRecord };
/** Topic (its number in the snapshot's table), partition, offset. */
export type NumberedOffset = readonly [topic: number, partition: number, offset: number];
/** What a group has committed, or that it exists (no offsets: retention must then wait for it). */
export type GroupEntry = { readonly type: 'group'; readonly group: string; readonly topics: readonly number[]; readonly offsets: readonly NumberedOffset[] };
/** The whole state beside the records. Every segment begins with one, so that older segments may go. */
export type SnapshotEntry = { readonly type: 'snapshot'; readonly snapshot: Snapshot };
export type LogEntry = RecordEntry | GroupEntry | SnapshotEntry;

const count = z.int().nonnegative();
const numberedOffsets = z.array(z.tuple([count, count, count]));

export const headersText = z.array(z.strictObject({ key: z.string(), value: z.string() }));

export const groupText = z.strictObject({ group: z.string(), topics: z.array(count), offsets: numberedOffsets });

export const snapshotText = z.strictObject({
  v: z.literal(1),
  /** Segments that belong to the log, this one included; files of others are left-overs. */
  segments: z.array(count),
  /** A topic's number is its place here. Topics keep their places for ever. */
  topics: z.array(
    z.strictObject({
      topic: z.string(),
      retention: z.enum(['log', 'compacted']),
      /** A pair for each partition: the first offset that may be read, and the next to be given. */
      partitions: z.array(z.tuple([count, count])),
    }),
  ),
  groups: z.array(groupText),
});
export type Snapshot = z.infer<typeof snapshotText>;
