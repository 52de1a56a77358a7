/**
 * A client of several replicas of rest, as a Kubernetes service is one: it asks a replica that says it is ready, on a connection of its own, and
 * another where a connection was refused. Whatever is answered is the answer; nothing is asked again.
 */
import { Agent, request } from 'undici';

export type Replica = { readonly url: string; readonly healthUrl: string };

export type ReplicatedRest = {
  /** Replicas of this moment. */
  use(replicas: readonly Replica[]): void;
  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<{ readonly status: number; readonly text: string }>;
  /** Requests that were answered 500 or more, or broken off. */
  readonly failed: readonly string[];
  close(): Promise<void>;
};

const authorization = `Basic ${btoa('admin:test-admin-password')}`;

const isRefused = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';

export const createReplicatedRest = (): ReplicatedRest => {
  // A connection for each request: one that is kept may be closed in the moment when it is used again.
  const dispatcher = new Agent({ pipelining: 0 });
  const failed: string[] = [];
  let current: readonly Replica[] = [];
  let turn = 0;
  const isReady = async ({ healthUrl }: Replica): Promise<boolean> => {
    try {
      const { statusCode, body } = await request(`${healthUrl}/status`, { dispatcher });
      await body.dump();
      return statusCode === 200;
    } catch {
      return false;
    }
  };
  const choose = async (refused: ReadonlySet<string>): Promise<Replica> => {
    for (;;) {
      const replicas = current;
      for (let tried = 0; tried < replicas.length; tried++) {
        const one = replicas[turn++ % replicas.length]!;
        if (!refused.has(one.url) && (await isReady(one))) return one;
      }
      if (replicas.every(({ url }) => refused.has(url))) throw new Error('every replica of rest refuses connections');
    }
  };
  const ask: ReplicatedRest['ask'] = async (method, path, body) => {
    const refused = new Set<string>();
    for (;;) {
      const { url } = await choose(refused);
      try {
        const headers = { authorization, accept: 'application/json', 'content-type': 'application/json' };
        const answer = await request(`${url}/api/v5_2${path}`, { method, dispatcher, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
        const text = await answer.body.text();
        if (answer.statusCode >= 500) failed.push(`${method} ${path}: ${answer.statusCode} ${text}`);
        return { status: answer.statusCode, text };
      } catch (error) {
        if (isRefused(error)) {
          refused.add(url);
          continue;
        }
        failed.push(`${method} ${path}: ${String(error)}`);
        return { status: 0, text: '' };
      }
    }
  };
  return { use: (replicas) => void (current = replicas), ask, failed, close: () => dispatcher.close() };
};
