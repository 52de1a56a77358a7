/** The little of DER (X.690) that keys and ECDSA signatures need; strict, because one value must have one encoding. */
import { concat, type Bytes } from './bytes.ts';
import { CipherError } from './cipher-error.ts';

export const tags = { integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06, sequence: 0x30, set: 0x31, context0: 0xa0, context1: 0xa1 } as const;

/** Bound on a length in its bytes: three hold 16 MiB, far above any key. */
const lengthBytesMax = 3;

const malformed = (reason: string): never => {
  throw new CipherError('CIPHER_KEY_MALFORMED', `DER: ${reason}`);
};

const encodeLength = (length: number): number[] => {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return [0x80 | bytes.length, ...bytes];
};

export const derOf = (tag: number, ...contents: readonly Uint8Array[]): Bytes => {
  const content = concat(...contents);
  return concat(Uint8Array.from([tag, ...encodeLength(content.length)]), content);
};

/** An unsigned big-endian number as INTEGER. */
export const derUnsigned = (bytes: Uint8Array): Bytes => {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  return derOf(tags.integer, (digits[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), digits) : digits);
};

export type DerElement = { readonly tag: number; readonly content: Uint8Array };

const readLength = (bytes: Uint8Array, at: number): { length: number; next: number } => {
  const first = bytes[at] ?? malformed('ends before a length');
  if (first < 0x80) return { length: first, next: at + 1 };
  const count = first & 0x7f;
  if (count === 0 || count > lengthBytesMax) malformed('a length of a form that is not taken');
  let length = 0;
  for (let i = 1; i <= count; i++) length = (length << 8) | (bytes[at + i] ?? malformed('ends within a length'));
  if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) malformed('a length longer than it need be');
  return { length, next: at + 1 + count };
};

/** The elements that follow one another and fill `bytes`. */
export const readElements = (bytes: Uint8Array): DerElement[] => {
  const elements: DerElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at]!;
    const { length, next } = readLength(bytes, at + 1);
    if (next + length > bytes.length) malformed('ends within an element');
    elements.push({ tag, content: bytes.subarray(next, next + length) });
    at = next + length;
  }
  return elements;
};

/** The content of the one element of this tag that fills `bytes`. */
export const readOne = (bytes: Uint8Array, tag: number): Uint8Array => {
  const [element, ...more] = readElements(bytes);
  if (element === undefined || more.length > 0 || element.tag !== tag) return malformed(`expected one element of tag ${tag}`);
  return element.content;
};

export const expectTag = (element: DerElement | undefined, tag: number): Uint8Array =>
  element?.tag === tag ? element.content : malformed(`expected an element of tag ${tag}`);

/** The digits of a positive INTEGER without leading zeros. */
export const unsignedOf = (content: Uint8Array): Uint8Array => {
  const [first, second] = content;
  if (first === undefined || first >= 0x80) return malformed('a number that is not positive');
  if (first !== 0) return content;
  if (second === undefined || second < 0x80) return malformed('a number that is zero or longer than it need be');
  return content.subarray(1);
};

/** The bytes of a BIT STRING without unused bits. */
export const wholeBits = (content: Uint8Array): Uint8Array => (content[0] === 0 ? content.subarray(1) : malformed('a bit string that is not whole bytes'));
