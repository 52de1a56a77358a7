/**
 * What this rest worker knows of flows, from the wire `flow-to-rest.status`: waits, feeds and quick answers rest on it.
 *
 * - **S1** once `tracking()` has resolved, every status published afterwards is noted, until `lost()`;
 * - **S2** a status that `known` gives is the latest, or the next one is on its way here: after it, waiting needs no query;
 * - **S3** a flow never goes back: a repeat or an older status is not noted (at-least-once delivery). A flow that was driven
 *   again, or whose id is used anew after its retention, begins anew, at a later `since`;
 * - **S4** `lost()` forgets every flow that may still change, the failed ones too, and tells all listeners to ask again;
 * - **S5** whoever listens to a flow hears of each status on its way, although the wire says only how a step left it: what was asked for
 *   was START_REQUESTED before it ran, and what has ended was RUNNING before;
 * - **S6** a status that the flow room of this process tells when its state is saved, before it is published, is noted while statuses are
 *   followed and then alone: of the others of its flow none has been missed. `lost()` forgets it like any other, and its copy on the bus is noted.
 */
import type { FlowStatus, FlowStatusName } from '../../messages/grammar/shapes.ts';
import type { RestLimits } from './config.ts';

export type FlowKey = { readonly shortHash: string; readonly clientRequestId: string };

/** `undefined`: statuses may have been missed; ask the flow room again. */
export type FlowListener = (status: FlowStatus | undefined) => void;

export type FlowStatuses = {
  /** Resolves when statuses are followed; at once when they are. */
  tracking(): Promise<void>;
  readonly isTracking: boolean;
  /** Changes whenever statuses may have been missed. */
  readonly epoch: number;
  known(key: FlowKey): FlowStatus | undefined;
  /** Hears every later status of this flow; the returned function ends it. */
  listen(key: FlowKey, listener: FlowListener): () => void;
  readonly listenerCount: number;
  note(status: FlowStatus): void;
  /** The follower stands: from here on nothing is missed. */
  followed(): void;
  lost(): void;
  /** From now on nobody is to wait: this room is about to end. */
  leave(): void;
  readonly isLeaving: boolean;
};

const ranks: Record<FlowStatusName, number> = { START_REQUESTED: 0, RUNNING: 1, COMPLETED: 2, FAILED: 2, KILLED: 2 };
export const rankOf = (status: FlowStatusName): number => ranks[status];
export const hasEnded = ({ flowStatus }: FlowStatus): boolean => ranks[flowStatus] === 2;

/** Whether the second status may follow the first (S3). */
const mayFollow = (before: FlowStatus, status: FlowStatus): boolean => {
  const was = before.since ?? status.since ?? 0;
  const is = status.since ?? was;
  return is > was || (is === was && rankOf(status.flowStatus) > rankOf(before.flowStatus));
};

/** What a flow was on its way to this status, from the one before (S5). */
const wayTo = (status: FlowStatus, before: FlowStatus | undefined): FlowStatus[] => {
  const begun = { ...status, flowResult: null, flowError: null, timestamp: status.since ?? status.timestamp };
  const way: FlowStatus[] = [status];
  if (rankOf(status.flowStatus) > 1 && before?.flowStatus !== 'RUNNING') way.unshift({ ...begun, flowStatus: 'RUNNING' });
  if (rankOf(status.flowStatus) > 0 && before === undefined) way.unshift({ ...begun, flowStatus: 'START_REQUESTED' });
  return way;
};

const idOf = (shortHash: string, clientRequestId: string): string => `${shortHash}/${clientRequestId}`;
const charsOf = ({ flowResult, flowError }: FlowStatus): number => (flowResult?.length ?? 0) + (flowError?.message.length ?? 0);

/**
 * The statuses kept: those noted longest ago go first when there are too many, by count or by size. Of too many an eighth goes at once:
 * to find the oldest, a map steps over all that were removed before it.
 */
const createKept = ({ statusesKeptMax, statusCharsKeptMax }: RestLimits) => {
  const kept = new Map<string, FlowStatus>();
  let chars = 0;
  const drop = (id: string): void => {
    const status = kept.get(id);
    if (status === undefined) return;
    chars -= charsOf(status);
    kept.delete(id);
  };
  const dropOldest = (): void => {
    const countMax = kept.size > statusesKeptMax ? statusesKeptMax - (statusesKeptMax >> 3) : statusesKeptMax;
    for (const oldest of kept.keys()) {
      if (kept.size <= countMax && chars <= statusCharsKeptMax) return;
      drop(oldest);
    }
  };
  return {
    get: (id: string): FlowStatus | undefined => kept.get(id),
    set: (id: string, status: FlowStatus): void => {
      drop(id);
      kept.set(id, status);
      chars += charsOf(status);
      if (kept.size > statusesKeptMax || chars > statusCharsKeptMax) dropOldest();
    },
    dropUnsettled: (): void => {
      for (const [id, status] of kept) if (!hasEnded(status) || status.flowStatus === 'FAILED') drop(id);
    },
  };
};

export const createFlowStatuses = (limits: RestLimits): FlowStatuses => {
  const kept = createKept(limits);
  const listeners = new Map<string, Set<FlowListener>>();
  let listenerCount = 0;
  let epoch = 0;
  let isTracking = false;
  let tracking = Promise.withResolvers<void>();
  let isLeaving = false;

  const statuses: FlowStatuses = {
    tracking: () => tracking.promise,
    get isTracking() {
      return isTracking;
    },
    get epoch() {
      return epoch;
    },
    get listenerCount() {
      return listenerCount;
    },
    known: ({ shortHash, clientRequestId }) => kept.get(idOf(shortHash, clientRequestId)),
    listen: ({ shortHash, clientRequestId }, listener) => {
      const id = idOf(shortHash, clientRequestId);
      const hearing = listeners.get(id) ?? new Set();
      listeners.set(id, hearing);
      hearing.add(listener);
      listenerCount++;
      return () => {
        if (!hearing.delete(listener)) return;
        listenerCount--;
        if (hearing.size === 0 && listeners.get(id) === hearing) listeners.delete(id);
      };
    },
    note: (status) => {
      // Flows that REST did not start have no client request id; nobody here can ask for them.
      if (status.clientRequestId === null) return;
      const id = idOf(status.holdingIdentityShortHash, status.clientRequestId);
      const before = kept.get(id);
      if (before !== undefined && !mayFollow(before, status)) return;
      kept.set(id, status);
      const hearing = listeners.get(id);
      if (hearing === undefined) return;
      const way = wayTo(status, before);
      for (const listener of hearing) for (const one of way) listener(one);
    },
    followed: () => {
      isTracking = true;
      tracking.resolve();
    },
    lost: () => {
      epoch++;
      if (isTracking) tracking = Promise.withResolvers<void>();
      isTracking = false;
      kept.dropUnsettled();
      for (const hearing of listeners.values()) for (const listener of hearing) listener(undefined);
    },
    leave: () => {
      isLeaving = true;
      statuses.lost();
    },
    get isLeaving() {
      return isLeaving;
    },
  };
  return statuses;
};
