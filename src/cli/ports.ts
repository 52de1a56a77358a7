/** Finds ports: the wanted one, or the next that is free. */
import { createServer } from 'node:net';

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

const triesMax = 200;

/** The first free port at or after `wanted` that is not in `taken`. */
export const freePort = async (wanted: number, taken: readonly number[] = []): Promise<number> => {
  for (let port = wanted; port < wanted + triesMax; port++) {
    if (!taken.includes(port) && (await canListen(port))) return port;
  }
  throw new Error(`no free port from ${wanted} to ${wanted + triesMax - 1}; stop what listens there, or name others with --rest-port and --gateway-port`);
};

export const isFree = canListen;
