/**
 * A connection for postgres.js. Between the `error` and the `close` of a socket that library still takes statements for it,
 * and if `close` then says that there was an error, it never settles them: whoever waits, waits for ever. So `close` says
 * there was none; the error itself has been told before. TLS is spoken here for the same reason (PostgreSQL's protocol, "SSL
 * Session Encryption"): the library sees a socket that is open already, or one that fails.
 */
import { once } from 'node:events';
import { isIP, Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

export type DatabaseAddress = {
  /** Hosts and ports that belong together, or a path of a Unix socket. */
  readonly host: readonly string[];
  readonly port: readonly number[];
  readonly path?: string | false | undefined;
};

export type DatabaseTls = {
  /** Encrypted; also by a server whose certificate `ca` vouches for; also of the very host that was asked for. */
  readonly mode: 'require' | 'verify-ca' | 'verify-full';
  /** PEM. Without it, the authorities that Node knows vouch. */
  readonly ca?: string | undefined;
  /** PEM: shown to a server that asks for a client certificate. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
};

export type DatabaseConnection = Socket;

/** The server speaks no TLS, or it is not the one that was meant. `code` is stable. */
export class DatabaseTlsError extends Error {
  readonly code = 'DATABASE_TLS';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseTlsError';
  }
}

/** Connecting and the handshake together; a server on the same continent takes a tenth of a second. */
const handshakeMsMax = 10_000;

class DatabaseSocket extends Socket {
  // The library reads both for the server's name in TLS.
  host: string | undefined;
  port: number | undefined;

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    return event === 'close' ? super.emit('close', false) : super.emit(event, ...values);
  }
}

const openPlain = ({ host, port, path }: DatabaseAddress, attempt: number): DatabaseSocket => {
  const socket = new DatabaseSocket();
  if (typeof path === 'string' && path !== '') return socket.connect(path);
  const index = attempt % host.length;
  socket.host = host[index];
  socket.port = port[index] ?? port[0];
  socket.setNoDelay(true);
  return socket.connect(socket.port ?? 5432, socket.host ?? 'localhost');
};

/** SSLRequest: its length, and the number that asks for TLS. */
const tlsRequest = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);

const tlsOptionsOf = ({ mode, ca, certificate, key }: DatabaseTls, socket: Socket, host: string): ConnectionOptions => ({
  socket,
  host,
  ...(isIP(host) === 0 ? { servername: host } : {}),
  // As libpq: `require` with an authority checks it.
  rejectUnauthorized: mode !== 'require' || ca !== undefined,
  checkServerIdentity: mode === 'verify-full' ? checkServerIdentity : () => undefined,
  ...(ca === undefined ? {} : { ca }),
  ...(certificate === undefined ? {} : { cert: certificate }),
  ...(key === undefined ? {} : { key }),
});

const secure = async (plain: DatabaseSocket, tls: DatabaseTls, signal: AbortSignal): Promise<TLSSocket> => {
  const host = plain.host ?? 'localhost';
  await once(plain, 'connect', { signal });
  plain.write(tlsRequest);
  // A listener reads the stream: what comes after this byte must be left to TLS.
  await once(plain, 'readable', { signal });
  // Without an encoding a stream gives bytes, or null at its end.
  const said = (plain.read(1) as Uint8Array | null)?.[0];
  if (said === undefined) throw new DatabaseTlsError(`PostgreSQL at ${host}:${plain.port} ended the connection when it was asked for TLS`);
  if (said !== 'S'.charCodeAt(0)) {
    throw new DatabaseTlsError(`PostgreSQL at ${host}:${plain.port} speaks no TLS; turn it on there (ssl = on), or put sslmode=disable into DATABASE_URL if nobody listens on that network`);
  }
  const socket = connectTls(tlsOptionsOf(tls, plain, host));
  try {
    await once(socket, 'secureConnect', { signal });
  } catch (cause) {
    socket.destroy();
    if (signal.aborted) throw cause;
    throw new DatabaseTlsError(`TLS with PostgreSQL at ${host}:${plain.port} failed: ${cause instanceof Error ? cause.message : String(cause)}; CORDAGE_DATABASE_CA_FILE must hold the authority of its certificate, and sslmode says how much of it is checked`, { cause });
  }
  const emit = socket.emit.bind(socket);
  socket.emit = (event: string | symbol, ...values: unknown[]) => (event === 'close' ? emit('close', false) : emit(event, ...values));
  return socket;
};

/** A socket that fails as one that cannot connect does. The library must have hung its listeners on it first. */
export const failedDatabaseSocket = (error: Error): Socket => {
  const socket = new DatabaseSocket();
  setImmediate(() => socket.destroy(error));
  return socket;
};

const openSecure = async (plain: DatabaseSocket, tls: DatabaseTls): Promise<Socket> => {
  const late = AbortSignal.timeout(handshakeMsMax);
  let failure: unknown;
  // Once nobody waits for it any more, an error of the plain socket is told by the one above it.
  plain.on('error', (error) => (failure ??= error));
  try {
    return await secure(plain, tls, late);
  } catch (error) {
    plain.destroy();
    const why = late.aborted ? new DatabaseTlsError(`PostgreSQL at ${plain.host}:${plain.port} did not agree on TLS within ${handshakeMsMax} ms`) : (failure ?? error);
    return failedDatabaseSocket(why instanceof Error ? why : new Error(String(why)));
  }
};

/** Connecting; what is written meanwhile is sent when it is there. `attempt` chooses among several hosts. */
export const openDatabaseSocket = (address: DatabaseAddress, attempt: number, tls?: DatabaseTls): Socket | Promise<Socket> => {
  const plain = openPlain(address, attempt);
  return tls === undefined || plain.host === undefined ? plain : openSecure(plain, tls);
};
