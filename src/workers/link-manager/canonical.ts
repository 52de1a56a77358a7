/**
 * The canonical encoding of what is signed, sealed or authenticated: fields one after the other, integers big-endian and of
 * fixed width, texts (UTF-8) and byte strings prefixed with their length in four bytes. A value has one encoding, and the
 * reader refuses bytes that are left over.
 */
import { concat, textOf, toBase64url, utf8, type Bytes } from '../../cipher/bytes.ts';
import { CipherError } from '../../cipher/cipher-error.ts';

export const u8 = (value: number): Bytes => Uint8Array.of(value);

export const u16 = (value: number): Bytes => Uint8Array.of(value >>> 8, value);

export const u32 = (value: number): Bytes => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

const twoTo32 = 2 ** 32;

/** Eight bytes; values stay below 2^53, which JavaScript counts exactly. */
export const u64 = (value: number): Bytes => {
  const [high, low] = [Math.floor(value / twoTo32), value % twoTo32];
  return Uint8Array.of(high >>> 24, high >>> 16, high >>> 8, high, low >>> 24, low >>> 16, low >>> 8, low);
};

export const bytesField = (bytes: Uint8Array): Bytes => concat(u32(bytes.length), bytes);

export const textField = (text: string): Bytes => bytesField(utf8(text));

/** Thrown by the reader; callers turn it into a refusal. */
export class CanonicalError extends Error {
  readonly code = 'LINK_ENCODING_MALFORMED';
  constructor(reason: string) {
    super(`the bytes are not in the canonical encoding: ${reason}`);
    this.name = 'CanonicalError';
  }
}

export type CanonicalReader = {
  u8(): number;
  u16(): number;
  u32(): number;
  u64(): number;
  bytes(lengthMax: number): Uint8Array;
  text(lengthMax: number): string;
  /** A byte string, spelled in base64url. */
  base64url(lengthMax: number): string;
  /** Throws when bytes are left. */
  end(): void;
};

const decodeText = (bytes: Uint8Array): string => {
  try {
    return textOf(bytes);
  } catch (error) {
    if (error instanceof CipherError) throw new CanonicalError('text is not UTF-8');
    throw error;
  }
};

export const createCanonicalReader = (input: Uint8Array): CanonicalReader => {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  let at = 0;
  const take = (length: number): number => {
    if (at + length > input.length) throw new CanonicalError('it ends too early');
    at += length;
    return at - length;
  };
  const readU32 = (): number => view.getUint32(take(4));
  const readBytes = (lengthMax: number): Uint8Array => {
    const length = readU32();
    if (length > lengthMax) throw new CanonicalError(`a field of ${length} bytes where ${lengthMax} are allowed`);
    const start = take(length);
    return input.subarray(start, start + length);
  };
  return {
    u8: () => view.getUint8(take(1)),
    u16: () => view.getUint16(take(2)),
    u32: readU32,
    u64: () => {
      const value = readU32() * twoTo32 + readU32();
      if (!Number.isSafeInteger(value)) throw new CanonicalError('a number of 2^53 or more');
      return value;
    },
    bytes: readBytes,
    text: (lengthMax) => decodeText(readBytes(lengthMax)),
    base64url: (lengthMax) => toBase64url(readBytes(lengthMax)),
    end: () => {
      if (at !== input.length) throw new CanonicalError(`${input.length - at} bytes are left over`);
    },
  };
};
