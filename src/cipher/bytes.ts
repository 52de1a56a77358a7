/** Bytes and their spellings. Decoders are strict: one byte string has one text. */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { base64urlCoder } from '../host/base64url.ts';
import { CipherError } from './cipher-error.ts';

/** Bytes over an ArrayBuffer of their own: what WebCrypto takes. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const utf8 = (text: string): Bytes => encoder.encode(text);

export const textOf = (bytes: Uint8Array): string => {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new CipherError('CIPHER_ENCODING', 'bytes are not UTF-8', { cause });
  }
};

/** Lower-case hex. */
export const toHex = (bytes: Uint8Array): string => bytesToHex(bytes);

export const fromHex = (text: string): Bytes => {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw new CipherError('CIPHER_ENCODING', 'text is not an even number of hex digits');
  return hexToBytes(text);
};

// Base64 is written out here because `Uint8Array.prototype.toBase64` is not on every runtime we run on, and `atob`
// forgives what a signed or content-addressed text must not be forgiven (spaces, stray last bits). Long texts are the
// platform's where it is quicker; the call alone costs as much as a short one.
const platformLengthMin = 48;
const urlDigits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const urlCodes = Uint8Array.from(urlDigits, (digit) => digit.charCodeAt(0));
const valueOfCode = new Int8Array(128).fill(-1);
for (const [value, code] of urlCodes.entries()) valueOfCode[code] = value;
const asciiDecoder = new TextDecoder();

export const toBase64url = (bytes: Uint8Array): string =>
  base64urlCoder !== undefined && bytes.length >= platformLengthMin ? base64urlCoder.encode(bytes) : writeBase64url(bytes);

/** `toBase64url` in JavaScript. */
export const writeBase64url = (bytes: Uint8Array): string => {
  const tail = bytes.length % 3;
  const out = new Uint8Array(Math.ceil((bytes.length * 4) / 3));
  let at = 0;
  for (let i = 0; i < bytes.length - tail; i += 3) {
    const word = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!;
    out[at++] = urlCodes[word >> 18]!;
    out[at++] = urlCodes[(word >> 12) & 63]!;
    out[at++] = urlCodes[(word >> 6) & 63]!;
    out[at++] = urlCodes[word & 63]!;
  }
  if (tail > 0) {
    const word = (bytes[bytes.length - tail]! << 16) | ((tail === 2 ? bytes[bytes.length - 1]! : 0) << 8);
    out[at++] = urlCodes[word >> 18]!;
    out[at++] = urlCodes[(word >> 12) & 63]!;
    if (tail === 2) out[at++] = urlCodes[(word >> 6) & 63]!;
  }
  return asciiDecoder.decode(out);
};

const badBase64url = (reason: string): never => {
  throw new CipherError('CIPHER_ENCODING', `text is not base64url without padding: ${reason}`);
};

const digitValue = (text: string, at: number): number => {
  const code = text.charCodeAt(at);
  const value = code < 128 ? valueOfCode[code]! : -1;
  return value >= 0 ? value : badBase64url(`a foreign character at ${at}`);
};

/** What the platform does not take is read in JavaScript, which says what is wrong. */
export const fromBase64url = (text: string): Bytes => (text.length >= platformLengthMin ? base64urlCoder?.decode(text) : undefined) ?? readBase64url(text);

/** `fromBase64url` in JavaScript. */
export const readBase64url = (text: string): Bytes => {
  const tail = text.length % 4;
  if (tail === 1) badBase64url('its length');
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let at = 0;
  for (let i = 0; i < text.length - tail; i += 4) {
    const word = (digitValue(text, i) << 18) | (digitValue(text, i + 1) << 12) | (digitValue(text, i + 2) << 6) | digitValue(text, i + 3);
    out[at++] = word >> 16;
    out[at++] = word >> 8;
    out[at++] = word;
  }
  if (tail > 0) {
    const start = text.length - tail;
    const third = tail === 3 ? digitValue(text, start + 2) : 0;
    const word = (digitValue(text, start) << 18) | (digitValue(text, start + 1) << 12) | (third << 6);
    if ((word & (tail === 3 ? 0xff : 0xffff)) !== 0) badBase64url('bits after the last byte');
    out[at++] = word >> 16;
    if (tail === 3) out[at++] = word >> 8;
  }
  return out;
};

export const concat = (...parts: readonly Uint8Array[]): Bytes => {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** Takes the same time wherever the first difference is; only the lengths may show. */
export const equalConstantTime = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
};

/** Draws this many bytes; a power, so that a simulation can hand in its own. */
export type Chance = (length: number) => Bytes;

export const randomBytes: Chance = (length) => crypto.getRandomValues(new Uint8Array(length));
