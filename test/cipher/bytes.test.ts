import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, equalConstantTime, fromBase64url, fromHex, readBase64url, textOf, toBase64url, toHex, utf8, writeBase64url } from '../../src/cipher/bytes.ts';
import { CipherError } from '../../src/cipher/cipher-error.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

describe.each([
  ['of the platform where it is quicker', toBase64url, fromBase64url],
  ['in JavaScript', writeBase64url, readBase64url],
] as const)('base64url %s', (_name, write, read) => {
  test('writes what Buffer writes, and reads it back', () => {
    fc.assert(
      fc.property(bytes, (some) => {
        const text = write(some);
        expect(text).toBe(Buffer.from(some).toString('base64url'));
        expect(read(text)).toEqual(some);
      }),
    );
  });

  test('has one text for each byte string: what it reads, it writes the same', () => {
    const digits = fc.string({ unit: fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n'), maxLength: 120 });
    fc.assert(
      fc.property(fc.oneof(digits, fc.string()), (text) => {
        try {
          expect(write(read(text))).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(CipherError);
        }
      }),
    );
  });

  test.each(['A', 'AB==', 'A+B/', 'AA A', 'AB', 'AAB', 'AAAé', 'AAA\u{1f600}'])('refuses %j', (text) => {
    expect(() => read(text)).toThrow(CipherError);
    expect(() => read('A'.repeat(80) + text)).toThrow(CipherError);
  });
});

describe('hex and text', () => {
  test('hex is read in either case and written in lower case', () => {
    fc.assert(fc.property(bytes, (some) => void expect(fromHex(toHex(some).toUpperCase())).toEqual(some)));
    expect(toHex(fromHex('00FF'))).toBe('00ff');
  });

  test.each(['0', '0g', '0x00', ' 00'])('refuses %j as hex', (text) => {
    expect(() => fromHex(text)).toThrow(CipherError);
  });

  test('UTF-8 comes back as it went, byte order mark included', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => void expect(textOf(utf8(text))).toBe(text)));
    expect(textOf(utf8('\ufeffa'))).toBe('\ufeffa');
  });

  test('bytes that are not UTF-8 are refused rather than mended', () => {
    expect(() => textOf(Uint8Array.of(0xc3, 0x28))).toThrow(CipherError);
  });
});

test('concat joins, and comparing says whether bytes are equal', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect([...concat(a, b)]).toEqual([...a, ...b]);
      expect(equalConstantTime(a, b)).toBe(toHex(a) === toHex(b));
      expect(equalConstantTime(a, a.slice())).toBe(true);
    }),
  );
  expect(equalConstantTime(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
});
