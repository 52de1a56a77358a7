/**
 * The REST API on Cloudflare Workers, over the HTTP bus. Nothing lives there between requests, so each one opens the views it
 * reads and closes them when its response has been sent: right, and slower than a process that stays.
 */
import { createHttpBus } from '../src/bus/http-bus.ts';
import { createLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import type { RestDeps } from '../src/workers/rest/worker.ts';
import { openRest } from './rest-room.ts';
import { readEdgeSettings } from './settings.ts';

const metrics = createMetrics();
/** Of identity providers; they live as long as the isolate. */
const fetchedKeys: NonNullable<RestDeps['fetchedKeys']> = new Map();
const isFeed = (url: string): boolean => new URL(url).pathname.endsWith('/events');

/** The response, and a promise for its end. */
const whenSent = (response: Response): { readonly response: Response; readonly sent: Promise<unknown> } => {
  if (response.body === null) return { response, sent: Promise.resolve() };
  const through = new TransformStream<Uint8Array, Uint8Array>();
  // A reader that goes away ends it as well.
  const sent = response.body.pipeTo(through.writable).catch(() => {});
  return { response: new Response(through.readable, response), sent };
};

// Cloudflare demands a default export.
export default {
  fetch: async (request: Request, bindings: unknown, context: { waitUntil(promise: Promise<unknown>): void }): Promise<Response> => {
    const settings = readEdgeSettings(bindings);
    const log = createLog({ level: settings.CORDAGE_LOG_LEVEL, fields: { room: 'rest', instance: settings.CORDAGE_INSTANCE } });
    const bus = createHttpBus({ url: settings.CORDAGE_BUS_URL, username: settings.CORDAGE_BUS_USERNAME, password: settings.CORDAGE_BUS_PASSWORD, log });
    const { worker, close } = await openRest({ bus, instance: settings.CORDAGE_INSTANCE, log, metrics, followsStatuses: isFeed(request.url), powers: { fetchedKeys } });
    const { response, sent } = whenSent(await worker.fetch(request));
    context.waitUntil(sent.then(close));
    return response;
  },
};
