/**
 * The HTTP client of runtimes that have `fetch` and nothing below it. Trust is the platform's: roots cannot be given, so what a
 * group's policy trusts is not enforced here. Identities do not rest on TLS: sessions are end to end.
 */
import type { HttpAnswer, HttpClient } from './http-client.ts';

const retryAfterOf = (value: string | null): { retryAfterSeconds?: number } => (value !== null && /^\d{1,6}$/.test(value) ? { retryAfterSeconds: Number(value) } : {});

const failureOf = (error: unknown): HttpAnswer => {
  const { name, message } = error instanceof Error ? error : { name: 'UNKNOWN', message: String(error) };
  return { type: 'failed', code: name, reason: message };
};

export const createFetchClient = (): HttpClient => ({
  post: async ({ url, body, headers, timeoutMs }) => {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.body?.cancel();
      return { type: 'answered', status: response.status, ...retryAfterOf(response.headers.get('retry-after')) };
    } catch (error) {
      return failureOf(error);
    }
  },
  close: async () => {},
});
