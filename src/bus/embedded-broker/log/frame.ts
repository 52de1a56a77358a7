/**
 * The log's unit of writing: one group commit is one frame.
 *
 *     frame   magic 4 · checksum 4 · length 4 · segment 4 · sequence 8 · appendedAt 8 · entries 4 · version 4 · entry*
 *     entry   length 4 · type 1 · body
 *     record  flags 1 · topic 2 · partition 2 · offset 8 · timestamp 8 · keyLength 2 · headersLength 4 · key · headers · value
 *     group, snapshot   JSON text
 *
 * Numbers are little-endian; `length` counts what follows the frame's (the entry's) head; the checksum is CRC-32 of all that
 * follows it. The magic holds bytes that UTF-8 never has, so that no record's text can pass for a frame. No frame is
 * written before the one ahead of it is on disk: recovery rests on that (see recovery.ts).
 */
import { crc32 } from 'node:zlib';
import { BusError } from '../../bus.ts';
import type { LogRecord } from '../../engine.ts';
import { groupText, headersText, snapshotText } from './entry.ts';
import type { GroupEntry, LogEntry, SnapshotEntry } from './entry.ts';

export const frameHeadBytes = 40;
export const frameMagic = Uint8Array.of(0xff, 0x43, 0x4c, 0xfe);
const magicNumber = 0xfe4c43ff;
const frameVersion = 1;
/** A length beyond this is damage: the largest frame is a few records over the bound on gathered text, at 3 bytes a unit. */
export const frameBytesMax = 64 * 1024 * 1024;

const entryHeadBytes = 5;
const recordHeadBytes = 27;
const typeRecord = 1;
const typeGroup = 2;
const typeSnapshot = 3;
const flagCopy = 1;
/** UTF-8 takes at most this many bytes for one UTF-16 unit. */
const utf8BytesPerCharMax = 3;
/** A buffer grown beyond this by a burst is not kept for the small frames behind it. */
const keptBufferBytesMax = 8 * 1024 * 1024;

export type FrameHead = {
  readonly segment: number;
  /** Counts the frames of the log, through all segments. */
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly appendedAt: number;
};

export type ReadFrame =
  | (FrameHead & { readonly type: 'frame'; readonly entries: number; readonly bodyStart: number; readonly end: number })
  | { readonly type: 'bad'; readonly reason: string };

const bad = (reason: string): ReadFrame => ({ type: 'bad', reason });

/** Reads and checks the frame at a position. Never throws, whatever the bytes. */
export const readFrame = (bytes: Buffer, at: number): ReadFrame => {
  if (at + frameHeadBytes > bytes.length) return bad('the head is cut off');
  if (bytes.readUInt32LE(at) !== magicNumber) return bad('no frame begins here');
  const length = bytes.readUInt32LE(at + 8);
  const end = at + frameHeadBytes + length;
  if (length > frameBytesMax || end > bytes.length) return bad('the body is cut off');
  if (crc32(bytes.subarray(at + 8, end)) !== bytes.readUInt32LE(at + 4)) return bad('the checksum differs');
  const version = bytes.readUInt32LE(at + 36);
  if (version !== frameVersion) return bad(`the frame has version ${version}, this program reads ${frameVersion}`);
  return {
    type: 'frame',
    segment: bytes.readUInt32LE(at + 12),
    sequence: bytes.readDoubleLE(at + 16),
    appendedAt: bytes.readDoubleLE(at + 24),
    entries: bytes.readUInt32LE(at + 32),
    bodyStart: at + frameHeadBytes,
    end,
  };
};

/** How many bytes the frame whose head stands here has, or `undefined` where no head can be. */
export const frameBytesOf = (head: Buffer): number | undefined => {
  if (head.length < frameHeadBytes || head.readUInt32LE(0) !== magicNumber) return undefined;
  const length = head.readUInt32LE(8);
  return length > frameBytesMax ? undefined : frameHeadBytes + length;
};

/** Builds frames in one buffer, used again for each: what `finish` returns holds until the next `begin`. */
export class FrameWriter {
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #end = frameHeadBytes;
  #entries = 0;

  begin(): void {
    if (this.#bytes.length > keptBufferBytesMax) this.#bytes = Buffer.allocUnsafe(64 * 1024);
    this.#end = frameHeadBytes;
    this.#entries = 0;
  }

  /** Bytes so far. */
  get bytes(): number {
    return this.#end;
  }

  add(entry: LogEntry): void {
    switch (entry.type) {
      case 'record':
        return this.addRecord(entry.topic, entry.record, entry.copy);
      case 'group':
        return this.#addText(typeGroup, JSON.stringify({ group: entry.group, topics: entry.topics, offsets: entry.offsets }));
      case 'snapshot':
        return this.#addText(typeSnapshot, JSON.stringify(entry.snapshot));
    }
  }

  addRecord(topic: number, record: LogRecord, copy: boolean): void {
    const { key, value } = record;
    const headers = record.headers === undefined ? '' : JSON.stringify(record.headers);
    this.#reserve(entryHeadBytes + recordHeadBytes + (key.length + headers.length + value.length) * utf8BytesPerCharMax);
    const bytes = this.#bytes;
    const start = this.#end;
    const head = start + entryHeadBytes;
    let end = head + recordHeadBytes;
    const keyLength = bytes.write(key, end, 'utf8');
    end += keyLength;
    const headersLength = headers === '' ? 0 : bytes.write(headers, end, 'utf8');
    end += headersLength;
    end += bytes.write(value, end, 'utf8');
    bytes.writeUInt8(copy ? flagCopy : 0, head);
    bytes.writeUInt16LE(topic, head + 1);
    bytes.writeUInt16LE(record.partition, head + 3);
    bytes.writeDoubleLE(record.offset, head + 5);
    bytes.writeDoubleLE(record.timestamp, head + 13);
    bytes.writeUInt16LE(keyLength, head + 21);
    bytes.writeUInt32LE(headersLength, head + 23);
    this.#close(start, end, typeRecord);
  }

  finish(head: FrameHead): Buffer {
    const bytes = this.#bytes;
    bytes.writeUInt32LE(magicNumber, 0);
    bytes.writeUInt32LE(this.#end - frameHeadBytes, 8);
    bytes.writeUInt32LE(head.segment, 12);
    bytes.writeDoubleLE(head.sequence, 16);
    bytes.writeDoubleLE(head.appendedAt, 24);
    bytes.writeUInt32LE(this.#entries, 32);
    bytes.writeUInt32LE(frameVersion, 36);
    bytes.writeUInt32LE(crc32(bytes.subarray(8, this.#end)), 4);
    return bytes.subarray(0, this.#end);
  }

  #addText(type: number, text: string): void {
    this.#reserve(entryHeadBytes + text.length * utf8BytesPerCharMax);
    const start = this.#end;
    const end = start + entryHeadBytes + this.#bytes.write(text, start + entryHeadBytes, 'utf8');
    this.#close(start, end, type);
  }

  #close(start: number, end: number, type: number): void {
    this.#bytes.writeUInt32LE(end - start - entryHeadBytes, start);
    this.#bytes.writeUInt8(type, start + 4);
    this.#end = end;
    this.#entries++;
  }

  #reserve(more: number): void {
    if (this.#end + more <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#end + more));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
  }
}

/** A record of a frame, its text still bytes: recovery needs only the numbers of most, so nothing is made before it is asked for. */
export class RecordView {
  readonly topic: number;
  readonly partition: number;
  readonly offset: number;
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;

  /** Throws BUS_CORRUPT where the bytes cannot be a record. */
  constructor(bytes: Buffer, start: number, end: number) {
    if (start + recordHeadBytes > end) throw damaged('a record is cut off');
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    if (this.#valueStart > end) throw damaged('a record is cut off');
    this.topic = bytes.readUInt16LE(start + 1);
    this.partition = bytes.readUInt16LE(start + 3);
    this.offset = bytes.readDoubleLE(start + 5);
  }

  get copy(): boolean {
    return (this.#bytes.readUInt8(this.#start) & flagCopy) !== 0;
  }

  get key(): string {
    return this.#bytes.toString('utf8', this.#start + recordHeadBytes, this.#headersStart);
  }

  get value(): string {
    return this.#bytes.toString('utf8', this.#valueStart, this.#end);
  }

  record(topic: string): LogRecord {
    const { partition, offset, key, value } = this;
    const plain = { topic, partition, offset, timestamp: this.#bytes.readDoubleLE(this.#start + 13), key, value };
    if (this.#headersStart === this.#valueStart) return plain;
    return { ...plain, headers: textOf(headersText, this.#bytes, this.#headersStart, this.#valueStart) };
  }

  get #headersStart(): number {
    return this.#start + recordHeadBytes + this.#bytes.readUInt16LE(this.#start + 21);
  }

  get #valueStart(): number {
    return this.#headersStart + this.#bytes.readUInt32LE(this.#start + 23);
  }
}

export type FrameVisitor = {
  record(view: RecordView): void;
  group(entry: Omit<GroupEntry, 'type'>): void;
  snapshot(entry: SnapshotEntry['snapshot']): void;
};

const damaged = (reason: string): BusError =>
  new BusError('BUS_CORRUPT', `a frame of the log has a good checksum and a bad entry (${reason}): it was written by another version of this program`);

/** Shows each entry of a frame, in order. Throws BUS_CORRUPT where an entry cannot be read. */
export const visitEntries = (bytes: Buffer, bodyStart: number, end: number, visitor: FrameVisitor): void => {
  let at = bodyStart;
  while (at < end) {
    if (at + entryHeadBytes > end) throw damaged('its head is cut off');
    const length = bytes.readUInt32LE(at);
    const type = bytes.readUInt8(at + 4);
    const start = at + entryHeadBytes;
    at = start + length;
    if (at > end) throw damaged('its body is cut off');
    if (type === typeRecord) visitor.record(new RecordView(bytes, start, at));
    else if (type === typeGroup) visitor.group(textOf(groupText, bytes, start, at));
    else if (type === typeSnapshot) visitor.snapshot(textOf(snapshotText, bytes, start, at));
    else throw damaged(`type ${type}`);
  }
};

const textOf = <Value>(schema: { safeParse(json: unknown): { success: boolean; data?: Value | undefined } }, bytes: Buffer, start: number, end: number): Value => {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8', start, end));
  } catch {
    throw damaged('text that is not JSON');
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success || parsed.data === undefined) throw damaged('text of another shape');
  return parsed.data;
};

