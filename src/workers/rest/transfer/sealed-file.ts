/**
 * The file of an exported virtual node: pieces of text, sealed under a passphrase.
 *
 *     "cordage-vnode 1\n" · header length (2 bytes) · header · frames
 *     header: JSON { n, r, p, salt }: the costs and the salt of scrypt (RFC 7914), which gives the key
 *     frame:  length of the ciphertext (4 bytes) · AES-256-GCM ciphertext and tag
 *
 * - **F1** a frame's nonce is its number: a key seals one file, since its salt is drawn;
 * - **F2** a frame's additional data are the header and whether it is the last, so that frames cannot be left out, moved, or cut off
 *   without being seen;
 * - **F3** memory holds one frame at a time, whatever the length of the file.
 */
import { scryptAsync } from '@noble/hashes/scrypt.js';
import * as z from 'zod';
import { aeadNonceLength, aeadTagLength, prepareAead, type Aead } from '../../../cipher/aead.ts';
import { concat, fromBase64url, randomBytes, toBase64url, utf8, type Bytes } from '../../../cipher/bytes.ts';
import { CipherError } from '../../../cipher/cipher-error.ts';

const magic = utf8('cordage-vnode 1\n');

/** 64 MiB and one pass: a file can be guessed at for ever, and is opened seldom. */
const cost = { n: 2 ** 16, r: 8, p: 1 } as const;
const saltBytes = 16;
const keyBytes = 32;
/** Longest time in ms that scrypt keeps other work waiting. */
const sliceMs = 5;

const headerBytesMax = 1_000;
/** Bytes of a frame's ciphertext: a piece of text in UTF-8. */
const frameBytesMax = 2 * 1024 * 1024;
/** Bytes that a stranger's header may make scrypt use. */
const scryptBytesMax = 256 * 1024 * 1024;

/** 16 bytes in base64url: of the last character two bits count, and the others are zero. */
const saltText = z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/);
const power = z.int().min(2).refine((n) => (n & (n - 1)) === 0);
const headerShape = z
  .strictObject({ n: power, r: z.int().min(1).max(32), p: z.int().min(1).max(4), salt: saltText })
  .refine(({ n, r }) => 128 * n * r <= scryptBytesMax);
type Header = z.infer<typeof headerShape>;

const deriveAead = async (passphrase: string, { n, r, p, salt }: Header): Promise<Aead> => {
  const key = await scryptAsync(utf8(passphrase.normalize('NFC')), fromBase64url(salt), { N: n, r, p, dkLen: keyBytes, asyncTick: sliceMs, maxmem: scryptBytesMax + 1_000_000 });
  const aead = await prepareAead(key);
  key.fill(0);
  return aead;
};

const numberBytes = (value: number, length: number): Bytes => {
  const bytes = new Uint8Array(length);
  for (let at = length - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  return bytes;
};

const nonceOf = (index: number): Bytes => numberBytes(index, aeadNonceLength);
const aadOf = (header: Uint8Array, isLast: boolean): Bytes => concat(magic, header, new Uint8Array([isLast ? 1 : 0]));

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The file, frame by frame, as its pieces come. Throws what they throw: then the file breaks off, and is no file. */
export async function* sealFile(passphrase: string, pieces: AsyncIterable<string>, costs: Pick<Header, 'n' | 'r' | 'p'> = cost): AsyncGenerator<Uint8Array> {
  const header = utf8(JSON.stringify({ ...costs, salt: toBase64url(randomBytes(saltBytes)) } satisfies Header));
  const aead = await deriveAead(passphrase, headerShape.parse(JSON.parse(new TextDecoder().decode(header))));
  try {
    yield concat(magic, numberBytes(header.length, 2), header);
    let index = 0;
    let waiting: string | undefined;
    const frame = async (text: string, isLast: boolean): Promise<Uint8Array> => {
      const sealed = await aead.seal({ nonce: nonceOf(index++), aad: aadOf(header, isLast), plaintext: utf8(text) });
      return concat(numberBytes(sealed.length, 4), sealed);
    };
    for await (const piece of pieces) {
      if (waiting !== undefined) yield await frame(waiting, false);
      waiting = piece;
    }
    yield await frame(waiting ?? '', true);
  } finally {
    aead.wipe();
  }
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Why a file cannot be opened, for who brought it. */
export class FileRefused extends Error {}

/** Bytes of the file, so many at a time, out of the pieces in which they came. */
const createReader = (pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
  const iterator = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  let rest: Uint8Array = new Uint8Array();
  const take = async (length: number): Promise<Uint8Array | undefined> => {
    while (rest.length < length) {
      const next = await iterator.next();
      if (next.done === true) return undefined;
      rest = rest.length === 0 ? next.value : concat(rest, next.value);
    }
    const taken = rest.subarray(0, length);
    rest = rest.subarray(length);
    return taken;
  };
  return { take, isAtEnd: async (): Promise<boolean> => (await take(1)) === undefined, end: async () => void (await iterator.return?.()) };
};

const broken = (): FileRefused => new FileRefused('the file breaks off');
const readNumber = (bytes: Uint8Array | undefined): number => {
  if (bytes === undefined) throw broken();
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
};

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const parseJson = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
};

const readHeader = async (reader: ReturnType<typeof createReader>): Promise<{ bytes: Uint8Array; header: Header }> => {
  const start = await reader.take(magic.length);
  if (start === undefined || magic.some((byte, at) => start[at] !== byte)) throw new FileRefused('the file is no export of a virtual node, or of another version');
  const length = readNumber(await reader.take(2));
  const bytes = length > headerBytesMax ? undefined : await reader.take(length);
  const header = headerShape.safeParse(bytes === undefined ? undefined : parseJson(bytes));
  if (bytes === undefined || !header.success) throw new FileRefused('the header of the file is damaged');
  return { bytes, header: header.data };
};

/** A frame opens as the last or as one of the others; nothing but the right passphrase and the whole file opens either. */
const openFrame = async (aead: Aead, header: Uint8Array, index: number, ciphertext: Uint8Array): Promise<{ plaintext: Uint8Array; isLast: boolean } | undefined> => {
  for (const isLast of [false, true]) {
    try {
      return { plaintext: await aead.open({ nonce: nonceOf(index), aad: aadOf(header, isLast), ciphertext }), isLast };
    } catch (error) {
      if (!(error instanceof CipherError)) throw error;
    }
  }
  return undefined;
};

/** The pieces of the file. Throws FileRefused, at its first frame where the passphrase is wrong, and what the file throws. */
export async function* openFile(passphrase: string, file: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<string> {
  const reader = createReader(file);
  let aead: Aead | undefined;
  try {
    const { bytes: header, header: read } = await readHeader(reader);
    aead = await deriveAead(passphrase, read);
    for (let index = 0; ; index++) {
      const length = readNumber(await reader.take(4));
      if (length < aeadTagLength || length > frameBytesMax) throw new FileRefused('the file is damaged');
      const ciphertext = await reader.take(length);
      if (ciphertext === undefined) throw broken();
      const opened = await openFrame(aead, header, index, ciphertext);
      if (opened === undefined) throw new FileRefused(index === 0 ? 'the passphrase is wrong, or the file is damaged' : 'the file is damaged');
      yield decoder.decode(opened.plaintext);
      if (opened.isLast) break;
    }
    if (!(await reader.isAtEnd())) throw new FileRefused('something stands behind the end of the file');
  } finally {
    aead?.wipe();
    await reader.end();
  }
}
