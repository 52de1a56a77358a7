/**
 * The feed over a WebSocket, as Corda 5.0 and 5.1 had it: one text message a status, closed after the last one.
 *
 * | what | close code (RFC 6455 section 7.4.1) |
 * |---|---|
 * | the flow has ended | 1000, the reason names the state |
 * | nothing was said for the idle time | 1001 |
 * | the holding identity is malformed or unknown | 1003 |
 * | the client sent something | 1008 |
 * | the flow room could not be asked | 1011 |
 * | too many feeds | 1013 |
 */
import type { Socket, SocketListener } from '../../../host/web-socket.ts';
import type { FlowKey } from '../flow-statuses.ts';
import { statusBody } from '../flow-body.ts';
import { clientRequestIdText, shortHashText } from '../parameter.ts';
import { lookUp, type RestRoom } from '../room.ts';
import { openFeed, type Feed } from './feed.ts';

/** Bytes of a close reason that the protocol has room for. */
const reasonBytesMax = 123;

const encoder = new TextEncoder();
const cut = (reason: string): string => {
  let text = reason.slice(0, reasonBytesMax);
  while (encoder.encode(text).length > reasonBytesMax) text = text.slice(0, -1);
  return text;
};

type Rejection = { readonly code: number; readonly reason: string };

const readKey = async (room: RestRoom, hash: string, clientRequestId: string): Promise<FlowKey | Rejection> => {
  const parsed = shortHashText.safeParse(hash);
  if (!parsed.success) return { code: 1003, reason: `"${hash}" is not a holding identity short hash` };
  if (!clientRequestIdText.safeParse(clientRequestId).success) return { code: 1003, reason: 'this is not a client request id' };
  const node = await lookUp(room.views.virtualNodes, parsed.data);
  if (node === undefined) return { code: 1003, reason: `there is no virtual node ${parsed.data}` };
  return { shortHash: parsed.data, clientRequestId };
};

export const createSocketFeed = (room: RestRoom, hash: string, clientRequestId: string): SocketListener => {
  const { clock, limits, log } = room;
  let socket: Socket | undefined;
  let feed: Feed | undefined;
  let stopIdle = (): void => {};

  const end = (code: number, reason: string): void => {
    const open = socket;
    release();
    open?.close(code, cut(reason));
  };
  const release = (): void => {
    socket = undefined;
    stopIdle();
    feed?.close();
  };
  const restartIdle = (): void => {
    stopIdle();
    stopIdle = clock.after(limits.webSocketIdleMs, () => end(1001, 'Connection Idle Timeout'));
  };
  const open = async (): Promise<void> => {
    const key = await readKey(room, hash, clientRequestId);
    if (socket === undefined) return;
    if ('code' in key) return end(key.code, key.reason);
    feed = openFeed(room, key, {
      tell: (status, last) => {
        restartIdle();
        socket?.send(JSON.stringify(statusBody({ ...status, timestamp: clock.now() })));
        if (last) end(1000, `Flow ${status.flowStatus}`);
      },
      fail: (cause) => {
        log.warn('rest.feed.failed', { cause, shortHash: key.shortHash, clientRequestId });
        end(1011, 'the flow worker does not answer');
      },
    });
  };
  return {
    opened: (opened) => {
      socket = opened;
      restartIdle();
      if (room.statuses.listenerCount >= limits.listenersMax) return end(1013, 'too many feeds are open');
      open().catch((cause: unknown) => {
        log.warn('rest.feed.failed', { cause, clientRequestId });
        end(1011, 'the feed cannot be opened');
      });
    },
    heard: () => end(1008, 'this feed takes no messages'),
    closed: release,
  };
};
