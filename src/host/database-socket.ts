/**
 * A TCP connection for postgres.js. Between the `error` and the `close` of a socket that library still takes statements for it,
 * and if `close` then says that there was an error, it never settles them: whoever waits, waits for ever. So `close` says
 * there was none; the error itself has been told before.
 */
import { Socket } from 'node:net';

export type DatabaseAddress = {
  /** Hosts and ports that belong together, or a path of a Unix socket. */
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path?: string | false | undefined;
};

class DatabaseSocket extends Socket {
  // The library reads both for the server's name in TLS.
  host: string | undefined;
  port: number | undefined;

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    return event === 'close' ? super.emit('close', false) : super.emit(event, ...values);
  }
}

/** Connecting; what is written meanwhile is sent when it is there. `attempt` chooses among several hosts. */
export const openDatabaseSocket = ({ host, port, path }: DatabaseAddress, attempt: number): Socket => {
  const socket = new DatabaseSocket();
  if (typeof path === 'string' && path !== '') return socket.connect(path);
  const index = attempt % host.length;
  socket.host = host[index];
  socket.port = port[index] ?? port[0];
  socket.setNoDelay(true);
  return socket.connect(socket.port ?? 5432, socket.host ?? 'localhost');
};
