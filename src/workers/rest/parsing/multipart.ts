/**
 * multipart/form-data (RFC 7578, RFC 2046 section 5.1), read as it comes: nothing is held twice, everything is bounded.
 *
 *     preamble ──delimiter──▶ head ──blank line──▶ content ──delimiter──▶ head …
 *                                                     └──closing delimiter──▶ ended
 */
import { concat } from '../../../cipher/bytes.ts';

export type FormPart = { readonly name: string; readonly pieces: Uint8Array[]; length: number };

export type MultipartBounds = { readonly partsMax: number; readonly headBytesMax: number };

export type MultipartReader = {
  /** Those that have begun, the last of them perhaps not ended. Who takes pieces out of them has them. */
  readonly parts: readonly FormPart[];
  /** Takes the next bytes; a reason when they cannot belong to a form. */
  push(bytes: Uint8Array): string | undefined;
  /** The parts in order, once the body has ended; a reason when it ended too early. */
  end(): { readonly type: 'parts'; readonly parts: readonly FormPart[] } | { readonly type: 'malformed'; readonly reason: string };
};

const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const dash = 0x2d;
/** Spaces that may pad a delimiter's line (RFC 2046): more is not padding. */
const paddingMax = 100;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The boundary named by a Content-Type, `undefined` when there is none that RFC 2046 allows. */
export const boundaryOf = (contentType: string): string | undefined => {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  return boundary !== undefined && /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary) ? boundary : undefined;
};

const indexOfBytes = (bytes: Uint8Array, wanted: Uint8Array, from: number): number => {
  for (let at = bytes.indexOf(wanted[0]!, from); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (at + wanted.length > bytes.length) return -1;
    let length = 1;
    while (length < wanted.length && bytes[at + length] === wanted[length]) length++;
    if (length === wanted.length) return at;
  }
  return -1;
};

/** The field's name in a part's head; `undefined` when the head is no form field's. */
const fieldNameOf = (head: Uint8Array): string | undefined => {
  let text: string;
  try {
    text = decoder.decode(head);
  } catch {
    return undefined;
  }
  const disposition = text.split('\r\n').find((line) => /^content-disposition:/i.test(line));
  if (disposition === undefined || !/^content-disposition:\s*form-data\s*(;|$)/i.test(disposition)) return undefined;
  const [, name] = /;\s*name="((?:[^"\\]|\\.)*)"/i.exec(disposition) ?? /;\s*name=([^\s;"]+)/i.exec(disposition) ?? [];
  return name?.replace(/\\(.)/g, '$1').replace(/%22/g, '"');
};

/** What stands behind a delimiter: the next part, the end of the form, or not enough bytes to know. */
const afterDelimiter = (bytes: Uint8Array, at: number): { type: 'part' | 'end'; next: number } | 'more' | 'malformed' => {
  if (bytes.length < at + 2) return 'more';
  if (bytes[at] === dash && bytes[at + 1] === dash) return { type: 'end', next: at + 2 };
  let next = at;
  while (bytes[next] === 0x20 || bytes[next] === 0x09) next++;
  if (next - at > paddingMax) return 'malformed';
  if (bytes.length < next + 2) return 'more';
  return bytes[next] === carriageReturn && bytes[next + 1] === lineFeed ? { type: 'part', next: next + 2 } : 'malformed';
};

export const createMultipartReader = (boundary: string, bounds: MultipartBounds): MultipartReader => {
  const delimiter = encoder.encode(`\r\n--${boundary}`);
  const blankLine = encoder.encode('\r\n\r\n');
  const parts: FormPart[] = [];
  let state: 'preamble' | 'head' | 'content' | 'ended' = 'preamble';
  // The first delimiter may open the body: it is found as if a line ended before it.
  let rest: Uint8Array = encoder.encode('\r\n');

  const keep = (bytes: Uint8Array): void => {
    if (state !== 'content' || bytes.length === 0) return;
    const part = parts.at(-1)!;
    part.pieces.push(bytes);
    part.length += bytes.length;
  };

  /** Each reads what it can of `bytes` and says where it stopped; `undefined` asks for more bytes. */
  const readContent = (bytes: Uint8Array): number | string | undefined => {
    const at = indexOfBytes(bytes, delimiter, 0);
    if (at < 0) {
      // A delimiter may have begun in the last bytes.
      const sure = Math.max(bytes.length - delimiter.length + 1, 0);
      keep(bytes.subarray(0, sure));
      rest = bytes.subarray(sure);
      return undefined;
    }
    const after = afterDelimiter(bytes, at + delimiter.length);
    if (after === 'malformed') return 'a boundary is followed by neither a line end nor "--"';
    if (after === 'more') {
      keep(bytes.subarray(0, at));
      rest = bytes.subarray(at);
      return undefined;
    }
    keep(bytes.subarray(0, at));
    state = after.type === 'end' ? 'ended' : 'head';
    // The head's first line end is kept, so that an empty head ends in a blank line too.
    return after.type === 'end' ? after.next : after.next - 2;
  };

  const readHead = (bytes: Uint8Array): number | string | undefined => {
    const at = indexOfBytes(bytes, blankLine, 0);
    if ((at < 0 ? bytes.length : at) > bounds.headBytesMax) return `a part has more than ${bounds.headBytesMax} bytes of headers`;
    if (at < 0) {
      rest = bytes;
      return undefined;
    }
    const name = fieldNameOf(bytes.subarray(0, at));
    if (name === undefined) return 'a part has no Content-Disposition of form-data with a name';
    if (parts.length >= bounds.partsMax) return `it has more than ${bounds.partsMax} parts`;
    parts.push({ name, pieces: [], length: 0 });
    state = 'content';
    return at + blankLine.length;
  };

  const step = (bytes: Uint8Array): number | string | undefined => (state === 'head' ? readHead(bytes) : readContent(bytes));

  return {
    parts,
    push: (more) => {
      let bytes: Uint8Array = rest.length === 0 ? more : concat(rest, more);
      rest = new Uint8Array(0);
      while (state !== 'ended') {
        const read = step(bytes);
        if (typeof read !== 'number') return read;
        bytes = bytes.subarray(read);
      }
      return undefined;
    },
    end: () => (state === 'ended' ? { type: 'parts', parts } : { type: 'malformed', reason: 'it ends before its closing boundary' }),
  };
};
