import * as fc from 'fast-check';
import { unzipSync, zipSync, type Zippable } from 'fflate';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/cipher/bytes.ts';
import { packageLimits } from '../../src/packaging/config.ts';
import { readZip, writeZip } from '../../src/packaging/zip.ts';

const time = new Date(1980, 0, 1, 12);
const stored = { level: 0, mtime: time } as const;
const codeOf = (bytes: Uint8Array): string => {
  const read = readZip(bytes);
  return read.type === 'invalid' ? read.code : 'accepted';
};
const replaceAt = (bytes: Uint8Array, at: number, ...values: number[]): Uint8Array => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,20}\.[a-z]{1,4}$/);
const files = fc.dictionary(name, fc.uint8Array({ maxLength: 300 }), { minKeys: 1, maxKeys: 8 });
const plain = writeZip(new Map([['a.txt', utf8('hello')], ['b.txt', utf8('world')]]));

describe('the zip of a package', () => {
  test('gives back what was put in, in whatever order it came', () => {
    fc.assert(
      fc.property(files, (content) => {
        const entries = Object.entries(content);
        const bytes = writeZip(new Map(entries));
        expect(writeZip(new Map(entries.reverse()))).toEqual(bytes);
        const read = readZip(bytes);
        expect(read.type === 'zip' && Object.fromEntries(read.entries)).toEqual(content);
        expect(Object.fromEntries(Object.entries(unzipSync(bytes)))).toEqual(content);
      }),
    );
  });

  test('does not depend on the time zone of the builder', () => {
    const zone = process.env['TZ'];
    try {
      for (const other of ['Pacific/Kiritimati', 'America/Los_Angeles', 'Asia/Kathmandu']) {
        process.env['TZ'] = other;
        expect(writeZip(new Map([['a.txt', utf8('hello')], ['b.txt', utf8('world')]]))).toEqual(plain);
      }
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  test.each([
    ['a path upwards', '../evil.txt'], ['an absolute path', '/etc/passwd.txt'], ['a folder', 'a/b.txt'], ['a backslash', 'a\\b.txt'], ['a drive', 'C:b.txt'],
    ['no dot', 'file'], ['a hidden file', '.hidden'], ['dots alone', '..'], ['a trailing dot', 'a.'], ['a NUL', 'a\0.txt'], ['a space', 'a b.txt'], ['a decomposed letter', 'e\u0301.txt'],
    ['a composed letter', '\u00e9.txt'], ['a look-alike letter', '\u0430.txt'], ['a line end', 'a.txt\n'], ['nothing', ''], ['too many letters', `${'a'.repeat(packageLimits.entryNameCharsMax)}.txt`],
  ])('has no entry named with %s', (_, entry) => {
    expect(codeOf(zipSync({ [entry]: [utf8('x'), stored] }))).toBe('PACKAGE_ENTRY_REFUSED');
  });

  test('has no entry twice', () => {
    const twice = zipSync({ 'a.txt': [utf8('1'), stored], 'b.txt': [utf8('2'), stored] });
    const renamed = twice.map((byte, at) => (byte === 0x62 && twice[at + 1] === 0x2e ? 0x61 : byte));
    expect(codeOf(renamed)).toBe('PACKAGE_ENTRY_REFUSED');
  });

  test('has no compressed entry, so that a bomb is refused before a byte of it is inflated', () => {
    const bomb = zipSync({ 'bomb.txt': [new Uint8Array(20_000_000), { level: 9, mtime: time }] });
    expect(bomb.length).toBeLessThan(30_000);
    expect(codeOf(bomb)).toBe('PACKAGE_ENTRY_REFUSED');
  });

  test('does not claim more bytes than a package may have, nor more than it has', () => {
    const central = plain.length - 22 - 2 * (46 + 5);
    const claim = (bytes: Uint8Array, size: number): Uint8Array => {
      const little = [size & 255, (size >> 8) & 255, (size >> 16) & 255, size >>> 24];
      return replaceAt(replaceAt(bytes, central + 20, ...little), central + 24, ...little);
    };
    expect(codeOf(claim(plain, packageLimits.fileBytesMax + 1))).toBe('PACKAGE_TOO_LARGE');
    expect(codeOf(claim(plain, 1_000))).toBe('PACKAGE_NOT_CANONICAL');
    expect(codeOf(claim(plain, 1))).toBe('PACKAGE_NOT_CANONICAL');
  });

  test('has no more entries and no more bytes than its bounds', () => {
    const many: Zippable = Object.fromEntries(Array.from({ length: packageLimits.entriesMax + 1 }, (_, i) => [`f${i}.txt`, [utf8(''), stored]]));
    expect(codeOf(zipSync(many))).toBe('PACKAGE_TOO_LARGE');
    expect(codeOf(new Uint8Array(packageLimits.fileBytesMax + 1))).toBe('PACKAGE_TOO_LARGE');
  });

  test.each([
    ['bytes behind it', Uint8Array.of(...plain, 0)],
    ['a comment', replaceAt(Uint8Array.of(...plain, 0x68), plain.length - 2, 1)],
    ['another time', zipSync({ 'a.txt': [utf8('hello'), { level: 0, mtime: new Date(2026, 1, 1) }] })],
    ['another order', zipSync({ 'b.txt': [utf8('world'), stored], 'a.txt': [utf8('hello'), stored] })],
    ['a comment of an entry', zipSync({ 'a.txt': [utf8('hello'), { ...stored, comment: 'hidden' }] })],
    ['an extra field', zipSync({ 'a.txt': [utf8('hello'), { ...stored, extra: { 7: utf8('hidden') } }] })],
    // Unix mode 0120777 in the high half of the external attributes: an archiver would make a symbolic link.
    ['a symbolic link', zipSync({ 'a.txt': [utf8('/etc/passwd'), { ...stored, os: 3, attrs: (0o120777 << 16) >>> 0 }] })],
  ])('is nothing else: %s', (_, bytes) => {
    expect(codeOf(bytes)).toBe('PACKAGE_NOT_CANONICAL');
  });

  test('does not begin with other bytes', () => {
    expect(codeOf(Uint8Array.of(0, ...plain))).toBe('PACKAGE_ENTRY_REFUSED');
    const { length } = plain;
    const central = length - 22 - 2 * (46 + 5);
    // The offsets of the directory and of both entries moved along, as a self-extracting archive has them.
    const moved = replaceAt(replaceAt(replaceAt(plain, length - 6, central + 1), central + 42, 1), central + 51 + 42, 41);
    expect(codeOf(Uint8Array.of(0, ...moved))).toBe('PACKAGE_NOT_CANONICAL');
  });

  test('is not the empty file, half a file, or another kind of file', () => {
    expect(codeOf(new Uint8Array(0))).toBe('PACKAGE_NOT_ZIP');
    expect(codeOf(plain.slice(0, plain.length / 2))).toBe('PACKAGE_NOT_ZIP');
    expect(codeOf(utf8('%PDF-1.7 a document of some length, which is no zip'))).toBe('PACKAGE_NOT_ZIP');
  });

  test('cannot be changed anywhere without being refused or holding other content', () => {
    fc.assert(
      fc.property(files, fc.nat(), fc.integer({ min: 1, max: 255 }), (content, place, change) => {
        const bytes = writeZip(new Map(Object.entries(content)));
        const at = place % bytes.length;
        const read = readZip(replaceAt(bytes, at, bytes[at]! ^ change));
        expect(read.type === 'zip' && Object.fromEntries(read.entries)).not.toEqual(content);
      }),
      { numRuns: 2_000 },
    );
  });

  test('survives any bytes that look like its end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ minLength: 18, maxLength: 18 }), (body, tail) => {
        const read = readZip(Uint8Array.of(...body, 0x50, 0x4b, 5, 6, ...tail));
        expect(read.type === 'invalid' || read.entries.size === 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
