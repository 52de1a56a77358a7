/**
 * The feed as server-sent events (HTML standard, section 9.2): for browsers and edge runtimes.
 *
 * Each event's id is its status, so that a browser that comes back says what it has seen; after the end it is told 204,
 * which stops it from coming back.
 */
import { flowStatusName } from '../../../messages/grammar/shapes.ts';
import { statusBody } from '../flow-body.ts';
import { rankOf, type FlowKey } from '../flow-statuses.ts';
import type { RestRoom } from '../room.ts';
import { openFeed, type Feed } from './feed.ts';

const encoder = new TextEncoder();

/** The rank of the status that the client saw last; -1 when it comes for the first time. */
const rankSeen = (lastEventId: string | null): number => {
  const seen = flowStatusName.safeParse(lastEventId);
  return seen.success ? rankOf(seen.data) : -1;
};

/** `undefined` when the client has seen the end already. */
export const openEventStream = (room: RestRoom, key: FlowKey, lastEventId: string | null): ReadableStream<Uint8Array> | undefined => {
  const { clock, limits, log } = room;
  const seen = rankSeen(lastEventId);
  if (seen === rankOf('COMPLETED')) return undefined;
  let feed: Feed | undefined;
  let stopBeat = (): void => {};
  let stopLife = (): void => {};
  const release = (): void => {
    stopBeat();
    stopLife();
    feed?.close();
  };
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      const end = (): void => {
        release();
        controller.close();
      };
      const beat = (): void => {
        // A client that does not read gets no more comments; the stream's life bounds how long it may do so.
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(':\n\n'));
        stopBeat = clock.after(limits.eventStreamBeatMs, beat);
      };
      stopBeat = clock.after(limits.eventStreamBeatMs, beat);
      stopLife = clock.after(limits.eventStreamMsMax, end);
      controller.enqueue(encoder.encode('retry: 1000\n\n'));
      feed = openFeed(
        room,
        key,
        {
          tell: (status, last) => {
            controller.enqueue(encoder.encode(`id: ${status.flowStatus}\nevent: status\ndata: ${JSON.stringify(statusBody(status))}\n\n`));
            if (last) end();
          },
          fail: (cause) => {
            log.warn('rest.feed.failed', { cause, ...key });
            end();
          },
        },
        seen,
      );
    },
    cancel: release,
  });
};
