/** The statuses of a flow as they come, by server-sent events (HTML standard, section 9.2): on any runtime, with any login. */
import { RestUnreachable, type RestClient, type ValueOf } from './rest-client.ts';

export type FlowStatus = ValueOf<'GET /flow/{holdingidentityshorthash}/{clientrequestid}'>;

/** Pause before a stream that broke off is opened again, in ms. */
const reopenMs = 1_000;
/** Characters of an event that has not ended: a flow's status with its result. */
const eventCharsMax = 16_000_000;

type ServerEvent = { readonly id: string | undefined; readonly data: string };

const eventOf = (block: string): ServerEvent => {
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) id = line.slice(4);
    else if (line.startsWith('data: ')) data.push(line.slice(6));
  }
  return { id, data: data.join('\n') };
};

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  // The library's type of the decoder takes any buffer; a body's bytes are of the plain kind.
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      if (text.length > eventCharsMax) throw new RangeError('an event of the stream has no end');
      const blocks = text.split('\n\n');
      text = blocks.pop()!;
      for (const block of blocks) {
        const event = eventOf(block);
        if (event.data !== '') yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

/**
 * Every status of the flow from now on, the last one included; may be asked for before the flow is started. A stream that breaks off is
 * opened again, and says what was seen last.
 */
export async function* followFlow(client: RestClient, holdingidentityshorthash: string, clientrequestid: string, signal?: AbortSignal): AsyncGenerator<FlowStatus> {
  let seen: string | undefined;
  const isOver = (): boolean => signal?.aborted === true;
  while (!isOver()) {
    try {
      const response = await client.open(
        'GET /flow/{holdingidentityshorthash}/{clientrequestid}/events',
        { path: { holdingidentityshorthash, clientrequestid } },
        { headers: { accept: 'text/event-stream, application/json', ...(seen === undefined ? {} : { 'last-event-id': seen }) }, ...(signal === undefined ? {} : { signal }) },
      );
      if (response.status === 204 || response.body === null) return;
      for await (const { id, data } of eventsOf(response.body)) {
        seen = id ?? seen;
        // The server writes a status as its own route does.
        const status = JSON.parse(data) as FlowStatus;
        yield status;
        if (status.flowStatus !== 'START_REQUESTED' && status.flowStatus !== 'RUNNING') return;
      }
    } catch (cause) {
      if (isOver()) return;
      if (!(cause instanceof RestUnreachable || cause instanceof TypeError)) throw cause;
    }
    await pause(reopenMs, signal);
  }
}
