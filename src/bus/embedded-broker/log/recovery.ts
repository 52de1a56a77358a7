/**
 * Reads a log back after any end, kill -9 and power loss included.
 *
 * - **L1** a frame is acknowledged only when it is on disk, and no frame is written before that of the one ahead. So the last
 *   frame alone can be torn: what follows a bad frame decides. No good frame after it: it was torn, nobody was told, it
 *   goes. A good frame after it: it was on disk once, so it is damage, and opening is refused (BUS_CORRUPT).
 * - **L2** every segment begins with a snapshot, written before anything else in it. A file without one was never used.
 * - **L3** the newest snapshot lists the segments that belong to the log. Others are left-overs of retention; one of the list
 *   that is missing is damage.
 */
import { open, readdir, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log as Logger } from '../../../observability/log.ts';
import { BusError } from '../../bus.ts';
import { locationOf } from '../record.ts';
import type { Location } from '../record.ts';
import type { GroupEntry, Snapshot } from './entry.ts';
import { frameMagic, readFrame, visitEntries } from './frame.ts';
import type { ReadFrame, RecordView } from './frame.ts';
import { readFully, segmentFileName, segmentNumberOf, SegmentFile } from './segment.ts';
import type { ZeroAhead } from './segment.ts';

export type RecoverySink = {
  /** State at this point of the log; at least one comes before any record. */
  snapshot(snapshot: Snapshot): void;
  record(view: RecordView, location: Location): void;
  group(entry: Omit<GroupEntry, 'type'>): void;
};

export type Recovered = {
  /** In order; the last takes the next frames. Empty for a new log. */
  readonly segments: readonly SegmentFile[];
  readonly nextSequence: number;
  readonly frames: number;
};

const remedy = 'Restore the directory from a copy made while the broker was stopped; or, if its records may be lost, move it away and start with an empty one.';
const corrupt = (what: string): BusError => new BusError('BUS_CORRUPT', `${what}. ${remedy}`);

/** Files differ in length by up to a frame and the zeros ahead. */
const scratchBytesMore = 24 * 1024 * 1024;

type GoodFrame = ReadFrame & { readonly type: 'frame' };

/** What one file holds. Not clean: something other than zeros follows the last good frame. */
type Scan = {
  readonly number: number;
  readonly path: string;
  readonly bytes: Buffer;
  readonly frames: readonly GoodFrame[];
  readonly end: number;
  readonly clean: boolean;
};

const readSegment = async (path: string, scratch: Buffer | undefined): Promise<Buffer> => {
  const file = await open(path, 'r');
  try {
    return await readFully(file.fd, 0, (await file.stat()).size, scratch);
  } finally {
    await file.close();
  }
};

const zeros = Buffer.alloc(64 * 1024);
const isZero = (bytes: Buffer): boolean => {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const part = bytes.subarray(at, at + zeros.length);
    if (part.compare(zeros, 0, part.length) !== 0) return false;
  }
  return true;
};

/** Whether a good frame of this segment, due at `sequence` or later, stands anywhere behind `from` (L1). */
const goodFrameBehind = (bytes: Buffer, from: number, number: number, sequence: number): number | undefined => {
  for (let at = bytes.indexOf(frameMagic, from); at !== -1; at = bytes.indexOf(frameMagic, at + 1)) {
    const frame = readFrame(bytes, at);
    if (frame.type === 'frame' && frame.segment === number && frame.sequence >= sequence) return at;
  }
  return undefined;
};

/** Walks the frames of one file up to its zeros or its torn end. The bytes may stand in `scratch`. */
const scanSegment = async (directory: string, number: number, scratch?: Buffer): Promise<Scan> => {
  const path = join(directory, segmentFileName(number));
  const bytes = await readSegment(path, scratch);
  const frames: GoodFrame[] = [];
  let at = 0;
  let sequence = 0;
  for (;;) {
    const frame = readFrame(bytes, at);
    const reason = frame.type === 'bad' ? frame.reason : faultOf(frame, number, sequence);
    if (frame.type === 'frame' && reason === undefined) {
      frames.push(frame);
      at = frame.end;
      sequence = frame.sequence + 1;
      continue;
    }
    if (isZero(bytes.subarray(at))) return { number, path, bytes, frames, end: at, clean: true };
    const behind = goodFrameBehind(bytes, at + 1, number, sequence);
    if (behind !== undefined) throw corrupt(`${path}: the frame at byte ${at} is damaged (${reason}), for a good one follows at byte ${behind}`);
    return { number, path, bytes, frames, end: at, clean: false };
  }
};

const faultOf = (frame: GoodFrame, number: number, sequence: number): string | undefined => {
  if (frame.segment !== number) return `it belongs to segment ${frame.segment}`;
  if (sequence !== 0 && frame.sequence !== sequence) return `it is frame ${frame.sequence} where ${sequence} is due`;
  return undefined;
};

const lastSnapshotOf = (scan: Scan): Snapshot | undefined => {
  let last: Snapshot | undefined;
  const visitor = { record: () => {}, group: () => {}, snapshot: (snapshot: Snapshot) => void (last = snapshot) };
  for (const frame of scan.frames) visitEntries(scan.bytes, frame.bodyStart, frame.end, visitor);
  return last;
};

/** The newest file that was used (L2); a newer one whose first frame was torn is removed. */
const findTail = async (directory: string, numbers: number[], log: Logger): Promise<Scan | undefined> => {
  const number = numbers.at(-1);
  if (number === undefined) return undefined;
  const scan = await scanSegment(directory, number);
  if (scan.frames.length > 0) return scan;
  log.info('bus.segment_unused', { file: scan.path });
  await unlink(scan.path);
  numbers.pop();
  const before = numbers.at(-1);
  if (before === undefined) return undefined;
  const tail = await scanSegment(directory, before);
  if (tail.frames.length === 0) throw corrupt(`${tail.path} holds no good frame`);
  return tail;
};

const showFrames = (scan: Scan, sink: RecoverySink): void => {
  let location = locationOf(scan.number, 0);
  const visitor = {
    record: (view: RecordView) => sink.record(view, location),
    group: (entry: Omit<GroupEntry, 'type'>) => sink.group(entry),
    snapshot: (snapshot: Snapshot) => sink.snapshot(snapshot),
  };
  for (const frame of scan.frames) {
    visitEntries(scan.bytes, frame.bodyStart, frame.end, visitor);
    location = locationOf(scan.number, frame.end);
  }
};

export const recoverLog = async (options: { directory: string; sink: RecoverySink; zeroAhead: ZeroAhead; log: Logger }): Promise<Recovered> => {
  const { directory, sink, zeroAhead, log } = options;
  const numbers = (await readdir(directory)).flatMap((name) => segmentNumberOf(name) ?? []).sort((a, b) => a - b);
  const tail = await findTail(directory, numbers, log);
  if (tail === undefined) return { segments: [], nextSequence: 1, frames: 0 };
  const snapshot = lastSnapshotOf(tail);
  if (snapshot === undefined) throw corrupt(`${tail.path} does not begin with a snapshot`);
  await removeLeftOvers(directory, numbers, snapshot.segments);
  const segments: SegmentFile[] = [];
  // One buffer for all files but the tail: a fresh one for each would cost more in memory management than the reading.
  const scratch = Buffer.allocUnsafe(tail.bytes.length + scratchBytesMore);
  let nextSequence = 1;
  let frames = 0;
  for (const number of snapshot.segments) {
    const scan: Scan = number === tail.number ? tail : await scanSegment(directory, number, scratch);
    const [first] = scan.frames;
    const last = scan.frames.at(-1);
    if (first === undefined || last === undefined) throw corrupt(`${scan.path} holds no good frame`);
    if (!scan.clean && scan !== tail) throw corrupt(`${scan.path}: the frame at byte ${scan.end} is damaged, for newer segments exist`);
    if (first.sequence < nextSequence) throw corrupt(`${scan.path} begins with frame ${first.sequence} where ${nextSequence} or later is due`);
    showFrames(scan, sink);
    frames += scan.frames.length;
    nextSequence = last.sequence + 1;
    const fileBytes = scan.clean ? scan.bytes.length : scan.end;
    segments.push(new SegmentFile({ directory, number, end: scan.end, fileBytes, appendedAt: last.appendedAt, zeroAhead }));
  }
  if (!tail.clean) {
    log.warn('bus.torn_frame_removed', { file: tail.path, position: tail.end, meaning: 'the process ended while it wrote; nobody was told that this frame was kept' });
    await truncate(tail.path, tail.end);
  }
  return { segments, nextSequence, frames };
};

const removeLeftOvers = async (directory: string, numbers: readonly number[], live: readonly number[]): Promise<void> => {
  const missing = live.find((number) => !numbers.includes(number));
  if (missing !== undefined) throw corrupt(`${join(directory, segmentFileName(missing))} is missing`);
  for (const number of numbers) {
    if (!live.includes(number)) await unlink(join(directory, segmentFileName(number)));
  }
};
