/** WebSockets as a power, and how Node has them: `ws` behind @hono/node-server. Deno and workerd bring their own. */
import { upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server';
import type { Context } from 'hono';
import { WebSocketServer } from 'ws';

export type Socket = {
  send(text: string): void;
  /** Sends what is waiting, then closes (RFC 6455 section 7.1.2). */
  close(code: number, reason: string): void;
};

/** What a WebSocket tells its listener; `opened` comes first, `closed` last. */
export type SocketListener = {
  opened(socket: Socket): void;
  /** The client sent something. */
  heard(): void;
  closed(): void;
};

/** Takes the WebSocket of this request for the listener; the response is the runtime's own. */
export type AcceptWebSocket = (context: Context, listener: SocketListener) => Response | Promise<Response>;

export type NodeWebSockets = {
  /** For the HTTP server: `websocket: { server }`. */
  readonly server: WebSocketServerLike;
  readonly accept: AcceptWebSocket;
};

/** Bytes of a client's message: our feeds take none, so this only bounds what is read before it is refused. */
const messageBytesMax = 4_096;
/** How long the last message and the close may take to be delivered, in ms (Corda: 10 s). */
const closeTimeoutMs = 10_000;

export const createNodeWebSockets = (): NodeWebSockets => {
  // `closeTimeout` is known to ws 8.23, not yet to its types.
  const options = { noServer: true, maxPayload: messageBytesMax, perMessageDeflate: false, closeTimeout: closeTimeoutMs };
  // The adapter's type differs from ws's own in `options.noServer?: boolean | undefined` alone; it is set above.
  const server = new WebSocketServer(options) as unknown as WebSocketServerLike;
  return {
    server,
    accept: (context, listener) =>
      upgradeWebSocket(context, {
        onOpen: (_event, socket) => listener.opened({ send: (text) => socket.send(text), close: (code, reason) => socket.close(code, reason) }),
        onMessage: () => listener.heard(),
        onClose: () => listener.closed(),
        // ws closes after an error by itself; `onClose` follows.
        onError: () => {},
      }),
  };
};
