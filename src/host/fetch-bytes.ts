/** Small files and answers over HTTP and HTTPS, within bounds, from hosts that others name: revocation lists and their like. */
import { isIP } from 'node:net';
import { Agent, request } from 'undici';
import { AddressRefused, type AddressGuard } from './addresses.ts';

export type BytesRequest = { readonly url: string; readonly body?: Uint8Array; readonly contentType?: string };

export type FetchBytesOptions = {
  readonly addresses: AddressGuard;
  /** From the first byte sent to the last received. */
  readonly timeoutMs?: number;
  readonly bytesMax?: number;
};

const defaults = { timeoutMs: 5_000, bytesMax: 10 * 1024 * 1024 } as const;

const readBounded = async (body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> => {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.byteLength;
    if (bytes > bytesMax) throw new Error(`the answer is longer than ${bytesMax} bytes`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
};

/** Each call has a connection of its own, and follows no redirect. It rejects unless the answer is 200 and within bounds. */
export const createFetchBytes = (options: FetchBytesOptions): ((request: BytesRequest) => Promise<Uint8Array<ArrayBuffer>>) => {
  const { addresses, timeoutMs, bytesMax } = { ...defaults, ...options };
  return async ({ url, body, contentType }) => {
    const { hostname } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0 && !addresses.allows(host)) throw new AddressRefused(host);
    const dispatcher = new Agent({ connections: 1, connect: { timeout: timeoutMs, lookup: addresses.lookup } });
    try {
      const answer = await request(url, {
        dispatcher,
        method: body === undefined ? 'GET' : 'POST',
        ...(body === undefined ? {} : { body, headers: { 'content-type': contentType ?? 'application/octet-stream' } }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (answer.statusCode !== 200) throw new Error(`the answer has status ${answer.statusCode}`);
      return await readBounded(answer.body, bytesMax);
    } finally {
      await dispatcher.destroy();
    }
  };
};
