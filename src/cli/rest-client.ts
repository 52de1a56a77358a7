/** The few REST calls that `cordage start` makes: an ordinary client of Corda's REST API. */

export class RestError extends Error {
  readonly status: number;
  /** What the cluster calls it. */
  readonly title: string;
  constructor(call: string, status: number, body: string) {
    super(`${call} answered ${status}: ${body.slice(0, 500)}`);
    this.name = 'RestError';
    this.status = status;
    this.title = /"title":("(?:[^"\\]|\\.)*")/.exec(body)?.[1]?.slice(1, -1) ?? body.slice(0, 200);
  }
}

export type RestClient = {
  /** Calls `<base>/api/v5_2<path>` and gives the JSON of the answer (text where it is none). Throws RestError from 400 up. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  upload(method: string, path: string, fields: Readonly<Record<string, string | Blob>>): Promise<unknown>;
};

const requestTimeoutMs = 60_000;

const contentOf = async (call: string, response: Response): Promise<unknown> => {
  const text = await response.text();
  if (response.status >= 400) throw new RestError(call, response.status, text);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

export const createRestClient = (baseUrl: string, login: string, password: string): RestClient => {
  const authorization = `Basic ${btoa(`${login}:${password}`)}`;
  const send = async (method: string, path: string, init: RequestInit): Promise<unknown> => {
    const response = await fetch(`${baseUrl}/api/v5_2${path}`, { ...init, method, signal: AbortSignal.timeout(requestTimeoutMs) });
    return contentOf(`${method} ${path}`, response);
  };
  return {
    call: (method, path, body) =>
      send(method, path, {
        headers: { authorization, accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    upload: (method, path, fields) => {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.append(name, value);
      return send(method, path, { headers: { authorization, accept: 'application/json' }, body: form });
    },
  };
};

/** A field of an answer, or an error that shows the answer: this client trusts the server no more than any other. */
export const textField = (answer: unknown, name: string): string => {
  const value = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>)[name] : undefined;
  if (typeof value !== 'string') throw new Error(`the answer has no text field "${name}": ${JSON.stringify(answer).slice(0, 500)}`);
  return value;
};

/** Corda's asynchronous operations are watched by asking again: `read` until it gives a value. */
export const until = async <Value>(what: string, read: () => Promise<Value | undefined>, timeoutMs = 30_000): Promise<Value> => {
  const deadline = performance.now() + timeoutMs;
  for (let delayMs = 5; ; delayMs = Math.min(delayMs * 2, 250)) {
    const value = await read();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`${what} did not come about within ${timeoutMs / 1000} s; the cluster's log says why`);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }
};
