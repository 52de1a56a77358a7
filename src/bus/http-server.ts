/**
 * The bus over HTTP: the Upstash Kafka REST API as a Hono app, to be mounted anywhere. `serveBus` (http-server-node.ts) serves
 * the same protocol without the objects of the web's Request and Response, and with bodies on GET, which they do not have.
 */
import { Hono } from 'hono';
import type { Log } from '../observability/log.ts';
import type { BusEngine } from './engine.ts';
import type { BusAccess } from './http-server-access.ts';
import { createBusProtocol, errorAnswer } from './http-server/protocol.ts';
import type { BusAnswer } from './http-server/protocol.ts';

export type BusServerOptions = {
  readonly broker: BusEngine;
  readonly access: BusAccess;
  readonly log: Log;
  /** Largest request body; larger ones are answered 413. */
  readonly bodyBytesMax?: number;
};

/** A batch of records, escaped as JSON in JSON; clients split what is larger. */
export const bodyBytesMaxDefault = 16 * 1024 * 1024;

export const createBusApp = (options: BusServerOptions): Hono => {
  const { bodyBytesMax = bodyBytesMaxDefault } = options;
  const protocol = createBusProtocol(options);
  const app = new Hono();
  app.all('*', async (context) => {
    const { raw } = context.req;
    const body = await readBody(raw, bodyBytesMax);
    if (body === undefined) return toResponse(tooLarge(bodyBytesMax));
    const { pathname, search } = new URL(raw.url);
    return toResponse(await protocol.answer({ method: raw.method, target: pathname + search, headers: Object.fromEntries(raw.headers), body, signal: raw.signal }));
  });
  return app;
};

export const tooLarge = (bytesMax: number): BusAnswer => errorAnswer(413, `the body is larger than ${bytesMax} bytes; send fewer records at once`);

/** The header of a 401 tells a client which scheme to use (RFC 9110, 11.6.1). */
export const headersFor = (status: number): Record<string, string> => ({
  'content-type': 'application/json',
  ...(status === 401 ? { 'www-authenticate': 'Basic realm="bus"' } : {}),
});

const toResponse = ({ status, body }: BusAnswer): Response => new Response(body, { status, headers: headersFor(status) });

/** `undefined` when there is more than the bound, without reading on. */
const readBody = async (request: Request, bytesMax: number): Promise<string | undefined> => {
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) return undefined;
  if (request.body === null) return '';
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of request.body) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
};
