/**
 * `@upstash/kafka` with its edges taken off. Its retries cannot be set from outside and repeat refusals too (15 s for a 400),
 * so each request is told not to; what may be repeated is repeated here, within bounds. It puts names into paths as they
 * are, so they are encoded before.
 */
import { Kafka, UpstashError } from '@upstash/kafka';
import type { Clock } from '../../host/clock.ts';
import { pause } from '../../host/clock.ts';
import type { HttpExchange } from '../../host/http-exchange.ts';
import type { Log } from '../../observability/log.ts';
import { BusError } from '../bus.ts';
import type { BusErrorCode } from '../bus.ts';
import { httpBusLimits as limits } from './config.ts';

export type HttpBusPowers = {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly clock: Clock;
  readonly log: Log;
  /** A consumer silent for this long loses its partitions. */
  readonly sessionTimeoutMs: number;
  /** How requests travel; by `fetch` where it is left out. */
  readonly exchange?: HttpExchange;
};

type InnerRequest = { readonly path: string[]; readonly body?: unknown; readonly headers?: Record<string, string>; readonly retries?: number };
type InnerClient = {
  readonly headers: Readonly<Record<string, string>>;
  request(method: string, request: InnerRequest): Promise<any>;
  get(request: InnerRequest): Promise<any>;
  post(request: InnerRequest): Promise<any>;
};

/** The package's own HTTP client: it takes `retries` per request, yet nothing of the package sets it. */
// Its declaration hides the type; this is the part of its source that is used here.
const innerClient = (kafka: Kafka): InnerClient => kafka['client'] as InnerClient;

/** Calls a route that the package does not know. */
export const postTo = (powers: HttpBusPowers, path: string[]): Promise<unknown> => innerClient(openClient(powers)).post({ path });

/** A client whose requests carry these headers. It holds nothing, so one is made wherever headers differ. */
export const openClient = ({ url, username, password, exchange }: HttpBusPowers, headers: Readonly<Record<string, string>> = {}): Kafka => {
  const kafka = new Kafka({ url, username, password });
  const client = innerClient(kafka);
  if (exchange !== undefined) client.request = (method, request) => requestBy(exchange, { url, method, request, own: client.headers });
  const { get, post } = client;
  client.get = (request) => get.call(client, { ...request, retries: 0 });
  client.post = (request) => post.call(client, { ...request, retries: 0, headers: { ...request.headers, ...headers } });
  return kafka;
};

type ByExchange = { readonly url: string; readonly method: string; readonly request: InnerRequest; readonly own: Readonly<Record<string, string>> };

/** As the package's own `request` does it, without its repeats. */
const requestBy = async (exchange: HttpExchange, { url, method, request, own }: ByExchange): Promise<unknown> => {
  const headers = { 'content-type': 'application/json', ...own, ...request.headers };
  const { status, text } = await exchange({ method, url: [url.replace(/\/$/, ''), ...request.path].join('/'), headers, body: JSON.stringify(request.body) });
  const answer: unknown = JSON.parse(text);
  // The protocol answers every refusal in this shape.
  if (status < 200 || status > 299) throw new UpstashError(answer as ConstructorParameters<typeof UpstashError>[0]);
  return answer;
};

/** A path's part. */
export const inPath = encodeURIComponent;

const codes: Readonly<Record<number, BusErrorCode>> = {
  400: 'BUS_REFUSED',
  401: 'BUS_REFUSED',
  403: 'BUS_REFUSED',
  404: 'BUS_UNKNOWN_TOPIC',
  405: 'BUS_REFUSED',
  413: 'BUS_RECORD_TOO_LARGE',
};

/** What a failed request means to the caller: a refusal by the server, or a server that could not be asked. */
export const busErrorOf = (error: unknown, powers: HttpBusPowers): BusError => {
  if (error instanceof BusError) return error;
  const code = error instanceof UpstashError ? codes[error.status] : undefined;
  if (error instanceof UpstashError && code !== undefined) return new BusError(code, `the broker at ${powers.url} refused: ${error.error}`, { cause: error });
  return new BusError('BUS_UNREACHABLE', `the broker at ${powers.url} did not answer; is it running?`, { cause: error });
};

/** One try, within a time. What comes after the time is ignored. */
export const attempt = async <Answer>(powers: HttpBusPowers, timeoutMs: number, request: () => Promise<Answer>): Promise<Answer> => {
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    cancel = powers.clock.after(timeoutMs, () => reject(new BusError('BUS_UNREACHABLE', `the broker at ${powers.url} did not answer within ${timeoutMs} ms`)));
  });
  try {
    return await Promise.race([request(), late]);
  } catch (error) {
    throw busErrorOf(error, powers);
  } finally {
    cancel();
  }
};

/** Some tries with pauses between, where repeating does no harm; a refusal is final. */
export const attempts = async <Answer>(powers: HttpBusPowers, signal: AbortSignal, request: () => Promise<Answer>): Promise<Answer> => {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt(powers, limits.requestTimeoutMs, request);
    } catch (error) {
      const final = !(error instanceof BusError) || error.code !== 'BUS_UNREACHABLE' || tried >= limits.attemptsMax;
      if (final || signal.aborted) throw error;
      powers.log.debug('bus.retry', { tried, error });
      await pause(powers.clock, retryDelayMs(tried), signal);
    }
  }
};

export const retryDelayMs = (tried: number): number => Math.min(limits.retryDelayMs * 4 ** (tried - 1), limits.retryDelayMsMax);
