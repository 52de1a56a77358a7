/**
 * One file of the log: frames one behind the other, then zeros up to the file's end.
 *
 * Writes are synchronous to the disk (O_DSYNC: write and fdatasync in one call). Zeros are written ahead of the end while
 * frames are small, because a write inside a file's blocks needs no journal commit of the file system.
 */
import { close, constants, fdatasync, fsync, ftruncate, open, read, unlink, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BusError } from '../../bus.ts';
import { frameBytesOf, readFrame } from './frame.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const truncateFile = promisify(ftruncate);
const syncFile = promisify(fsync);
const syncData = promisify(fdatasync);
const removeFile = promisify(unlink);

/** Windows has no O_DSYNC; there a write is followed by fdatasync. */
const syncFlag: number | undefined = constants.O_DSYNC;

const nameDigits = 12;
export const segmentFileName = (segment: number): string => `${String(segment).padStart(nameDigits, '0')}.log`;
/** The number of a segment's file; `undefined` for other files. */
export const segmentNumberOf = (fileName: string): number | undefined =>
  /^\d{12}\.log$/.test(fileName) ? Number(fileName.slice(0, nameDigits)) : undefined;

const writeSome = (fd: number, bytes: Uint8Array, from: number, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    write(fd, bytes, from, bytes.length - from, position, (error, written) => (error === null ? resolve(written) : reject(error)));
  });

const writeDurably = async (fd: number, bytes: Uint8Array, position: number): Promise<void> => {
  let written = 0;
  while (written < bytes.length) written += await writeSome(fd, bytes, written, position + written);
  if (syncFlag === undefined) await syncData(fd);
};

/** Reads up to `length` bytes, into `scratch` where it is large enough; fewer only at the file's end. */
export const readFully = async (fd: number, position: number, length: number, scratch?: Buffer): Promise<Buffer> => {
  const bytes = scratch !== undefined && scratch.length >= length ? scratch : Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const count = await new Promise<number>((resolve, reject) => {
      read(fd, bytes, filled, length - filled, position + filled, (error, bytesRead) => (error === null ? resolve(bytesRead) : reject(error)));
    });
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
};

/** A new or removed file is durable once its directory is. */
export const syncDirectory = async (directory: string): Promise<void> => {
  // Windows cannot open directories; its file systems order the entry themselves.
  if (process.platform === 'win32') return;
  const fd = await openFile(directory, constants.O_RDONLY);
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
};

export type ZeroAhead = { readonly bytes: number; readonly frameBytesMax: number };

/** One read for frames of up to some hundred records. */
const firstReadBytes = 256 * 1024;

export class SegmentFile {
  readonly number: number;
  readonly path: string;
  /** Where the next frame goes: the end of what is durable. */
  end: number;
  /** When its newest frame was appended. */
  appendedAt: number;
  readonly #zeroAhead: ZeroAhead;
  #fd: Promise<number> | undefined;
  #zeroedTo: number;
  #zeroing: Promise<void> | undefined;
  /** Reads under way: the file stays open for them, as its number would soon be another file's. */
  readonly #reads = new Set<Promise<Buffer>>();

  constructor(options: { directory: string; number: number; end: number; fileBytes: number; appendedAt: number; zeroAhead: ZeroAhead }) {
    this.number = options.number;
    this.path = join(options.directory, segmentFileName(options.number));
    this.end = options.end;
    this.appendedAt = options.appendedAt;
    this.#zeroAhead = options.zeroAhead;
    this.#zeroedTo = options.fileBytes;
  }

  /** Makes the file; refuses one that exists. */
  create(): Promise<number> {
    this.#fd = openFile(this.path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | (syncFlag ?? 0), 0o600);
    return this.#fd;
  }

  #open(): Promise<number> {
    this.#fd ??= openFile(this.path, constants.O_RDWR | (syncFlag ?? 0));
    return this.#fd;
  }

  /** Resolves with the frame's position when it is on disk. Not to be called again before that. */
  async append(frame: Uint8Array, appendedAt: number): Promise<number> {
    const fd = await this.#open();
    const position = this.end;
    const end = position + frame.length;
    // Zeros under way must not land on the frame.
    if (end > this.#zeroedTo && this.#zeroing !== undefined) await this.#zeroing;
    await writeDurably(fd, frame, position);
    this.end = end;
    this.appendedAt = appendedAt;
    this.#zeroedTo = Math.max(this.#zeroedTo, end);
    if (frame.length <= this.#zeroAhead.frameBytesMax) this.#writeZerosAhead(fd);
    return position;
  }

  #writeZerosAhead(fd: number): void {
    const { bytes } = this.#zeroAhead;
    if (bytes === 0 || this.#zeroing !== undefined || this.#zeroedTo - this.end > bytes / 2) return;
    const from = this.#zeroedTo;
    this.#zeroing = writeDurably(fd, Buffer.alloc(bytes), from).then(
      () => void (this.#zeroedTo = Math.max(this.#zeroedTo, from + bytes)),
      // A full disk shows itself at the next frame, which has somebody to tell.
      () => {},
    ).finally(() => void (this.#zeroing = undefined));
  }

  /** Takes back what a failed append may have left behind. Throws when the file can no longer be trusted. */
  async repair(): Promise<void> {
    await this.#zeroing;
    const fd = await this.#open();
    await truncateFile(fd, this.end);
    await syncFile(fd);
    this.#zeroedTo = this.end;
  }

  /** No more appends: gives back the zeros ahead. */
  async seal(): Promise<void> {
    await this.#zeroing;
    await truncateFile(await this.#open(), this.end);
    this.#zeroedTo = this.end;
  }

  /** The bytes of the frame at a position, checked. Throws BUS_CORRUPT. */
  async read(position: number): Promise<Buffer> {
    const reading = this.#readFrameAt(position);
    this.#reads.add(reading);
    const bytes = await reading.finally(() => this.#reads.delete(reading));
    const frame = readFrame(bytes, 0);
    if (frame.type === 'frame' && frame.segment === this.number) return bytes;
    const reason = frame.type === 'bad' ? frame.reason : `it belongs to segment ${frame.segment}`;
    throw new BusError('BUS_CORRUPT', `${this.path}: the frame at byte ${position} was good when it was written and is not now (${reason}): the disk loses data; restore the directory from a copy`);
  }

  /** Most frames come with the first read. Empty where no frame can be. */
  async #readFrameAt(position: number): Promise<Buffer> {
    const fd = await this.#open();
    const first = await readFully(fd, position, firstReadBytes);
    const length = frameBytesOf(first);
    if (length === undefined) return Buffer.alloc(0);
    if (length <= first.length) return first.subarray(0, length);
    return Buffer.concat([first, await readFully(fd, position + first.length, length - first.length)]);
  }

  async close(): Promise<void> {
    await this.#zeroing;
    await Promise.allSettled(this.#reads);
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    await closeFile(await fd);
  }

  async remove(): Promise<void> {
    await this.close();
    await removeFile(this.path);
  }
}
