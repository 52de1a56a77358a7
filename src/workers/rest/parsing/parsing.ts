/** From a request to the typed input of a route, or the refusal that says what is wrong with it. */
import * as z from 'zod';
import { concat } from '../../../cipher/bytes.ts';
import type { Refusal } from '../../../messages/grammar/envelope.ts';
import type { RestLimits } from '../config.ts';
import type { Parameters } from '../parameter.ts';
import { refuse } from '../refusal.ts';
import type { FormBody, FormFields, FormFile, JsonBody } from '../routing/routing.ts';
import { parseStrictJson } from './json.ts';
import { boundaryOf, createMultipartReader, type FormPart, type MultipartReader } from './multipart.ts';

export type Parsed<Value> = { readonly type: 'parsed'; readonly value: Value } | Refusal;
const parsed = <Value>(value: Value): Parsed<Value> => ({ type: 'parsed', value });

// ── Parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────

const unparsable = (name: string, reason: string): Refusal => refuse('REST_PARAMETER_INVALID', `Unable to parse parameter '${name}': ${reason}`, { parameter: name, reason });

const readParameters = (declared: Parameters, textsOf: (name: string) => readonly string[] | undefined): Parsed<Record<string, unknown>> => {
  const values: Record<string, unknown> = {};
  for (const name in declared) {
    const texts = textsOf(name);
    if (texts === undefined) return unparsable(name, 'it is not percent-encoded UTF-8');
    const read = declared[name]!.read(texts);
    if (read.type === 'unreadable') return unparsable(name, read.reason);
    values[name] = read.value;
  }
  return parsed(values);
};

const decodeSegment = (segment: string): string | undefined => {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
};

export const readPath = (declared: Parameters, segments: Readonly<Record<string, string>>): Parsed<Record<string, unknown>> =>
  readParameters(declared, (name) => {
    const text = decodeSegment(segments[name] ?? '');
    return text === undefined ? undefined : [text];
  });

/** Names are compared without regard to case, as Corda does. Names that the route does not know are let be. */
export const readQuery = (declared: Parameters, search: string): Parsed<Record<string, unknown>> => {
  const given = new Map<string, string[]>();
  if (search !== '') {
    for (const [name, value] of new URLSearchParams(search)) {
      const key = name.toLowerCase();
      const known = given.get(key);
      if (known === undefined) given.set(key, [value]);
      else known.push(value);
    }
  }
  return readParameters(declared, (name) => given.get(name) ?? []);
};

// ── Bodies ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const tooLarge = (bytesMax: number): Refusal => refuse('REST_BODY_TOO_LARGE', `the body is longer than ${bytesMax} bytes`);

/** `undefined` when the request does not say; a refusal when it says too much or nonsense. */
const checkLength = (request: Request, bytesMax: number): number | undefined | Refusal => {
  const header = request.headers.get('content-length');
  if (header === null) return undefined;
  if (!/^\d{1,15}$/.test(header)) return refuse('REST_BODY_MALFORMED', 'Content-Length is not a number');
  return Number(header) > bytesMax ? tooLarge(bytesMax) : Number(header);
};

/** The client went away or its connection broke: nobody reads this answer, but the log does. */
const brokenOff: Refusal = refuse('REST_BODY_MALFORMED', 'the body broke off');

/** Thrown by a file that is handed on as it comes. */
export class BodyRefused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** The body as it comes. Throws BodyRefused. */
async function* piecesOf(request: Request, bytesMax: number): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  const reader = request.body.getReader();
  try {
    for (let length = 0; ; ) {
      const read = await reader.read().catch(() => undefined);
      if (read === undefined) throw new BodyRefused(brokenOff);
      if (read.done) return;
      length += read.value.length;
      if (length > bytesMax) throw new BodyRefused(tooLarge(bytesMax));
      yield read.value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

const readPieces = async (request: Request, bytesMax: number): Promise<Uint8Array | Refusal> => {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of piecesOf(request, bytesMax)) pieces.push(piece);
  } catch (error) {
    if (error instanceof BodyRefused) return error.refusal;
    throw error;
  }
  return concat(...pieces);
};

/** Text of a bounded body. Its length is known in the usual case, and then it is read in one piece. */
const readText = async (request: Request, bytesMax: number): Promise<Parsed<string>> => {
  const length = checkLength(request, bytesMax);
  if (typeof length === 'object') return length;
  const bytes = length === undefined ? await readPieces(request, bytesMax) : await request.arrayBuffer().catch(() => brokenOff);
  if ('type' in bytes) return bytes;
  try {
    return parsed(decoder.decode(bytes));
  } catch {
    return refuse('REST_BODY_MALFORMED', 'the body is not UTF-8');
  }
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const describe = (error: z.ZodError): Record<string, string> =>
  Object.fromEntries(error.issues.slice(0, 10).map(({ path, message }) => [path.map(String).join('.') || 'body', message]));

/**
 * Both shapes of the contract: the object itself, or the object under the parameter's name. An object that holds that
 * name alone is taken as nested, unless only the flat reading fits.
 */
export const readShape = <Value>(body: JsonBody<Value>, json: unknown): Parsed<Value> => {
  const nested = isObject(json) && Object.keys(json).length === 1 && Object.hasOwn(json, body.name);
  const first = body.schema.safeParse(nested ? json[body.name] : json);
  if (first.success) return parsed(first.data);
  const second = nested ? body.schema.safeParse(json) : undefined;
  if (second?.success === true) return parsed(second.data);
  const details = describe(first.error);
  const [field, reason] = Object.entries(details)[0] ?? ['body', 'it is malformed'];
  return refuse('REST_BODY_INVALID', `Invalid request body: ${field}: ${reason}`, details);
};

const contentTypeOf = (request: Request): string => (request.headers.get('content-type') ?? '').trim();

const wrongType = (given: string, wanted: string): Refusal => refuse('REST_CONTENT_TYPE', `Content-Type must be ${wanted}, not "${given.slice(0, 100)}"`);

/** JSON is UTF-8 (RFC 8259 section 8.1). A client that names no type is taken at its word that it sends what is asked for. */
const jsonType = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

export const readJson = async <Value>(body: JsonBody<Value>, request: Request, limits: RestLimits): Promise<Parsed<Value>> => {
  const type = contentTypeOf(request);
  if (type !== '' && !jsonType.test(type)) return wrongType(type, 'application/json');
  if (request.headers.get('content-encoding') !== null) return refuse('REST_CONTENT_TYPE', 'compressed bodies are not taken');
  const text = await readText(request, limits.jsonBytesMax);
  if (text.type === 'refused') return text;
  // A body that may be left out.
  const none = text.value === '' ? body.schema.safeParse(undefined) : undefined;
  if (none?.success === true) return parsed(none.data);
  const json = parseStrictJson(text.value, limits.jsonDepthMax);
  if (json.type === 'malformed') return refuse('REST_BODY_MALFORMED', `the body cannot be read: ${json.reason}`);
  return readShape(body, json.value);
};

// ── Forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const textOfPart = ({ pieces }: FormPart): string | undefined => {
  try {
    return decoder.decode(concat(...pieces));
  } catch {
    return undefined;
  }
};

/** The fields that the route declares; others are refused, since a misspelt field is a lost file. */
const fieldsOf = (declared: FormFields, parts: readonly FormPart[]): Parsed<Record<string, unknown>> => {
  const stranger = parts.find(({ name }) => !Object.hasOwn(declared, name));
  if (stranger !== undefined) return unparsable(stranger.name.slice(0, 100), `the form's fields are ${Object.keys(declared).join(', ')}`);
  const values: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(declared)) {
    const given = parts.filter((part) => part.name === name);
    const [first] = given;
    if (first === undefined) return unparsable(name, 'it is missing');
    if (kind !== 'files' && given.length > 1) return unparsable(name, 'it is given more than once');
    const value = kind === 'text' ? textOfPart(first) : kind === 'file' ? (first satisfies FormFile) : given;
    if (value === undefined) return unparsable(name, 'it is not UTF-8');
    values[name] = value;
  }
  return parsed(values);
};

const malformedForm = (reason: string): Refusal => refuse('REST_BODY_MALFORMED', `the form cannot be read: ${reason}`);

/** What is read as it comes is handled before what stands behind it is known. */
const notLast = (name: string): Refusal => malformedForm(`the field ${name} must be its last one`);

/** The rest of the form, which is this part's. Whoever reads no further lets the body run out, so that its sender hears the answer. */
async function* contentOf(reader: MultipartReader, part: FormPart, pieces: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      yield* part.pieces.splice(0);
      const next = await pieces.next();
      if (next.done === true) break;
      const reason = reader.push(next.value);
      if (reason !== undefined) throw new BodyRefused(malformedForm(reason));
      if (reader.parts.at(-1) !== part) throw new BodyRefused(notLast(part.name));
    }
    const ended = reader.end();
    if (ended.type === 'malformed') throw new BodyRefused(malformedForm(ended.reason));
  } finally {
    for (let next = await pieces.next().catch(() => undefined); next !== undefined && next.done !== true; ) next = await pieces.next().catch(() => undefined);
  }
}

type Form = { readonly body: FormBody<FormFields>; readonly reader: MultipartReader };

/** Up to the field of that name; its content is the handler's to read. */
const readUpTo = async (name: string, { body, reader }: Form, pieces: AsyncGenerator<Uint8Array>): Promise<Parsed<Record<string, unknown>>> => {
  const { [name]: _, ...others } = body.fields;
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    const reason = reader.push(next.value);
    if (reason !== undefined) return malformedForm(reason);
    const at = reader.parts.findIndex((one) => one.name === name);
    if (at < 0) continue;
    const before = fieldsOf(others, reader.parts.slice(0, at));
    if (before.type === 'refused') return before;
    return at === reader.parts.length - 1 ? parsed({ ...before.value, [name]: contentOf(reader, reader.parts[at]!, pieces) }) : notLast(name);
  }
  const ended = reader.end();
  return ended.type === 'malformed' ? malformedForm(ended.reason) : fieldsOf(body.fields, ended.parts);
};

const readWhole = async ({ body, reader }: Form, pieces: AsyncGenerator<Uint8Array>): Promise<Parsed<Record<string, unknown>>> => {
  for await (const bytes of pieces) {
    const reason = reader.push(bytes);
    if (reason !== undefined) return malformedForm(reason);
  }
  const ended = reader.end();
  return ended.type === 'malformed' ? malformedForm(ended.reason) : fieldsOf(body.fields, ended.parts);
};

export const readForm = async (body: FormBody<FormFields>, request: Request, limits: RestLimits): Promise<Parsed<Record<string, unknown>>> => {
  const type = contentTypeOf(request);
  if (!/^multipart\/form-data\s*;/i.test(type)) return wrongType(type, 'multipart/form-data');
  const boundary = boundaryOf(type);
  if (boundary === undefined) return refuse('REST_BODY_MALFORMED', 'the Content-Type names no valid boundary');
  const bytesMax = limits[body.bytesLimit];
  const length = checkLength(request, bytesMax);
  if (typeof length === 'object') return length;
  const form: Form = { body, reader: createMultipartReader(boundary, { partsMax: limits.multipartPartsMax, headBytesMax: limits.multipartHeadBytesMax }) };
  const pieces = piecesOf(request, bytesMax);
  const streamed = Object.entries(body.fields).find(([, kind]) => kind === 'stream')?.[0];
  try {
    const read = await (streamed === undefined ? readWhole(form, pieces) : readUpTo(streamed, form, pieces));
    if (read.type === 'refused') await pieces.return(undefined);
    return read;
  } catch (error) {
    if (error instanceof BodyRefused) return error.refusal;
    throw error;
  }
};
