/** What a caller of the REST API is told: refused, with the server's reasons, or not answered at all. */

type ErrorBody = { readonly title: string; readonly details: Readonly<Record<string, string>> };

/** The contract's error body; any other text stands as it is. */
const bodyOf = (text: string): ErrorBody => {
  try {
    const { title, details } = JSON.parse(text) as { title?: unknown; details?: unknown };
    // A string by the contract; what a proxy sends in its place is shown as text.
    if (typeof title === 'string') return { title, details: typeof details === 'object' && details !== null ? (details as Record<string, string>) : {} };
  } catch {
    // A proxy's page, or nothing.
  }
  return { title: text.slice(0, 500), details: {} };
};

export class RestError extends Error {
  readonly status: number;
  /** What the cluster calls it. */
  readonly title: string;
  readonly details: Readonly<Record<string, string>>;
  /** The stable code of the refusal, such as `REST_FLOW_UNKNOWN`. */
  readonly code: string | undefined;
  readonly requestId: string | null;
  /** When to try again, where the server says so (429, 503). */
  readonly retryAfterSeconds: number | undefined;
  constructor(call: string, response: Response, text: string) {
    const { title, details } = bodyOf(text);
    super(`${call} answered ${response.status}: ${title}`);
    this.name = 'RestError';
    this.status = response.status;
    this.title = title;
    this.details = details;
    this.code = details['code'];
    this.requestId = response.headers.get('x-request-id');
    const retryAfter = response.headers.get('retry-after');
    this.retryAfterSeconds = retryAfter === null ? undefined : Number(retryAfter);
  }
}

export const errorOf = (call: string, response: Response, text: string): RestError => new RestError(call, response, text);

/** No answer came: the server is down, elsewhere, or slower than the call's time. Whether it did what was asked is not known. */
export class RestUnreachable extends Error {
  readonly code = 'REST_UNREACHABLE';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RestUnreachable';
  }
}
