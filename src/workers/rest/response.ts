/** Responses: the headers that every one carries, JSON or text by what the client accepts. */
import type { HttpError } from './refusal.ts';

/** Answers are data for programs: nothing in them may be run, framed, sniffed or kept. */
export const securityHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

export type HeaderMap = Readonly<Record<string, string>>;

type MediaRange = { readonly type: string; readonly quality: number };

/** RFC 9110 section 12.5.1, as far as one needs it to know whether JSON or text is wanted. */
const mediaRangesOf = (accept: string): MediaRange[] =>
  accept.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1');
    return { type, quality: Number.isFinite(quality) ? quality : 0 };
  });

/** The quality of the most specific range that covers the type. */
const qualityOf = (ranges: readonly MediaRange[], type: string): number => {
  const [family] = type.split('/');
  const found = [type, `${family}/*`, '*/*'].map((name) => ranges.find((range) => range.type === name)).find((range) => range !== undefined);
  return found?.quality ?? 0;
};

/** No `Accept` accepts anything; JSON is what this API speaks, so only who excludes it gets text. */
export const acceptsJson = (accept: string | null): boolean =>
  accept === null || accept.trim() === '' || qualityOf(mediaRangesOf(accept), 'application/json') > 0;

/** True when JSON is named outright: such a client parses a bare string as JSON too. */
export const namesJson = (accept: string | null): boolean =>
  accept !== null && mediaRangesOf(accept).some(({ type, quality }) => type === 'application/json' && quality > 0);

export const jsonResponse = (status: number, value: unknown, headers?: HeaderMap): Response =>
  new Response(JSON.stringify(value), { status, headers: { ...securityHeaders, ...headers, 'content-type': 'application/json' } });

export const textResponse = (status: number, text: string, headers?: HeaderMap): Response =>
  new Response(text, { status, headers: { ...securityHeaders, ...headers, 'content-type': 'text/plain; charset=utf-8' } });

/** Server-sent events; the last header keeps a proxy from collecting them. */
export const eventResponse = (events: ReadableStream<Uint8Array>, headers?: HeaderMap): Response =>
  new Response(events, { status: 200, headers: { ...securityHeaders, ...headers, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' } });

/** A file, whose length nobody knows before its end. */
export const fileResponse = (file: ReadableStream<Uint8Array>, headers?: HeaderMap): Response =>
  new Response(file, { status: 200, headers: { ...securityHeaders, ...headers, 'content-type': 'application/octet-stream' } });

export const emptyResponse = (status: number, headers?: HeaderMap): Response => new Response(null, { status, headers: { ...securityHeaders, ...headers } });

export const errorResponse = (error: HttpError, accept: string | null, headers?: HeaderMap): Response => {
  const { title, status, details } = error;
  if (acceptsJson(accept)) return jsonResponse(status, { title, status, details }, headers);
  return textResponse(status, [title, ...Object.entries(details).map(([name, value]) => `${name}: ${value}`)].join('\n'), headers);
};

/**
 * An operation whose value is a string (a PEM, a greeting) answers the bare text, as Corda does, so that
 * `curl … > key.pem` writes a PEM; a client that names JSON gets the JSON string of the contract.
 */
export const valueResponse = (status: number, value: unknown, accept: string | null, headers?: HeaderMap): Response => {
  if (value === undefined) return emptyResponse(status, headers);
  return typeof value === 'string' && !namesJson(accept) ? textResponse(status, value, headers) : jsonResponse(status, value, headers);
};
