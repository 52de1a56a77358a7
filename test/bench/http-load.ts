/** The client of every benchmark that asks over HTTP: kept connections, and no streams around bodies of some hundred bytes. The same for us and for peers. */
import { Pool } from 'undici';

export type Ask = { readonly method: 'GET' | 'POST'; readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body?: string };
export type Answer = { readonly status: number; readonly text: string };

export type HttpLoad = {
  /** Rejects where no whole answer came. */
  ask(request: Ask): Promise<Answer>;
  close(): Promise<void>;
};

const textOf = (chunks: readonly Buffer[]): string => (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString('utf8');

export const openHttpLoad = (origin: string, connections: number): HttpLoad => {
  const pool = new Pool(origin, { connections, keepAliveTimeout: 60_000 });
  return {
    ask: ({ method, path, headers, body }) =>
      new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        let status = 0;
        pool.dispatch(
          // undici takes any object of names and values, and says that it might change it.
          { method, path, headers: headers as Record<string, string>, body: body ?? null },
          {
            onRequestStart: () => {},
            onResponseStart: (_controller, statusCode) => void (status = statusCode),
            onResponseData: (_controller, chunk) => void chunks.push(chunk),
            onResponseEnd: () => resolve({ status, text: textOf(chunks) }),
            onResponseError: (_controller, error) => reject(error),
          },
        );
      }),
    close: () => pool.close(),
  };
};
