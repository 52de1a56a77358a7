/** Stands between a client and PostgreSQL: what comes through can be cut, muted or left to hang, as networks do. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export type DatabaseProxy = {
  readonly port: number;
  /** Connections that are open now. */
  count(): number;
  /** Every connection breaks, and none is taken until `heal`. */
  cut(): void;
  /** What the server says from now on is lost; what it is told still comes there. */
  mute(): void;
  /** New connections are taken and hear nothing. */
  hang(): void;
  heal(): void;
  close(): Promise<void>;
};

export const startDatabaseProxy = async (url: string): Promise<DatabaseProxy> => {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let mode: 'open' | 'cut' | 'mute' | 'hang' = 'open';
  const server = createServer((client) => {
    if (mode === 'cut') return void client.destroy();
    sockets.add(client);
    client.on('error', () => {});
    client.on('close', () => sockets.delete(client));
    if (mode === 'hang') return;
    const upstream = connect({ host: target.hostname, port: Number(target.port) });
    upstream.on('error', () => client.destroy());
    client.on('data', (data) => upstream.write(data));
    client.on('close', () => upstream.end());
    upstream.on('data', (data) => {
      if (mode !== 'mute') client.write(data);
    });
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    count: () => sockets.size,
    cut: () => {
      mode = 'cut';
      breakAll();
    },
    mute: () => void (mode = 'mute'),
    hang: () => void (mode = 'hang'),
    heal: () => {
      mode = 'open';
      breakAll();
    },
    close: async () => {
      breakAll();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
};
