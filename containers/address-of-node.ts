/** Where a request comes from, on Node: @hono/node-server hands Node's own request beside the web one. */
import type { IncomingMessage } from 'node:http';

export const addressOfNode = (_request: Request, env: unknown): string | undefined => {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return undefined;
  // `listen` promises this shape of `env`.
  return (env.incoming as IncomingMessage).socket.remoteAddress;
};
