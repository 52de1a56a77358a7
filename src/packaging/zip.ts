/**
 * The zip form of a package: flat, stored, sorted, dated 1980-01-01. One list of files has one byte string, so a reader writes
 * again what it read and compares: whatever a zip can hide (comments, gaps, overlaps, extra fields, symlinks, a second
 * directory, other times) is a difference. Nothing is compressed, so nothing can blow up; packages are small and signed once.
 */
import { unzipSync, zipSync } from 'fflate';
import { packageLimits } from './config.ts';
import { invalid, type Invalid, type InvalidCode } from './invalid.ts';

/** Names and contents. Names are flat ASCII, so there is no path to play tricks with and no Unicode to spell in two ways. */
export type ZipEntries = ReadonlyMap<string, Uint8Array>;

// It begins with a letter or digit and holds a dot: so it is no `..`, no integer-like key and no property of Object.prototype.
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+$/;

export const isEntryName = (name: string): boolean => name.length <= packageLimits.entryNameCharsMax && namePattern.test(name);

/** Noon of the first day that zip can tell, in local time, which is what zip writes: the same bits in every time zone. */
const entryTime = (): Date => new Date(1980, 0, 1, 12);

const byName = (one: string, other: string): number => (one < other ? -1 : 1);

export const writeZip = (entries: ZipEntries): Uint8Array => {
  const names = [...entries.keys()].sort(byName);
  return zipSync(Object.fromEntries(names.map((name) => [name, entries.get(name)!])), { level: 0, mtime: entryTime() });
};

export type ReadZip = { readonly type: 'zip'; readonly entries: ZipEntries } | Invalid;

/** Thrown out of the library's loop at the first entry that breaks a rule. */
class EntryFault extends Error {
  readonly code: InvalidCode;
  constructor(code: InvalidCode, reason: string) {
    super(reason);
    this.code = code;
  }
}

type EntryHeader = { readonly name: string; readonly size: number; readonly originalSize: number; readonly compression: number };

const shown = (name: string): string => JSON.stringify(name.slice(0, 60));

/** Rules on headers; they run before a byte of the entry is touched. */
const entryGate = (): ((header: EntryHeader) => boolean) => {
  const seen = new Set<string>();
  let bytes = 0;
  return ({ name, size, originalSize, compression }) => {
    if (seen.size >= packageLimits.entriesMax) throw new EntryFault('PACKAGE_TOO_LARGE', `more than ${packageLimits.entriesMax} entries`);
    if (!isEntryName(name)) throw new EntryFault('PACKAGE_ENTRY_REFUSED', `the entry name ${shown(name)} is not allowed: flat names of letters, digits, "_", "-" and a dot`);
    if (seen.has(name)) throw new EntryFault('PACKAGE_ENTRY_REFUSED', `two entries are called ${shown(name)}`);
    if (compression !== 0 || size !== originalSize) throw new EntryFault('PACKAGE_ENTRY_REFUSED', `the entry ${shown(name)} is compressed; packages store their entries`);
    seen.add(name);
    bytes += size;
    if (bytes > packageLimits.fileBytesMax) throw new EntryFault('PACKAGE_TOO_LARGE', `entries of more than ${packageLimits.fileBytesMax} bytes`);
    return true;
  };
};

/** A plain loop, because a package has up to fifty million bytes. */
const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
};

export const readZip = (bytes: Uint8Array): ReadZip => {
  if (bytes.length > packageLimits.fileBytesMax) return invalid('PACKAGE_TOO_LARGE', `${bytes.length} bytes; a package has ${packageLimits.fileBytesMax} at most`);
  let entries: ZipEntries;
  try {
    entries = new Map(Object.entries(unzipSync(bytes, { filter: entryGate() })));
  } catch (error) {
    if (error instanceof EntryFault) return invalid(error.code, error.message);
    return invalid('PACKAGE_NOT_ZIP', `not a zip file (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!sameBytes(writeZip(entries), bytes)) {
    return invalid('PACKAGE_NOT_CANONICAL', 'the zip is not in the one form that packages have; build it with `cordage package build`, do not repack it');
  }
  return { type: 'zip', entries };
};
