/**
 * The feed of one flow's status, whatever carries it (`rest-behaviour` of Corda 5.0: a WebSocket; ours: server-sent events).
 *
 *     opened ──listen, then ask──▶ live ──status──▶ live ──last status──▶ ended
 *                                   └──statuses missed: ask again
 *
 * - **F1** statuses are told in order and none twice; a feed may be opened before its flow is started;
 * - **F2** listening comes before asking, and what is heard meanwhile is told after the answer: nothing is missed;
 * - **F3** after the flow's end the feed ends, and nothing more is told.
 */
import type { FlowStatus } from '../../../messages/grammar/shapes.ts';
import { queryFlow, untilTracking } from '../flow-lookup.ts';
import { hasEnded, rankOf, type FlowKey } from '../flow-statuses.ts';
import type { RestRoom } from '../room.ts';

export type FeedSink = {
  /** `last`: the flow has ended with this status. */
  tell(status: FlowStatus, last: boolean): void;
  /** The flow room could not be asked; the feed is over. */
  fail(cause: unknown): void;
};

export type Feed = { close(): void };

/** The status now; `undefined` before the flow is started. */
const current = async (room: RestRoom, key: FlowKey): Promise<FlowStatus | undefined> => {
  const known = room.statuses.known(key);
  if (known !== undefined) return known;
  const asked = await queryFlow(room, key);
  if (asked.type === 'found') return asked.status;
  if (asked.code === 'REST_FLOW_UNKNOWN') return undefined;
  throw new Error(`the flow worker refuses: ${asked.code} ${asked.message}`);
};

/** `rankTold`: statuses up to this rank are known to the client already. */
export const openFeed = (room: RestRoom, key: FlowKey, sink: FeedSink, rankTold = -1): Feed => {
  const { statuses } = room;
  let rank = rankTold;
  let over = false;
  let asking = false;
  let missed = false;
  /** Statuses that came while the flow room was asked; at most one of each rank, since `note` lets no other pass (S3). */
  const heard: FlowStatus[] = [];

  const close = (): void => {
    over = true;
    stopListening();
  };
  const tell = (status: FlowStatus): void => {
    if (over || rankOf(status.flowStatus) <= rank) return;
    rank = rankOf(status.flowStatus);
    const last = hasEnded(status);
    if (last) close();
    sink.tell(status, last);
  };
  /** Asks until no status can have been missed: statuses were followed before the question, and ever since. */
  const ask = async (): Promise<void> => {
    asking = true;
    try {
      do {
        const followed = statuses.isTracking;
        missed = !followed;
        const asked = await current(room, key);
        if (over) return;
        if (asked !== undefined) tell(asked);
        for (const status of heard.splice(0)) tell(status);
        if (!followed) await untilTracking(room);
      } while (missed && !over);
    } catch (cause) {
      if (over) return;
      close();
      sink.fail(cause);
    } finally {
      asking = false;
    }
  };
  const stopListening = statuses.listen(key, (status) => {
    if (status !== undefined) {
      if (asking) heard.push(status);
      else tell(status);
    } else if (asking) missed = true;
    else void ask();
  });
  void ask();
  return { close };
};
